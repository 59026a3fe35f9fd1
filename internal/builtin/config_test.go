package builtin

import (
	"errors"
	"slices"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

func TestConfigFaultsAreNamedByPath(t *testing.T) {
	tests := []struct{ name, kind, config, want string }{
		{"nothing", "search_replace", `{}`, "words: required, but missing"},
		{"words is null", "search_replace", `{"words":null}`, "words: not a list"},
		{"words is text", "search_replace", `{"words":"crap"}`, "words: not a list"},
		{"unknown key", "search_replace", `{"words":[],"word":[]}`, `word: unknown key "word" (known: words)`},
		{"unknown key of a word", "search_replace", `{"words":[{"search":"a","replace":"b","count":1}]}`, `words[0].count: unknown key "count" (known: search, replace)`},
		{"a word that is text", "search_replace", `{"words":["crap"]}`, "words[0]: not an object with the keys search, replace"},
		{"no search", "search_replace", `{"words":[{"replace":"b"}]}`, "words[0].search: required, but missing"},
		{"no replace", "search_replace", `{"words":[{"search":"a"}]}`, "words[0].replace: required, but missing"},
		{"replace is a number", "search_replace", `{"words":[{"search":"a","replace":5}]}`, "words[0].replace: not a string"},
		{"replace is null", "search_replace", `{"words":[{"search":"a","replace":null}]}`, "words[0].replace: not a string"},
		{"bad pattern", "search_replace", `{"words":[{"search":"a","replace":""},{"search":"b","replace":""},{"search":"(c","replace":""}]}`, "words[2].search: missing ), unterminated subpattern at position 0"},
		{"bad replacement", "search_replace", `{"words":[{"search":"a","replace":"\\1"}]}`, "words[0].replace: invalid group reference 1 at position 0"},
		{"not an object", "search_replace", `[]`, "not an object with the keys words"},
		{"null", "search_replace", `null`, "not an object with the keys words"},
		{"nothing", "deny_filter", `{}`, "words: required, but missing"},
		{"unknown key", "deny_filter", `{"words":["a"],"case_sensitive":false}`, `case_sensitive: unknown key "case_sensitive" (known: words)`},
		{"a word that is a number", "deny_filter", `{"words":["a",1]}`, "words[1]: not a string"},
		{"an empty word", "deny_filter", `{"words":["a",""]}`, "words[1]: an empty word is in every text: all would be refused"},
	}
	for _, tt := range tests {
		t.Run(tt.kind+"/"+tt.name, func(t *testing.T) {
			_, err := newPlugin(t, tt.kind, tt.config)
			if _, ok := errors.AsType[*plugin.ConfigError](err); !ok || err.Error() != tt.want {
				t.Errorf("got %T %v\nwant %s", err, err, tt.want)
			}
		})
	}
}

func TestConfigTakesFreeKeysAndEmptyLists(t *testing.T) {
	for _, kind := range []string{"search_replace", "deny_filter"} {
		if _, err := newPlugin(t, kind, `{"words":[],"x-note":"none yet"}`); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestHooksAreThoseOfTheEntryOrTheDefault(t *testing.T) {
	tests := []struct {
		kind  string
		entry []plugin.Hook
		want  []plugin.Hook
	}{
		{"search_replace", nil, []plugin.Hook{plugin.PromptPreFetch, plugin.PromptPostFetch, plugin.ToolPreInvoke, plugin.ToolPostInvoke}},
		{"search_replace", []plugin.Hook{plugin.ToolPostInvoke}, []plugin.Hook{plugin.ToolPostInvoke}},
		{"deny_filter", nil, []plugin.Hook{plugin.PromptPreFetch}},
		{"deny_filter", []plugin.Hook{plugin.PromptPreFetch, plugin.ToolPreInvoke}, []plugin.Hook{plugin.PromptPreFetch, plugin.ToolPreInvoke}},
	}
	for _, tt := range tests {
		if got := mustPlugin(t, tt.kind, `{"words":[]}`, tt.entry...).Hooks(); !slices.Equal(got, tt.want) {
			t.Errorf("%s with %v: got %v, want %v", tt.kind, tt.entry, got, tt.want)
		}
	}
}

// The names of the reference work as kinds, and a kind makes plugins of no
// other hooks than those it names.
func TestKindsNameTheirHooks(t *testing.T) {
	for _, k := range Kinds() {
		if len(k.Aliases) == 0 {
			t.Errorf("%s has no name in the reference", k.Name)
		}
		for _, hook := range mustPlugin(t, k.Name, leastConfig(k.Name)).Hooks() {
			if !slices.Contains(k.Hooks, hook) {
				t.Errorf("%s implements %s, but does not say so", k.Name, hook)
			}
		}
	}
}

// leastConfig is the shortest configuration that a kind accepts.
func leastConfig(kind string) string {
	switch kind {
	case "search_replace", "deny_filter":
		return `{"words":[]}`
	default:
		return `{}`
	}
}
