package gateway

import (
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// Conditions are met by the client's name and by the upstream's own, so that a
// second upstream, which prefixes all names, switches no guardrail off.
func TestRule_ConditionsMeetEitherName(t *testing.T) {
	inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
		d.do = map[plugin.Hook]func() (*plugin.Result, error){}
		for _, hook := range []plugin.Hook{plugin.ToolPreInvoke, plugin.ToolPostInvoke, plugin.PromptPreFetch, plugin.PromptPostFetch} {
			d.do[hook] = refusal403(plugin.Violation{Description: "guarded"})
		}
		for _, upstreams := range []int{1, 2} {
			var fakes []*fakeServer
			for range upstreams {
				fakes = append(fakes, startFake(t, &fakeServer{}))
			}
			prefix := ""
			if upstreams == 2 {
				prefix = "up__"
			}
			for _, call := range [][3]string{{"tools/call", "echo", "tools"}, {"prompts/get", "greet", "prompts"}} {
				for pattern, met := range map[string]bool{
					call[1]: true, call[1][:2] + "*": true, "up__" + call[1]: upstreams == 2, "up2__" + call[1]: false, "UP__*": false, strings.ToUpper(call[1]): false,
				} {
					c := pipeline.Condition{Tools: []string{pattern}}
					if call[2] == "prompts" {
						c = pipeline.Condition{Prompts: []string{pattern}}
					}
					for _, hooks := range [][]plugin.Hook{{plugin.ToolPreInvoke, plugin.PromptPreFetch}, {plugin.ToolPostInvoke, plugin.PromptPostFetch}} {
						s := serve(t, Config{}, []pipeline.Entry{{Name: "P", Plugin: p, Hooks: hooks, Conditions: []pipeline.Condition{c}}}, fakes...)
						a := s.modern(t, call[0], `{"name":"`+prefix+call[1]+`"}`, "")
						if got := strings.Contains(a.body, "Plugin Violation: guarded"); got != met || got == strings.Contains(a.body, "original") {
							t.Errorf("%d upstreams, %s %s, condition %s, %s: %s", upstreams, call[0], call[1], pattern, hooks, a.body)
						}
					}
				}
			}
		}
	})
}

// A URI that a plugin changed is resolved again, to another upstream if that has
// it; plugins that are there for it have their say; and one that nobody has is a
// refusal.
func TestRule_AChangedURIIsResolvedAgain(t *testing.T) {
	inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
		a := startFake(t, &fakeServer{modern: true, lists: map[string]string{"resources/list": `{"uri":"mem://a","name":"a"}`}})
		b := startFake(t, &fakeServer{modern: true, lists: map[string]string{"resources/list": `{"uri":"mem://b","name":"b"}`}})
		change := func(uri string) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.do = map[plugin.Hook]func() (*plugin.Result, error){plugin.ResourcePreFetch: modified(`{"uri":"` + uri + `","metadata":{}}`)}
		}
		refuses := &doorman{do: map[plugin.Hook]func() (*plugin.Result, error){
			plugin.ResourcePreFetch: refusal403(plugin.Violation{Description: "guarded"}), plugin.ResourcePostFetch: refusal403(plugin.Violation{Description: "guarded"}),
		}}
		for name, c := range map[string]struct {
			to      string
			guard   pipeline.Entry
			want    string
			reached int
		}{
			"to another upstream's":            {"mem://b", pipeline.Entry{Conditions: []pipeline.Condition{{Resources: []string{"mem://c"}}}}, "original", 1},
			"what is there for the new one":    {"mem://b", pipeline.Entry{Conditions: []pipeline.Condition{{Resources: []string{"mem://b"}}}, Priority: -1}, "guarded", 0},
			"what is there for the new server": {"mem://b", pipeline.Entry{Conditions: []pipeline.Condition{{ServerIDs: []string{"up2"}}}, Priority: -1}, "guarded", 0},
			"and judges the result":            {"mem://b", pipeline.Entry{Conditions: []pipeline.Condition{{Resources: []string{"mem://b"}}}, Hooks: []plugin.Hook{plugin.ResourcePostFetch}}, "guarded", 1},
			"what is there for the old one":    {"mem://b", pipeline.Entry{Conditions: []pipeline.Condition{{Resources: []string{"mem://a"}}}, Hooks: []plugin.Hook{plugin.ResourcePostFetch}}, "guarded", 1},
			"to what nobody has":               {"mem://nowhere", pipeline.Entry{Conditions: []pipeline.Condition{{Resources: []string{"mem://c"}}}}, `"code":-32602,"message":"Resource not found","data":{"uri":"mem://nowhere"}`, 0},
		} {
			change(c.to)
			c.guard.Name, c.guard.Plugin = "Guard", refuses
			before := len(b.calls())
			got := serve(t, Config{}, []pipeline.Entry{{Name: "P", Plugin: p}, c.guard}, a, b).modern(t, "resources/read", `{"uri":"mem://a"}`, "")
			calls := b.calls()[before:]
			if !strings.Contains(got.body, c.want) || len(calls) != c.reached || len(a.calls()) != 0 {
				t.Errorf("%s: %d calls of the new one, %d of the old one, %s", name, len(calls), len(a.calls()), got.body)
			}
			for _, call := range calls {
				if call.header.Get("Mcp-Name") != "mem://b" || string(wire.Member([]byte(call.params), "uri")) != `"mem://b"` {
					t.Errorf("%s: the upstream was told %s, %s", name, call.header.Get("Mcp-Name"), call.params)
				}
			}
		}
	})
}

// The prompt is not a plugin's to change: what it has changed is dropped.
func TestRule_APromptStaysTheClients(t *testing.T) {
	inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
		f := startFake(t, &fakeServer{modern: true, lists: map[string]string{"prompts/list": `{"name":"greet"},{"name":"other"}`}})
		s := serve(t, Config{}, entryOf(p), f)
		d.do = map[plugin.Hook]func() (*plugin.Result, error){plugin.PromptPreFetch: modified(`{"prompt_id":"other","args":{"a":"changed"}}`)}
		if m := s.modern(t, "prompts/get", `{"name":"greet","arguments":{"a":"was"}}`, "").message(t); m.Error != nil {
			t.Fatal(m.Error)
		}
		calls := f.calls()
		if len(calls) != 1 || calls[0].header.Get("Mcp-Name") != "greet" || !strings.Contains(calls[0].params, `"name":"greet","arguments":{"a":"changed"}`) {
			t.Errorf("the upstream was told %+v", calls)
		}
		if log := s.log.String(); !strings.Contains(log, "fields=[prompt_id]") {
			t.Errorf("it is not in the log:\n%s", log)
		}
	})
}

// Mcp-Name and Mcp-Param-* tell the upstream of the tool and the arguments as
// plugins left them; of what they took away nothing is told any more.
func TestRule_HeadersFollowNameAndArguments(t *testing.T) {
	const schema = `"inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"%s"},"n":{"type":"integer","x-mcp-header":"Count"}}}`
	f := startFake(t, &fakeServer{modern: true, lists: map[string]string{
		"tools/list": `{"name":"one",` + strings.Replace(schema, "%s", "Region", 1) + `},{"name":"two",` + strings.Replace(schema, "%s", "Zone", 1) + `},{"name":"three","inputSchema":{"type":"object"}}`,
	}})
	inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
		s := serve(t, Config{}, entryOf(p), f)
		session := s.open(t, wire.Revision2025_11)
		for name, c := range map[string]struct {
			now  string
			want map[string]string
		}{
			"as they were":      {`{"name":"one","args":{"region":"köln","n":7}}`, map[string]string{"Mcp-Name": "one", "Mcp-Param-Region": wire.EncodeHeader("köln"), "Mcp-Param-Count": "7"}},
			"an argument":       {`{"name":"one","args":{"region":"bonn","n":7}}`, map[string]string{"Mcp-Name": "one", "Mcp-Param-Region": "bonn", "Mcp-Param-Count": "7"}},
			"one taken away":    {`{"name":"one","args":{"n":7}}`, map[string]string{"Mcp-Name": "one", "Mcp-Param-Count": "7"}},
			"all taken away":    {`{"name":"one"}`, map[string]string{"Mcp-Name": "one"}},
			"null":              {`{"name":"one","args":{"region":null,"n":8}}`, map[string]string{"Mcp-Name": "one", "Mcp-Param-Count": "8"}},
			"another tool":      {`{"name":"two","args":{"region":"bonn","n":9}}`, map[string]string{"Mcp-Name": "two", "Mcp-Param-Zone": "bonn", "Mcp-Param-Count": "9"}},
			"a tool without":    {`{"name":"three","args":{}}`, map[string]string{"Mcp-Name": "three"}},
			"the plugin's own":  {`{"name":"three","args":{},"headers":{"Mcp-Param-Own":"x","Mcp-Name":"one"}}`, map[string]string{"Mcp-Name": "three", "Mcp-Param-Own": "x"}},
			"against arguments": {`{"name":"one","args":{"n":7},"headers":{"Mcp-Param-Count":"8","Mcp-Param-Region":"bonn"}}`, map[string]string{"Mcp-Name": "one", "Mcp-Param-Count": "7"}},
		} {
			for era, call := range map[string]func(params string) got{
				"modern": func(params string) got {
					return s.modern(t, "tools/call", params, "", "Mcp-Param-Region: "+wire.EncodeHeader("köln"), "Mcp-Param-Count: 7")
				},
				"legacy": func(params string) got { return s.legacy(t, session, "tools/call", params) },
			} {
				d.mu.Lock()
				d.do = map[plugin.Hook]func() (*plugin.Result, error){plugin.ToolPreInvoke: modified(keepHeaders(era, c.now))}
				d.mu.Unlock()
				if m := call(`{"name":"one","arguments":{"region":"köln","n":7}}`).message(t); m.Error != nil {
					t.Fatalf("%s, %s: %v", name, era, m.Error)
				}
				calls := f.calls()
				last := calls[len(calls)-1].header
				for _, header := range []string{"Mcp-Name", "Mcp-Param-Region", "Mcp-Param-Zone", "Mcp-Param-Count", "Mcp-Param-Own"} {
					if last.Get(header) != c.want[header] {
						t.Errorf("%s, %s: %s is %q, want %q", name, era, header, last.Get(header), c.want[header])
					}
				}
			}
		}
	})
}

// keepHeaders has a payload leave the modern client's headers as they are.
func keepHeaders(era, payload string) string {
	if era != "modern" || strings.Contains(payload, `"headers"`) {
		return payload
	}
	return strings.TrimSuffix(payload, "}") + `,"headers":{"Mcp-Param-Region":"=?base64?a8O2bG4=?=","Mcp-Param-Count":"7"}}`
}
