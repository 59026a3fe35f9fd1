package builtin

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// A megabyte made to be slow to search takes no longer than another. No clock
// says so: where each place of such a text costs the rest of it, this test takes
// minutes.
func TestHostileTextsAreSearchedInOnePass(t *testing.T) {
	const size = 1 << 20
	repeat := func(s string) string { return strings.Repeat(s, size/len(s)) }
	var labels strings.Builder
	for i := range size / 32 {
		fmt.Fprintf(&labels, "-----BEGIN %d PRIVATE KEY-----", i)
	}
	texts := map[string]string{
		"colons":                      repeat("a:"),
		"colons and dots":             repeat("a:b."),
		"prefixes of the class":       repeat("AKIA"),
		"prefixes of tokens":          repeat("xoxb-"),
		"beginnings of keys":          repeat("-----BEGIN PRIVATE KEY-----"),
		"beginnings of keys by name":  labels.String(),
		"starts of tokens":            repeat("eyJaaaaaaaaaa."),
		"signs of addresses":          repeat("a@b."),
		"nested JSON":                 strings.Repeat(`[1,"a@b.com",`, 9000) + `"a"` + strings.Repeat("]", 9000),
		"JSON deep down":              strings.Repeat("[", 9000) + repeat(`"a",`) + `"a"` + strings.Repeat("]", 9000),
		"comments without an end":     repeat("/* "),
		"literals without an end":     "UPDATE t SET a = '" + repeat(`\'`),
		"parentheses without an end":  "UPDATE t SET a = " + repeat("("),
		"statements that want an end": repeat("UPDATE a "),
		"one run of letters":          repeat("aB1"),
	}
	for _, k := range benchmarks {
		if k.hook != plugin.ToolPreInvoke && k.hook != plugin.ToolPostInvoke {
			continue
		}
		p := mustPlugin(t, k.kind, k.config)
		for name, text := range texts {
			payload := map[string]any{"name": "t", "args": map[string]string{"text": text}}
			if k.hook == plugin.ToolPostInvoke {
				payload = map[string]any{"name": "t", "result": text}
			}
			if _, err := p.Invoke(t.Context(), k.hook, encode(payload), &plugin.Context{}); err != nil {
				t.Errorf("%s on %s: %v", k.kind, name, err)
			}
		}
	}
}

// The same for arguments that a schema judges.
func TestHostileArgumentsAreJudgedInOnePass(t *testing.T) {
	var members strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&members, `"s%d":1,`, i)
	}
	for name, tt := range map[string]struct{ schema, value string }{
		"unexpected members":     {`{"additionalProperties":false}`, "{" + members.String() + `"x":1}`},
		"a million digits":       {`{"multipleOf":3}`, strings.Repeat("7", 1<<20)},
		"a million digits, enum": {`{"enum":[1,2.5]}`, strings.Repeat("7", 1<<20)},
		"a great exponent":       {`{"multipleOf":0.01}`, "1e999999999"},
		"equal items":            {`{"uniqueItems":true}`, "[" + strings.Repeat(`{"a":[1]},`, 50_000) + "2]"},
		"wrong items":            {`{"items":{"type":"string"}}`, "[" + strings.Repeat("1,", 200_000) + "1]"},
	} {
		p := mustPlugin(t, "schema_guard", `{"arg_schemas":{"t":{"properties":{"x":`+tt.schema+`}}}}`)
		r, err := p.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{"name":"t","args":{"x":`+tt.value+`}}`), &plugin.Context{})
		if err != nil || r.Continue {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// A place that is told of is told briefly.
func TestPlacesInDeepJSONAreShort(t *testing.T) {
	p := mustPlugin(t, "pii_filter", `{}`)
	text := strings.Repeat(`[`, 5000) + `"a@example.com"` + strings.Repeat("]", 5000)
	c := &plugin.Context{}
	if _, err := p.Invoke(t.Context(), plugin.ToolPostInvoke, encode(map[string]any{"name": "t", "result": text}), c); err != nil {
		t.Fatal(err)
	}
	var found struct {
		ToolPostInvoke struct {
			Fields []string `json:"fields"`
		} `json:"tool_post_invoke"`
	}
	if err := json.Unmarshal(c.Metadata["pii_detections"], &found); err != nil {
		t.Fatal(err)
	}
	if want := "result(json)" + strings.Repeat("[0]", 32) + "…"; len(found.ToolPostInvoke.Fields) != 1 || found.ToolPostInvoke.Fields[0] != want {
		t.Errorf("got %q, want %s", found.ToolPostInvoke.Fields, want)
	}
}
