package upstream

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

func TestMain(m *testing.M) {
	if isChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

// logText is a logger whose text a test can read.
type logText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logText) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// start makes an upstream and runs it until the test ends. A log that holds what
// a configuration keeps secret fails the test.
func start(t *testing.T, cfg Config, o Options) *Upstream {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "up"
	}
	log := &logText{}
	if o.Logger == nil {
		o.Logger = log.logger()
	}
	u, err := New(cfg, &o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	})
	return u
}

// within gives a test's calls a limit that no good run comes near.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func tool(name, params string) Call {
	return Call{Method: wire.MethodToolsCall, Name: name, Params: json.RawMessage(params)}
}

// got is one request as a server received it.
type got struct {
	http   *http.Request
	body   []byte
	m      *wire.Message
	params string
}

// scripted is a server whose answers a test writes. It counts what it was asked.
type scripted struct {
	t      *testing.T
	answer func(w http.ResponseWriter, r *got)
	conns  atomic.Int32 // of a server in a bubble

	mu       sync.Mutex
	requests []*got
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	g := &got{http: r, body: body, m: &wire.Message{Method: r.Method}}
	if r.Method == http.MethodPost {
		if g.m, err = wire.Parse(body, 1<<26); err != nil {
			s.t.Errorf("the client sent %s: %v", body, err)
			panic(http.ErrAbortHandler)
		}
		g.params = string(g.m.Params)
	}
	s.mu.Lock()
	s.requests = append(s.requests, g)
	s.mu.Unlock()
	s.answer(w, g)
}

// asked returns what came for one method.
func (s *scripted) asked(method string) []*got {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*got
	for _, g := range s.requests {
		if g.m.Method == method {
			all = append(all, g)
		}
	}
	return all
}

func serve(t *testing.T, answer func(w http.ResponseWriter, r *got)) (*scripted, string) {
	t.Helper()
	s := &scripted{t: t, answer: answer}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, srv.URL + "/mcp"
}

const (
	discovered  = `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}},"instructions":"be kind","ttlMs":3600000,"cacheScope":"public"}`
	initialized = `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"1"},"instructions":"be kind"}`
)

// modern answers server/discover, and everything else as next does.
func modern(next func(w http.ResponseWriter, r *got)) func(w http.ResponseWriter, r *got) {
	return func(w http.ResponseWriter, r *got) {
		call, rpc := r.m.Call()
		if rpc == nil {
			rpc = wire.CheckModern(r.m, &call, r.http.Header, []string{wire.Revision2026_07})
		}
		switch {
		case rpc != nil:
			sendStatus(w, rpc.HTTPStatus(), wire.AppendError(nil, r.m.ID, rpc))
		case r.m.Method == wire.MethodDiscover:
			send(w, r, discovered)
		default:
			next(w, r)
		}
	}
}

// legacy keeps sessions, and answers everything in one as next does.
type legacy struct {
	next func(w http.ResponseWriter, r *got)
	lost func(w http.ResponseWriter, r *got) // answers when the session is unknown; nil is 404

	mu       sync.Mutex
	sessions map[string]bool
	opened   int
}

func (l *legacy) answer(w http.ResponseWriter, r *got) {
	if r.http.Header.Get(wire.HeaderRevision) > wire.Revision2025_11 {
		sendStatus(w, http.StatusBadRequest, wire.AppendError(nil, []byte(`"server-error"`), wire.Errorf(wire.CodeInvalidRequest, "Bad Request: Unsupported protocol version")))
		return
	}
	id := r.http.Header.Get(wire.HeaderSession)
	l.mu.Lock()
	if r.m.Method == wire.MethodInitialize {
		if l.sessions == nil {
			l.sessions = map[string]bool{}
		}
		l.opened++
		id = "session-" + string(appendID(int64(l.opened)))
		l.sessions[id] = true
	}
	known := l.sessions[id]
	l.mu.Unlock()
	switch {
	case r.m.Method == wire.MethodInitialize:
		w.Header().Set(wire.HeaderSession, id)
		send(w, r, initialized)
	case r.http.Method == http.MethodDelete:
	case !known && l.lost != nil:
		l.lost(w, r)
	case !known:
		sendStatus(w, http.StatusNotFound, wire.AppendError(nil, []byte("null"), wire.Errorf(-32001, "Session not found")))
	case r.m.ID == nil || r.m.IsResponse():
		w.WriteHeader(http.StatusAccepted)
	default:
		l.next(w, r)
	}
}

// forget is what a restart does to the sessions.
func (l *legacy) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions = nil
}

func send(w http.ResponseWriter, r *got, result string) {
	sendStatus(w, http.StatusOK, wire.AppendResult(nil, r.m.ID, []byte(result)))
}

func sendStatus(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", wire.MediaJSON)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// stream sends messages as events, each at once. ID stands for the request's id.
func stream(w http.ResponseWriter, r *got, messages ...string) {
	w.Header().Set("Content-Type", wire.MediaSSE)
	for _, m := range messages {
		_, _ = w.Write(wire.AppendEvent(nil, "message", []byte(strings.ReplaceAll(m, "ID", string(r.m.ID)))))
		w.(http.Flusher).Flush()
	}
}

// restartable is a server that can be stopped and started on one address.
type restartable struct {
	t       *testing.T
	addr    string
	handler http.Handler
	srv     *http.Server
	done    chan error
}

func newRestartable(t *testing.T, h http.Handler) *restartable {
	r := &restartable{t: t, addr: "127.0.0.1:0", handler: h}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *restartable) start() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr = l.Addr().String()
	r.srv = &http.Server{Handler: r.handler, ReadHeaderTimeout: time.Minute}
	r.done = make(chan error, 1)
	go func(srv *http.Server, done chan error) { done <- srv.Serve(l) }(r.srv, r.done)
}

// stop is a process's end: every connection is closed.
func (r *restartable) stop() {
	_ = r.srv.Close()
	err := <-r.done
	r.done <- err
}
