package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// takes is a plugin that takes a second before it does something.
func takes(then fake) fake {
	return func(ctx context.Context, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
		return then(ctx, payload, c)
	}
}

func answers(modified string) fake {
	return func(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		return plugin.Modified(json.RawMessage(modified))
	}
}

// What runs at the same time, told by how long it takes.
func TestWhatRunsAtTheSameTime(t *testing.T) {
	slow := takes(pass)
	fire := Entry{Plugin: slow, Mode: FireAndForget}
	for name, test := range map[string]struct {
		band    bool
		entries []Entry
		want    time.Duration
	}{
		"plugins of a mode that may change": {false, []Entry{{Plugin: slow}, {Plugin: slow}}, 2 * time.Second},
		"concurrent neighbours":             {false, []Entry{{Plugin: slow, Mode: Concurrent, Priority: 1}, {Plugin: slow, Mode: Concurrent, Priority: 2}}, time.Second},
		"concurrent ones that are apart":    {false, []Entry{{Plugin: slow, Mode: Concurrent}, {Plugin: slow}, {Plugin: slow, Mode: Concurrent}}, 3 * time.Second},
		"one between them that is disabled": {false, []Entry{{Plugin: slow, Mode: Concurrent}, {Plugin: slow, Mode: Disabled}, {Plugin: slow, Mode: Concurrent}}, time.Second},
		"one between them of another hook":  {false, []Entry{{Plugin: slow, Mode: Concurrent}, {Plugin: slow, Hooks: []plugin.Hook{plugin.PromptPreFetch}}, {Plugin: slow, Mode: Concurrent}}, time.Second},
		"a band":                            {true, []Entry{{Plugin: slow}, {Plugin: slow, Mode: Audit}, fire, {Plugin: slow, Mode: Concurrent}}, time.Second},
		"two bands":                         {true, []Entry{{Plugin: slow, Priority: 1}, {Plugin: slow, Priority: 2}}, 2 * time.Second},
		"what runs after the answer":        {false, []Entry{fire, fire}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := mustNew(t, &Options{ParallelWithinBand: test.band}, test.entries...)
				start := time.Now()
				out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{})
				if took := time.Since(start); took != test.want || out.Refusal != nil {
					t.Errorf("took %s, want %s; %+v", took, test.want, out.Refusal)
				}
			})
		})
	}
}

// A plugin of mode concurrent may refuse, and may not change.
func TestConcurrent(t *testing.T) {
	for _, test := range []struct {
		name    string
		entries []Entry
		want    string
	}{
		{"a change is dropped", []Entry{{Plugin: fake(change)}, {Plugin: fake(pass)}}, "would change pass " + payload},
		{"a violation refuses, whoever is faster", []Entry{{Plugin: takes(refuse)}, {Plugin: fake(fail)}}, "refused failed"},
		{"the first in order has the word", []Entry{{Plugin: takes(fail)}, {Plugin: fake(refuse)}}, "failed refused"},
		{"a failure refuses", []Entry{{Plugin: fake(fail)}}, "failed"},
		{"a failure that is to be ignored", []Entry{{Plugin: fake(fail), OnError: Ignore}, {Plugin: fake(pass)}}, "failed, ignored pass " + payload},
		{"a failure that disables", []Entry{{Plugin: fake(fail), OnError: Disable}, {Plugin: fake(pass)}}, "failed, disabled pass " + payload},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for i := range test.entries {
					test.entries[i].Mode = Concurrent
				}
				out := mustNew(t, nil, test.entries...).Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{})
				if got := describe(out); got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
				if out.Refusal != nil && out.Refusal.Plugin != "P1" {
					t.Errorf("refused by %s", out.Refusal.Plugin)
				}
			})
		})
	}
}

// Plugins that run together see the state as it was before them, and what they
// leave is kept in their order.
func TestStateOfPluginsThatRunTogether(t *testing.T) {
	leaves := func(name string) fake {
		return takes(func(_ context.Context, _ json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
			if len(c.GlobalContext.State) != 1 {
				return nil, fmt.Errorf("state is %v", c.GlobalContext.State)
			}
			return plugin.Continue(), c.GlobalContext.State.Set("who", name)
		})
	}
	p := mustNew(t, nil, Entry{Plugin: leaves("a"), Mode: Concurrent}, Entry{Plugin: leaves("b"), Mode: Concurrent})
	synctest.Test(t, func(t *testing.T) {
		req := &Request{Global: plugin.GlobalContext{State: plugin.Object{"who": json.RawMessage(`""`)}}}
		out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), req)
		if got := string(req.Global.State["who"]); got != `"b"` || out.Refusal != nil {
			t.Errorf("state %s, refusal %+v", got, out.Refusal)
		}
	})
}

// Within a band changes of different values are put together; a second writer of
// one value is refused and named, whatever its mode.
func TestABandsChangesMayNotConflict(t *testing.T) {
	const given = `{"name":"t","args":{"a":"was","b":{"c":1,"d":2}},"headers":{}}`
	for _, test := range []struct {
		name     string
		one, two string
		want     string // the payload, or what the refusal says
	}{
		{"one writer", `{"name":"t","args":{"a":"new","b":{"c":1,"d":2}}}`, given, `{"name":"t","args":{"a":"new","b":{"c":1,"d":2}}}`},
		{"the second alone", given, `{"name":"t","args":{"a":"new","b":{"c":1,"d":2}}}`, `{"name":"t","args":{"a":"new","b":{"c":1,"d":2}}}`},
		{
			"different members", `{"name":"t","args":{"a":"new","b":{"c":1,"d":2}},"headers":{}}`, `{"name":"t","args":{"a":"was","b":{"d":3},"e":4},"headers":{"X":"y"}}`,
			`{"name":"t","args":{"a":"new","b":{"d":3},"e":4},"headers":{"X":"y"}}`,
		},
		{"the same change", `{"name":"t","args":{"a":"new"}}`, `{"name":"t","args":{"a":"n\u0065w"}}`, `{"name":"t","args":{"a":"new"}}`},
		{"one value", `{"name":"t","args":{"a":"one","b":{"c":1,"d":2}}}`, `{"name":"t","args":{"a":"two","b":{"c":1,"d":2}}}`, "changes args.a, which plugin P1 of the same band has changed otherwise"},
		{"changed and removed", `{"name":"t","args":{"a":"one","b":{"c":1,"d":2}}}`, `{"name":"t","args":{"b":{"c":1,"d":2}}}`, "changes args.a, which plugin P1"},
		{"removed and changed", `{"name":"t","args":{"b":{"c":1,"d":2}}}`, `{"name":"t","args":{"a":"one","b":{"c":1,"d":2}}}`, "changes args.a, which plugin P1"},
		{"added twice", `{"name":"t","args":{"a":"was","x":1,"b":{"c":1,"d":2}}}`, `{"name":"t","args":{"a":"was","x":2,"b":{"c":1,"d":2}}}`, "changes args.x, which plugin P1"},
	} {
		for _, mode := range []Mode{Enforce, EnforceIgnoreError, Permissive} {
			t.Run(test.name+"/"+string(mode), func(t *testing.T) {
				p := mustNew(t, &Options{ParallelWithinBand: true}, Entry{Plugin: takes(answers(test.one)), Mode: mode}, Entry{Plugin: answers(test.two), Mode: mode})
				synctest.Test(t, func(t *testing.T) {
					out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), &Request{})
					switch {
					case out.Refusal == nil && string(out.Payload) != test.want:
						t.Errorf("payload %s, want %s", out.Payload, test.want)
					case out.Refusal != nil && (out.Refusal.Plugin != "P2" || !strings.Contains(out.Refusal.Err.Error(), test.want)):
						t.Errorf("refusal by %s: %v, want %s", out.Refusal.Plugin, out.Refusal.Err, test.want)
					}
				})
			})
		}
	}
}

// on_error: disable turns a plugin off by its own failure, and by nothing else.
func TestDisable(t *testing.T) {
	run := func(p *Pipeline, ctx context.Context) string {
		return describe(p.Run(ctx, plugin.ToolPreInvoke, json.RawMessage(payload), &Request{}))
	}
	p := mustNew(t, nil, Entry{Plugin: fake(fail), OnError: Disable})
	for _, want := range []string{"failed, disabled ", "disabled after a failure "} {
		if got := run(p, t.Context()); got != want+payload {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if off := p.Off(); len(off) != 1 || off[0] != "P1" || p.Guards(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{}) {
		t.Errorf("off: %v", off)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		o      Options
		plugin plugin.Plugin
		ctx    context.Context
		want   string
	}{
		"a client that hangs up":     {Options{}, fake(hang), gone, "failed, ignored " + payload},
		"a plugin that is not known": {Options{}, learned{err: errors.New("unreachable")}, t.Context(), "failed, ignored " + payload},
		"fail_on_plugin_error":       {Options{FailOnPluginError: true}, fake(fail), t.Context(), "failed"},
		"a violation":                {Options{}, fake(refuse), t.Context(), "refused"},
	} {
		p := mustNew(t, &c.o, Entry{Plugin: c.plugin, OnError: Disable})
		if got := run(p, c.ctx); got != c.want || len(p.Off()) != 0 {
			t.Errorf("%s: got %q, want %q; off: %v", name, got, c.want, p.Off())
		}
	}
}
