package plugin

import (
	"context"
	"encoding/json"
)

// Plugin is one configured guardrail.
//
// A Plugin is used by many goroutines at once. Whoever made it owns it; if it
// also implements [io.Closer], Close is called once, after the last Invoke has
// returned.
type Plugin interface {
	// Hooks lists the hooks that this plugin implements, each once. The answer
	// does not change while the plugin is in use.
	Hooks() []Hook

	// Invoke runs one hook. payload is the hook's payload object; it belongs
	// to the caller and must be neither changed nor kept after Invoke returns.
	// The plugin may change c.State, c.Metadata and c.GlobalContext.State;
	// the caller carries those changes on.
	//
	// A verdict, also a refusal, is a [Result]. A non-nil error means that the
	// plugin failed; what then happens to the call is the gateway's decision.
	// Only the text of an [*Error] reaches the other side: any other error
	// is reported there without its text. Invoke must return soon after ctx
	// ends.
	Invoke(ctx context.Context, hook Hook, payload json.RawMessage, c *Context) (*Result, error)
}

// Kind is a sort of plugin, as named by `kind:` in a plugin file.
type Kind struct {
	// Name is what `kind:` says, for example "search_replace".
	Name string

	// Aliases are further names for the same kind, for example the
	// ContextForge class path "plugins.regex_filter.search_replace.SearchReplacePlugin".
	Aliases []string

	// Hooks lists the hooks that plugins of this kind can implement. An entry
	// whose `hooks:` names any other is a configuration error.
	Hooks []Hook

	// New makes one plugin of this kind. A fault in the configuration is
	// reported as a [*ConfigError], so that it can be shown at its line.
	New func(Config) (Plugin, error)
}
