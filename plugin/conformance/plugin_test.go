package conformance_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/conformance"
)

func TestAPluginThatKeepsTheRulesPasses(t *testing.T) {
	for _, r := range conformance.Plugin(t.Context(), raw{plugin.Hooks(), echo}, nil) {
		if r.Status != conformance.Pass {
			t.Errorf("%s: %s: %s", r.Name(), r.Status, r.Detail)
		}
	}
}

type invoke = func(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error)

func TestABrokenRuleOfAPluginIsNamed(t *testing.T) {
	one := []plugin.Hook{plugin.ToolPreInvoke}
	refuse := func(v *plugin.Violation) invoke {
		return func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return plugin.Refuse(v), nil
		}
	}
	const fail, warn = conformance.Fail, conformance.Warn
	release := make(chan struct{})
	defer close(release)
	for _, tt := range []struct {
		rule   string
		status conformance.Status
		hooks  []plugin.Hook
		invoke invoke
	}{
		{"hooks are declared, each once", fail, nil, echo},
		{"hooks are declared, each once", fail, append(one, one...), echo},
		{"a hook that is not declared fails", fail, one, func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return plugin.Continue(), nil
		}},
		{"each call has a verdict or an error", fail, one, func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return nil, nil
		}},
		{"each call has a verdict or an error", fail, one, func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			panic("oh")
		}},
		{"each call has a verdict or an error", warn, one, func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return nil, &plugin.Error{Message: "no"}
		}},
		{"optional fields may be absent", fail, one, func(_ context.Context, _ plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
			var p plugin.ToolPre
			if err := json.Unmarshal(payload, &p); err != nil {
				return nil, err
			}
			return plugin.Continue(), json.Unmarshal(p.Args, &struct{}{})
		}},
		{"the payload belongs to the caller", fail, one, func(_ context.Context, _ plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
			payload[len(payload)-1] = ' '
			return plugin.Continue(), nil
		}},
		{"a violation has reason, description and code", fail, one, refuse(&plugin.Violation{Reason: "r", Description: "d"})},
		{"a violation has reason, description and code", warn, one, refuse(nil)},
		{"modified_payload has the hook's shape", fail, one, func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return plugin.Modified(map[string]int{"name": 1})
		}},
		{"modified_payload has the hook's shape", fail, []plugin.Hook{plugin.HTTPPreRequest}, func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return plugin.Modified(map[string]int{"x-a": 1})
		}},
		{"modified_payload has the hook's shape", fail, []plugin.Hook{plugin.HTTPAuthResolveUser}, func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return plugin.Modified(plugin.User{})
		}},
		{"modified_payload has the hook's shape", fail, []plugin.Hook{plugin.HTTPAuthCheckPermission}, func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return plugin.Modified(map[string]string{"granted": "yes"})
		}},
		{"only the hook's own fields are changed", warn, []plugin.Hook{plugin.PromptPreFetch}, func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return plugin.Modified(plugin.PromptPre{PromptID: "another"})
		}},
		{"numbers and nulls in free-form objects survive", fail, one, func(_ context.Context, _ plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
			var v any // what the documentation warns of
			if err := json.Unmarshal(payload, &v); err != nil {
				return nil, err
			}
			return plugin.Modified(v)
		}},
		{"global metadata is read-only", warn, one, func(_ context.Context, _ plugin.Hook, _ json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
			return plugin.Continue(), c.GlobalContext.Metadata.Set("mine", 1)
		}},
		{"calls at the same time do not mix", fail, one, func(_ context.Context, _ plugin.Hook, _ json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
			c.GlobalContext.RequestID = "call-3"
			return plugin.Continue(), nil
		}},
		{"a hook returns soon after its context ends", fail, one, func(ctx context.Context, _ plugin.Hook, _ json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
			if ctx.Err() != nil {
				<-release
			}
			return plugin.Continue(), nil
		}},
	} {
		t.Run(tt.rule+" "+string(tt.status), func(t *testing.T) {
			results := conformance.Plugin(t.Context(), raw{tt.hooks, tt.invoke}, &conformance.Options{Grace: time.Millisecond})
			for _, r := range results {
				if r.Rule == tt.rule && r.Status == tt.status && r.Detail != "" {
					if tt.status == fail && !conformance.Failed(results) {
						t.Error("Failed does not see it")
					}
					return
				}
			}
			t.Errorf("no %s of that name:\n%+v", tt.status, results)
		})
	}
}

func TestServerSaysWhyThereIsNothingToCheck(t *testing.T) {
	url := serve(t, raw{[]plugin.Hook{plugin.ToolPreInvoke}, echo}, nil)
	for name, target := range map[string]conformance.Target{
		"no such plugin": {URL: url, Plugin: "echo"},
		"nobody there":   {URL: "http://127.0.0.1:1/mcp"},
		"no files":       {URL: "https://127.0.0.1:1/mcp", TLS: &conformance.TLS{CABundle: "missing.crt"}},
		"no TLS":         {URL: "https://127.0.0.1:1/mcp"},
	} {
		if results, err := conformance.Server(t.Context(), target, nil); err == nil || len(results) > 0 {
			t.Errorf("%s: got %v, %v", name, results, err)
		}
	}
}
