package remote

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// parallel makes n calls at a time and returns their errors.
func parallel(t *testing.T, p *Plugin, n int) []error {
	t.Helper()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { _, errs[i] = invoke(t, p, `{}`) })
	}
	all.Wait()
	return errs
}

// TestARestartCostsNoCall restarts the server between rounds of calls, with a
// pool of connections that all die each time.
func TestARestartCostsNoCall(t *testing.T) {
	servers := map[string]func() (http.Handler, *fake){
		"modern": func() (http.Handler, *fake) { f := &fake{}; return f, f },
		"legacy": func() (http.Handler, *fake) { s := &python{}; return s, &s.fake },
		"legacy, older": func() (http.Handler, *fake) {
			s := &python{plainJSON: true, olderErrors: true}
			return s, &s.fake
		},
	}
	for name, make := range servers {
		t.Run(name, func(t *testing.T) {
			const rounds, callers = 20, 16
			h, f := make()
			srv := newRestartable(t, h)
			p := client(t, srv.url())
			for round := range rounds {
				for _, err := range parallel(t, p, callers) {
					if err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
				}
				srv.stop()
				if s, ok := h.(*python); ok {
					s.forget()
				}
				srv.start()
			}
			if got := f.count(toolInvoke); got != rounds*callers {
				t.Errorf("%d hooks ran for %d calls", got, rounds*callers)
			}
			if got := f.count(toolConfig); got != 1 {
				t.Errorf("the era was probed %d times, want once", got)
			}
		})
	}
}

// TestAHookThatMayHaveRunIsNotSentAgain has the server take a request on a
// reused connection and close without an answer: the very case in which
// net/http sends a request again if it believes that it may.
func TestAHookThatMayHaveRunIsNotSentAgain(t *testing.T) {
	for name, legacy := range map[string]bool{"modern": false, "legacy": true} {
		t.Run(name, func(t *testing.T) {
			var arrived atomic.Int32
			var handler http.Handler = &fake{}
			if legacy {
				handler = &python{}
			}
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return
				}
				if m, err := wire.Parse(body, 1<<20); err == nil {
					if call, err := m.Call(); err == nil && call.Name == toolInvoke && arrived.Add(1) == 2 {
						panic(http.ErrAbortHandler) // closes the connection
					}
				}
				r.Body = io.NopCloser(&replay{body})
				handler.ServeHTTP(w, r)
			}))
			p := client(t, srv.URL)
			if _, err := invoke(t, p, `{}`); err != nil {
				t.Fatal(err)
			}
			_, err := invoke(t, p, `{}`)
			wantKind(t, err, Unreachable, "whether the hook ran is not known")
			if n := arrived.Load(); n != 2 {
				t.Errorf("%d hook calls arrived, want 2", n)
			}
			if _, err := invoke(t, p, `{}`); err != nil {
				t.Errorf("the call after: %v", err)
			}
		})
	}
}

// replay reads a body once more.
type replay struct{ left []byte }

func (r *replay) Read(b []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.left)
	r.left = r.left[n:]
	return n, nil
}

// TestIdleConnectionsThatTheServerClosed lets the server close all its idle
// connections, without ending, before each round.
func TestIdleConnectionsThatTheServerClosed(t *testing.T) {
	f := &fake{}
	srv := serve(t, f)
	p := client(t, srv.URL)
	const rounds, callers = 50, 8
	for round := range rounds {
		for _, err := range parallel(t, p, callers) {
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		srv.CloseClientConnections()
	}
	if got := f.count(toolInvoke); got != rounds*callers {
		t.Errorf("%d hooks ran for %d calls", got, rounds*callers)
	}
}
