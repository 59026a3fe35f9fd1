package builtin

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

func TestDenyFilterRefusesItsWords(t *testing.T) {
	prompt := plugin.Violation{Reason: "Prompt not allowed", Description: "A deny word was found in the prompt", Code: "deny"}
	tool := plugin.Violation{Reason: "Tool call not allowed", Description: "A deny word was found in the tool arguments", Code: "deny"}
	tests := []struct {
		name, hook, payload string
		want                *plugin.Violation
	}{
		{"none of them", "prompt_pre_fetch", `{"prompt_id":"p","args":{"u":"innovative"}}`, nil},
		{"as a substring", "prompt_pre_fetch", `{"prompt_id":"p","args":{"a":"x","u":"this is revolutionary."}}`, &prompt},
		{"the case counts", "prompt_pre_fetch", `{"prompt_id":"p","args":{"u":"Revolution"}}`, nil},
		{"behind escapes", "prompt_pre_fetch", `{"prompt_id":"p","args":{"u":"\u0072evolution"}}`, &prompt},
		{"in the name only", "prompt_pre_fetch", `{"prompt_id":"revolution","args":{}}`, nil},
		{"in an argument's name only", "prompt_pre_fetch", `{"prompt_id":"p","args":{"revolution":"x"}}`, nil},
		{"no arguments", "prompt_pre_fetch", `{"prompt_id":"p","args":null}`, nil},
		{"beyond ASCII", "prompt_pre_fetch", `{"prompt_id":"p","args":{"u":"sag Größe"}}`, &prompt},
		{"tool arguments, nested", "tool_pre_invoke", `{"name":"t","args":{"a":[{"b":["revolution"]}]}}`, &tool},
		{"tool headers", "tool_pre_invoke", `{"name":"t","args":{},"headers":{"a":"revolution"}}`, nil},
	}
	p := mustPlugin(t, "plugins.deny_filter.deny.DenyListPlugin", `{"words":["Größe","revolution"]}`, plugin.PromptPreFetch, plugin.ToolPreInvoke)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := p.Invoke(context.Background(), plugin.Hook(tt.hook), json.RawMessage(tt.payload), &plugin.Context{})
			if err != nil || r.ModifiedPayload != nil || r.Continue != (tt.want == nil) {
				t.Fatalf("got %+v, %v", r, err)
			}
			got, _ := json.Marshal(r.Violation)
			want, _ := json.Marshal(tt.want)
			if string(got) != string(want) {
				t.Errorf("got %s\nwant %s", got, want)
			}
		})
	}
}

func TestABrokenPayloadIsAnErrorNotAPass(t *testing.T) {
	for _, kind := range []string{"deny_filter", "search_replace"} {
		p := mustPlugin(t, kind, `{"words":[]}`)
		if r, err := p.Invoke(context.Background(), plugin.PromptPreFetch, json.RawMessage(`{"args":{"a":`), &plugin.Context{}); err == nil {
			t.Errorf("%s: got %+v", kind, r)
		}
	}
}
