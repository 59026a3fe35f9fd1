package remote

import (
	"encoding/json"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

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

// TestAResultThatAsksForInput is nothing that a hook may give, and no reason to
// call it again, which the SDK would do by itself.
func TestAResultThatAsksForInput(t *testing.T) {
	s := &python{plainJSON: true}
	s.wrap = func(string) []byte {
		return []byte(`{"content":[],"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"}},"requestState":"s"}`)
	}
	_, err := invoke(t, client(t, serve(t, s).URL), `{}`)
	wantKind(t, err, BadAnswer, "input_required")
	if n := s.count(toolInvoke); n != 1 {
		t.Errorf("the hook ran %d times", n)
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
