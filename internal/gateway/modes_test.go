package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// behaviour is what the plugin of a test does at the moment.
type behaviour func(ctx context.Context, hook plugin.Hook, payload json.RawMessage) (*plugin.Result, error)

// actor is a plugin with all hooks whose behaviour a test changes.
type actor struct {
	now    atomic.Pointer[behaviour]
	called atomic.Int64
}

func (a *actor) act(b behaviour) { a.now.Store(&b); a.called.Store(0) }

func (a *actor) Hooks() []plugin.Hook { return plugin.Hooks()[:6] }

func (a *actor) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
	a.called.Add(1)
	return (*a.now.Load())(ctx, hook, payload)
}

// The behaviours.
var behaviours = map[string]behaviour{
	"pass": func(context.Context, plugin.Hook, json.RawMessage) (*plugin.Result, error) {
		return plugin.Continue(), nil
	},
	"change": func(_ context.Context, hook plugin.Hook, payload json.RawMessage) (*plugin.Result, error) {
		text := strings.ReplaceAll(string(payload), "original", "changed")
		if hook == plugin.ResourcePreFetch {
			text = strings.ReplaceAll(text, "mem://a", "mem://b")
		}
		return &plugin.Result{Continue: true, ModifiedPayload: json.RawMessage(text)}, nil
	},
	"refuse": func(context.Context, plugin.Hook, json.RawMessage) (*plugin.Result, error) {
		return plugin.Refuse(&plugin.Violation{Reason: "Because", Description: "not this", Code: "NO", Details: json.RawMessage(`{"n":1}`)}), nil
	},
	"error": func(context.Context, plugin.Hook, json.RawMessage) (*plugin.Result, error) {
		return nil, &plugin.Error{Message: "it broke"}
	},
	"timeout": func(ctx context.Context, _ plugin.Hook, _ json.RawMessage) (*plugin.Result, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	},
	"down": nil, // the plugin's server is not there
}

// guardedCalls are one call of each guarded kind.
var guardedCalls = []struct {
	method, params string
	pre, post      plugin.Hook
}{
	{"tools/call", `{"name":"echo","arguments":{"text":"original"}}`, plugin.ToolPreInvoke, plugin.ToolPostInvoke},
	{"prompts/get", `{"name":"greet","arguments":{"text":"original"}}`, plugin.PromptPreFetch, plugin.PromptPostFetch},
	{"resources/read", `{"uri":"mem://a"}`, plugin.ResourcePreFetch, plugin.ResourcePostFetch},
}

// Each mode × what the plugin does × before and after × tool, prompt, resource:
// what the client is told, and what reaches the upstream (plugin protocol §§7, 8).
func TestModes(t *testing.T) {
	a := &actor{}
	r, addr := newRig(t), address(t)
	r.start(t, addr, r.ca.Plugin(t, "P"), server.Entry{Name: "P", Kind: "test", Plugin: a})
	up := r.remote(t, addr)
	modes := []pipeline.Mode{pipeline.Enforce, pipeline.EnforceIgnoreError, pipeline.Permissive, pipeline.Audit, pipeline.Concurrent, pipeline.FireAndForget, pipeline.Disabled}
	for _, call := range guardedCalls {
		for _, hook := range []plugin.Hook{call.pre, call.post} {
			for does, b := range behaviours {
				for _, mode := range modes {
					for _, where := range []string{"in process", "remote"} {
						e := pipeline.Entry{Name: "P", Plugin: a, Mode: mode, Hooks: []plugin.Hook{hook}}
						if where == "remote" {
							e.Plugin = up
						}
						if does == "down" {
							if where == "in process" {
								continue
							}
							e.Plugin = r.remote(t, address(t))
						}
						if does == "timeout" {
							e.Timeout = 100 * time.Millisecond
							// The limit covers a handshake too: have a connection.
							if _, err := up.Discover(t.Context()); err != nil {
								t.Fatal(err)
							}
						}
						if b != nil {
							a.act(b)
						}
						t.Run(fmt.Sprintf("%s/%s/%s/%s", where, hook, does, mode), func(t *testing.T) {
							f := startFake(t, &fakeServer{})
							s := serve(t, Config{}, []pipeline.Entry{e}, f)
							answer := s.modern(t, call.method, call.params, "")
							s.stop()
							if err := s.pipe.Close(t.Context()); err != nil { // what runs after the answer has run
								t.Error(err)
							}
							checkMode(t, s, f, answer, call.method, hook == call.pre, does, mode)
							n := a.called.Load()
							late := n == 0 && does == "timeout" && where == "remote" // under load its time is over on the way
							if (mode == pipeline.Disabled && n != 0) || (mode != pipeline.Disabled && does != "down" && n != 1 && !late) {
								t.Errorf("the plugin ran %d times", n)
							}
						})
					}
				}
			}
		}
	}
}

func checkMode(t *testing.T, s *served, f *fakeServer, a got, method string, pre bool, does string, mode pipeline.Mode) {
	t.Helper()
	calls := f.calls()
	refused := false
	switch {
	case mode == pipeline.Disabled, does == "pass", does == "change":
	case does == "refuse":
		refused = mode == pipeline.Enforce || mode == pipeline.EnforceIgnoreError || mode == pipeline.Concurrent
	default:
		refused = mode == pipeline.Enforce || mode == pipeline.Concurrent
	}
	want := 1
	if pre && refused {
		want = 0
	}
	if len(calls) != want {
		t.Errorf("%d calls reached the upstream: %v", len(calls), calls)
	}
	if a.status != http.StatusOK {
		t.Errorf("status %d", a.status)
	}
	m := a.message(t)
	if refused {
		if strings.Contains(a.body, "original") {
			t.Errorf("something of the result has come through: %s", a.body)
		}
		checkRefusal(t, m, method, does)
		if strings.Contains(a.body, "127.0.0.1") {
			t.Errorf("the client is told an address: %s", a.body)
		}
		return
	}
	if m.Error != nil {
		t.Fatalf("error: %v", m.Error)
	}
	changed := does == "change" && (mode == pipeline.Enforce || mode == pipeline.EnforceIgnoreError || mode == pipeline.Permissive)
	text := calls[0].params
	if !pre {
		text = string(m.Result)
	}
	original := "original"
	if pre && method == "resources/read" {
		original = "mem://a"
	}
	if changed == strings.Contains(text, original) {
		t.Errorf("changed: %v wanted: %s", changed, text)
	}
	if line := s.log.String(); !strings.Contains(line, "msg=call method="+method) || !strings.Contains(line, "outcome=ok") {
		t.Errorf("log:\n%s", line)
	}
}

// checkRefusal compares a refusal with plugin protocol §8, byte for byte but for
// the request id.
func checkRefusal(t *testing.T, m *wire.Message, method, does string) {
	t.Helper()
	var said string
	switch {
	case m.Error != nil:
		said = string(wire.AppendError(nil, nil, m.Error))
	default:
		said = string(m.Result)
	}
	id, _ := wire.String(wire.Member(wire.Member([]byte(said), "error"), "data"))
	if m.Error != nil {
		id, _ = wire.String(wire.Member(m.Error.Data, "request_id"))
	}
	causes := map[string]string{"timeout": "timeout", "down": "unreachable"}
	var want string
	switch {
	case does == "refuse" && method == "tools/call":
		want = `{"resultType":"complete","content":[{"type":"text","text":"Plugin Violation: not this"}],"isError":true,` +
			`"_meta":{"io.github.sallyport-mcp/violation":{"code":"NO","plugin":"P","reason":"Because","details":{"n":1}}}}`
	case does == "refuse":
		want = `{"jsonrpc":"2.0","error":{"code":-32602,"message":"Plugin Violation: not this",` +
			`"data":{"description":"not this","details":{"n":1},"plugin_error_code":"NO","plugin_name":"P"}}}`
	case does == "error":
		want = `{"jsonrpc":"2.0","error":{"code":-32603,"message":"Plugin Error: it broke",` +
			`"data":{"plugin_name":"P","plugin_error_code":"","details":{},"request_id":"` + id + `"}}}`
	default:
		want = `{"jsonrpc":"2.0","error":{"code":-32603,"message":"Plugin Error: P: ` + causes[does] + ` (request ` + id + `)",` +
			`"data":{"plugin_name":"P","cause":"` + causes[does] + `","request_id":"` + id + `"}}}`
	}
	if does != "refuse" && id == "" {
		t.Errorf("no request id: %s", said)
	}
	if said != want {
		t.Errorf("the client was told\n%s, want\n%s", said, want)
	}
}
