package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// newPlugin makes a plugin of a native kind, named by any of its names.
func newPlugin(t testing.TB, kind, config string, hooks ...plugin.Hook) (plugin.Plugin, error) {
	t.Helper()
	for _, k := range Kinds() {
		if k.Name == kind || slices.Contains(k.Aliases, kind) {
			return k.New(plugin.Config{
				Name: "P", Hooks: hooks, Raw: json.RawMessage(config), Logger: slog.New(slog.DiscardHandler),
			})
		}
	}
	t.Fatalf("no kind %s", kind)
	return nil, nil
}

func mustPlugin(t testing.TB, kind, config string, hooks ...plugin.Hook) plugin.Plugin {
	t.Helper()
	p, err := newPlugin(t, kind, config, hooks...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const yikes = `{"words": [{"search": "crap", "replace": "crud"}, {"search": "crud", "replace": "yikes"}]}`

func TestSearchReplaceEditsTextAndNothingElse(t *testing.T) {
	tests := []struct {
		name, hook, payload string
		want                string // empty: no modified payload
	}{
		{"tool arguments", "tool_pre_invoke", `{"name":"crap","args":{"a":"oh crap"}}`, `{"name":"crap","args":{"a":"oh yikes"}}`},
		{"nested arguments, bytes kept", "tool_pre_invoke",
			"{ \"name\":\"t\", \"args\" : {\"z\":9007199254740993, \"crap\":[{\"b\":\"crap\"}, null, 1.50]},\n\"x\":\"crap\"}",
			"{ \"name\":\"t\", \"args\" : {\"z\":9007199254740993, \"crap\":[{\"b\":\"yikes\"}, null, 1.50]},\n\"x\":\"crap\"}"},
		{"headers stay", "tool_pre_invoke", `{"name":"t","args":{},"headers":{"X":"crap"}}`, ``},
		{"nothing found", "tool_pre_invoke", `{"name":"t","args":{"a":"fine"}}`, ``},
		{"escapes stay where nothing is found", "tool_pre_invoke", `{"name":"t","args":{"a":"\u0063af\u00e9","b":"crap"}}`, `{"name":"t","args":{"a":"\u0063af\u00e9","b":"yikes"}}`},
		{"found behind escapes", "tool_pre_invoke", `{"name":"t","args":{"a":"\u0063rap"}}`, `{"name":"t","args":{"a":"yikes"}}`},
		{"lone surrogate survives beside a change", "tool_pre_invoke", `{"name":"t","args":{"a":"\ud83d crap"}}`, `{"name":"t","args":{"a":"\ud83d yikes"}}`},
		{"prompt arguments", "prompt_pre_fetch", `{"prompt_id":"crap","args":{"u":"crap"}}`, `{"prompt_id":"crap","args":{"u":"yikes"}}`},
		{"prompt messages", "prompt_post_fetch",
			`{"prompt_id":"p","result":{"messages":[{"role":"crap","content":{"type":"text","text":"crap"}},{"role":"user","content":{"type":"image","data":"crap","mimeType":"crap"}}],"description":"d"}}`,
			`{"prompt_id":"p","result":{"messages":[{"role":"crap","content":{"type":"text","text":"yikes"}},{"role":"user","content":{"type":"image","data":"crap","mimeType":"crap"}}],"description":"d"}}`},
		{"a message that is bare text", "prompt_post_fetch", `{"prompt_id":"p","result":{"messages":[{"role":"user","content":"crap"}]}}`, `{"prompt_id":"p","result":{"messages":[{"role":"user","content":"yikes"}]}}`},
		{"a message of several contents", "prompt_post_fetch", `{"prompt_id":"p","result":{"messages":[{"role":"user","content":[{"type":"text","text":"crap"}]}]}}`, `{"prompt_id":"p","result":{"messages":[{"role":"user","content":[{"type":"text","text":"yikes"}]}]}}`},
		{"an unknown type of content", "tool_post_invoke", `{"name":"t","result":{"content":[{"type":"crap","html":"crap"}]}}`, `{"name":"t","result":{"content":[{"type":"crap","html":"yikes"}]}}`},
		{"a resource link", "tool_post_invoke", `{"name":"t","result":{"content":[{"type":"resource_link","uri":"crap:","name":"crap","title":"crap","description":"crap"}]}}`,
			`{"name":"t","result":{"content":[{"type":"resource_link","uri":"crap:","name":"crap","title":"yikes","description":"yikes"}]}}`},
		{"a result in no shape", "tool_post_invoke", `{"name":"t","result":{"type":"crap","rows":[["crap",1]]}}`, `{"name":"t","result":{"type":"yikes","rows":[["yikes",1]]}}`},
		{"what MCP gave its own meaning", "tool_post_invoke", `{"name":"t","result":{"resultType":"crap","requestState":"crap","inputRequests":{"crap":{"method":"crap"}}}}`, ``},
		{"a hook that is not one of its own", "resource_pre_fetch", `{"uri":"crap:","metadata":{"a":"crap"}}`, ``},
		{"plain tool result", "tool_post_invoke", `{"name":"t","result":"crap"}`, `{"name":"t","result":"yikes"}`},
		{"MCP tool result", "tool_post_invoke",
			`{"name":"t","result":{"content":[{"type":"text","text":"crap"},{"type":"resource","resource":{"uri":"crap:","text":"crap","blob":"crap"}}],"structuredContent":{"a":{"b":["crap"]}},"_meta":{"k":"crap"}}}`,
			`{"name":"t","result":{"content":[{"type":"text","text":"yikes"},{"type":"resource","resource":{"uri":"crap:","text":"yikes","blob":"crap"}}],"structuredContent":{"a":{"b":["yikes"]}},"_meta":{"k":"crap"}}}`},
	}
	p := mustPlugin(t, "plugins.regex_filter.search_replace.SearchReplacePlugin", yikes)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := p.Invoke(context.Background(), plugin.Hook(tt.hook), json.RawMessage(tt.payload), &plugin.Context{})
			if err != nil {
				t.Fatal(err)
			}
			if !r.Continue || r.Violation != nil || string(r.ModifiedPayload) != tt.want {
				t.Errorf("got %+v\n%s\nwant %s", r, r.ModifiedPayload, tt.want)
			}
		})
	}
}

func TestReplacementsMayRefer(t *testing.T) {
	p := mustPlugin(t, "search_replace", `{"words":[{"search":"(?P<first>\\w+) (\\w+)","replace":"\\2, \\g<first>$1"},{"search":"(?<=ü),","replace":"\\t"}]}`)
	r, err := p.Invoke(context.Background(), plugin.ToolPreInvoke, json.RawMessage(`{"name":"t","args":{"a":"Zoë Fü"}}`), &plugin.Context{})
	if want := `{"name":"t","args":{"a":"Fü\t Zoë$1"}}`; err != nil || string(r.ModifiedPayload) != want {
		t.Errorf("got %+v, %v, want %s", r, err, want)
	}
}

// What a pattern could not search in time is refused, never passed.
func TestAPatternThatTakesTooLongIsAPluginError(t *testing.T) {
	p := mustPlugin(t, "search_replace", `{"words":[{"search":"a","replace":"b"},{"search":"(b+)+(?=c)$","replace":""}]}`)
	payload, err := plugin.SetMember(json.RawMessage(`{"name":"t"}`), "args", map[string]string{"a": strings.Repeat("a", 5000) + "x"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Invoke(context.Background(), plugin.ToolPreInvoke, payload, &plugin.Context{})
	e, ok := errors.AsType[*plugin.Error](err)
	if r != nil || !ok || e.Code != "search_limit" || !strings.HasPrefix(e.Message, "words[1].search on args.a: the pattern takes too long on this text") {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestRecordedPayloads runs the reference's own recorded requests through: all
// that has text in it is changed there and nowhere else.
func TestRecordedPayloads(t *testing.T) {
	tests := []struct{ hook, payload, want string }{
		{"tool_pre_invoke", `{"name":"tool1","args":{"a":1,"n":null,"l":[null,{"z":null}],"f":1.5,"u":"\u00e9"},"headers":{"Authorization":"Bearer x"}}`,
			`{"name":"tool1","args":{"a":1,"n":null,"l":[null,{"z":null}],"f":1.5,"u":"[é]"},"headers":{"Authorization":"Bearer x"}}`},
		{"tool_post_invoke", `{"name":"tool1","result":{"content":[{"type":"text","text":"hi","annotations":null,"_meta":null}],"isError":false,"structuredContent":null,"_meta":null}}`,
			`{"name":"tool1","result":{"content":[{"type":"text","text":"[hi]","annotations":null,"_meta":null}],"isError":false,"structuredContent":null,"_meta":null}}`},
		{"prompt_pre_fetch", `{"prompt_id":"p1","args":{"user":"x"}}`, `{"prompt_id":"p1","args":{"user":"[x]"}}`},
		{"prompt_post_fetch", `{"prompt_id":"p1","result":{"messages":[{"role":"user","content":{"type":"text","text":"hello"}},{"role":"assistant","content":{"type":"image","data":"aGk=","mime_type":"image/png"}}],"description":"dd"}}`,
			`{"prompt_id":"p1","result":{"messages":[{"role":"user","content":{"type":"text","text":"[hello]"}},{"role":"assistant","content":{"type":"image","data":"aGk=","mime_type":"image/png"}}],"description":"dd"}}`},
	}
	p := mustPlugin(t, "search_replace", `{"words":[{"search":".+","replace":"[\\g<0>]"}]}`)
	for _, tt := range tests {
		r, err := p.Invoke(context.Background(), plugin.Hook(tt.hook), json.RawMessage(tt.payload), &plugin.Context{})
		if err != nil || string(r.ModifiedPayload) != tt.want {
			t.Errorf("%s: got %+v, %v\n%s\nwant %s", tt.hook, r, err, r.ModifiedPayload, tt.want)
		}
	}
}
