// Package builtin holds the native plugins: those that a plugin file can name
// without any code of its owner's. Their names, configuration keys, defaults
// and violation codes are ContextForge's, so that its plugin files work as
// they are.
package builtin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// Kinds returns all native kinds. The slice is the caller's.
func Kinds() []plugin.Kind {
	return []plugin.Kind{
		{
			Name:    "search_replace",
			Aliases: []string{"plugins.regex_filter.search_replace.SearchReplacePlugin"},
			Hooks:   []plugin.Hook{plugin.PromptPreFetch, plugin.PromptPostFetch, plugin.ToolPreInvoke, plugin.ToolPostInvoke},
			New:     newSearchReplace,
		},
		{
			Name:    "deny_filter",
			Aliases: []string{"plugins.deny_filter.deny.DenyListPlugin"},
			Hooks:   []plugin.Hook{plugin.PromptPreFetch, plugin.ToolPreInvoke},
			New:     newDenyFilter,
		},
		{
			Name: "pii_filter",
			Aliases: []string{
				"plugins.pii_filter.pii_filter.PIIFilterPlugin",
				"cpex_pii_filter.PIIFilterPlugin",
				"cpex_pii_filter.pii_filter.PIIFilterPlugin",
			},
			Hooks: []plugin.Hook{plugin.PromptPreFetch, plugin.PromptPostFetch, plugin.ToolPreInvoke, plugin.ToolPostInvoke},
			New:   newPIIFilter,
		},
		{
			Name: "rate_limiter",
			Aliases: []string{
				"plugins.rate_limiter.rate_limiter.RateLimiterPlugin",
				"cpex_rate_limiter.RateLimiterPlugin",
				"cpex_rate_limiter.rate_limiter.RateLimiterPlugin",
			},
			Hooks: []plugin.Hook{plugin.PromptPreFetch, plugin.ToolPreInvoke},
			New:   newRateLimiter,
		},
		{
			Name:    "resource_filter",
			Aliases: []string{"plugins.resource_filter.resource_filter.ResourceFilterPlugin"},
			Hooks:   []plugin.Hook{plugin.ResourcePreFetch, plugin.ResourcePostFetch, plugin.PromptPostFetch, plugin.ToolPostInvoke},
			New:     newResourceFilter,
		},
		{
			Name:  "cedar",
			Hooks: []plugin.Hook{plugin.ToolPreInvoke, plugin.PromptPreFetch, plugin.ResourcePreFetch, plugin.AgentPreInvoke},
			New:   newCedar,
		},
		{
			Name: "sql_sanitizer",
			Aliases: []string{
				"plugins.sql_sanitizer.sql_sanitizer.SQLSanitizerPlugin",
				"cpex_sql_sanitizer.SQLSanitizerPlugin",
				"cpex_sql_sanitizer.sql_sanitizer.SQLSanitizerPlugin",
			},
			Hooks: []plugin.Hook{plugin.PromptPreFetch, plugin.ToolPreInvoke},
			New:   newSQLSanitizer,
		},
		{
			Name: "output_length_guard",
			Aliases: []string{
				"plugins.output_length_guard.output_length_guard.OutputLengthGuardPlugin",
				"cpex_output_length_guard.OutputLengthGuardPlugin",
				"cpex_output_length_guard.output_length_guard.OutputLengthGuardPlugin",
			},
			Hooks: []plugin.Hook{plugin.ToolPostInvoke},
			New:   newLengthGuard,
		},
		{
			Name: "header_filter",
			Aliases: []string{
				"plugins.header_filter.header_filter.HeaderFilterPlugin",
				"plugins.header_filter.header_filter_plugin.HeaderFilter",
			},
			Hooks: []plugin.Hook{plugin.ToolPreInvoke, plugin.AgentPreInvoke},
			New:   newHeaderFilter,
		},
		{
			Name: "secrets_detection",
			Aliases: []string{
				"plugins.secrets_detection.secrets_detection.SecretsDetectionPlugin",
				"cpex_secrets_detection.SecretsDetectionPlugin",
				"cpex_secrets_detection.secrets_detection.SecretsDetectionPlugin",
			},
			Hooks: []plugin.Hook{plugin.PromptPreFetch, plugin.ToolPostInvoke, plugin.ResourcePostFetch, plugin.ToolPreInvoke, plugin.PromptPostFetch},
			New:   newSecretsDetection,
		},
		{
			Name:    "schema_guard",
			Aliases: []string{"plugins.schema_guard.schema_guard.SchemaGuardPlugin"},
			Hooks:   []plugin.Hook{plugin.ToolPreInvoke, plugin.ToolPostInvoke},
			New:     newSchemaGuard,
		},
	}
}

// members splits an object of a plugin's configuration into its members and
// refuses those that are not known: a misspelt key of a guardrail must not be
// ignored. Names that start with "x-" are free.
func members(raw json.RawMessage, path string, known ...string) (map[string]json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil || all == nil {
		return nil, &plugin.ConfigError{Path: path, Message: fmt.Sprintf("not an object with the keys %s", strings.Join(known, ", "))}
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names) // the same fault is named each time
	for _, name := range names {
		if !slices.Contains(known, name) && !strings.HasPrefix(name, "x-") {
			return nil, &plugin.ConfigError{
				Path:    join(path, name),
				Message: fmt.Sprintf("unknown key %q (known: %s)", name, strings.Join(known, ", ")),
			}
		}
	}
	return all, nil
}

// join adds a key to the path of a [plugin.ConfigError].
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// list decodes the required list under key.
func list(config map[string]json.RawMessage, key string) ([]json.RawMessage, error) {
	raw, ok := config[key]
	if !ok {
		return nil, &plugin.ConfigError{Path: key, Message: "required, but missing"}
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil || items == nil {
		return nil, &plugin.ConfigError{Path: key, Message: "not a list"}
	}
	return items, nil
}

// text decodes a string. JSON null is none: it would pass as the empty one.
func text(raw json.RawMessage, path string) (string, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil || bytes.Equal(raw, []byte("null")) {
		return "", &plugin.ConfigError{Path: path, Message: "not a string"}
	}
	return s, nil
}
