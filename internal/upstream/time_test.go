package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// pipeListener is a network within a bubble of synthetic time.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.IPAddr{} }

// inBubble starts an upstream and its server on such a network.
func inBubble(t *testing.T, answer func(w http.ResponseWriter, r *got), o Options) (*Upstream, *scripted) {
	t.Helper()
	l := &pipeListener{make(chan net.Conn), make(chan struct{})}
	s := &scripted{t: t, answer: answer}
	srv := &http.Server{Handler: s, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served //nolint:errcheck // it is ErrServerClosed
	})
	u := start(t, Config{URL: "http://up/mcp"}, o)
	u.link.(*httpLink).transport.base.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case l.conns <- theirs:
			return newConn(ours), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return u, s
}

// took fails the test unless f takes that long.
func took(t *testing.T, want time.Duration, f func()) {
	t.Helper()
	begun := time.Now()
	f()
	if got := time.Since(begun); got != want {
		t.Errorf("took %s, want %s", got, want)
	}
}

func never(_ http.ResponseWriter, r *got) { <-r.http.Context().Done() }

func TestSilenceIsATimeout(t *testing.T) {
	hang := func(w http.ResponseWriter, r *got) {
		stream(w, r, `{"jsonrpc":"2.0","method":"notifications/message"}`)
		never(w, r)
	}
	for name, next := range map[string]func(http.ResponseWriter, *got){"no headers": never, "no answer in the stream": hang} {
		for _, era := range []string{"modern", "legacy"} {
			t.Run(name+", "+era, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					answer := modern(next)
					if era == "legacy" {
						answer = (&legacy{next: next}).answer
					}
					u, s := inBubble(t, answer, Options{Timeout: time.Hour})
					took(t, time.Hour, func() {
						_, err := u.Do(t.Context(), tool("a", `{"name":"a"}`))
						checkError(t, err, Timeout, "no answer within 1h0m0s")
					})
					synctest.Wait()
					if n := len(s.asked(wire.MethodCancelled)); n != map[string]int{"modern": 0, "legacy": 1}[era] {
						t.Errorf("%d notifications/cancelled", n)
					}
					if n := len(s.asked(wire.MethodToolsCall)); n != 1 {
						t.Errorf("%d calls arrived", n)
					}
				})
			})
		}
	}
}

func TestEachNotificationBuysTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, _ := inBubble(t, modern(func(w http.ResponseWriter, r *got) {
			for range 5 {
				wait(r.http.Context(), 50*time.Minute)
				stream(w, r, `{"jsonrpc":"2.0","method":"notifications/message"}`)
			}
			stream(w, r, `{"jsonrpc":"2.0","id":ID,"result":{}}`)
		}), Options{Timeout: time.Hour})
		notes := 0
		c := tool("a", `{"name":"a"}`)
		c.Notify = func(json.RawMessage) { notes++ }
		took(t, 250*time.Minute, func() {
			if _, err := u.Do(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
		if notes != 5 {
			t.Errorf("%d notifications", notes)
		}
	})
}

func TestTheCallersLimitCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, _ := inBubble(t, modern(never), Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		took(t, time.Second, func() {
			_, err := u.Do(ctx, tool("a", `{"name":"a"}`))
			checkError(t, err, Timeout, "the caller's time limit")
		})
	})
}

func TestAServerThatSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, s := inBubble(t, never, Options{StartTimeout: time.Minute})
		took(t, time.Minute, func() {
			_, err := u.Info(t.Context())
			checkError(t, err, Timeout, "no answer within 1m0s")
		})
		if st := u.State(); st.Up || st.Err == nil {
			t.Errorf("state %+v", st)
		}
		if n := len(s.asked(wire.MethodInitialize)); n != 0 {
			t.Errorf("initialize was asked %d times: silence over HTTP is no sign of an era", n)
		}
	})
}

func TestADialHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := start(t, Config{URL: "http://up/mcp"}, Options{})
		h := u.link.(*httpLink)
		h.transport = newTransportWith(&u.o, func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, u.crew.done)
		took(t, 10*time.Second, func() {
			_, err := u.Info(t.Context())
			checkError(t, err, Timeout)
		})
	})
}

func TestWhatAModernServerSaysAboutItselfGrowsOld(t *testing.T) {
	for ttl, want := range map[string]int{"0": 3, "-5": 3, "40000": 2, "99999999999": 1} {
		synctest.Test(t, func(t *testing.T) {
			u, s := inBubble(t, func(w http.ResponseWriter, r *got) {
				send(w, r, `{"supportedVersions":["2026-07-28"],"ttlMs":`+ttl+`}`)
			}, Options{})
			for range 3 {
				if _, err := u.Info(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := u.Info(t.Context()); err != nil {
					t.Error(err)
				}
				wait(t.Context(), 31*time.Second)
			}
			if n := len(s.asked(wire.MethodDiscover)); n != want {
				t.Errorf("ttl %s: asked %d times, want %d", ttl, n, want)
			}
		})
	}
}

// TestStreamsLeaveTheirConnection to the next call, though the caller does not
// wait for their end.
func TestStreamsLeaveTheirConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, s := inBubble(t, modern(func(w http.ResponseWriter, r *got) {
			stream(w, r, `{"jsonrpc":"2.0","id":ID,"result":{}}`)
			wait(r.http.Context(), streamEnd/2)
		}), Options{})
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			took(t, 0, func() {
				if _, err := u.Do(ctx, tool("a", `{"name":"a"}`)); err != nil {
					t.Error(err)
				}
			})
			cancel() // as the end of the client's own request does
			wait(t.Context(), streamEnd)
		}
		if n := s.conns.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestAStreamThatStaysOpen after the answer does not hold up the caller, nor the
// end.
func TestAStreamThatStaysOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, _ := inBubble(t, modern(func(w http.ResponseWriter, r *got) {
			stream(w, r, `{"jsonrpc":"2.0","id":ID,"result":{}}`)
			never(w, r)
		}), Options{})
		took(t, 0, func() {
			if _, err := u.Do(t.Context(), tool("a", `{"name":"a"}`)); err != nil {
				t.Error(err)
			}
		})
		wait(t.Context(), streamEnd)
		synctest.Wait() // the server has noticed, or it would block the bubble's end
	})
}

func TestACallerThatHasGivenUpAlready(t *testing.T) {
	u := start(t, Config{URL: "http://127.0.0.1:1/"}, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := u.Do(ctx, tool("a", `{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func wait(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
