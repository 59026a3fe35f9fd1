package server

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// behaviour is one of the four that the recorded plugins have: echo, none, block
// and boom. It answers on all hooks.
type behaviour string

func (behaviour) Hooks() []plugin.Hook { return plugin.Hooks() }

func (b behaviour) Invoke(_ context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	if b == "boom" {
		return nil, &plugin.Error{Message: "ValueError('boom " + string(hook) + "')"}
	}
	for _, change := range []struct {
		object *plugin.Object
		key    string
		value  any
	}{
		{&c.State, "seen_" + string(hook), 1}, {&c.Metadata, "pm", hook}, {&c.GlobalContext.State, "last", hook},
		{&c.GlobalContext.Metadata, "md", hook}, // which no server of ours carries on
	} {
		if err := change.object.Set(change.key, change.value); err != nil {
			return nil, err
		}
	}
	r := plugin.Continue()
	if b == "none" {
		return r, nil
	}
	r.ModifiedPayload = answerOf(hook, payload)
	if b == "echo" {
		r.Metadata = json.RawMessage(`{"meta":"` + string(hook) + `"}`)
		return r, nil
	}
	code := -32001
	r.Continue = false
	r.Violation = &plugin.Violation{Reason: "Denied", Description: "because", Code: "DENY", Details: json.RawMessage(`{"k":[1,null]}`), MCPCode: &code}
	return r, nil
}

// answerOf is the payload itself, or what the hook answers with instead.
func answerOf(hook plugin.Hook, payload json.RawMessage) json.RawMessage {
	others := map[plugin.Hook]json.RawMessage{
		plugin.HTTPPreRequest:          json.RawMessage(`{"a":"c"}`),
		plugin.HTTPPostRequest:         json.RawMessage(`{"r":"t"}`),
		plugin.HTTPAuthResolveUser:     json.RawMessage(`{"email":"a@b","is_admin":false,"is_active":true}`),
		plugin.HTTPAuthCheckPermission: json.RawMessage(`{"granted":true,"reason":"r"}`),
	}
	if other, ok := others[hook]; ok {
		return other
	}
	return bytes.Clone(payload)
}

// example is one recorded call: see internal/remote.
type example struct {
	Case    string
	Request struct {
		Name      string
		Arguments json.RawMessage
	}
	Texts   []json.RawMessage `json:"response_text"`
	IsError bool              `json:"is_error"`
}

func serveBehaviours(t *testing.T) string {
	t.Helper()
	var entries []Entry
	for _, b := range []behaviour{"echo", "none", "block", "boom"} {
		entries = append(entries, Entry{Name: "All_" + string(b), Plugin: b})
	}
	return start(t, nil, entries...)
}

// TestExamplesAsServer answers what ContextForge's gateway sent as its server
// did, in the terms of the protocol: nulls are absence, aliases are equal, and
// what a plugin does to global metadata stays with it.
func TestExamplesAsServer(t *testing.T) {
	text, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []example }
	if err := json.Unmarshal(text, &file); err != nil || len(file.Cases) != 24 {
		t.Fatalf("%d examples, %v", len(file.Cases), err)
	}
	base := serveBehaviours(t)
	for _, e := range file.Cases {
		t.Run(e.Case, func(t *testing.T) {
			got := callTool(t, base, e.Request.Name, e.Request.Arguments, e.IsError)
			want := e.Texts[0]
			sent := wire.Member(wire.Member(wire.Member(e.Request.Arguments, "context"), "global_context"), "metadata")
			if context := wire.Member(want, "context"); context != nil {
				global := wire.SetMember(nil, wire.Member(context, "global_context"), "metadata", sent)
				want = wire.SetMember(nil, want, "context", wire.SetMember(nil, context, "global_context", global))
			}
			if diff := cmp.Diff(meaning(t, want), meaning(t, got)); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTheOtherHooksAsServer is the same for the hooks of which nothing was
// recorded.
func TestTheOtherHooksAsServer(t *testing.T) {
	base := serveBehaviours(t)
	for hook, payload := range map[plugin.Hook]string{
		plugin.HTTPPreRequest:          `{"path":"/mcp","method":"POST","client_host":"h","client_port":9,"headers":{"a":"b"}}`,
		plugin.HTTPPostRequest:         `{"path":"/mcp","method":"POST","headers":{"a":"b"},"response_headers":{"r":"s"},"status_code":200}`,
		plugin.HTTPAuthResolveUser:     `{"credentials":{"scheme":"Bearer","credentials":"x"},"headers":{"a":"b"}}`,
		plugin.HTTPAuthCheckPermission: `{"user_email":"a@b","permission":"tools.invoke","is_admin":false}`,
		plugin.AgentPreInvoke:          `{"agent_id":"a","messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"parameters":{"n":9007199254740993,"z":null}}`,
		plugin.AgentPostInvoke:         `{"agent_id":"a","messages":[],"tool_calls":[{"n":1.50}]}`,
	} {
		for b, want := range map[string]string{
			"echo":  `"result":{"continue_processing":true,"modified_payload":` + string(answerOf(hook, json.RawMessage(payload))) + `,"metadata":{"meta":"HOOK"}}`,
			"none":  `"result":{"continue_processing":true}`,
			"block": `"result":{"continue_processing":false,"modified_payload":` + string(answerOf(hook, json.RawMessage(payload))) + `,"violation":{"reason":"Denied","description":"because","code":"DENY","details":{"k":[1,null]},"mcp_error_code":-32001}}`,
			"boom":  `"error":{"message":"ValueError('boom HOOK')","plugin_name":"All_boom","code":"","details":{},"mcp_error_code":-32603}`,
		} {
			t.Run(b+"/"+string(hook), func(t *testing.T) {
				const context = `{"state":{},"global_context":{"request_id":"req-1","user":{"email":"a@b"},"state":{"s":1,"n":null},"metadata":{"m":9007199254740993}},"metadata":{}}`
				arguments := `{"hook_type":"` + string(hook) + `","plugin_name":"All_` + b + `","payload":` + payload + `,"context":` + context + `}`
				got := callTool(t, base, "invoke_hook", json.RawMessage(arguments), false)
				want := `{"plugin_name":"All_` + b + `",` + want + `}`
				if b != "boom" {
					want = strings.TrimSuffix(want, "}") + `,"context":{"state":{"seen_HOOK":1},"global_context":{"request_id":"req-1","user":{"email":"a@b"},"state":{"s":1,"n":null,"last":"HOOK"},"metadata":{"m":9007199254740993}},"metadata":{"pm":"HOOK"}}}`
				}
				want = strings.ReplaceAll(want, "HOOK", string(hook))
				if diff := cmp.Diff(meaning(t, json.RawMessage(want)), meaning(t, got)); diff != "" {
					t.Errorf("differs (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// callTool makes one tools/call and returns its text.
func callTool(t *testing.T, base, tool string, arguments json.RawMessage, wantError bool) json.RawMessage {
	t.Helper()
	text, isError := toolText(t, post(t, base, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":`+string(arguments)+`}}`))
	if isError != wantError {
		t.Errorf("isError is %v: %s", isError, text)
	}
	return json.RawMessage(text)
}

// meaning decodes an answer up to what the protocol calls equal: a null of a
// model is absence, and mime_type and meta are mimeType and _meta. Nulls in
// free-form objects stay.
func meaning(t *testing.T, raw json.RawMessage) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return model(v, "")
}

// model applies that to one object; name is the member that holds it.
func model(v any, name string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = model(v[i], name)
		}
	case map[string]any:
		if slices.Contains([]string{"args", "parameters", "state", "details", "tool_calls", "metadata"}, name) {
			return v
		}
		for from, to := range map[string]string{"mime_type": "mimeType", "meta": "_meta"} {
			if value, ok := v[from]; ok {
				v[to] = value
				delete(v, from)
			}
		}
		for key, value := range v {
			value = model(value, key)
			if inner, ok := value.(map[string]any); value == nil || ok && len(inner) == 0 && key == "metadata" {
				delete(v, key)
				continue
			}
			v[key] = value
		}
	}
	return v
}
