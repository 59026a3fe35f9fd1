package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/conformance"
)

const ruleNumbers = "numbers and nulls in free-form objects survive"

// masker changes payloads with an order number in them, and no others. The
// careless one rounds the numbers beside it.
func masker(careless bool) raw {
	return raw{[]plugin.Hook{plugin.ToolPreInvoke, plugin.ToolPostInvoke, plugin.PromptPreFetch},
		func(_ context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
			switch {
			case strings.HasPrefix(string(hook), "sallyport"):
				return nil, &plugin.Error{Message: "no such hook"}
			case !bytes.Contains(payload, []byte("ORD-1")):
				return plugin.Continue(), nil
			}
			masked := json.RawMessage(bytes.ReplaceAll(payload, []byte("ORD-1"), []byte("ORD-*")))
			if !careless {
				return plugin.Modified(masked)
			}
			var v any
			if err := json.Unmarshal(masked, &v); err != nil {
				return nil, err
			}
			return plugin.Modified(v)
		}}
}

// both runs the checks in the process and over the network.
func both(t *testing.T, p plugin.Plugin, payloads map[plugin.Hook]string) map[string][]conformance.Result {
	t.Helper()
	o := &conformance.Options{Payloads: payloads}
	served, err := conformance.Server(t.Context(), conformance.Target{URL: serve(t, p, nil)}, o)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]conformance.Result{"in process": conformance.Plugin(t.Context(), p, o), "served": served}
}

func TestAPayloadThatThePluginChangesShowsMore(t *testing.T) {
	for payload, hook := range map[string]plugin.Hook{
		`{"name": "pay", "args": {"for": "ORD-1"}}`: plugin.ToolPreInvoke,
		`{"name": "ORD-1"}`:                         plugin.ToolPreInvoke,
		`{"name": "pay", "result": {"content": [{"type": "text", "text": "ORD-1"}]}}`:                 plugin.ToolPostInvoke,
		`{"name": "pay", "result": {"content": [], "structuredContent": {"order": "ORD-1", "n": 1}}}`: plugin.ToolPostInvoke,
	} {
		for _, careless := range []bool{false, true} {
			for where, results := range both(t, masker(careless), map[plugin.Hook]string{hook: payload}) {
				want := conformance.Pass
				if careless {
					want = conformance.Fail
				}
				for _, r := range results {
					switch {
					case r.Hook == hook && r.Rule == ruleNumbers:
						if r.Status != want {
							t.Errorf("%s, %s: %s: %s, want %s", where, payload, r.Status, r.Detail, want)
						}
					case r.Status == conformance.Fail:
						t.Errorf("%s, %s: %s: %s", where, payload, r.Name(), r.Detail)
					case r.Status == conformance.Skip && r.Hook == hook:
						t.Errorf("%s, %s: %s: skipped: %s", where, payload, r.Name(), r.Detail)
					}
				}
			}
		}
	}
}

func TestAPayloadThatIsNotTheHooksIsAFailure(t *testing.T) {
	for payload, hook := range map[string]plugin.Hook{
		`{"name": "pay"`:       plugin.ToolPreInvoke,
		`[]`:                   plugin.ToolPreInvoke,
		`{"tool": "pay"}`:      plugin.ToolPreInvoke,
		`{"prompt": "pay"}`:    plugin.PromptPreFetch,
		`{"uri": "file:///a"}`: plugin.ResourcePreFetch, // which the plugin does not have
	} {
		for where, results := range both(t, masker(false), map[plugin.Hook]string{hook: payload}) {
			failed := 0
			for _, r := range results {
				if r.Status == conformance.Fail {
					failed++
				}
				if r.Status == conformance.Fail && (r.Hook != hook || r.Rule != "the payload given is one of the hook" || r.Detail == "") {
					t.Errorf("%s, %s: %s: %s", where, payload, r.Name(), r.Detail)
				}
			}
			if failed != 1 {
				t.Errorf("%s, %s: %d failures, want 1", where, payload, failed)
			}
		}
	}
}

func TestAPayloadMayBeOneThatIsLeftAlone(t *testing.T) {
	for where, results := range both(t, masker(false), map[plugin.Hook]string{plugin.ToolPostInvoke: `{"name": "t", "result": "text"}`}) {
		for _, r := range results {
			if r.Status == conformance.Fail || r.Status == conformance.Skip && r.Hook == plugin.ToolPostInvoke && !strings.HasSuffix(r.Detail, "of the payload given") {
				t.Errorf("%s: %s: %s: %s", where, r.Name(), r.Status, r.Detail)
			}
		}
	}
}

func TestAPanicIsReportedWithItsPlace(t *testing.T) {
	results := conformance.Plugin(t.Context(), raw{[]plugin.Hook{plugin.ToolPreInvoke},
		func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			panic("oh")
		}}, nil)
	for _, r := range results {
		if r.Status == conformance.Fail && strings.HasPrefix(r.Detail, "panic: oh\n") && strings.Contains(r.Detail, "payloads_test.go:") {
			return
		}
	}
	t.Errorf("got %+v", results)
}
