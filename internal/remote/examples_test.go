package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// example is one recorded call: what ContextForge's gateway sends, and what its
// plugin server answers.
type example struct {
	Case    string
	Request struct {
		Arguments struct {
			Hook    plugin.Hook     `json:"hook_type"`
			Plugin  string          `json:"plugin_name"`
			Payload json.RawMessage `json:"payload"`
			Context json.RawMessage `json:"context"`
		}
	}
	Texts   []json.RawMessage `json:"response_text"`
	IsError bool              `json:"is_error"`
}

func examples(t *testing.T) []example {
	t.Helper()
	text, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []example }
	if err := json.Unmarshal(text, &file); err != nil || len(file.Cases) != 24 {
		t.Fatalf("%d examples, %v", len(file.Cases), err)
	}
	return file.Cases
}

// otherExamples are the same four behaviours on the other six hooks, by the
// protocol.
func otherExamples() []example {
	payloads := map[plugin.Hook][2]string{ // payload, modified payload
		plugin.HTTPPreRequest:          {`{"path":"/mcp","method":"POST","client_host":"h","client_port":9,"headers":{"a":"b"}}`, `{"a":"c"}`},
		plugin.HTTPPostRequest:         {`{"path":"/mcp","method":"POST","headers":{"a":"b"},"response_headers":{"r":"s"},"status_code":200}`, `{"r":"t"}`},
		plugin.HTTPAuthResolveUser:     {`{"credentials":{"scheme":"Bearer","credentials":"x"},"headers":{"a":"b"}}`, `{"email":"a@b","full_name":null,"is_admin":false,"is_active":true}`},
		plugin.HTTPAuthCheckPermission: {`{"user_email":"a@b","permission":"tools.invoke","is_admin":false}`, `{"granted":true,"reason":null}`},
		plugin.AgentPreInvoke: {`{"agent_id":"a","messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"parameters":{"n":9007199254740993,"z":null}}`,
			`{"agent_id":"a","messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"tools":null,"headers":null,"model":null,"system_prompt":null,"parameters":{"n":9007199254740993,"z":null}}`},
		plugin.AgentPostInvoke: {`{"agent_id":"a","messages":[],"tool_calls":[{"n":1.50}]}`, `{"agent_id":"a","messages":[],"tool_calls":[{"n":1.50}]}`},
	}
	const violation = `{"reason":"Denied","description":"because","code":"DENY","details":{"k":[1,null]},"mcp_error_code":-32001,"http_status_code":429,"http_headers":{"Retry-After":"1"}}`
	var all []example
	for hook, p := range payloads {
		name := string(hook)
		for behaviour, answer := range map[string]string{
			"echo":  `"result":{"continue_processing":true,"modified_payload":` + p[1] + `,"violation":null,"metadata":{"meta":"` + name + `"},"http_headers":{"x-h":"1"},"retry_delay_ms":250,"executions":null,"denial_metadata":{}}`,
			"none":  `"result":{"continue_processing":true,"modified_payload":null,"violation":null,"metadata":{}}`,
			"block": `"result":{"continue_processing":false,"modified_payload":null,"violation":` + violation + `,"metadata":null}`,
			"boom":  `"error":{"message":"ValueError('boom ` + name + `')","plugin_name":"All_boom","code":"","details":{},"mcp_error_code":-32603}`,
		} {
			var e example
			e.Case = behaviour + "/" + name
			e.Request.Arguments.Hook, e.Request.Arguments.Plugin = hook, "All_"+behaviour
			e.Request.Arguments.Payload = json.RawMessage(p[0])
			e.Request.Arguments.Context = json.RawMessage(`{"state":{},"global_context":{"request_id":"req-1","user":"alice","server_id":"srv","state":{"s":1,"n":null},"metadata":{"m":1}},"metadata":{}}`)
			text := `{"plugin_name":"All_` + behaviour + `",` + answer + `}`
			if behaviour != "boom" {
				text = strings.TrimSuffix(text, "}") + `,"context":{"state":{"seen_` + name + `":1},"global_context":{"request_id":"req-1","user":"alice","tenant_id":null,"server_id":"srv","state":{"s":1,"n":null,"last":"` + name + `"},"metadata":{"m":1}},"metadata":{"pm":"` + name + `"}}}`
			}
			e.Texts = []json.RawMessage{json.RawMessage(text)}
			all = append(all, e)
		}
	}
	return all
}

// TestExamplesAsGateway sends what ContextForge's gateway sent and reads what
// its server answered, in either era.
func TestExamplesAsGateway(t *testing.T) {
	for _, e := range append(examples(t), otherExamples()...) {
		t.Run(e.Case, func(t *testing.T) {
			var sent json.RawMessage
			f := fake{
				config: `{"name":"` + e.Request.Arguments.Plugin + `"}`,
				invoke: func(arguments json.RawMessage) string {
					sent = bytes.Clone(arguments)
					return string(e.Texts[0])
				},
			}
			modern := &f
			replayExample(t, client(t, serve(t, modern).URL, named(e)), e, &sent)
			replayExample(t, client(t, serve(t, &python{fake: fake{config: f.config, invoke: f.invoke}}).URL, named(e)), e, &sent)
		})
	}
}

func named(e example) func(*Config, *Options) {
	return func(c *Config, _ *Options) { c.Name = e.Request.Arguments.Plugin }
}

func replayExample(t *testing.T, p *Plugin, e example, sent *json.RawMessage) {
	t.Helper()
	in := e.Request.Arguments
	var c plugin.Context
	if err := json.Unmarshal(in.Context, &c); err != nil {
		t.Fatal(err)
	}
	got, err := p.Invoke(t.Context(), in.Hook, in.Payload, &c)

	// What was sent.
	if hook, _ := wire.String(wire.Member(*sent, "hook_type")); hook != string(in.Hook) {
		t.Errorf("hook_type is %q", hook)
	}
	equal(t, "the payload that was sent", wire.Member(*sent, "payload"), in.Payload)
	equal(t, "the context that was sent", wire.Member(*sent, "context"), in.Context)

	// What was read.
	want := e.Texts[0]
	if failure := wire.Member(want, "error"); failure != nil {
		fault, ok := errors.AsType[*plugin.Error](err)
		if !ok {
			t.Fatalf("got %v", err)
		}
		raw, _ := json.Marshal(fault)
		equal(t, "the error", raw, failure)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	result := wire.Member(want, "result")
	for _, later := range []string{"executions", "denial_metadata"} {
		result = wire.SetMember(nil, result, later, nil)
	}
	equal(t, "the result", raw, result)
	context := wire.Member(want, "context")
	equal(t, "the state", object(c.State), wire.Member(context, "state"))
	equal(t, "the metadata", object(c.Metadata), wire.Member(context, "metadata"))
	equal(t, "the global state", object(c.GlobalContext.State), wire.Member(wire.Member(context, "global_context"), "state"))
	// Read-only, whatever a plugin says.
	equal(t, "the global metadata", object(c.GlobalContext.Metadata), wire.Member(wire.Member(in.Context, "global_context"), "metadata"))
}

func object(o plugin.Object) json.RawMessage {
	raw, _ := json.Marshal(o)
	return raw
}

// equal compares meanings: a null or {} at the top is absence.
func equal(t *testing.T, what string, got, want json.RawMessage) {
	t.Helper()
	if diff := cmp.Diff(meaning(t, want), meaning(t, got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

func meaning(t *testing.T, raw json.RawMessage) map[string]any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	for name, value := range m {
		if inner, ok := value.(map[string]any); value == nil || ok && len(inner) == 0 {
			delete(m, name)
		}
	}
	return m
}
