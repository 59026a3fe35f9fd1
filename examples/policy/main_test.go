package main

import (
	"encoding/json"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/plugintest"
)

const rules = `{"rules": [
	{"users": ["*@example.com"], "tools": ["read_*", "list"]},
	{"users": ["root"], "tools": ["*"]}
]}`

func newTest(t *testing.T) (plugin.Plugin, error) {
	t.Helper()
	return newPolicy(plugintest.Config(t, rules))
}

func TestWhoMayCallWhat(t *testing.T) {
	p, err := newTest(t)
	if err != nil {
		t.Fatal(err)
	}
	r := plugintest.Start(t, p)
	for _, tt := range []struct {
		user, tool, original string
		want                 bool
	}{
		{`"ada@example.com"`, "read_file", "", true},
		{`{"email": "ada@example.com"}`, "list", "", true},
		{`"ada@example.com"`, "delete", "", false},
		{`"ada@example.org"`, "list", "", false},
		{`"root"`, "delete", "", true},
		{``, "list", "", false}, // anonymous
		{`"ada@example.com"`, "files__list", "list", true},
		{`"ada@example.com"`, "read_files__delete", "delete", false},
	} {
		c := &plugin.Context{GlobalContext: plugin.GlobalContext{User: json.RawMessage(tt.user)}}
		if tt.original != "" {
			if err := c.GlobalContext.Metadata.Set("original_name", tt.original); err != nil {
				t.Fatal(err)
			}
		}
		got, err := r.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{"name": "`+tt.tool+`"}`), c)
		if err != nil {
			t.Fatal(err)
		}
		if got.Continue != tt.want {
			t.Errorf("%s calls %s: got %v, want %v", tt.user, tt.tool, got.Continue, tt.want)
		}
	}
}

func TestConfiguration(t *testing.T) {
	for raw, want := range map[string]string{
		`{}`: "rules: there is none, so nobody could call anything",
		`{"rules": [{"users": ["*"], "tools": ["a", "["]}]}`: "rules[0].tools[1]: not a pattern",
		`{"rules": [{"user": ["*"]}]}`:                       `rules: unknown field "user"`,
	} {
		_, err := newPolicy(plugintest.Config(t, raw))
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", raw, err, want)
		}
	}
}

func TestConformance(t *testing.T) {
	plugintest.Test(t, func() (plugin.Plugin, error) { return newTest(t) }, nil)
}
