package pipeline

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// What a plugin answers on the HTTP hooks is no payload but a part of one, a
// user or a verdict.
func TestAnswersOfHTTPHooks(t *testing.T) {
	const request = `{"path":"/mcp","method":"POST","headers":{"Authorization":"Bearer s","X-A":"1","X-B":"2"}}`
	const response = `{"path":"/mcp","method":"POST","headers":{},"response_headers":{"X-A":"1"},"status_code":200}`
	for _, test := range []struct {
		name   string
		hook   plugin.Hook
		given  string
		answer string
		entry  Entry
		o      Options
		want   string
	}{
		{"of one header in two spellings the last counts, new or not", plugin.HTTPPreRequest, request, `{"X-A":"1","x-a":"2","X-C":"1","x-c":"2"}`, Entry{}, Options{}, `changed {"path":"/mcp","method":"POST","headers":{"Authorization":"Bearer s","X-A":"2","X-B":"2","X-C":"2"}}`},
		{"headers are replaced in place, in any letters, and those left out stay", plugin.HTTPPreRequest, request, `{"x-a":"new","X-C":"3"}`, Entry{}, Options{}, `changed {"path":"/mcp","method":"POST","headers":{"Authorization":"Bearer s","X-A":"new","X-B":"2","X-C":"3"}}`},
		{"an answer without headers", plugin.HTTPPreRequest, request, `{}`, Entry{}, Options{}, "changed " + request},
		{"a header that the plugin did not see", plugin.HTTPPreRequest, request, `{"authorization":"mine","x-a":"1","x-b":"2"}`, Entry{}, Options{}, "changed " + request},
		{"a header that it saw", plugin.HTTPPreRequest, request, `{"authorization":"mine","x-a":"1","x-b":"2"}`, Entry{ExposeHeaders: []string{"Authorization"}}, Options{}, "changed " + request},
		{"unless that is configured", plugin.HTTPPreRequest, request, `{"authorization":"mine","x-a":"1","x-b":"2"}`, Entry{}, Options{OverrideAuthHeaders: true}, `changed {"path":"/mcp","method":"POST","headers":{"Authorization":"mine","X-A":"1","X-B":"2"}}`},
		{"audit does not change them", plugin.HTTPPreRequest, request, `{"x-a":"new"}`, Entry{Mode: Audit}, Options{}, "would change " + request},
		{"a header that is no text", plugin.HTTPPreRequest, request, `{"x-a":1}`, Entry{}, Options{}, "failed"},
		{"no object", plugin.HTTPPreRequest, request, `[]`, Entry{}, Options{}, "failed"},
		{"headers of the answer", plugin.HTTPPostRequest, response, `{"X-A":"1","X-D":"4"}`, Entry{}, Options{}, `changed {"path":"/mcp","method":"POST","headers":{},"response_headers":{"X-A":"1","X-D":"4"},"status_code":200}`},
		{"a user", plugin.HTTPAuthResolveUser, `{"headers":{}}`, `{"email":"a@x"}`, Entry{}, Options{}, `changed {"headers":{}} answer {"email":"a@x"} user {"email":"a@x"}`},
		{"a user from one who may only watch", plugin.HTTPAuthResolveUser, `{"headers":{}}`, `{"email":"a@x"}`, Entry{Mode: Concurrent}, Options{}, `would change {"headers":{}}`},
		{"no user", plugin.HTTPAuthResolveUser, `{"headers":{}}`, `"a@x"`, Entry{}, Options{}, "failed"},
		{"granted", plugin.HTTPAuthCheckPermission, `{}`, `{"granted":true}`, Entry{}, Options{}, `changed {} answer {"granted":true}`},
		{"not granted", plugin.HTTPAuthCheckPermission, `{}`, `{"granted":false,"reason":"no"}`, Entry{}, Options{}, "refused: no"},
		{"not granted, says one that runs beside others", plugin.HTTPAuthCheckPermission, `{}`, `{"granted":false}`, Entry{Mode: Concurrent}, Options{}, "refused: The permission is not granted"},
		{"not granted, says one who may only watch", plugin.HTTPAuthCheckPermission, `{}`, `{"granted":false}`, Entry{Mode: Audit}, Options{}, "would refuse {}"},
		{"not said", plugin.HTTPAuthCheckPermission, `{}`, `{"granted":null}`, Entry{}, Options{}, "failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.entry.Plugin = answers(test.answer)
			req := &Request{}
			out := mustNew(t, &test.o, test.entry).Run(t.Context(), test.hook, json.RawMessage(test.given), req)
			got := describe(out)
			if out.Refusal != nil && out.Refusal.Violation != nil {
				got += ": " + out.Refusal.Violation.Description
			}
			if out.Answer != nil {
				got += " answer " + string(out.Answer)
			}
			if req.Global.User != nil {
				got += " user " + string(req.Global.User)
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// A refusal stands whatever comes with it: ContextForge's first servers send the
// payload back, which is no answer of an HTTP hook.
func TestARefusalThatComesWithThePayload(t *testing.T) {
	for hook, payload := range map[plugin.Hook]string{
		plugin.HTTPPreRequest:          `{"path":"/mcp","method":"POST","client_port":1,"headers":{"X-A":"1"}}`,
		plugin.HTTPPostRequest:         `{"path":"/mcp","method":"POST","headers":{},"response_headers":{},"status_code":200}`,
		plugin.HTTPAuthResolveUser:     `{"credentials":{"scheme":"Bearer","credentials":"s"},"headers":{}}`,
		plugin.HTTPAuthCheckPermission: `{"user_email":"a@x","permission":"tools.read"}`,
		plugin.ToolPreInvoke:           `{"name":"t","args":{}}`,
	} {
		for mode, want := range map[Mode]string{
			Enforce: "refused: no", EnforceIgnoreError: "refused: no", Concurrent: "refused: no",
			Permissive: "would refuse " + payload, Audit: "would refuse " + payload,
		} {
			back := payload
			if hook == plugin.ToolPreInvoke && mode.mayRefuse() {
				back = `{"name":1}` // which cannot be read
			}
			p := fake(func(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
				return &plugin.Result{ModifiedPayload: json.RawMessage(back), Violation: &plugin.Violation{Description: "no"}}, nil
			})
			req := &Request{}
			out := mustNew(t, nil, Entry{Plugin: p, Mode: mode}).Run(t.Context(), hook, json.RawMessage(payload), req)
			got := describe(out)
			if out.Refusal != nil && out.Refusal.Violation != nil {
				got += ": " + out.Refusal.Violation.Description
			}
			if got != want || req.Global.User != nil {
				t.Errorf("%s, %s: got %s, user %s; want %s", hook, mode, got, req.Global.User, want)
			}
		}
	}
}

// A lenient request waits for no plugin that fails, and still hears verdicts.
func TestLenient(t *testing.T) {
	for want, behaviour := range map[string]plugin.Plugin{
		"failed, ignored {}":  fake(fail),
		"failed, ignored {} ": learned{err: errBoom},
		"refused":             fake(refuse),
	} {
		out := mustNew(t, &Options{FailOnPluginError: true}, Entry{Plugin: behaviour}).Run(t.Context(), plugin.HTTPPreRequest, json.RawMessage(`{}`), &Request{Lenient: true})
		if got := describe(out); got != strings.TrimSpace(want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
