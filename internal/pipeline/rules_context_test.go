package pipeline_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// Each plugin has its own state and metadata, kept from hook to hook of one
// request; global state is shared in order; global metadata is read-only; and
// another request begins anew.
func TestRule_ContextOverTheHooksOfOneRequest(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		counts := func(name string) does {
			return func(_ context.Context, hook plugin.Hook, _ json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
				var mine, meta, shared int
				var last string
				for _, v := range []struct {
					o   plugin.Object
					key string
					v   any
				}{{c.State, "n", &mine}, {c.Metadata, "m", &meta}, {c.GlobalContext.State, "shared", &shared}, {c.GlobalContext.State, "last", &last}} {
					if _, err := v.o.Get(v.key, v.v); err != nil {
						return nil, err
					}
				}
				remarks, _ := json.Marshal(map[string]any{name: []any{mine, meta, shared, last}})
				_, dropped := c.State["drop"]
				c.State = plugin.Object{"n": json.RawMessage(itoa(mine + 1)), "big": json.RawMessage("9007199254740993")}
				if hook == plugin.HTTPPreRequest {
					c.State["drop"] = json.RawMessage("null") // and gone after the next hook
				} else if dropped != (hook == plugin.ToolPreInvoke) {
					return nil, &plugin.Error{Message: "state was merged, not replaced"}
				}
				c.Metadata = plugin.Object{"m": json.RawMessage(itoa(meta + 10))}
				c.GlobalContext.State["shared"] = json.RawMessage(itoa(shared + 1))
				c.GlobalContext.State["last"] = json.RawMessage(`"` + name + `"`)
				if c.GlobalContext.Metadata == nil {
					c.GlobalContext.Metadata = plugin.Object{}
				}
				c.GlobalContext.Metadata["leak"] = json.RawMessage("1")
				return &plugin.Result{Continue: true, Metadata: remarks}, nil
			}
		}
		p := at.make(t, nil, pipeline.Entry{Name: "A", Plugin: counts("A")}, pipeline.Entry{Name: "B", Plugin: counts("B")})
		for range 2 { // requests
			req := request()
			for i, step := range []struct {
				hook    plugin.Hook
				payload string
				want    map[string]string
			}{
				{plugin.HTTPPreRequest, `{"path":"/mcp","method":"POST","headers":{}}`, map[string]string{"A": `[0,0,0,""]`, "B": `[0,0,1,"A"]`}},
				{plugin.ToolPreInvoke, given, map[string]string{"A": `[1,10,2,"B"]`, "B": `[1,10,3,"A"]`}},
				{plugin.ToolPostInvoke, `{"name":"t","result":1}`, map[string]string{"A": `[2,20,4,"B"]`, "B": `[2,20,5,"A"]`}},
			} {
				out := p.Run(t.Context(), step.hook, json.RawMessage(step.payload), req)
				got := map[string]string{}
				for name, raw := range out.Metadata {
					got[name] = string(raw)
				}
				if !maps.Equal(got, step.want) || out.Refusal != nil {
					t.Errorf("hook %d: %v, want %v; %+v", i, got, step.want, out.Refusal)
				}
			}
			if len(req.Global.Metadata) != 0 {
				t.Errorf("global metadata is not read-only: %v", req.Global.Metadata)
			}
			if string(req.Global.State["shared"]) != "6" {
				t.Errorf("shared state %v", req.Global.State)
			}
		}
	})
}

func itoa(n int) string { raw, _ := json.Marshal(n); return string(raw) }

// A plugin's own state and metadata are what it leaves, and empty when it leaves
// none. Global state is everybody's: what one adds or overwrites is there for the
// next, and as in the reference none can take away what others have put there.
func TestRule_NobodyTakesGlobalStateAway(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		var saw []string
		look := func(name string, leaves *plugin.Context) does {
			return func(_ context.Context, _ plugin.Hook, _ json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
				raw, err := json.Marshal([]any{name, c.State, c.Metadata, c.GlobalContext.State})
				if err != nil {
					return nil, err
				}
				saw = append(saw, string(raw))
				c.State, c.Metadata, c.GlobalContext.State = leaves.State, leaves.Metadata, leaves.GlobalContext.State
				return plugin.Continue(), nil
			}
		}
		one := plugin.Object{"x": json.RawMessage("1")}
		a, b := &plugin.Context{State: one, Metadata: one}, &plugin.Context{GlobalContext: plugin.GlobalContext{State: plugin.Object{"x": json.RawMessage("2")}}}
		p := at.make(t, nil, pipeline.Entry{Name: "A", Plugin: look("A", a)}, pipeline.Entry{Name: "B", Plugin: look("B", b)})
		req := request()
		req.Global.State = plugin.Object{"g": json.RawMessage("1")}
		for range 2 {
			p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), req)
			// A context in which nothing is left does not come back over the wire.
			a.State, a.Metadata, a.GlobalContext.State = nil, nil, plugin.Object{"y": json.RawMessage("3")}
		}
		p.Run(t.Context(), plugin.ToolPostInvoke, json.RawMessage(`{"name":"t","result":1}`), req)
		want := []string{
			`["A",{},{},{"g":1}]`, `["B",{},{},{"g":1}]`, `["A",{"x":1},{"x":1},{"g":1,"x":2}]`, `["B",{},{},{"g":1,"x":2,"y":3}]`,
			`["A",{},{},{"g":1,"x":2,"y":3}]`, `["B",{},{},{"g":1,"x":2,"y":3}]`,
		}
		if !slices.Equal(saw, want) {
			t.Errorf("they saw\n%s, want\n%s", strings.Join(saw, "\n"), strings.Join(want, "\n"))
		}
	})
}

// What the messages of one batch have in common is what was there before them:
// each goes its own way from there, and may run on each hook.
func TestRule_MessagesOfABatchShareWhatWasBefore(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		p := at.make(t, nil, pipeline.Entry{Plugin: does(func(_ context.Context, hook plugin.Hook, _ json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
			saw := string(c.State["path"]) + string(c.GlobalContext.State["path"])
			for _, o := range []*plugin.Object{&c.State, &c.GlobalContext.State} {
				if err := o.Set("path", hook); err != nil {
					return nil, err
				}
			}
			return &plugin.Result{Continue: true, Metadata: json.RawMessage(`{"saw":` + string(must(json.Marshal(saw))) + `}`)}, nil
		})})
		req := request()
		p.Run(t.Context(), plugin.HTTPPreRequest, json.RawMessage(`{"path":"/","method":"POST","headers":{}}`), req)
		const before = `"\"http_pre_request\"\"http_pre_request\""`
		for _, own := range []*pipeline.Request{req.Fork(), req.Fork()} {
			out := p.Rest(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), own)
			if got := string(out.Metadata["saw"]); got != before {
				t.Errorf("it saw %s, want %s", got, before)
			}
		}
		if got := string(req.Global.State["path"]); got != `"http_pre_request"` {
			t.Errorf("the request's own state is %s", got)
		}
	})
}

func must(raw []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return raw
}

// Of a plugin that fails nothing is kept.
func TestRule_AFailureLeavesNoState(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		p := at.make(t, nil, pipeline.Entry{Mode: pipeline.Permissive, Plugin: does(func(_ context.Context, _ plugin.Hook, _ json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
			c.State["x"], c.GlobalContext.State["x"] = json.RawMessage("1"), json.RawMessage("1")
			return nil, &plugin.Error{Message: "boom"}
		})})
		req := request()
		if out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), req); describe(out) != "failed, ignored "+given || len(req.Global.State) != 0 {
			t.Errorf("%s, state %v", describe(out), req.Global.State)
		}
	})
}

// Newer result fields are honoured, unknown ones ignored: what a plugin asks of
// the answer's headers and of a retry reaches the caller.
func TestRule_NewerResultFields(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		asks := func(ms int64, headers map[string]string) does {
			return func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
				return &plugin.Result{Continue: true, HTTPHeaders: headers, RetryDelayMS: &ms}, nil
			}
		}
		out := at.make(t, nil,
			pipeline.Entry{Plugin: asks(500, map[string]string{"X-A": "1", "X-B": "1"})},
			pipeline.Entry{Plugin: asks(250, map[string]string{"x-b": "2"})},
			pipeline.Entry{Plugin: asks(9000, map[string]string{"X-B": "3"}), Mode: pipeline.Audit},
			pipeline.Entry{Plugin: behaviours["pass"]}).run(t)
		if want := map[string]string{"X-A": "1", "X-B": "2"}; !maps.Equal(out.HTTPHeaders, want) || out.RetryDelayMS != 500 {
			t.Errorf("headers %v, retry %d ms", out.HTTPHeaders, out.RetryDelayMS)
		}
	})
}

// Conditions: a list is an alternative, within one all fields count, and what
// cannot be evaluated counts as met.
func TestRule_Conditions(t *testing.T) {
	const tool, prompt, resource, agent = `{"name":"up__echo"}`, `{"prompt_id":"greet"}`, `{"uri":"file:///a/b"}`, `{"agent_id":"writer","messages":[]}`
	const content = `{"uri":"file:///a/b","content":{"mimeType":"Text/HTML; charset=utf-8","text":"x"}}`
	const snake = `{"uri":"file:///a/b","content":{"mime_type":"text/html","text":"x"}}`
	type C = pipeline.Condition
	user := func(s string) plugin.GlobalContext { return plugin.GlobalContext{User: json.RawMessage(s)} }
	for _, c := range []struct {
		name    string
		hook    plugin.Hook
		payload string
		global  plugin.GlobalContext
		is      []C
		met     bool
	}{
		{"none is always", plugin.ToolPreInvoke, tool, plugin.GlobalContext{}, nil, true},
		{"an empty one is always", plugin.ToolPreInvoke, tool, plugin.GlobalContext{}, []C{{}}, true},
		{"server", plugin.ToolPreInvoke, tool, plugin.GlobalContext{ServerID: "up"}, []C{{ServerIDs: []string{"up"}}}, true},
		{"another server", plugin.ToolPreInvoke, tool, plugin.GlobalContext{ServerID: "up"}, []C{{ServerIDs: []string{"u*"}}}, false},
		{"no server is told", plugin.ToolPreInvoke, tool, plugin.GlobalContext{}, []C{{ServerIDs: []string{"x"}}}, true},
		{"tenant", plugin.ToolPreInvoke, tool, plugin.GlobalContext{TenantID: "t"}, []C{{TenantIDs: []string{"t"}}}, true},
		{"another tenant", plugin.ToolPreInvoke, tool, plugin.GlobalContext{TenantID: "t"}, []C{{TenantIDs: []string{"T"}}}, false},
		{"no tenant is told", plugin.ToolPreInvoke, tool, plugin.GlobalContext{}, []C{{TenantIDs: []string{"T"}}}, true},
		{"tool", plugin.ToolPreInvoke, tool, plugin.GlobalContext{}, []C{{Tools: []string{"up__echo"}}}, true},
		{"tool by the upstream's own name", plugin.ToolPreInvoke, tool, plugin.GlobalContext{}, []C{{Tools: []string{"echo"}}}, true},
		{"tool by a pattern", plugin.ToolPostInvoke, tool, plugin.GlobalContext{}, []C{{Tools: []string{"*ech*"}}}, true},
		{"parts of a pattern do not overlap", plugin.ToolPreInvoke, tool, plugin.GlobalContext{}, []C{{Tools: []string{"up*echo*echo", "up__echo*o", "*up__echo*up__echo*"}}}, false},
		{"parts of a pattern in order", plugin.ToolPreInvoke, tool, plugin.GlobalContext{}, []C{{Tools: []string{"u*_*c*o"}}}, true},
		{"another tool", plugin.ToolPreInvoke, tool, plugin.GlobalContext{}, []C{{Tools: []string{"ech", "up__*x"}}}, false},
		{"prompt", plugin.PromptPreFetch, prompt, plugin.GlobalContext{}, []C{{Prompts: []string{"gr*"}}}, true},
		{"another prompt", plugin.PromptPostFetch, `{"prompt_id":"greet","result":{"messages":[]}}`, plugin.GlobalContext{}, []C{{Prompts: []string{"x"}}}, false},
		{"resource, * passes a slash", plugin.ResourcePreFetch, resource, plugin.GlobalContext{}, []C{{Resources: []string{"file://*"}}}, true},
		{"another resource", plugin.ResourcePreFetch, resource, plugin.GlobalContext{}, []C{{Resources: []string{"http://*"}}}, false},
		{"agent", plugin.AgentPreInvoke, agent, plugin.GlobalContext{}, []C{{Agents: []string{"writer"}}}, true},
		{"another agent", plugin.AgentPostInvoke, agent, plugin.GlobalContext{}, []C{{Agents: []string{"reader"}}}, false},
		{"user by a part", plugin.ToolPreInvoke, tool, user(`"alice@corp"`), []C{{UserPatterns: []string{"lice"}}}, true},
		{"user by a wildcard", plugin.ToolPreInvoke, tool, user(`{"email":"alice@corp"}`), []C{{UserPatterns: []string{"*@corp"}}}, true},
		{"a wildcard is for the whole name", plugin.ToolPreInvoke, tool, user(`"alice@corp.org"`), []C{{UserPatterns: []string{"*@corp"}}}, false},
		{"a user without an email", plugin.ToolPreInvoke, tool, user(`{"username":"bob"}`), []C{{UserPatterns: []string{"alice"}}}, false},
		{"an anonymous request", plugin.ToolPreInvoke, tool, plugin.GlobalContext{}, []C{{UserPatterns: []string{"alice"}}}, true},
		{"a user without a name", plugin.ToolPreInvoke, tool, user(`{"roles":[]}`), []C{{UserPatterns: []string{"alice"}}}, true},
		{"content type", plugin.ResourcePostFetch, content, plugin.GlobalContext{}, []C{{ContentTypes: []string{"text/html"}}}, true},
		{"content type in snake case", plugin.ResourcePostFetch, snake, plugin.GlobalContext{}, []C{{ContentTypes: []string{"image/png"}}}, false},
		{"content type in other letters is none of MCP's", plugin.ResourcePostFetch, `{"uri":"u","content":{"mimeType":"text/html","MIMETYPE":"image/png"}}`, plugin.GlobalContext{}, []C{{ContentTypes: []string{"text/html"}}}, true},
		{"another content type", plugin.ResourcePostFetch, content, plugin.GlobalContext{}, []C{{ContentTypes: []string{"image/*"}}}, false},
		{"content type by a pattern", plugin.ResourcePostFetch, content, plugin.GlobalContext{}, []C{{ContentTypes: []string{"text/*"}}}, true},
		{"content type with parameters", plugin.ResourcePostFetch, snake, plugin.GlobalContext{}, []C{{ContentTypes: []string{"Text/HTML; charset=utf-8"}}}, true},
		{"a content type that is none", plugin.ResourcePostFetch, `{"uri":"u","content":{"mimeType":"text/"}}`, plugin.GlobalContext{}, []C{{ContentTypes: []string{"image/png"}}}, true},
		{"no content type is told", plugin.ResourcePostFetch, `{"uri":"u","content":{}}`, plugin.GlobalContext{}, []C{{ContentTypes: []string{"image/png"}}}, true},
		{"a list is an alternative", plugin.ToolPreInvoke, tool, plugin.GlobalContext{}, []C{{Tools: []string{"x"}}, {Tools: []string{"echo"}}}, true},
		{"within one all count", plugin.ToolPreInvoke, tool, plugin.GlobalContext{ServerID: "up"}, []C{{Tools: []string{"echo"}, ServerIDs: []string{"x"}}}, false},
		{"what the hook does not have counts as met", plugin.PromptPreFetch, prompt, plugin.GlobalContext{}, []C{{Tools: []string{"x"}}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, at place) {
				req := &pipeline.Request{Global: c.global, OriginalName: "echo"}
				req.Global.RequestID = "r1"
				out := at.make(t, nil, pipeline.Entry{Plugin: behaviours["refuse"], Conditions: c.is}).Run(t.Context(), c.hook, json.RawMessage(c.payload), req)
				if met := out.Refusal != nil && out.Refusal.Violation != nil; met != c.met {
					t.Errorf("met %v, want %v: %+v", met, c.met, out.Refusal)
				}
			})
		})
	}
}

// A plugin that is not known counts on the hooks of its entry, or on all, with
// the entry's mode.
func TestRule_NotKnownCounts(t *testing.T) {
	for _, c := range []struct {
		name  string
		entry pipeline.Entry
		want  string
	}{
		{"on every hook when its entry lists none", pipeline.Entry{}, "failed"},
		{"on those that it lists", pipeline.Entry{Hooks: []plugin.Hook{plugin.ToolPreInvoke}}, "failed"},
		{"not on others", pipeline.Entry{Hooks: []plugin.Hook{plugin.PromptPreFetch}}, given},
		{"on every hook when one of them may be misspelt", pipeline.Entry{Hooks: []plugin.Hook{"tool_pre_invok"}}, "failed"},
		{"by its mode", pipeline.Entry{Mode: pipeline.Permissive}, "failed, ignored " + given},
		{"disabled, not at all", pipeline.Entry{Mode: pipeline.Disabled}, given},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.entry.Name, c.entry.Learn = "P", open
			t.Run("in process", func(t *testing.T) {
				e := c.entry
				e.Plugin = &peer{does: behaviours["pass"], err: errUnreachable}
				if got := describe(newPipeline(t, pipeline.Options{}, e).run(t)); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
			t.Run("remote", func(t *testing.T) {
				e := c.entry
				ca := pkitest.NewCA(t)
				addr, stop := serve(t, ca, "", server.Entry{Name: "Q", Kind: "test", Plugin: behaviours["pass"]})
				stop()
				e.Plugin = connect(t, ca, addr, e, nil)
				if got := describe(newPipeline(t, pipeline.Options{}, e).run(t)); got != c.want {
					t.Errorf("unreachable: got %q, want %q", got, c.want)
				}
				serve(t, ca, addr, server.Entry{Name: "Q", Kind: "test", Plugin: behaviours["pass"]})
				e.Plugin = connect(t, ca, addr, e, nil)
				if got := describe(newPipeline(t, pipeline.Options{}, e).run(t)); got != c.want {
					t.Errorf("the server does not have it: got %q, want %q", got, c.want)
				}
			})
		})
	}
}

var errUnreachable = &plugin.Error{Message: "unreachable"}

// The entry's hooks are authoritative, else the server's; the last answer holds
// while the server is down, and is read again before a call is let through after
// it has come back.
func TestRule_HooksOfTheServer_Remote(t *testing.T) {
	ca := pkitest.NewCA(t)
	served := func(hooks ...plugin.Hook) server.Entry {
		return server.Entry{Name: "P", Kind: "test", Hooks: hooks, Plugin: behaviours["refuse"]}
	}
	addr, stop := serve(t, ca, "", served(plugin.PromptPreFetch))
	log := &lines{}
	e := pipeline.Entry{Name: "P", Learn: open}
	e.Plugin = connect(t, ca, addr, e, logger(log))
	p := newPipeline(t, pipeline.Options{}, e)
	says := func(when, want string) {
		t.Helper()
		if got := describe(p.run(t)); got != want {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}
	says("a hook that the server does not report", given)
	stop()
	says("while it is down", given)
	_, stop = serve(t, ca, addr, served(plugin.ToolPreInvoke, plugin.PromptPreFetch))
	says("after it has come back with it", "refused")
	stop()
	if out := p.run(t); out.Refusal == nil || out.Refusal.Err == nil {
		t.Errorf("down with the hook: %s", describe(out))
	}
	serve(t, ca, addr, served(plugin.PromptPreFetch))
	says("after it has come back without", given)
	if !log.has("level=WARN", "no longer has hooks", "tool_pre_invoke") {
		t.Errorf("a hook that vanished is no warning:\n%s", log.text.String())
	}

	// Of an entry that lists a hook which is not reported the plugin is not known.
	e.Hooks = []plugin.Hook{plugin.ToolPreInvoke}
	e.Plugin = connect(t, ca, addr, e, nil)
	out := newPipeline(t, pipeline.Options{}, e).run(t)
	if out.Refusal == nil || out.Refusal.Err == nil || !strings.Contains(out.Refusal.Err.Error(), `"tool_pre_invoke", which the server does not report`) {
		t.Errorf("%s: %+v", describe(out), out.Refusal)
	}
}

// A tool that a plugin renames meets the conditions of either name: who has not
// run on this hook does, once, and who has run does not run again.
func TestRule_ARenamedToolMeetsBothNames(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		renames := answers(`{"name":"u","args":{"a":"was"}}`)
		p := at.make(t, nil,
			pipeline.Entry{Name: "Before", Plugin: behaviours["pass"], Conditions: []pipeline.Condition{{Tools: []string{"u"}}}},
			pipeline.Entry{Name: "Renames", Plugin: renames, Hooks: []plugin.Hook{plugin.ToolPreInvoke}, Conditions: []pipeline.Condition{{Tools: []string{"t"}}}},
			pipeline.Entry{Name: "After", Plugin: behaviours["pass"], Conditions: []pipeline.Condition{{Tools: []string{"u"}}}},
			pipeline.Entry{Name: "Old", Plugin: behaviours["pass"], Conditions: []pipeline.Condition{{Tools: []string{"t"}}}})
		names := func(out *pipeline.Outcome) string {
			var all []string
			for _, v := range out.Verdicts {
				all = append(all, v.Plugin)
			}
			return strings.Join(all, " ")
		}
		req := request()
		out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), req)
		if got := names(out); got != "Renames After" || string(out.Payload) != `{"name":"u","args":{"a":"was"}}` {
			t.Errorf("at first %s ran: %s", got, out.Payload)
		}
		req.FormerNames = append(req.FormerNames, "t")
		if got := names(p.Rest(t.Context(), plugin.ToolPreInvoke, out.Payload, req)); got != "Before Old" {
			t.Errorf("then %s ran", got)
		}
		if got := names(p.Run(t.Context(), plugin.ToolPostInvoke, json.RawMessage(`{"name":"u","result":1}`), req)); !strings.Contains(got, "Old") || !strings.Contains(got, "Before") {
			t.Errorf("after the call %s ran", got)
		}
	})
}

// Who judges a result is known before there is one: a plugin that may refuse or
// change it counts, one that only watches does not, and one that is not known does.
func TestRule_WhoJudges(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		for _, c := range []struct {
			entry pipeline.Entry
			want  bool
		}{
			{pipeline.Entry{}, true},
			{pipeline.Entry{Mode: pipeline.Permissive}, true},
			{pipeline.Entry{Mode: pipeline.Concurrent}, true},
			{pipeline.Entry{Mode: pipeline.Audit}, false},
			{pipeline.Entry{Mode: pipeline.FireAndForget}, false},
			{pipeline.Entry{Mode: pipeline.Disabled}, false},
			{pipeline.Entry{Hooks: []plugin.Hook{plugin.PromptPreFetch}}, false},
			{pipeline.Entry{Conditions: []pipeline.Condition{{Tools: []string{"x"}}}}, false},
		} {
			c.entry.Plugin = behaviours["pass"]
			p := at.make(t, nil, c.entry)
			if got := p.Guards(t.Context(), plugin.ToolPostInvoke, json.RawMessage(`{"name":"t"}`), request()); got != c.want {
				t.Errorf("%+v guards: %v", c.entry, got)
			}
		}
	})
}
