package gateway

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// marks is a plugin server's entry whose plugin has hooks and marks what passes
// it: a call without the mark is an unguarded one.
func marks(name string, hooks ...plugin.Hook) server.Entry {
	return server.Entry{Name: name, Kind: "test", Hooks: hooks, Plugin: &fakePlugin{plugin.Hooks()[:6], func(_ context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		if hook == plugin.ToolPreInvoke {
			payload = wire.SetMember(nil, payload, "args", []byte(`{"mark":"guarded"}`))
		}
		return &plugin.Result{Continue: true, ModifiedPayload: payload}, nil
	}}}
}

// guarded is a gateway with plugin P behind a server that comes, goes and
// changes; the upstream's log tells what reached it.
type guarded struct {
	*rig
	*served
	addr string
	f    *fakeServer
}

func newGuarded(t *testing.T, hooks ...plugin.Hook) *guarded {
	t.Helper()
	g := &guarded{rig: newRig(t), addr: address(t), f: startFake(t, &fakeServer{})}
	e := pipeline.Entry{Name: "P", Plugin: g.remote(t, g.addr, hooks...), Hooks: hooks}
	g.served = serve(t, Config{}, []pipeline.Entry{e}, g.f)
	return g
}

// call calls a tool and returns the cause of the refusal, "" when it passed.
func (g *guarded) call(t *testing.T) string {
	t.Helper()
	before := len(g.f.calls())
	a := g.modern(t, "tools/call", `{"name":"echo"}`, "")
	calls := g.f.calls()[before:]
	m := a.message(t)
	if m.Error == nil {
		if len(calls) != 1 || !strings.Contains(calls[0].params, "guarded") {
			t.Errorf("an unguarded call has reached the upstream: %v", calls)
		}
		return ""
	}
	if len(calls) != 0 {
		t.Errorf("a refused call has reached the upstream: %v", calls)
	}
	why, _ := wire.String(wire.Member(m.Error.Data, "cause"))
	return why
}

// A guardrail is never skipped: whatever becomes of its server, a call is
// guarded or refused with the cause, and nothing else reaches the upstream.
func TestAGuardrailIsNeverSkipped(t *testing.T) {
	pre := plugin.ToolPreInvoke
	is := func(t *testing.T, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("the call ended with %q, want %q", got, want)
		}
	}
	for name, hooks := range map[string][]plugin.Hook{"hooks of the entry": {pre}, "hooks of the server": nil} {
		t.Run("gateway before plugin server, "+name, func(t *testing.T) {
			g := newGuarded(t, hooks...)
			is(t, g.call(t), "unreachable")
			stop := g.start(t, g.addr, g.ca.Plugin(t, "P"), marks("P"))
			is(t, g.call(t), "")
			stop()
			is(t, g.call(t), "unreachable")
			g.start(t, g.addr, g.ca.Plugin(t, "P"), marks("P"))
			is(t, g.call(t), "")
		})
		for other, entry := range map[string]server.Entry{
			"without the plugin":          marks("Q"),
			"with its name in lower case": marks("p"),
		} {
			t.Run("plugin server replaced by one "+other+", "+name, func(t *testing.T) {
				g := newGuarded(t, hooks...)
				stop := g.start(t, g.addr, g.ca.Plugin(t, "P"), marks("P"))
				is(t, g.call(t), "")
				stop()
				g.start(t, g.addr, g.ca.Plugin(t, "P"), entry)
				is(t, g.call(t), "not declared")
			})
		}
		for cause, leaf := range map[string]func(*testing.T, *rig) *pkitest.Leaf{
			"tls": func(t *testing.T, r *rig) *pkitest.Leaf {
				return r.ca.Wrong(t, pkitest.PluginSpec("P"), pkitest.Expired)
			},
			"identity": func(t *testing.T, r *rig) *pkitest.Leaf { return r.ca.Plugin(t, "Q") },
		} {
			t.Run("certificate: "+cause+", "+name, func(t *testing.T) {
				g := newGuarded(t, hooks...)
				stop := g.start(t, g.addr, leaf(t, g.rig), marks("P"))
				is(t, g.call(t), cause)
				stop()
				stop = g.start(t, g.addr, g.ca.Plugin(t, "P"), marks("P"))
				is(t, g.call(t), "")
				stop()
				g.start(t, g.addr, leaf(t, g.rig), marks("P"))
				is(t, g.call(t), cause) // also when it was known before
			})
		}
	}
	t.Run("plugin server replaced by one with other hooks", func(t *testing.T) {
		g := newGuarded(t, pre)
		stop := g.start(t, g.addr, g.ca.Plugin(t, "P"), marks("P"))
		is(t, g.call(t), "")
		stop()
		stop = g.start(t, g.addr, g.ca.Plugin(t, "P"), marks("P", plugin.PromptPreFetch))
		is(t, g.call(t), "not declared")
		stop()
		g.start(t, g.addr, g.ca.Plugin(t, "P"), marks("P"))
		is(t, g.call(t), "")
	})
	t.Run("a typo in a hook's name", func(t *testing.T) {
		g := newGuarded(t, "tool_pre_invok")
		is(t, g.call(t), "unreachable")
		g.start(t, g.addr, g.ca.Plugin(t, "P"), marks("P"))
		is(t, g.call(t), "not declared")
		if log := g.log.String(); !strings.Contains(log, "tool_pre_invok") || !strings.Contains(log, `nearest that it reports is \"tool_pre_invoke\"`) {
			t.Errorf("log:\n%s", log)
		}
	})
}
