package server

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// FuzzHookCall reads any arguments of invoke_hook, its context included: what is
// taken for a call has all its parts, and a context goes back as it came.
func FuzzHookCall(f *testing.F) {
	for _, seed := range []string{
		`{"hook_type":"tool_pre_invoke","plugin_name":"P","payload":{"name":"t"},"context":` + testContext + `}`,
		`{"hook_type":"x","plugin_name":"\ud83d","payload":{},"context":{"state":{"a":null},"global_context":{"request_id":"r","user":{"email":"a"},"tenant_id":null,"state":{"b":[1e2]},"metadata":{"m":9007199254740993}},"metadata":{}}}`,
		`{"context":null,"payload":null}`,
		`{"hook_type":"x","plugin_name":"P","payload":{},"context":{"global_context":{"request_id":""}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, arguments []byte) {
		if wire.Check(arguments) != nil {
			return // does not get this far
		}
		call, err := readHookCall(arguments)
		if err != nil {
			return
		}
		if wire.Kind(call.payload) != '{' || wire.Kind(call.context) != '{' {
			t.Fatalf("a call without a part: %+v", call)
		}
		c, err := readContext(call.context)
		if err != nil {
			return
		}
		if c.GlobalContext.RequestID == "" || c.State == nil || c.Metadata == nil || c.GlobalContext.State == nil {
			t.Fatalf("a context without a part: %+v", c)
		}
		text, err := appendVerdict([]byte(`{"plugin_name":"P"`), plugin.Continue(), c)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, '}')
		if err := wire.Check(text); err != nil {
			t.Fatalf("the answer is no JSON: %v: %s", err, text)
		}
		back := wire.Member(text, "context")
		if (back == nil) != (len(c.State)+len(c.Metadata)+len(c.GlobalContext.State) == 0) {
			t.Fatalf("context of %s: %s", call.context, back)
		}
		if back == nil {
			return
		}
		again, err := readContext(back)
		if err != nil {
			t.Fatalf("our own context cannot be read: %v: %s", err, back)
		}
		for _, o := range [][2]plugin.Object{{c.State, again.State}, {c.Metadata, again.Metadata}, {c.GlobalContext.State, again.GlobalContext.State}} {
			sameObject(t, o[0], o[1])
		}
		for i := range c.global {
			if !bytes.Equal(c.global[i], again.global[i]) {
				t.Fatalf("%s came as %s and goes back as %s", globalNames[i], c.global[i], again.global[i])
			}
		}
	})
}

func sameObject(t *testing.T, want, got plugin.Object) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%v is %v", want, got)
	}
	for name, raw := range want {
		if !bytes.Equal(raw, got[name]) {
			t.Fatalf("%q came as %s and goes back as %s", name, raw, got[name])
		}
	}
}

// FuzzHookPayload reads any payload as that of each hook: one that an author's
// method gets goes back to the byte when the method changes nothing.
func FuzzHookPayload(f *testing.F) {
	for _, c := range hookCases {
		f.Add([]byte(c.payload))
		f.Add([]byte(c.shortest))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if wire.Check(payload) != nil {
			return
		}
		for _, p := range []interface {
			json.Unmarshaler
			json.Marshaler
		}{
			&plugin.ToolPre{}, &plugin.ToolPost{}, &plugin.PromptPre{}, &plugin.PromptPost{}, &plugin.ResourcePre{}, &plugin.ResourcePost{},
			&plugin.HTTPPre{}, &plugin.HTTPPost{}, &plugin.ResolveUser{}, &plugin.CheckPermission{}, &plugin.AgentPre{}, &plugin.AgentPost{},
		} {
			if p.UnmarshalJSON(payload) != nil {
				continue
			}
			r, err := plugin.Modified(p)
			if err != nil || !bytes.Equal(bytes.TrimSpace(r.ModifiedPayload), bytes.TrimSpace(payload)) {
				t.Fatalf("%T: %s became %s, %v", p, payload, r.ModifiedPayload, err)
			}
		}
	})
}
