package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// benched is a native plugin at its usual work: on a payload with text in which
// it finds nothing, and on one in which it finds something all over.
type benched struct {
	kind, config string
	hook         plugin.Hook
	clean, found string // repeated
	foundConfig  string // config for found, when it is another
	foundHeader  string // the name of a header for found
}

const (
	prose   = "A quite ordinary sentence of the year 2024 with an é in it, and some more text around them. "
	tenKeys = `[{"search":"\\bacme\\b","replace":"it"},{"search":"(?i)confidential","replace":"-"},{"search":"(\\w+)@internal\\.example","replace":"\\1"},` +
		`{"search":"project-[0-9]+","replace":"project"},{"search":"crap","replace":"crud"},{"search":"crud","replace":"yikes"},` +
		`{"search":"(?i)\\bdamn(ed)?\\b","replace":"*"},{"search":"v\\d+\\.\\d+\\.\\d+-rc","replace":"v"},{"search":"http://(\\S+)","replace":"https://\\1"},{"search":"NOTE:.*","replace":""}]`
)

var benchmarks = []benched{
	{kind: "search_replace", config: `{"words":` + tenKeys + `}`, hook: plugin.ToolPostInvoke, clean: prose, found: "This sentence says crap to bob@internal.example, and little besides. "},
	{kind: "deny_filter", config: `{"words":["innovative","groundbreaking","revolutionary","disruptive","synergy"]}`, hook: plugin.PromptPreFetch, clean: prose, found: "How revolutionary. "},
	{kind: "pii_filter", config: `{}`, hook: plugin.ToolPostInvoke, clean: prose, found: "A sentence of the year 2024 with john.doe@example.com and 123-45-6789 in it, and some more text around them. "},
	{kind: "rate_limiter", config: `{"by_user":"1000000000/h","by_tenant":"1000000000/h","by_tool":{"t":"1000000000/h"}}`, foundConfig: `{"by_user":"1/h"}`, hook: plugin.ToolPreInvoke, clean: prose, found: prose},
	{kind: "resource_filter", config: `{"content_filters":[{"pattern":"password\\s*[:=]\\s*\\S+"},{"pattern":"api[_-]?key\\s*[:=]\\s*\\S+"}]}`, hook: plugin.ResourcePostFetch, clean: prose, found: "A quite ordinary sentence with a password=abc in it, and some more text. "},
	{kind: "secrets_detection", config: `{}`, hook: plugin.ToolPostInvoke, clean: prose + "Its commit is " + fakeHash + ". ", found: "The key is " + fakeAWS + ", as everybody knows. "},
	{kind: "schema_guard", config: `{"arg_schemas":{"t":{"type":"object","required":["text"],"properties":{"text":{"type":"string","maxLength":100000}}}}}`, foundConfig: `{"arg_schemas":{"t":{"type":"object","properties":{"text":{"type":"integer"}}}}}`, hook: plugin.ToolPreInvoke, clean: prose, found: prose},
	{kind: "output_length_guard", config: `{"max_chars":100000}`, foundConfig: `{"max_chars":500}`, hook: plugin.ToolPostInvoke, clean: prose, found: prose},
	{kind: "sql_sanitizer", config: `{}`, hook: plugin.ToolPreInvoke, clean: "SELECT a, b FROM t WHERE c = 'x' ORDER BY a; UPDATE t SET a = 1 WHERE b = 2; ", found: "SELECT a /* c */ FROM t -- d\n; DELETE FROM t;"},
	{kind: "header_filter", config: `{"log_filtered_headers":false}`, hook: plugin.ToolPreInvoke, clean: prose, found: prose, foundHeader: "Cookie"},
	{kind: "cedar", config: cedarConfig(`permit (principal, action, resource == Tool::"t"); forbid (principal, action, resource) when { context.arguments has text && context.arguments.text like "rm *" };`), hook: plugin.ToolPreInvoke, clean: prose, found: "rm -rf /; "},
}

// setUp makes a plugin and a payload of about size bytes for it.
func (k *benched) setUp(tb testing.TB, found bool, size int) (plugin.Plugin, json.RawMessage) {
	tb.Helper()
	text, config, header := k.clean, k.config, "X-Trace"
	if found {
		text = k.found
		if k.foundConfig != "" {
			config = k.foundConfig
		}
		if k.foundHeader != "" {
			header = k.foundHeader
		}
	}
	text = strings.Repeat(text, size/len(text)+1)[:size]
	var payload any
	switch k.hook {
	case plugin.ToolPreInvoke:
		payload = map[string]any{"name": "t", "args": map[string]string{"text": text}, "headers": map[string]string{header: "a", "X-Team": "blue"}}
	case plugin.ToolPostInvoke:
		payload = map[string]any{"name": "t", "result": map[string]any{"content": []any{map[string]string{"type": "text", "text": text}}}}
	case plugin.PromptPreFetch:
		payload = map[string]any{"prompt_id": "p", "args": map[string]string{"text": text}}
	case plugin.ResourcePostFetch:
		payload = map[string]any{"uri": "file:///t", "content": map[string]string{"uri": "file:///t", "text": text}}
	default:
		tb.Fatalf("no payload of %s", k.hook)
	}
	p := mustPlugin(tb, k.kind, config)
	if found { // the first call is within any rate
		_, _ = p.Invoke(context.Background(), k.hook, encode(payload), &plugin.Context{})
	}
	return p, encode(payload)
}

// BenchmarkNative is what `make bench` prints: kind, clean or found, size.
func BenchmarkNative(b *testing.B) {
	for _, k := range benchmarks {
		for _, what := range []string{"clean", "found"} {
			for _, size := range []int{1 << 10, 32 << 10} {
				b.Run(fmt.Sprintf("%s/%s/%dKB", k.kind, what, size>>10), func(b *testing.B) {
					p, payload := k.setUp(b, what == "found", size)
					b.SetBytes(int64(len(payload)))
					b.ReportAllocs()
					for b.Loop() {
						if _, err := p.Invoke(context.Background(), k.hook, payload, &plugin.Context{}); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

func TestTheBenchmarksMeasureWhatTheySay(t *testing.T) {
	left := map[string]bool{}
	for _, k := range Kinds() {
		left[k.Name] = true
	}
	for _, k := range benchmarks {
		delete(left, k.kind)
		for _, found := range []bool{false, true} {
			p, payload := k.setUp(t, found, 1<<10)
			r, err := p.Invoke(context.Background(), k.hook, payload, &plugin.Context{})
			if err != nil {
				t.Fatalf("%s: %v", k.kind, err)
			}
			if acted := !r.Continue || r.ModifiedPayload != nil; acted != found {
				t.Errorf("%s: acted is %t on a payload with findings %t", k.kind, acted, found)
			}
		}
	}
	if len(left) > 0 {
		t.Errorf("not measured: %v", left)
	}
}
