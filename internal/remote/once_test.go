package remote

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// pair is a conn and the other end of it.
func pair(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return newConn(near), far
}

func TestAConnectionKnowsWhetherAByteLeft(t *testing.T) {
	t.Run("closed by the server before use", func(t *testing.T) {
		c, far := pair(t)
		far.Close()
		// Wait until the end has arrived here, without reading it.
		for !readable(c.raw) {
			if _, err := c.Conn.(*net.TCPConn).SyscallConn(); err != nil {
				t.Fatal(err)
			}
		}
		c.arm(true)
		if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, errStale) {
			t.Errorf("Write = %d, %v", n, err)
		}
		if !c.abandon() {
			t.Error("abandon says that something left")
		}
	})
	t.Run("given up before the first byte", func(t *testing.T) {
		c, _ := pair(t)
		c.arm(true)
		if !c.abandon() {
			t.Error("abandon says that something left")
		}
		if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, errStale) {
			t.Errorf("Write after abandon = %d, %v", n, err)
		}
	})
	t.Run("used", func(t *testing.T) {
		c, _ := pair(t)
		c.arm(true)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if c.abandon() {
			t.Error("abandon says that nothing left")
		}
	})
	t.Run("a fresh one with data is fine", func(t *testing.T) {
		c, far := pair(t)
		if _, err := far.Write([]byte("ticket")); err != nil {
			t.Fatal(err)
		}
		c.arm(false)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Error(err)
		}
	})
}

// broken fails to write; its read ends with an alert.
type broken struct {
	net.Conn
	alerted chan struct{}
}

func (b *broken) Write([]byte) (int, error) { close(b.alerted); return 0, net.ErrClosed }

func (b *broken) Read([]byte) (int, error) {
	<-b.alerted
	return 0, &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}
}

func TestAFailedWriteTellsTheAlert(t *testing.T) {
	c := newConn(&broken{alerted: make(chan struct{})})
	c.alertGrace = time.Minute
	c.arm(false)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = c.Read(nil) }()
	if _, err := c.Write([]byte("x")); !isAlert(err) {
		t.Errorf("Write says %v, not the alert", err)
	}
	<-done
	if !isAlert(c.alert()) {
		t.Error("the alert is lost")
	}
}

func TestLegacyServers(t *testing.T) {
	for name, s := range map[string]*python{
		"events":       {},
		"JSON":         {plainJSON: true},
		"older errors": {olderErrors: true},
	} {
		t.Run(name, func(t *testing.T) {
			s.invoke = func(arguments json.RawMessage) string {
				return `{"plugin_name":"P","result":{"continue_processing":true,"modified_payload":` + string(wire.Member(arguments, "payload")) + `}}`
			}
			p := client(t, serve(t, s).URL)
			payload := `{"n":9007199254740993,"s":"\ud83d"}`
			for range 3 {
				r, err := invoke(t, p, payload)
				if err != nil {
					t.Fatal(err)
				}
				if string(r.ModifiedPayload) != payload {
					t.Errorf("payload came back as %s", r.ModifiedPayload)
				}
			}
			if s.initialized != 1 || s.count(toolInvoke) != 3 {
				t.Errorf("%d sessions for %d hooks, want 1 for 3", s.initialized, s.count(toolInvoke))
			}
			s.forget()
			for _, err := range parallel(t, p, 16) {
				if err != nil {
					t.Error(err)
				}
			}
			if s.initialized != 2 || s.count(toolInvoke) != 19 {
				t.Errorf("%d sessions for %d hooks, want 2 for 19", s.initialized, s.count(toolInvoke))
			}
			if info, err := p.Describe(t.Context()); err != nil || info.Name != "P" {
				t.Errorf("Describe = %v, %v", info, err)
			}
		})
	}
}

// TestTheConnectionOutlivesAStream: a stream read to its end leaves its
// connection to the next call.
func TestTheConnectionOutlivesAStream(t *testing.T) {
	var opened atomic.Int32
	srv := &http.Server{Handler: &python{}, ReadHeaderTimeout: time.Minute, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	p := client(t, "http://"+l.Addr().String())
	for range 20 {
		if _, err := invoke(t, p, `{}`); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n > 2 {
		t.Errorf("%d connections for 20 calls in a row", n)
	}
}

// TestTheServerChangesItsEra replaces the server by one of the other era, on
// the same address, and back. No call fails and no hook runs twice.
func TestTheServerChangesItsEra(t *testing.T) {
	modern, legacy := &fake{}, &python{}
	var current atomic.Pointer[http.Handler]
	use := func(h http.Handler) { current.Store(&h) }
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*current.Load()).ServeHTTP(w, r) }))
	use(modern)
	p := client(t, srv.URL)
	for round, h := range []http.Handler{modern, legacy, modern, legacy} {
		use(h)
		for range 2 {
			if _, err := invoke(t, p, `{}`); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
	}
	if m, l := modern.count(toolInvoke), legacy.count(toolInvoke); m != 4 || l != 4 {
		t.Errorf("%d hooks ran on the modern server and %d on the legacy one, want 4 and 4", m, l)
	}
}

func TestNeitherEra(t *testing.T) {
	var posts atomic.Int32
	p := client(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		http.NotFound(w, r)
	})).URL)
	_, err := invoke(t, p, `{}`)
	wantKind(t, err, BadAnswer, "HTTP 404 Not Found")
	before := posts.Load()
	for _, err := range parallel(t, p, 10) {
		wantKind(t, err, BadAnswer, "HTTP 404 Not Found")
	}
	// The backoff keeps the ten from asking for ten sessions.
	if n := posts.Load() - before; n > 15 {
		t.Errorf("%d requests for ten calls", n)
	}
}

func TestAProbeServesAllWhoWait(t *testing.T) {
	f := &fake{}
	p := client(t, serve(t, f).URL)
	for _, err := range parallel(t, p, 32) {
		if err != nil {
			t.Error(err)
		}
	}
	if n := f.count(toolConfig); n != 1 {
		t.Errorf("%d probes, want 1", n)
	}
}
