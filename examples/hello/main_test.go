package main

import (
	"encoding/json"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/plugintest"
)

func TestHelloGreets(t *testing.T) {
	p, err := newHello(plugintest.Config(t, `{"greeting": "Hi"}`))
	if err != nil {
		t.Fatal(err)
	}
	for payload, want := range map[string]string{
		`{"name": "write", "args": {"text": "Ada", "id": 9007199254740993}}`: `{"name": "write", "args": {"text": "Hi, Ada", "id": 9007199254740993}}`,
		`{"name": "write", "args": {"TEXT": "Ada"}}`:                         "", // refused
		`{"name": "write"}`: "",
	} {
		r, err := p.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &plugin.Context{})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(r.ModifiedPayload); got != want || r.Continue != (want != "") {
			t.Errorf("%s: got %v %s, want %s", payload, r.Continue, got, want)
		}
	}
}

func TestConformance(t *testing.T) {
	plugintest.Test(t, func() (plugin.Plugin, error) {
		return newHello(plugintest.Config(t, ""))
	}, nil)
}
