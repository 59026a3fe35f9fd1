package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/upstream"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeServer is an upstream MCP server that says what a test wants, byte by
// byte, and remembers what reached it.
type fakeServer struct {
	modern bool
	lists  map[string]string // method → items, without brackets; a method that is missing is not supported
	answer func(f *fakeServer, w http.ResponseWriter, r *http.Request, m *wire.Message) bool

	*httptest.Server
	mu   sync.Mutex
	seen []reached
}

// reached is a call that reached the upstream, other than lists and openings.
type reached struct {
	method string
	params string
	header http.Header
}

var plainLists = map[string]string{
	"tools/list":               `{"name":"echo","description":"Says it again.","annotations":{"readOnlyHint":true},"inputSchema":{"type":"object"}},{"name":"other","inputSchema":{"type":"object"}}`,
	"prompts/list":             `{"name":"greet"}`,
	"resources/list":           `{"uri":"mem://a","name":"a"},{"uri":"mem://b","name":"b"}`,
	"resources/templates/list": `{"uriTemplate":"mem://t/{id}","name":"t"}`,
}

// plainResults are the results of the three guarded methods.
var plainResults = map[string]string{
	"tools/call":          `{"content":[{"type":"text","text":"original"}]}`,
	"prompts/get":         `{"messages":[{"role":"user","content":{"type":"text","text":"original"}}]}`,
	"resources/read":      `{"contents":[{"uri":"mem://a","mimeType":"text/plain","text":"original"}]}`,
	"completion/complete": `{"completion":{"values":["original"]}}`,
}

func startFake(t *testing.T, f *fakeServer) *fakeServer {
	t.Helper()
	if f.lists == nil {
		f.lists = plainLists
	}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeServer) calls() []reached {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]reached(nil), f.seen...)
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	m, err := wire.Parse(body, 1<<24)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if isModern := r.Header.Get(wire.HeaderRevision) == wire.Revision2026_07; isModern != f.modern && m.Method != wire.MethodInitialize {
		http.Error(w, "Bad Request: another era", http.StatusBadRequest)
		return
	}
	switch {
	case m.ID == nil:
		w.WriteHeader(http.StatusAccepted)
	case m.Method == wire.MethodDiscover:
		f.result(w, m, `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":`+f.capabilities()+`,"ttlMs":60000,"cacheScope":"private"}`)
	case m.Method == wire.MethodInitialize:
		if f.modern {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		f.result(w, m, `{"protocolVersion":"2025-11-25","capabilities":`+f.capabilities()+`,"serverInfo":{"name":"fake","version":"1"}}`)
	case strings.HasSuffix(m.Method, "/list"):
		for _, form := range forms {
			if items, ok := f.lists[m.Method]; ok && form.method == m.Method {
				f.result(w, m, f.head()+`"`+form.member+`":[`+items+`]}`)
				return
			}
		}
		f.fault(w, m, wire.Errorf(wire.CodeMethodNotFound, "no"))
	default:
		f.mu.Lock()
		f.seen = append(f.seen, reached{m.Method, string(m.Params), r.Header})
		f.mu.Unlock()
		if f.answer != nil && f.answer(f, w, r, m) {
			return
		}
		f.result(w, m, plainResults[m.Method])
	}
}

// head is how a list's result begins.
func (f *fakeServer) head() string {
	if f.modern {
		return `{"resultType":"complete","ttlMs":60000,"cacheScope":"private",`
	}
	return `{`
}

func (f *fakeServer) capabilities() string {
	var all []string
	for method := range f.lists {
		if name, _, _ := strings.Cut(method, "/"); method != "resources/templates/list" {
			all = append(all, `"`+name+`":{}`)
		}
	}
	return "{" + strings.Join(all, ",") + "}"
}

func (f *fakeServer) result(w http.ResponseWriter, m *wire.Message, result string) {
	w.Header().Set("Content-Type", wire.MediaJSON)
	_, _ = w.Write(wire.AppendResult(nil, m.ID, []byte(result)))
}

func (f *fakeServer) fault(w http.ResponseWriter, m *wire.Message, e *wire.Error) {
	w.Header().Set("Content-Type", wire.MediaJSON)
	_, _ = w.Write(wire.AppendError(nil, m.ID, e))
}

// upstreamOf is the client of a fake server.
func upstreamOf(t *testing.T, name, url string) *upstream.Upstream {
	t.Helper()
	u, err := upstream.New(upstream.Config{Name: name, URL: url}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = u.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return u
}

// logLines collects a log.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// served is a gateway that a test can talk to.
type served struct {
	*Gateway
	url  string
	log  *logLines
	stop func() // waits for the handlers
}

// serve starts a gateway in front of fake servers named up, up2, ….
func serve(t *testing.T, cfg Config, entries []pipeline.Entry, fakes ...*fakeServer) *served {
	t.Helper()
	return serveWith(t, cfg, pipeline.Options{Timeout: 10 * time.Second}, entries, fakes...)
}

// serveWith does so with options for the pipeline.
func serveWith(t *testing.T, cfg Config, o pipeline.Options, entries []pipeline.Entry, fakes ...*fakeServer) *served {
	t.Helper()
	log := &logLines{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	o.Logger = logger
	pipe, err := pipeline.New(entries, &o)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Pipeline = pipe
	for i, f := range fakes {
		name := "up"
		if i > 0 {
			name = fmt.Sprintf("up%d", i+1)
		}
		cfg.Upstreams = append(cfg.Upstreams, upstreamOf(t, name, f.URL))
	}
	g, err := New(cfg, &Options{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if err := pipe.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &served{g, server.URL + path, log, server.Close}
}

// got is an HTTP answer with its body read.
type got struct {
	status int
	header http.Header
	body   string
}

// message is the JSON-RPC answer: the body, or the last event of a stream.
func (a got) message(t *testing.T) *wire.Message {
	t.Helper()
	body := []byte(a.body)
	if strings.HasPrefix(a.header.Get("Content-Type"), wire.MediaSSE) {
		events := wire.NewEvents(strings.NewReader(a.body), 1<<24)
		for {
			e, err := events.Next()
			if err != nil {
				break
			}
			body = bytes.Clone(e.Data)
		}
	}
	m, err := wire.Parse(body, 1<<24)
	if err != nil {
		t.Fatalf("not a message (%v): %d %s", err, a.status, a.body)
	}
	return m
}

// send makes a request; headers are "Name: value".
func send(t *testing.T, method, url, body string, headers ...string) got {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got{resp.StatusCode, resp.Header, string(text)}
}

const ownMeta = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}`

// modern sends a request of the modern era; params is an object without _meta,
// and meta what goes there beside what has to.
func (s *served) modern(t *testing.T, method, params, meta string, headers ...string) got {
	t.Helper()
	if meta != "" {
		meta = "," + meta
	}
	full := string(wire.SetMember(nil, []byte(params), "_meta", []byte("{"+ownMeta+meta+"}")))
	headers = append([]string{"Content-Type: application/json", "Accept: " + wire.AcceptBoth,
		"Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: " + method}, headers...)
	name, ok := wire.String(wire.Member([]byte(params), "name"))
	if !ok {
		name, ok = wire.String(wire.Member([]byte(params), "uri"))
	}
	if ok && wire.NeedsName(method) {
		headers = append(headers, "Mcp-Name: "+wire.EncodeHeader(name))
	}
	return send(t, "POST", s.url, `{"jsonrpc":"2.0","id":"m1","method":"`+method+`","params":`+full+`}`, headers...)
}

// open opens a legacy session and returns its header.
func (s *served) open(t *testing.T, revision string) string {
	t.Helper()
	a := s.post(t, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+revision+`","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	id := a.header.Get(wire.HeaderSession)
	if a.status != http.StatusOK || id == "" {
		t.Fatalf("initialize: %d %s", a.status, a.body)
	}
	return wire.HeaderSession + ": " + id
}

func (s *served) post(t *testing.T, body string, headers ...string) got {
	t.Helper()
	headers = append([]string{"Content-Type: application/json", "Accept: " + wire.AcceptBoth}, headers...)
	return send(t, "POST", s.url, body, headers...)
}

// legacy sends a request of the legacy era.
func (s *served) legacy(t *testing.T, session, method, params string) got {
	t.Helper()
	return s.post(t, `{"jsonrpc":"2.0","id":7,"method":"`+method+`","params":`+params+`}`, session)
}

// fakePlugin does what a test wants.
type fakePlugin struct {
	hooks  []plugin.Hook
	invoke func(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error)
}

func (f *fakePlugin) Hooks() []plugin.Hook { return f.hooks }

func (f *fakePlugin) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	return f.invoke(ctx, hook, payload, c)
}

// entryOf is a pipeline entry named P.
func entryOf(p plugin.Plugin) []pipeline.Entry { return []pipeline.Entry{{Name: "P", Plugin: p}} }
