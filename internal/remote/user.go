package remote

import (
	"cmp"
	"encoding/json"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// TakesTextUser reports whether e says that the plugin server's models hold a
// user to be text, as those of ContextForge's first servers do. They read the
// context before anything else, so that no plugin has run then; and a plugin
// cannot have failed like this by itself, for to such a server's plugins no
// other user ever comes.
func TakesTextUser(e *plugin.Error) bool {
	return strings.HasPrefix(e.Message, "1 validation error for PluginContext\nglobal_context.user\n") &&
		strings.Contains(e.Message, "type=string_type")
}

// asText is the context with a user that is text, if it is not: the object's
// email, or else what names the user. ok is false where there is nothing to
// be made of it.
func asText(c *plugin.Context) (_ *plugin.Context, ok bool) {
	if c == nil || wire.Kind(c.GlobalContext.User) != '{' {
		return c, false
	}
	var user struct{ Email, ID, Name, Sub string }
	if json.Unmarshal(c.GlobalContext.User, &user) != nil {
		return c, false
	}
	name := cmp.Or(user.Email, user.ID, user.Name, user.Sub)
	if name == "" {
		return c, false
	}
	text := *c
	text.GlobalContext.User = wire.AppendString(nil, name)
	return &text, true
}
