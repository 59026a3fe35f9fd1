package remote

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
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

// fake is a plugin server of the modern era whose answers a test decides.
type fake struct {
	// invoke gives the text of an invoke_hook answer. nil lets everything pass.
	invoke func(arguments json.RawMessage) string
	// config is the text of a get_plugin_config answer; empty means of "P".
	config string

	mu    sync.Mutex
	calls map[string]int // by tool
	last  *http.Request  // of an invoke_hook
	body  []byte
}

const passes = `{"plugin_name":"P","result":{"continue_processing":true,"modified_payload":null,"violation":null,"metadata":{}}}`

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, m, call := f.read(r)
	if err := wire.CheckModern(m, &call, r.Header, []string{wire.Revision2026_07}); err != nil {
		w.Header().Set("Content-Type", wire.MediaJSON)
		w.WriteHeader(err.HTTPStatus())
		_, _ = w.Write(wire.AppendError(nil, m.ID, err))
		return
	}
	w.Header().Set("Content-Type", wire.MediaJSON)
	_, _ = w.Write(wire.AppendResult(nil, m.ID, toolResult(f.answer(r, body, &call))))
}

// read reads one message and counts it when it calls a tool.
func (f *fake) read(r *http.Request) ([]byte, *wire.Message, wire.Call) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	m, err := wire.Parse(body, 1<<20)
	if err != nil {
		panic(fmt.Sprintf("the client sent %s: %v", body, err))
	}
	call, rpcErr := m.Call()
	if rpcErr != nil {
		panic(fmt.Sprintf("the client sent %s: %v", body, rpcErr))
	}
	return body, m, call
}

// answer runs a tool.
func (f *fake) answer(r *http.Request, body []byte, call *wire.Call) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[call.Name]++
	switch {
	case call.Name == toolConfig && f.config != "":
		return f.config
	case call.Name == toolConfig:
		return `{"name":"P","hooks":["tool_pre_invoke"]}`
	case call.Name == toolConfigs:
		return `{"name":"Other"}`
	}
	f.last, f.body = r.Clone(r.Context()), body
	if f.invoke == nil {
		return passes
	}
	return f.invoke(call.Arguments)
}

func (f *fake) count(tool string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[tool]
}

func toolResult(text string) []byte {
	b := wire.AppendString([]byte(`{"content":[{"type":"text","text":`), text)
	return append(b, `}],"isError":false,"resultType":"complete"}`...)
}

// serve starts h and ends it with the test.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// client makes the client of plugin P; change may alter its settings.
func client(t *testing.T, url string, change ...func(*Config, *Options)) *Plugin {
	t.Helper()
	cfg, o := Config{Name: "P", URL: url + "/mcp", Timeout: 10 * time.Second}, Options{}
	for _, f := range change {
		f(&cfg, &o)
	}
	p, err := New(cfg, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// python behaves like a plugin server of ContextForge: sessions, events, and
// its words for a missing or unknown session.
type python struct {
	fake
	plainJSON   bool
	olderErrors bool // the Python SDK up to 1.25 says 400 where later ones say 404

	wrap        func(text string) []byte // makes the result of invoke_hook; nil is the usual one
	sessions    map[string]bool          // guarded by fake.mu
	initialized int
}

func (s *python) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = nil
}

func (s *python) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		return
	}
	if revision := r.Header.Get(wire.HeaderRevision); revision > wire.Revision2025_11 {
		pythonError(w, http.StatusBadRequest, "Bad Request: Unsupported protocol version: "+revision)
		return
	}
	body, m, call := s.read(r)
	id := r.Header.Get(wire.HeaderSession)
	if m.Method == wire.MethodInitialize {
		s.mu.Lock()
		s.initialized++
		id = fmt.Sprintf("session-%d", s.initialized)
		if s.sessions == nil {
			s.sessions = map[string]bool{}
		}
		s.sessions[id] = true
		s.mu.Unlock()
		w.Header().Set(wire.HeaderSession, id)
		s.reply(w, wire.AppendResult(nil, m.ID, []byte(`{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"MCP Plugin Server","version":"1"}}`)))
		return
	}
	s.mu.Lock()
	known := s.sessions[id]
	s.mu.Unlock()
	switch {
	case id == "":
		pythonError(w, http.StatusBadRequest, "Bad Request: Missing session ID")
	case !known && s.olderErrors:
		http.Error(w, "Bad Request: No valid session ID provided", http.StatusBadRequest)
	case !known:
		pythonError(w, http.StatusNotFound, "Session not found")
	case m.IsNotification():
		w.WriteHeader(http.StatusAccepted)
	default:
		wrap := toolResult
		if s.wrap != nil && call.Name == toolInvoke {
			wrap = s.wrap
		}
		s.reply(w, wire.AppendResult(nil, m.ID, wrap(s.answer(r, body, &call))))
	}
}

func (s *python) reply(w http.ResponseWriter, message []byte) {
	if s.plainJSON {
		w.Header().Set("Content-Type", wire.MediaJSON)
		_, _ = w.Write(message)
		return
	}
	w.Header().Set("Content-Type", wire.MediaSSE)
	// A notification first, and line ends as sse-starlette writes them.
	text := string(wire.AppendEvent(nil, "message", []byte(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}`))) +
		string(wire.AppendEvent(nil, "message", message))
	_, _ = io.WriteString(w, ": ping\r\n\r\n"+strings.ReplaceAll(text, "\n", "\r\n"))
}

func pythonError(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", wire.MediaJSON)
	w.WriteHeader(status)
	_, _ = w.Write(wire.AppendError(nil, []byte(`"server-error"`), wire.Errorf(wire.CodeInvalidRequest, "%s", message)))
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

func (r *restartable) url() string { return "http://" + r.addr }

// answerWith answers every probe well, and each hook with what f returns for
// its id: status, content type, body.
func answerWith(f func(id string) (int, string, string)) http.Handler {
	good := &fake{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(wire.HeaderName) == toolConfig {
			good.ServeHTTP(w, r)
			return
		}
		_, m, _ := good.read(r)
		status, media, body := f(string(m.ID))
		w.Header()["Content-Type"] = []string{media}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func replaceID(body, id string) string { return strings.ReplaceAll(body, "ID", id) }
