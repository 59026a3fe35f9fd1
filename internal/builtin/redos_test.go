package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// catastrophes are patterns that only backtracking can search for, each in a kind,
// and texts on which that never ends.
var catastrophes = []struct{ name, kind, pattern, text string }{
	{"nested plus before a look-ahead", "search_replace", `(a+)+(?=b)$`, strings.Repeat("a", 60) + "!b"},
	{"overlapping branches", "pii_filter", `(a|aa)+(?!a)$`, strings.Repeat("a", 60) + "!"},
	{"an optional branch and a look-behind", "sql_sanitizer", `(a|a?)+(?<!c)$`, strings.Repeat("a", 60) + "!"},
	{"a back-reference into a look-ahead", "resource_filter", `(?=(a+))\1b`, "b" + strings.Repeat("a", 200_000)},
	{"a look-ahead to the end", "search_replace", `(?=((a+)+b))\1`, "b" + strings.Repeat("a", 60)},
	{"nested plus and a back-reference", "pii_filter", `((a+)+)\2b`, "b" + strings.Repeat("a", 60)},
	{"words after a look-behind", "sql_sanitizer", `(?<=x)(\w+\s?)+$`, "x" + strings.Repeat("word ", 20) + "!"},
	{"a conditional", "resource_filter", `(a+)?(?(1)(b|bb)+)$`, "a" + strings.Repeat("b", 60) + "!"},
	{"a named back-reference in any case", "search_replace", `(?i)(?P<q>A+)+(?P=q)+!(?=x)`, "!" + strings.Repeat("a", 60)},
	{"nested stars, which may be empty", "pii_filter", `(a*)*$`, strings.Repeat("a", 60) + "!"},
}

// busy is how often a search may be over before other calls that it did not hold
// up: a busy machine may leave them no second in which they run.
const busy = 10

// withPattern is the configuration of a kind with one pattern.
func withPattern(kind, pattern string) string {
	var config any
	switch kind {
	case "search_replace":
		config = map[string]any{"words": []any{map[string]string{"search": pattern, "replace": "-"}}}
	case "pii_filter":
		config = map[string]any{"custom_patterns": []any{map[string]string{"type": "custom", "pattern": pattern, "description": "d"}}}
	case "sql_sanitizer":
		config = map[string]any{"blocked_statements": []string{pattern}}
	case "resource_filter":
		config = map[string]any{"content_filters": []any{map[string]string{"pattern": pattern}}}
	}
	return string(encode(config))
}

// A call whose pattern explodes ends with an error that says so, and not as a
// pass; the plugin's other calls go on meanwhile and end first; and after it
// nothing is left that searches.
func TestCatastrophicPatterns(t *testing.T) {
	t.Run("one by one", func(t *testing.T) {
		for _, tt := range catastrophes {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				hook, member := plugin.ToolPreInvoke, "args"
				if tt.kind == "resource_filter" {
					hook, member = plugin.ToolPostInvoke, "result"
				}
				payload := func(text string) json.RawMessage {
					return encode(map[string]any{"name": "t", member: map[string]string{"text": text}})
				}
				p := mustPlugin(t, tt.kind, withPattern(tt.kind, tt.pattern), hook)
				explode := func() (first bool, err error) {
					started, exploded := make(chan struct{}), make(chan error, 1)
					go func() {
						text := payload(tt.text)
						close(started)
						_, err := p.Invoke(context.Background(), hook, text, &plugin.Context{})
						exploded <- err
					}()
					<-started
					for range 100 {
						if _, err := p.Invoke(t.Context(), hook, payload("-"), &plugin.Context{}); err != nil {
							t.Errorf("another call: %v", err)
						}
					}
					first = len(exploded) > 0
					return first, <-exploded
				}
				first, err := explode()
				for try := 1; first && try < busy; try++ {
					first, err = explode()
				}
				if first {
					t.Fatalf("it was over before the others: %v", err)
				}
				if e, ok := errors.AsType[*plugin.Error](err); !ok || e.Code != "search_limit" || strings.Contains(e.Message, tt.text[:10]) {
					t.Errorf("got %.300v, want a search_limit that does not tell the text", err)
				}
			})
		}
	})
	stacks := make([]byte, 1<<20)
	if stacks = stacks[:runtime.Stack(stacks, true)]; strings.Contains(string(stacks), "regexp2/v2.(*Runner)") {
		t.Errorf("something still searches:\n%s", stacks)
	}
}

// Patterns that would cost much to compile are the configuration's fault, and
// that is said where they stand.
func TestHostilePatternsAreConfigurationErrors(t *testing.T) {
	for name, tt := range map[string]struct{ kind, pattern, want string }{
		"a huge pattern":  {"search_replace", strings.Repeat("a|", 1<<17), "words[0].search: the pattern is longer than 131072 characters at position 131072"},
		"nested groups":   {"pii_filter", strings.Repeat("(", 1000), "custom_patterns[0].pattern: nested too deeply at position 500"},
		"a count too far": {"sql_sanitizer", "(a{1000}){4294967296}", "blocked_statements[0]: the repetition number is too large at position 9"},
		"no pattern":      {"resource_filter", `(?<=a+)b`, "content_filters[0].pattern: look-behind requires fixed-width pattern at position 0"},
	} {
		_, err := newPlugin(t, tt.kind, withPattern(tt.kind, tt.pattern))
		if _, ok := errors.AsType[*plugin.ConfigError](err); !ok || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
}
