package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// hookCase is one hook as ContextForge's plugin manager calls it. The numbers
// are too large for a double.
type hookCase struct {
	hook     string
	payload  string
	modified string // what has to come back, at least, when the plugin modifies
}

// hookCases are the twelve hooks and a custom one.
func hookCases() []hookCase {
	return []hookCase{
		{"tool_pre_invoke", `{"name":"echo","args":{"n":9007199254740993,"none":null,"deep":{"list":[1,"é"]}},"headers":{"X-Team":"blue"}}`,
			`{"name":"echo","args":{"n":9007199254740993,"none":null,"deep":{"list":[1,"é"]},"added":"changed"},"headers":{"X-Team":"blue"}}`},
		{"tool_post_invoke", `{"name":"echo","result":{"content":[{"type":"text","text":"hi"}],"structuredContent":{"n":9007199254740993},"isError":false}}`,
			`{"name":"echo","result":{"content":[{"type":"text","text":"hi"}],"structuredContent":{"n":9007199254740993},"isError":false,"added":"changed"}}`},
		{"prompt_pre_fetch", `{"prompt_id":"greet","args":{"who":"Bob"}}`,
			`{"prompt_id":"greet","args":{"who":"Bob","added":"changed"}}`},
		{"prompt_post_fetch", `{"prompt_id":"greet","result":{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}]}}`,
			`{"prompt_id":"greet","result":{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"description":"changed"}}`},
		{"resource_pre_fetch", `{"uri":"file:///a.txt","metadata":{"n":9007199254740993}}`,
			`{"uri":"file:///a.txt?changed","metadata":{"n":9007199254740993}}`},
		{"resource_post_fetch", `{"uri":"file:///a.txt","content":{"uri":"file:///a.txt","mimeType":"text/plain","text":"hi"}}`,
			`{"uri":"file:///a.txt","content":{"uri":"file:///a.txt","mimeType":"text/plain","text":"changed"}}`},
		{"http_pre_request", `{"path":"/mcp","method":"POST","client_host":"10.0.0.1","client_port":4711,"headers":{"X-Team":"blue"}}`,
			`{"X-Added":"changed","X-Was":"blue"}`},
		{"http_post_request", `{"path":"/mcp","method":"POST","headers":{"X-Team":"blue"},"response_headers":{"Content-Type":"text/plain"},"status_code":200}`,
			`{"X-Added":"changed","X-Was":"text/plain"}`},
		{"http_auth_resolve_user", `{"credentials":{"scheme":"Bearer","credentials":"alice"},"headers":{"X-Team":"blue"},"client_host":"10.0.0.1"}`,
			`{"email":"alice@example.com","full_name":"Alice","is_admin":false,"is_active":true}`},
		{"http_auth_check_permission", `{"user_email":"alice@example.com","permission":"tools.read","is_admin":false}`,
			`{"granted":true,"reason":"alice@example.com may tools.read"}`},
		{"agent_pre_invoke", `{"agent_id":"a1","messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"tools":["echo"],"parameters":{"n":9007199254740993}}`,
			`{"agent_id":"a1","messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"tools":["echo"],"model":"changed","parameters":{"n":9007199254740993}}`},
		{"agent_post_invoke", `{"agent_id":"a1","messages":[{"role":"assistant","content":{"type":"text","text":"hi"}}]}`,
			`{"agent_id":"a1","messages":[{"role":"assistant","content":{"type":"text","text":"hi"}}],"tool_calls":[{"name":"changed"}]}`},
		{customHook, `{"name":"echo","args":{"n":9007199254740993}}`,
			`{"name":"changed","args":{"n":9007199254740993}}`},
	}
}

// customHook is known to allhooks and to contextforge_client.py alone.
const customHook = "interop_custom"

// hookStep is one call for contextforge_client.py, and what it has to show.
type hookStep struct {
	ID      string          `json:"id"`
	Hook    string          `json:"hook"`
	Payload json.RawMessage `json:"payload"`
	Table   string          `json:"table,omitempty"`  // steps of one table are one request
	Plugin  string          `json:"plugin,omitempty"` // this one alone, not the chain

	want    string // at least this, as JSON
	changes bool   // else no modified payload may come back
}

// behaviours are the steps that show all that a plugin can do on one hook.
func (h hookCase) behaviours() []hookStep {
	step := func(behaviour, want string) hookStep {
		return hookStep{ID: behaviour + "/" + h.hook, Hook: h.hook, Payload: json.RawMessage(h.payload), want: want}
	}
	modify := step("modify", `{"result":{"continue_processing":true,"modified_payload":`+h.modified+`}}`)
	modify.changes = true
	first := step("context", `{"result":{"continue_processing":true},"global_state":{"calls":1},"contexts":[{"state":{"calls":1},"metadata":{"calls":1},
		"global_context":{"request_id":"context/`+h.hook+`","user":"alice@example.com","tenant_id":"blue","server_id":"files","metadata":{"tool":{"n":9007199254740993,"none":null}}}}]}`)
	second := step("context", `{"result":{"continue_processing":true},"contexts":[{"state":{"calls":2},"metadata":{"calls":2}}]}`)
	first.Table, second.Table = h.hook, h.hook
	return []hookStep{
		step("pass", `{"result":{"continue_processing":true,"violation":null,"metadata":{"marked":true}}}`),
		modify,
		step("violation", `{"result":{"continue_processing":false,"violation":{"reason":"Not here","description":"This is refused “on purpose”","code":"ON_PURPOSE",
			"details":{"n":9007199254740993,"list":[1,null]},"mcp_error_code":-32050}},"refused_by":"All"}`),
		step("error", `{"error":{"message":"this plugin fails on purpose","plugin_name":"All","code":"BROKEN","details":{"why":"asked to"},"mcp_error_code":-32042}}`),
		first, second,
	}
}

// hookReport is what contextforge_client.py prints.
type hookReport struct {
	Failure string
	Hooks   []string
	Plugins map[string]json.RawMessage
	Steps   []json.RawMessage
}

// check compares a report with what the steps have to show.
func (r *hookReport) check(steps []hookStep) error {
	if r.Failure != "" {
		return errors.New(r.Failure)
	}
	if len(r.Steps) != len(steps) {
		return fmt.Errorf("%d of %d steps are in the report", len(r.Steps), len(steps))
	}
	var faults []error
	for i, s := range steps {
		err := contains(s.want, r.Steps[i])
		var got struct{ Result map[string]json.RawMessage }
		if err == nil {
			err = json.Unmarshal(r.Steps[i], &got)
		}
		// ContextForge's first line gives the payload back where it is refused.
		if p := got.Result["modified_payload"]; err == nil && !s.changes && len(p) > 0 && string(p) != "null" && !bytes.Contains(got.Result["continue_processing"], []byte("false")) {
			err = fmt.Errorf("a payload has come back: %s", p)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w\n got: %s", strings.TrimSpace(s.Plugin+" "+s.ID), err, clip(r.Steps[i])))
		}
		if len(faults) == enough {
			break
		}
	}
	return errors.Join(faults...)
}

// knowsAll says which of a framework's hooks are not tried here.
func knowsAll(hooks []string) error {
	var missing []string
	for _, hook := range hooks {
		if !slices.ContainsFunc(hookCases(), func(h hookCase) bool { return h.hook == hook }) {
			missing = append(missing, hook)
		}
	}
	if len(missing) > 0 || len(hooks) != len(hookCases())-1 {
		return fmt.Errorf("the framework has %d hooks, and not tried are %q", len(hooks), missing)
	}
	return nil
}
