package front

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// read reads a body of known size, or with size -1 a chunked one.
func read(ctx context.Context, b *Bodies, body io.Reader, size int64) ([]byte, func(), error) {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", body)
	r.ContentLength = size
	return b.Read(httptest.NewRecorder(), r)
}

func TestBodiesAreReadWhole(t *testing.T) {
	const limit = 300_000
	b := NewBodies(limit)
	for _, size := range []int64{0, 1, firstBody, firstBody + 1, smallBody - 1, smallBody, smallBody + 1, 3 * smallBody, limit, limit + 1} {
		text := bytes.Repeat([]byte("sallyport "), int(size)/10+1)[:size]
		for name, r := range map[string]func() io.Reader{
			"at once":     func() io.Reader { return bytes.NewReader(text) },
			"in halves":   func() io.Reader { return iotest.HalfReader(bytes.NewReader(text)) },
			"end at once": func() io.Reader { return iotest.DataErrReader(bytes.NewReader(text)) },
		} {
			for _, said := range []int64{size, -1} {
				got, done, err := read(t.Context(), b, r(), said)
				if size > limit {
					if _, tooLarge := errors.AsType[*wire.TooLargeError](err); !tooLarge {
						t.Errorf("%d bytes %s, %d said: error %v", size, name, said, err)
					}
				} else if err != nil || !bytes.Equal(got, text) {
					t.Errorf("%d bytes %s, %d said: %d bytes, error %v", size, name, said, len(got), err)
				}
				done()
			}
		}
	}
	if !b.free.TryAcquire(64 << 20) {
		t.Error("the budget does not get everything back")
	}
	if _, _, err := read(t.Context(), b, strings.NewReader("short"), 6); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that is cut off: error %v", err)
	}
}

// Large bodies share a budget: one that does not fit waits until another one is
// done, but not for ever, and gives up with its client.
func TestLargeBodiesWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 1 << 20
		text := strings.Repeat("x", limit)
		b := NewBodies(limit)
		var done []func()
		for range 64 + 1 { // one at a time may go beyond the budget
			_, d, err := read(t.Context(), b, strings.NewReader(text), limit)
			if err != nil {
				t.Fatal(err)
			}
			done = append(done, d)
		}
		if _, _, err := read(t.Context(), b, strings.NewReader(text), smallBody); err != nil {
			t.Errorf("a small body: %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := read(gone, b, strings.NewReader(text), limit); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the client that has gone", err)
		}
		start := time.Now()
		_, _, err := read(t.Context(), b, strings.NewReader(text), -1)
		if took := time.Since(start); took != budgetWait {
			t.Errorf("gave up after %s", took)
		}
		w := httptest.NewRecorder()
		RefuseBody(w, err)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "too many large requests") {
			t.Errorf("status %d, Retry-After %q: %s", w.Code, w.Header().Get("Retry-After"), w.Body)
		}
		got := make(chan error)
		go func() {
			_, _, err := read(t.Context(), b, strings.NewReader(text), limit)
			got <- err
		}()
		synctest.Wait()
		done[0]()
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

// Bodies that arrive together and are more than the budget do not wait for each
// other for ever: one at a time gets what it needs.
func TestBodiesThatArriveTogetherAllArrive(t *testing.T) {
	const limit, many = 2 << 20, 200
	text := strings.Repeat("x", limit/2)
	for name, size := range map[string]int64{"chunked": -1, "of a size that is said": limit / 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBodies(limit)
				failed := make(chan error, many)
				for range many {
					go func() {
						_, done, err := read(t.Context(), b, &lockstep{strings.NewReader(text)}, size)
						done()
						failed <- err
					}()
				}
				for range many {
					if err := <-failed; err != nil {
						t.Error(err)
					}
				}
				if !b.free.TryAcquire(64<<20) || len(b.last) != 0 {
					t.Error("the budget does not get everything back")
				}
			})
		})
	}
}

// lockstep gives a few bytes at a time, and lets others go first.
type lockstep struct{ io.Reader }

func (l *lockstep) Read(p []byte) (int, error) {
	<-time.After(time.Millisecond)
	return l.Reader.Read(p[:min(len(p), 64<<10)])
}

// Bodies that do not arrive take nothing of the budget, whatever they promise.
func TestSlowBodiesTakeNoBudget(t *testing.T) {
	const limit = 1 << 20
	for name, size := range map[string]int64{"chunked": -1, "of a size that is said": limit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBodies(limit)
				for range 100 {
					body, client := io.Pipe()
					defer client.Close()
					go func() { _, _, _ = read(t.Context(), b, body, size) }()
					if _, err := io.WriteString(client, "{}"); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				start := time.Now()
				if _, _, err := read(t.Context(), b, strings.NewReader(strings.Repeat("x", limit)), limit); err != nil || time.Since(start) > 0 {
					t.Errorf("error %v after %s", err, time.Since(start))
				}
			})
		})
	}
}
