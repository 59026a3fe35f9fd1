package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

func invoke(t *testing.T, p *Plugin, payload string) (*plugin.Result, error) {
	t.Helper()
	c := &plugin.Context{GlobalContext: plugin.GlobalContext{RequestID: "r1"}}
	return p.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), c)
}

func TestAHookIsOneStatelessPost(t *testing.T) {
	f := &fake{}
	p := client(t, serve(t, f).URL, func(_ *Config, o *Options) { o.Version = "1.2.3" })
	payload := `{"name":"t","args":{"n":9007199254740993, "e":1.0e2},"x":"<\u00e9>"}`
	c := &plugin.Context{
		State: plugin.Object{"b": json.RawMessage(`1`), "a": json.RawMessage(`{"k":null}`)},
		GlobalContext: plugin.GlobalContext{
			RequestID: "r\"1", User: json.RawMessage(`{"email":"a@b"}`), TenantID: "t", ServerID: "s",
			Metadata: plugin.Object{"m": json.RawMessage(`[]`)},
		},
	}
	for range 2 {
		if _, err := p.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), c); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.count(toolInvoke); got != 2 {
		t.Errorf("%d hook calls arrived, want 2", got)
	}
	if got := f.count(toolConfig); got != 1 {
		t.Errorf("the era was probed %d times, want once", got)
	}
	want := `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"_meta":{` +
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},` +
		`"io.modelcontextprotocol/clientInfo":{"name":"sallyport","version":"1.2.3"}},"name":"invoke_hook","arguments":{` +
		`"hook_type":"tool_pre_invoke","plugin_name":"P","payload":` + payload + `,"context":{"state":{"a":{"k":null},"b":1},` +
		`"global_context":{"request_id":"r\"1","user":{"email":"a@b"},"tenant_id":"t","server_id":"s","state":{},"metadata":{"m":[]}},"metadata":{}}}}}`
	if diff := cmp.Diff(want, string(f.body)); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "invoke_hook",
		"Accept": "application/json, text/event-stream", "Content-Type": "application/json",
		"Idempotency-Key": "", "Accept-Encoding": "", "Mcp-Session-Id": "",
	} {
		if got := f.last.Header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
}

func TestTheContextComesBackChanged(t *testing.T) {
	f := &fake{invoke: func(json.RawMessage) string {
		return `{"plugin_name":"P","result":{"continue_processing":true},"context":{"state":{"n":9007199254740993},
			"global_context":{"request_id":"other","user":"mallory","state":{"shared":true},"metadata":{"x":1}}}}`
	}}
	p := client(t, serve(t, f).URL)
	c := &plugin.Context{
		State:    plugin.Object{"old": json.RawMessage(`1`)},
		Metadata: plugin.Object{"old": json.RawMessage(`1`)},
		GlobalContext: plugin.GlobalContext{
			RequestID: "r1", User: json.RawMessage(`"alice"`),
			State: plugin.Object{"old": json.RawMessage(`1`)}, Metadata: plugin.Object{"m": json.RawMessage(`2`)},
		},
	}
	if _, err := p.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{}`), c); err != nil {
		t.Fatal(err)
	}
	want := &plugin.Context{
		State: plugin.Object{"n": json.RawMessage(`9007199254740993`)},
		GlobalContext: plugin.GlobalContext{
			RequestID: "r1", User: json.RawMessage(`"alice"`),
			State: plugin.Object{"shared": json.RawMessage(`true`)}, Metadata: plugin.Object{"m": json.RawMessage(`2`)},
		},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("context (-want +got):\n%s", diff)
	}
}

func TestAPluginsFailureIsAPluginError(t *testing.T) {
	f := &fake{invoke: func(json.RawMessage) string {
		return `{"plugin_name":"P","error":{"message":"boom","plugin_name":"P","code":"E","details":{"a":1},"mcp_error_code":-32001},"context":null}`
	}}
	c := &plugin.Context{State: plugin.Object{"kept": json.RawMessage(`1`)}}
	_, err := client(t, serve(t, f).URL).Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{}`), c)
	var got *plugin.Error
	if !errors.As(err, &got) {
		t.Fatalf("error is %v, want a *plugin.Error", err)
	}
	want := &plugin.Error{Message: "boom", Plugin: "P", Code: "E", Details: json.RawMessage(`{"a":1}`), MCPCode: -32001}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if c.State == nil {
		t.Error("a failed hook changed the context")
	}
}

func TestWhatIsNotJSONDoesNotLeave(t *testing.T) {
	f := &fake{}
	p := client(t, serve(t, f).URL)
	for _, payload := range []string{``, `[]`, `{}},"context":{`, `{"a":1,"a":2}`, `{"a":"` + "\xff" + `"}`, `null`} {
		if _, err := invoke(t, p, payload); err == nil {
			t.Errorf("payload %q was sent", payload)
		}
	}
	bad := &plugin.Context{State: plugin.Object{"a": json.RawMessage(`1},"x":{`)}}
	if _, err := p.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{}`), bad); err == nil {
		t.Error("a broken context was sent")
	}
	if n := f.count(toolInvoke); n != 0 {
		t.Errorf("%d calls arrived", n)
	}
}

func TestDescribe(t *testing.T) {
	tests := map[string]struct {
		config string
		hooks  []plugin.Hook
		kind   Kind
		text   string
		hint   string
	}{
		"known":               {config: `{"name":"P","kind":null,"hooks":["a","b","a"],"priority":5,"future":1}`, hooks: []plugin.Hook{"a", "b"}},
		"no hooks named":      {config: `{"name":"P"}`, hooks: plugin.Hooks()},
		"unknown":             {config: `{}`, kind: NotDeclared, text: "does not have this plugin", hint: "this server has: Other"},
		"null":                {config: `null`, kind: NotDeclared},
		"other case":          {config: `{"name":"p"}`, kind: NotDeclared, hint: "called p"},
		"other plugin":        {config: `{"name":"Q"}`, kind: BadAnswer, text: `got "Q"`},
		"garbage":             {config: `hello`, kind: BadAnswer, text: "not JSON"},
		"hooks no list":       {config: `{"name":"P","hooks":"all"}`, kind: BadAnswer, text: "config.hooks is not an array"},
		"too many hooks":      {config: configured(many(257)), kind: BadAnswer, text: "config.hooks is too long"},
		"as many hooks":       {config: configured(many(2)), hooks: []plugin.Hook{"h0", "h1"}},
		"too many conditions": {config: `{"name":"P","conditions":[` + strings.Repeat(`{},`, 10_000) + `{}]}`, kind: BadAnswer, text: "config.conditions is too long"},
		"too many patterns":   {config: `{"name":"P","conditions":[{"tools":` + many(6000) + `,"prompts":` + many(6000) + `}]}`, kind: BadAnswer, text: "config.prompts is too long"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := client(t, serve(t, &fake{config: tt.config}).URL)
			info, err := p.Describe(t.Context())
			if tt.kind == "" {
				if err != nil {
					t.Fatal(err)
				}
				if string(info.Raw) != tt.config {
					t.Errorf("raw config is %s", info.Raw)
				}
				if diff := cmp.Diff(tt.hooks, p.Hooks()); diff != "" {
					t.Errorf("hooks (-want +got):\n%s", diff)
				}
				return
			}
			wantKind(t, err, tt.kind, tt.text)
			if hints := strings.Join(hint.Of(err), "\n"); !strings.Contains(hints, tt.hint) {
				t.Errorf("hints %q, want %q", hints, tt.hint)
			}
		})
	}
}

// many is a list of so many names.
func many(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(`"h%d"`, i)
	}
	return "[" + strings.Join(names, ",") + "]"
}

func TestHooksOfTheEntryWin(t *testing.T) {
	p := client(t, serve(t, &fake{}).URL, func(c *Config, _ *Options) { c.Hooks = []plugin.Hook{"custom"} })
	if _, err := p.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]plugin.Hook{"custom"}, p.Hooks()); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
}

// wantKind checks that err is an *Error of kind with text in it.
func wantKind(t *testing.T, err error, kind Kind, text string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v, want one of kind %q", err, kind)
	}
	if e.Kind != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("error is of kind %q: %v\nwant kind %q with %q", e.Kind, err, kind, text)
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = invoke(t, client(t, "http://"+l.Addr().String()), `{}`)
	wantKind(t, err, Unreachable, "connection refused")
	if len(hint.Of(err)) == 0 {
		t.Error("no hint")
	}
}

func TestAClosedClientCallsNobody(t *testing.T) {
	f := &fake{}
	p := client(t, serve(t, f).URL)
	if _, err := invoke(t, p, `{}`); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := invoke(t, p, `{}`)
	wantKind(t, err, Unreachable, "the client has been closed")
	if n := f.count(toolInvoke); n != 1 {
		t.Errorf("%d hooks ran", n)
	}
}

func TestNoAnswerInTime(t *testing.T) {
	release := make(chan struct{})
	f := &fake{invoke: func(json.RawMessage) string { <-release; return passes }}
	p := client(t, serve(t, f).URL, func(c *Config, _ *Options) { c.Timeout = 50 * time.Millisecond })
	_, err := invoke(t, p, `{}`)
	close(release)
	wantKind(t, err, Timeout, "50ms")
}

func TestACallerWhoGivesUpGetsItsOwnError(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	f := &fake{invoke: func(json.RawMessage) string { close(begun); <-release; return passes }}
	p := client(t, serve(t, f).URL)
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	_, err := p.Invoke(ctx, plugin.ToolPreInvoke, json.RawMessage(`{}`), nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	f := &fake{}
	target := serve(t, f)
	p := client(t, serve(t, http.RedirectHandler(target.URL+"/mcp", http.StatusTemporaryRedirect)).URL)
	_, err := invoke(t, p, `{}`)
	wantKind(t, err, BadAnswer, "redirects to a plugin server are not followed")
	if f.count(toolConfig)+f.count(toolInvoke) != 0 {
		t.Error("the payload went to where the redirect pointed")
	}
}

func TestNoProxyFromTheEnvironment(t *testing.T) {
	proxied := &fake{}
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, serve(t, proxied).URL)
	}
	_, err := invoke(t, client(t, "http://plugin.invalid"), `{}`)
	wantKind(t, err, Unreachable, "")
	if proxied.calls != nil {
		t.Error("the payload went to a proxy")
	}
}

func TestPlainHTTPToATLSPortIsExplained(t *testing.T) {
	// What crypto/tls writes when a ClientHello is no ClientHello.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Read(make([]byte, 4096))
		_, _ = c.Write([]byte{0x15, 3, 1, 0, 2, 2, 70})
		c.Close()
	}()
	_, err = invoke(t, client(t, "http://"+l.Addr().String()), `{}`)
	wantKind(t, err, TLS, "speaks TLS")
	// What net/http answers, and what our plugin server does.
	for _, text := range []string{"Client sent an HTTP request to an HTTPS server.", "This port speaks TLS: use https://"} {
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, http.StatusBadRequest) }))
		_, err = invoke(t, client(t, srv.URL), `{}`)
		wantKind(t, err, TLS, "speaks TLS")
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: &fake{}, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	defer func() { _ = srv.Close(); <-done }()
	viaSocket := func(path string) *Plugin {
		return client(t, "", func(c *Config, _ *Options) { c.URL, c.UDS = "", path })
	}
	if _, err := invoke(t, viaSocket(path), `{}`); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = invoke(t, viaSocket(file), `{}`)
	wantKind(t, err, Unreachable, "is not a socket")
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		_, err = invoke(t, viaSocket(path), `{}`)
		wantKind(t, err, Identity, "belongs to user 65534, who is neither root nor us")
	}
}

func TestBadSettings(t *testing.T) {
	for _, url := range []string{"", "ftp://x/mcp", "http:///mcp", "http://u:p@x/mcp", "https://x/mcp", "http://x/mcp#f", "http://%zz", "http://a%25b/mcp", "http://\u00fc.example/mcp"} {
		if _, err := New(Config{Name: "P", URL: url}, nil); err == nil {
			t.Errorf("url %q was accepted", url)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
	if _, err := New(Config{URL: "http://x/mcp"}, nil); err == nil {
		t.Error("a client without plugin name was accepted")
	}
}

func TestAnAnswerOverTheLimit(t *testing.T) {
	f := &fake{invoke: func(json.RawMessage) string { return strings.Repeat(" ", 5000) + passes }}
	p := client(t, serve(t, f).URL, func(_ *Config, o *Options) { o.MaxAnswer = 4000 })
	_, err := invoke(t, p, `{}`)
	wantKind(t, err, BadAnswer, "limit of 4000 bytes")
	if _, ok := errors.AsType[*wire.TooLargeError](err); !ok {
		t.Error("the sizes are lost")
	}
}

func TestTheAnswersLimitFollowsThePayloads(t *testing.T) {
	for payload, want := range map[int64]int64{0: 8 << 20, 1_000_000: 8 << 20, 5 << 20: 20 << 20} {
		p, err := New(Config{Name: "P", URL: "http://127.0.0.1:1/mcp", MaxPayload: payload}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p.maxAnswer != want {
			t.Errorf("max_payload_bytes %d: answers up to %d bytes, want %d", payload, p.maxAnswer, want)
		}
	}
}
