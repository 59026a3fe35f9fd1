package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// verdict is a Result as a test compares it: payload, metadata and violation
// as JSON.
func verdict(t testing.TB, p plugin.Plugin, hook, payload string, c *plugin.Context) (modified, metadata, violation string) {
	t.Helper()
	if c == nil {
		c = &plugin.Context{}
	}
	r, err := p.Invoke(context.Background(), plugin.Hook(hook), json.RawMessage(payload), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Continue == (r.Violation != nil) {
		t.Fatalf("continue is %t, violation %+v", r.Continue, r.Violation)
	}
	if r.Violation != nil {
		b, err := json.Marshal(r.Violation)
		if err != nil {
			t.Fatal(err)
		}
		violation = string(b)
	}
	return string(r.ModifiedPayload), string(r.Metadata), violation
}

func TestOutputLengthGuard(t *testing.T) {
	const (
		truncate = `{"max_chars":5}`
		block    = `{"min_chars":2,"max_chars":5,"strategy":"Block"}`
		long     = `{"original_length":6,"within_bounds":false,"min_chars":0,"max_chars":5,"strategy":"truncate","truncated":true,"new_length":5}`
		refused  = `{"reason":"Output length out of bounds","description":"Result length %d not in [2, 5]","code":"OUTPUT_LENGTH_VIOLATION","details":{"length":%d,"max":5,"min":2,"strategy":"Block"},"mcp_error_code":null}`
		blocked  = `{"original_length":%d,"within_bounds":false,"min_chars":2,"max_chars":5,"strategy":"Block"}`
		ok       = `{"original_length":%d,"within_bounds":true}`
	)
	tests := []struct{ name, config, result, want, metadata, violation string }{
		{"within", truncate, `"12345"`, ``, fmt.Sprintf(ok, 5), ``},
		{"cut, ellipsis inside the maximum", truncate, `"123456"`, `"1234…"`, long, ``},
		{"code points, not bytes", truncate, `"éééééé"`, `"éééé…"`, long, ``},
		{"beyond the basic plane", truncate, `"😀😀😀😀😀😀"`, `"😀😀😀😀…"`, long, ``},
		{"a lone surrogate is one", truncate, `"\ud83d\ud83d\ud83d\ud83d56"`, `"\ud83d\ud83d\ud83d\ud83d…"`, long, ``},
		{"an ellipsis that does not fit", `{"max_chars":3,"ellipsis":"..."}`, `"123456"`, `"123"`, strings.NewReplacer(`:5`, `:3`).Replace(long), ``},
		{"no ellipsis", `{"max_chars":5,"ellipsis":""}`, `"123456"`, `"12345"`, long, ``},
		{"quoted numbers", `{"max_chars":"5"}`, `"123456"`, `"1234…"`, long, ``},
		{"too short is a remark only", `{"min_chars":3}`, `"ab"`, ``, `{"original_length":2,"within_bounds":false,"min_chars":3,"max_chars":null,"strategy":"truncate","truncated":false,"new_length":2}`, ``},
		{"an object with text", truncate, `{"text":"123456","n":9007199254740993}`, `{"text":"1234…","n":9007199254740993}`, long, ``},
		{"a list", truncate, `["123456", "1"]`, `["1234…", "1"]`, `{"items":[` + long + `,` + fmt.Sprintf(ok, 1) + `]}`, ``},
		{"MCP text", truncate, `{"content":[{"type":"text","text":"123456","x":1.0}],"isError":false}`, `{"content":[{"type":"text","text":"1234…","x":1.0}],"isError":false}`, long, ``},
		{"several blocks", truncate, `{"content":[{"type":"text","text":"1"},{"type":"text","text":"123456"}]}`, `{"content":[{"type":"text","text":"1"},{"type":"text","text":"1234…"}]}`, `{"items":[` + fmt.Sprintf(ok, 1) + `,` + long + `]}`, ``},
		{"an embedded resource", truncate, `{"content":[{"type":"resource","resource":{"uri":"file:///long","text":"123456"}}]}`, `{"content":[{"type":"resource","resource":{"uri":"file:///long","text":"1234…"}}]}`, long, ``},
		{"structured content, nested", truncate, `{"content":[],"structuredContent":{"a":[{"b":"123456"}],"c":"x"}}`, `{"content":[],"structuredContent":{"a":[{"b":"1234…"}],"c":"x"}}`, long, ``},
		{"encoded bytes stay", truncate, `{"content":[{"type":"image","data":"AAAAAAAA","mimeType":"image/png"}]}`, ``, ``, ``},
		{"no text", truncate, `{"content":[],"structuredContent":{"n":123456789}}`, ``, ``, ``},
		{"null", truncate, `null`, ``, ``, ``},
		{"an empty list", truncate, `[]`, ``, `{"items":[]}`, ``},
		{"an empty list in MCP's shape", truncate, `{"content":[]}`, ``, ``, ``},
		{"blocked, too long", block, `"123456"`, ``, fmt.Sprintf(blocked, 6), fmt.Sprintf(refused, 6, 6)},
		{"blocked, too short", block, `"1"`, ``, fmt.Sprintf(blocked, 1), fmt.Sprintf(refused, 1, 1)},
		{"blocked at the first", block, `["123","1","1234567"]`, ``, `{"items":[` + fmt.Sprintf(ok, 3) + `,` + fmt.Sprintf(blocked, 1) + `]}`, fmt.Sprintf(refused, 1, 1)},
		{"blocked in MCP text", block, `{"content":[{"type":"text","text":"123456"}]}`, ``, fmt.Sprintf(blocked, 6), fmt.Sprintf(refused, 6, 6)},
		{"the minimum is not for words of structured content", block, `{"content":[{"type":"text","text":"123"}],"structuredContent":{"unit":"m"}}`, ``, fmt.Sprintf(ok, 3), ``},
		{"without a maximum", `{"min_chars":2,"strategy":"block"}`, `""`, ``, `{"original_length":0,"within_bounds":false,"min_chars":2,"max_chars":null,"strategy":"block"}`,
			`{"reason":"Output length out of bounds","description":"Result length 0 not in [2, None]","code":"OUTPUT_LENGTH_VIOLATION","details":{"length":0,"max":null,"min":2,"strategy":"block"},"mcp_error_code":null}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustPlugin(t, "plugins.output_length_guard.output_length_guard.OutputLengthGuardPlugin", tt.config)
			modified, metadata, violation := verdict(t, p, "tool_post_invoke", `{"name":"a long name", "result":`+tt.result+`}`, nil)
			want := ""
			if tt.want != "" {
				want = `{"name":"a long name", "result":` + tt.want + `}`
			}
			if modified != want || metadata != tt.metadata || violation != tt.violation {
				t.Errorf("got %s\n%s\n%s\nwant %s\n%s\n%s", modified, metadata, violation, want, tt.metadata, tt.violation)
			}
		})
	}
}

// A result of any number of texts must not make metadata of that size, and the
// last of them must be judged like the first.
func TestOutputLengthGuardBoundsItsMetadata(t *testing.T) {
	texts := `{"name":"t","result":[` + strings.Repeat(`"ab",`, 5000) + `"toolong"]}`
	p := mustPlugin(t, "output_length_guard", `{"max_chars":5}`)
	modified, metadata, _ := verdict(t, p, "tool_post_invoke", texts, nil)
	if !strings.HasSuffix(modified, `"tool…"]}`) || strings.Count(metadata, "original_length") != maxNotes {
		t.Errorf("got …%s, %d bytes of metadata", modified[len(modified)-20:], len(metadata))
	}
	p = mustPlugin(t, "output_length_guard", `{"max_chars":5,"strategy":"block"}`)
	if _, _, violation := verdict(t, p, "tool_post_invoke", texts, nil); !strings.Contains(violation, "Result length 7 not in [0, 5]") {
		t.Errorf("got %s", violation)
	}
}
