package builtin

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
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
		{"unknown key", "output_length_guard", `{"max_char":5}`, `max_char: unknown key "max_char" (known: min_chars, max_chars, strategy, ellipsis)`},
		{"no maximum at all", "output_length_guard", `{"max_chars":0}`, "max_chars: 0 is under 1"},
		{"half a character", "output_length_guard", `{"max_chars":1.5}`, "max_chars: not a whole number"},
		{"negative", "output_length_guard", `{"min_chars":-1}`, "min_chars: -1 is under 0"},
		{"minimum over maximum", "output_length_guard", `{"min_chars":6,"max_chars":5}`, "min_chars: 6 is over max_chars 5: no text is within"},
		{"strategy", "output_length_guard", `{"strategy":"shorten"}`, `strategy: "shorten" is neither truncate nor block`},
		{"ellipsis", "output_length_guard", `{"ellipsis":3}`, "ellipsis: not a string"},
		{"no list", "header_filter", `{"filter_headers":"Cookie"}`, "filter_headers: not a list"},
		{"a header that is a number", "header_filter", `{"filter_headers":["Cookie",1]}`, "filter_headers[1]: not a string"},
		{"an empty header", "header_filter", `{"allow_passthrough_headers":[""]}`, "allow_passthrough_headers[0]: empty"},
		{"tokens", "output_length_guard", `{"limit_mode":"token","max_tokens":5}`, "limit_mode: tokens are not counted here: give the limit in characters, as max_chars"},
		{"a sliding window", "rate_limiter", `{"by_user":"5/m","algorithm":"sliding_window"}`, "algorithm: there is only fixed_window, which can let twice the rate through around the end of a window"},
		{"by server", "rate_limiter", `{"by_user_per_server":"5/m"}`, "by_user_per_server: calls are not counted by server: use by_user, by_tenant or by_tool"},
		{"a flag", "header_filter", `{"log_filtered_headers":"perhaps"}`, "log_filtered_headers: not true or false"},
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

// Keys that only newer versions of the reference have stand in files that must
// work: those that leave nothing unguarded are named in the log, and no more.
func TestConfigTakesForeignKeys(t *testing.T) {
	tests := []struct{ kind, config, warned string }{
		{"output_length_guard", `{"max_chars":5,"limit_mode":"character","min_tokens":0,"max_tokens":null,"chars_per_token":4}`, "min_tokens max_tokens chars_per_token"},
		{"output_length_guard", `{"max_chars":5,"max_recursion_depth":100,"word_boundary":false,"max_text_length":1000000,"max_structure_size":10000}`, "word_boundary max_text_length max_structure_size max_recursion_depth"},
		{"rate_limiter", `{"by_user":"5/m","backend":"memory","algorithm":"fixed_window","by_user_per_server":null,"fail_mode":"open","redis_key_prefix":"rl"}`, "redis_key_prefix fail_mode"},
		{"pii_filter", `{"max_text_bytes":10485760,"max_nested_depth":32,"max_collection_items":4096}`, "max_text_bytes max_nested_depth max_collection_items"},
		{"secrets_detection", `{"field_allowlist":[],"field_denylist":["a.b"],"enabled":{"generic_api_key_assignment":false,"github_token":true,"stripe_secret_key":true}}`, "field_allowlist field_denylist"},
	}
	for _, tt := range tests {
		var log bytes.Buffer
		all := Kinds()
		kind := all[slices.IndexFunc(all, func(k plugin.Kind) bool { return k.Name == tt.kind })]
		if _, err := kind.New(plugin.Config{Raw: json.RawMessage(tt.config), Logger: slog.New(slog.NewTextHandler(&log, nil))}); err != nil {
			t.Errorf("%s: %v", tt.config, err)
		}
		var warned []string
		for part := range strings.FieldsSeq(log.String()) {
			if key, ok := strings.CutPrefix(part, "key="); ok {
				warned = append(warned, key)
			}
		}
		if got := strings.Join(warned, " "); got != tt.warned {
			t.Errorf("%s: warned of %q, want %q", tt.config, got, tt.warned)
		}
	}
}

// YAML 1.2 has no words for booleans but true and false; the reference's YAML
// has, and its users write them.
func TestConfigTakesTheBooleansOfTheReference(t *testing.T) {
	for value, want := range map[string]bool{
		`true`: true, `"true"`: true, `"True"`: true, `"yes"`: true, `"On"`: true, `1`: true, `"1"`: true, `"y"`: true,
		`false`: false, `"False"`: false, `"no"`: false, `"OFF"`: false, `0`: false, `"0"`: false, `"n"`: false,
	} {
		p := mustPlugin(t, "secrets_detection", `{"block_on_detection":`+value+`}`)
		r, err := p.Invoke(t.Context(), plugin.ToolPostInvoke, json.RawMessage(`{"name":"t","result":"`+fakeAWS+`"}`), &plugin.Context{})
		if err != nil || r.Continue == want {
			t.Errorf("%s: %+v, %v; want it to block: %t", value, r, err, want)
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
		{"output_length_guard", nil, []plugin.Hook{plugin.ToolPostInvoke}},
		{"header_filter", nil, []plugin.Hook{plugin.ToolPreInvoke, plugin.AgentPreInvoke}},
		{"header_filter", []plugin.Hook{plugin.AgentPreInvoke}, []plugin.Hook{plugin.AgentPreInvoke}},
	}
	for _, tt := range tests {
		if got := mustPlugin(t, tt.kind, leastConfig(tt.kind), tt.entry...).Hooks(); !slices.Equal(got, tt.want) {
			t.Errorf("%s with %v: got %v, want %v", tt.kind, tt.entry, got, tt.want)
		}
	}
}

// The names of the reference work as kinds, and a kind makes plugins of no
// other hooks than those it names.
func TestKindsNameTheirHooks(t *testing.T) {
	for _, k := range Kinds() {
		if len(k.Aliases) == 0 && k.Name != "cedar" { // which is ours
			t.Errorf("%s has no name in the reference", k.Name)
		}
		for _, hook := range mustPlugin(t, k.Name, leastConfig(k.Name)).Hooks() {
			if !slices.Contains(k.Hooks, hook) {
				t.Errorf("%s implements %s, but does not say so", k.Name, hook)
			}
		}
	}
}

// The packages that some of the reference's plugins have become: their
// documentation writes the class with its module and without.
func TestKindsHaveTheNamesOfPackages(t *testing.T) {
	for name, class := range map[string]string{
		"pii_filter": "PIIFilterPlugin", "rate_limiter": "RateLimiterPlugin", "secrets_detection": "SecretsDetectionPlugin",
		"sql_sanitizer": "SQLSanitizerPlugin", "output_length_guard": "OutputLengthGuardPlugin",
	} {
		mustPlugin(t, "cpex_"+name+"."+class, leastConfig(name))
		mustPlugin(t, "cpex_"+name+"."+name+"."+class, leastConfig(name))
	}
}

// leastConfig is the shortest configuration that a kind accepts.
func leastConfig(kind string) string {
	switch kind {
	case "search_replace", "deny_filter":
		return `{"words":[]}`
	case "cedar":
		return `{"policies":"permit (principal, action, resource);"}`
	default:
		return `{}`
	}
}
