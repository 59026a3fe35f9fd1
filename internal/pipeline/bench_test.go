package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// elsewhere is a plugin in this process that has no hook of the benchmarks.
type elsewhere struct{}

func (elsewhere) Hooks() []plugin.Hook { return []plugin.Hook{plugin.PromptPreFetch} }

func (elsewhere) Invoke(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
	return plugin.Continue(), nil
}

// benchPlugins is how many plugins a pipeline of the benchmarks has: enough that
// what a run costs once does not show.
const benchPlugins = 50

// BenchmarkPipeline is what the pipeline itself costs for each plugin: one that
// is skipped, and one in this process that lets the payload pass.
func BenchmarkPipeline(b *testing.B) {
	for _, k := range []struct {
		name  string
		entry Entry
	}{
		{"skipped: other hook in its entry", Entry{Plugin: fake(pass), Hooks: []plugin.Hook{plugin.PromptPreFetch}}},
		{"skipped: has not the hook", Entry{Plugin: elsewhere{}}},
		{"skipped: disabled", Entry{Plugin: fake(pass), Mode: Disabled}},
		{"skipped: other server", Entry{Plugin: fake(pass), Conditions: []Condition{{ServerIDs: []string{"others"}}}}},
		{"skipped: other user", Entry{Plugin: fake(pass), Conditions: []Condition{{UserPatterns: []string{"*@example.org"}}}}},
		{"skipped: other tool", Entry{Plugin: fake(pass), Conditions: []Condition{{Tools: []string{"others_*"}}}}},
		{"matched: passes", Entry{Plugin: fake(pass)}},
		{"matched: changes", Entry{Plugin: fake(change)}},
	} {
		for _, size := range []int{1 << 10, 32 << 10} {
			b.Run(fmt.Sprintf("%s/%dKB", strings.ReplaceAll(k.name, " ", "-"), size>>10), func(b *testing.B) {
				entries := make([]Entry, benchPlugins)
				for i := range entries {
					entries[i] = k.entry
					entries[i].Name = fmt.Sprint("P", i)
				}
				p, err := New(entries, nil)
				if err != nil {
					b.Fatal(err)
				}
				payload := json.RawMessage(`{"name":"t","args":{"text":"` + strings.Repeat("text ", size/5) + `"}}`)
				b.ReportAllocs()
				for b.Loop() {
					req := &Request{Global: plugin.GlobalContext{RequestID: "1", ServerID: "files", User: json.RawMessage(`"alice@example.com"`)}}
					if out := p.Run(b.Context(), plugin.ToolPreInvoke, payload, req); out.Refusal != nil {
						b.Fatal(out.Refusal)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchPlugins, "ns/plugin")
			})
		}
	}
}
