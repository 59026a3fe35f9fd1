package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"hash/maphash"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// FuzzResult has a plugin answer anything on every hook: the request is refused,
// or goes on with a payload that is JSON, has what it must have, and still has
// the headers that the plugin was not shown.
func FuzzResult(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"name":"u","args":{"a":1},"headers":{"authorization":"mine","X-New":"1"}}`, `{"n":9007199254740993}`},
		{`{"name":"t","headers":null}`, `{}`},
		{`{"agent_id":"a","messages":[],"headers":{}}`, `null`},
		{`{"x-new":"1","Authorization":"mine"}`, `[]`},
		{`{"granted":true,"email":"a@b"}`, ``},
		{`{"uri":"u","content":{"mime_type":"a","meta":null}}`, `{"a":1,"a":2}`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	given := map[plugin.Hook]string{
		plugin.ToolPreInvoke:           `{"name":"t","args":{"a":1.0},"headers":{"Authorization":"Bearer x","X-A":"1"}}`,
		plugin.AgentPreInvoke:          `{"agent_id":"a","messages":[],"headers":{"X-A":"1","Authorization":"Bearer x"}}`,
		plugin.HTTPPreRequest:          `{"path":"/","method":"GET","headers":{"Authorization":"Bearer x","X-A":"1"}}`,
		plugin.HTTPPostRequest:         `{"path":"/","method":"GET","headers":{"Authorization":"Bearer x"},"response_headers":{"X-A":"1"}}`,
		plugin.HTTPAuthResolveUser:     `{"headers":{"Authorization":"Bearer x"}}`,
		plugin.HTTPAuthCheckPermission: `{"user_email":"a","permission":"p"}`,
		plugin.PromptPostFetch:         `{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"text","text":"a"}}]}}`,
		plugin.ResourcePostFetch:       `{"uri":"u","content":{"mimeType":"a","text":"b"}}`,
		"custom":                       `{"a":1.0}`,
	}
	f.Fuzz(func(t *testing.T, modified, metadata []byte) {
		p, err := New([]Entry{{Name: "P", Plugin: answering(func() *plugin.Result {
			return &plugin.Result{Continue: true, ModifiedPayload: bytes.Clone(modified), Metadata: bytes.Clone(metadata)}
		})}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for hook, payload := range given {
			out := p.Run(t.Context(), hook, json.RawMessage(payload), &Request{})
			if out.Refusal != nil {
				continue
			}
			n, err := parse(out.Payload, maphash.MakeSeed())
			if err != nil {
				t.Fatalf("%s: the payload is no JSON: %v: %s", hook, err, out.Payload)
			}
			was, _ := parse([]byte(payload), maphash.MakeSeed())
			for _, name := range []string{"name", "agent_id", "prompt_id", "uri", "path", "method"} {
				if was.get(name) != nil && (n.get(name) == nil || n.get(name).kind != kindString) {
					t.Fatalf("%s: there is no %s: %s", hook, name, out.Payload)
				}
			}
			if bytes.Contains([]byte(payload), []byte("Bearer x")) {
				if h := n.get("headers").get("Authorization"); h == nil || string(h.raw) != `"Bearer x"` {
					t.Fatalf("%s: what was withheld is gone: %s", hook, out.Payload)
				}
			}
			if _, err := json.Marshal(out.Metadata); err != nil {
				t.Fatalf("%s: metadata %v: %v", hook, out.Metadata, err)
			}
			if out.Answer != nil && !json.Valid(out.Answer) {
				t.Fatalf("%s: the answer is no JSON: %s", hook, out.Answer)
			}
		}
	})
}

// answering is a plugin of all hooks, and a custom one, with one answer.
type answering func() *plugin.Result

func (answering) Hooks() []plugin.Hook { return append(plugin.Hooks(), "custom") }

func (a answering) Invoke(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
	return a(), nil
}
