package main

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/plugintest"
)

func TestHelloGreets(t *testing.T) {
	p, err := newHello(plugin.Config{Raw: json.RawMessage(`{"greeting": "Hi"}`)})
	if err != nil {
		t.Fatal(err)
	}
	for payload, want := range map[string]string{
		`{"name": "greet", "args": {"name": "Ada", "id": 9007199254740993}}`: `{"name": "greet", "args": {"name": "Hi, Ada", "id": 9007199254740993}}`,
		`{"name": "greet"}`: "", // refused
	} {
		r, err := p.Invoke(context.Background(), plugin.ToolPreInvoke, json.RawMessage(payload), &plugin.Context{})
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
		return newHello(plugin.Config{Raw: json.RawMessage(`{}`)})
	})
}
