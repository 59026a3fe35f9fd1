package main

import (
	"encoding/json"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/conformance"
	"github.com/sallyport-mcp/sallyport/plugin/plugintest"
)

func newTest(t *testing.T) (plugin.Plugin, error) {
	t.Helper()
	return newRedactor(plugintest.Config(t, `{"placeholder": "mail"}`))
}

func TestAddressesComeBack(t *testing.T) {
	p, err := newTest(t)
	if err != nil {
		t.Fatal(err)
	}
	r := plugintest.Start(t, p)  // behind mutual TLS, until the test ends
	request := &plugin.Context{} // goes from hook to hook, as in a gateway
	for _, step := range []struct {
		hook       plugin.Hook
		sent, want string
	}{
		{plugin.ToolPreInvoke, `{"name": "mail", "args": {"to": "ada@example.com", "cc": ["bob@example.com", "ada"], "id": 9007199254740993}}`,
			`{"name": "mail", "args": {"to": "<mail 1>", "cc": ["<mail 2>", "ada"], "id": 9007199254740993}}`},
		{plugin.ToolPostInvoke, `{"name": "mail", "result": {"content": [{"type": "text", "text": "sent to <mail 1> and <mail 2>"}]}}`,
			`{"name": "mail", "result": {"content": [{"type": "text", "text": "sent to ada@example.com and bob@example.com"}]}}`},
	} {
		got, err := r.Invoke(t.Context(), step.hook, json.RawMessage(step.sent), request)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.ModifiedPayload) != step.want {
			t.Errorf("%s: got %s, want %s", step.hook, got.ModifiedPayload, step.want)
		}
	}
}

func TestAnotherRequestSeesNothing(t *testing.T) {
	p, err := newTest(t)
	if err != nil {
		t.Fatal(err)
	}
	r := plugintest.Start(t, p)
	if _, err := r.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{"name": "t", "args": {"to": "ada@example.com"}}`), nil); err != nil {
		t.Fatal(err)
	}
	got, err := r.Invoke(t.Context(), plugin.ToolPostInvoke, json.RawMessage(`{"name": "t", "result": "<mail 1>"}`), nil)
	if err != nil || !got.Continue || got.ModifiedPayload != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestConfiguration(t *testing.T) {
	for raw, want := range map[string]string{
		`{"placeholder": ""}`: "placeholder: empty",
		`{"placholder": "x"}`: "placholder: unknown key",
	} {
		if _, err := newRedactor(plugintest.Config(t, raw)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", raw, err, want)
		}
	}
}

func TestConformance(t *testing.T) {
	plugintest.Test(t, func() (plugin.Plugin, error) { return newTest(t) }, &conformance.Options{
		Payloads: map[plugin.Hook]string{plugin.ToolPreInvoke: `{"name": "mail", "args": {"to": "ada@example.com"}}`},
	})
}
