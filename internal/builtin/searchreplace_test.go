package builtin

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
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
