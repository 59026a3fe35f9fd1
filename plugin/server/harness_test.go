package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// The clock of regexp2 goes on for a second or two after the last search.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2/v2.runClock"))
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

// entry is a plugin named P that serves tool_pre_invoke.
func entry(invoke func(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error)) Entry {
	return Entry{Name: "P", Kind: "fake", Priority: 100, Plugin: &fakePlugin{[]plugin.Hook{plugin.ToolPreInvoke}, invoke}}
}

func passes(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
	return plugin.Continue(), nil
}

// logLines collects what a server logs.
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

func (l *logLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// start serves entries on a loopback port until the test ends and returns the
// server's base URL.
func start(t *testing.T, o *Options, entries ...Entry) string {
	t.Helper()
	s, err := New(entries, o)
	if err != nil {
		t.Fatal(err)
	}
	return startServer(t, s)
}

func startServer(t *testing.T, s *Server) string {
	t.Helper()
	l := listenLoopback(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

func listenLoopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// answer is an HTTP answer with its body read.
type answer struct {
	status int
	header http.Header
	body   string
	closes bool // Connection: close
}

// client keeps no connection behind.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// send makes a request; headers are "Name: value".
func send(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text), resp.Close}
}

// post sends one message as a legacy client does.
func post(t *testing.T, base, body string, headers ...string) answer {
	t.Helper()
	headers = append([]string{"Content-Type: application/json", "Accept: " + wire.AcceptBoth}, headers...)
	return send(t, "POST", base+"/mcp", body, headers...)
}

const testContext = `{"state":{},"global_context":{"request_id":"r1"},"metadata":{}}`

// hookMessage is an invoke_hook of tool_pre_invoke on plugin P.
func hookMessage(payload, context string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"invoke_hook","arguments":{"hook_type":"tool_pre_invoke","plugin_name":"P","payload":` +
		payload + `,"context":` + context + `}}}`
}

// toolText is the text and the isError of a tool result in an answer.
func toolText(t *testing.T, a answer) (text string, isError bool) {
	t.Helper()
	var m struct {
		Result *struct {
			Content []struct{ Type, Text string }
			IsError bool
		}
	}
	if err := json.Unmarshal([]byte(a.body), &m); err != nil || m.Result == nil || len(m.Result.Content) != 1 || m.Result.Content[0].Type != "text" {
		t.Fatalf("no tool result with one text (%v): %d %s", err, a.status, a.body)
	}
	return m.Result.Content[0].Text, m.Result.IsError
}

var errSecret = errors.New("secret: password=hunter2")
