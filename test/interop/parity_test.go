package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// documentedRows gives the first cell of each row of a section's tables.
func documentedRows(t *testing.T, heading string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/compatibility.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string]bool{}
	for line := range strings.Lines(section) {
		if cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok && strings.HasPrefix(line, "| ") && cell != "| ContextForge" {
			rows[cell] = true
		}
	}
	return rows
}

// unseen are rows that no comparison of answers can show, or none that ends or
// is of a size to be kept.
var unseen = map[string]string{
	"search_replace":      "when nothing was found, what was not changed, a pattern that takes too long, a pattern of more than 131072 characters",
	"rate_limiter":        "memory, `redis_*`, `fail_mode`",
	"resource_filter":     "when nothing was changed after the fetch",
	"schema_guard":        "messages",
	"output_length_guard": "several texts, `min_tokens`, `max_tokens`, `chars_per_token`, `word_boundary`, `max_text_length`, `max_structure_size`, `max_recursion_depth`",
	"header_filter":       "headers that cannot be read, what is left",
	"pii_filter":          "tokens, the log, when nothing was found, `max_text_bytes`, `max_nested_depth`, `max_collection_items`",
}

// Each listed difference must have its reason in the documentation, and each
// reason there an input that shows the difference.
func TestListedDifferencesAreDocumented(t *testing.T) {
	sets, err := paritySets()
	if err != nil {
		t.Fatal(err)
	}
	common, inputs := documentedRows(t, "All native plugins"), 0
	for _, set := range sets {
		rows, seen := documentedRows(t, set.Plugin), map[string]bool{}
		check := func(where int, names ...string) {
			for _, name := range names {
				if name != "" && !rows[name] && !common[name] {
					t.Errorf("%s.yaml:%d: docs/compatibility.md has no row %q", set.Plugin, where, name)
				}
				seen[name] = true
			}
		}
		for _, g := range set.Groups {
			inputs += max(1, len(g.Calls)) // a configuration that is refused is one, too
			check(g.Config.Line, g.Differs, g.Newest)
			for _, c := range g.Calls {
				check(c.line, c.differs, c.newest)
				if (c.differs == "") != (len(c.ours) == 0) {
					t.Errorf("%s.yaml:%d: a difference needs a row and what ours says", set.Plugin, c.line)
				}
			}
		}
		for row := range rows {
			if !seen[row] && !strings.Contains(unseen[set.Plugin], row) {
				t.Errorf("%s: no input shows %q of docs/compatibility.md", set.Plugin, row)
			}
		}
	}
	if len(sets) != 10 || inputs < 450 {
		t.Errorf("%d inputs to %d plugins", inputs, len(sets))
	}
}

func TestOutcomesAreComparedByMeaning(t *testing.T) {
	const in = `{"name":"t","args":{"a":1},"headers":null}`
	tests := []struct{ name, hook, payload, ours, theirs, want string }{
		{"a payload that repeats what was sent", "tool_pre_invoke", in, `{"result":{"continue_processing":true}}`,
			`{"result":{"continue_processing":true,"modified_payload":{"args":{"a":1.0},"name":"t"},"violation":null,"metadata":{}}}`, `{}`},
		{"another payload", "tool_pre_invoke", in, `{"result":{"continue_processing":true,"modified_payload":{"name":"t","args":{"a":9007199254740993}}}}`,
			`{"result":{"continue_processing":true,"modified_payload":{"name":"t","args":{"a":9007199254740992}}}}`, `{payload: {"args":{"a":9007199254740993},"name":"t"}}`},
		{"null among arguments is a value", "tool_pre_invoke", `{"args":{"a":null}}`, `{"result":{"continue_processing":true}}`,
			`{"result":{"continue_processing":true,"modified_payload":{"args":{}}}}`, `{payload: {"args":{"a":null}}}`},
		{"the spelling of models", "prompt_post_fetch", `{"result":{"messages":[{"content":{"mimeType":"x","_meta":{"a":1}}}]}}`, `{"result":{"continue_processing":true}}`,
			`{"result":{"continue_processing":true,"modified_payload":{"result":{"description":null,"messages":[{"content":{"mime_type":"x","meta":{"a":1},"annotations":null}}]}}}}`, `{}`},
		{"a refusal", "tool_pre_invoke", in, `{"result":{"continue_processing":false,"violation":{"reason":"r","description":"d","code":"C","details":{"types":["a","b"],"reset_in":59}}}}`,
			`{"result":{"continue_processing":false,"modified_payload":{},"violation":{"reason":"r","description":"d","code":"C","details":{"types":["b","a"],"reset_in":60},"mcp_error_code":null}}}`, `{}`},
		{"another code", "tool_pre_invoke", in, `{"result":{"continue_processing":false,"violation":{"code":"C"}}}`,
			`{"result":{"continue_processing":false,"violation":{"code":"D"}}}`, `{violation: {"code":"C"}}`},
		{"another window", "tool_pre_invoke", in, `{"result":{"continue_processing":true,"metadata":{"reset_in":60}}}`,
			`{"result":{"continue_processing":true,"metadata":{"reset_in":1}}}`, `{metadata: {"reset_in":60}}`},
		{"tokens", "tool_pre_invoke", in, `{"result":{"continue_processing":true,"metadata":{"t":"[TOKEN:00112233]"}}}`,
			`{"result":{"continue_processing":true,"metadata":{"t":"[TOKEN:44556677]"}}}`, `{}`},
		{"an error", "tool_pre_invoke", in, `{"error":{"message":"a"}}`, `{"error":{"message":"b"}}`, `{}`},
		{"an error of one", "tool_pre_invoke", in, `{"error":{"message":"a"}}`, `{"result":{"continue_processing":true}}`, `{continue: null, error: true, payload: null}`},
		{"state", "tool_pre_invoke", in, `{"result":{"continue_processing":true},"context":{"state":{"a":1},"metadata":{},"global_context":{"state":{}}}}`,
			`{"result":{"continue_processing":true}}`, `{state: {"a":1}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &parityCall{hook: tt.hook, payload: json.RawMessage(tt.payload), context: json.RawMessage(`{"state":{},"metadata":{},"global_context":{"state":{}}}`)}
			var sides [2]outcome
			for i, text := range []string{tt.ours, tt.theirs} {
				var err error
				if sides[i], _, err = outcomeOf(c, c.context, json.RawMessage(text)); err != nil {
					t.Fatal(err)
				}
			}
			differing := sides[0].against(sides[1])
			if diff := cmp.Diff(tt.want, flow(differing)); diff != "" {
				t.Error(diff)
			}
			judged(t, c, sides, differing)
		})
	}
}

// judged tries what a list of differences can say of these outcomes.
func judged(t *testing.T, c *parityCall, sides [2]outcome, differing map[string]json.RawMessage) {
	t.Helper()
	verdict := func(differs string, ours map[string]json.RawMessage) string {
		c.differs, c.ours = differs, ours
		meant, err := c.judge(sides[0], sides[1])
		switch {
		case err != nil:
			return "a fault"
		case meant:
			return "listed"
		}
		return "the same"
	}
	less, other := map[string]json.RawMessage{}, map[string]json.RawMessage{"metadata": json.RawMessage(`"other"`)}
	want := []string{"a fault", "listed", "a fault", "a fault"}
	if len(differing) == 0 {
		want = []string{"the same", "a fault", "a fault", "a fault"}
	}
	got := []string{verdict("", nil), verdict("a row", differing), verdict("a row", less), verdict("a row", other)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestStartsAreCompared(t *testing.T) {
	for _, tt := range []struct {
		g                  parityGroup
		line, ours, theirs string
		meant, done, fault bool
	}{
		{parityGroup{}, seed, "", "", false, false, false},
		{parityGroup{}, seed, "no", "", false, true, true},
		{parityGroup{Refused: "both"}, seed, "no", "no", false, true, false},
		{parityGroup{Refused: "both"}, seed, "no", "", false, true, true},
		{parityGroup{Refused: "ours"}, seed, "no", "", true, true, false},
		{parityGroup{Refused: "ours"}, seed, "no", "no", false, true, true},
		{parityGroup{Refused: "ours"}, newest, "no", "no", false, true, false},
		{parityGroup{Refused: "reference"}, newest, "", "", false, false, false},
		{parityGroup{}, newest, "", "no", false, true, true},
		{parityGroup{Newest: "row"}, newest, "", "no", true, true, false},
		{parityGroup{Newest: "row"}, newest, "", "", false, true, true},
	} {
		v, done := tt.g.started(tt.line, tt.ours, tt.theirs)
		if v.meant != tt.meant || done != tt.done || (v.err != nil) != tt.fault {
			t.Errorf("%+v on %s, ours %q, theirs %q: %+v, %t", tt.g, tt.line, tt.ours, tt.theirs, v, done)
		}
	}
}
