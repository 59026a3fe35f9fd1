package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// tools checks what §2 and §6 say of the tools themselves.
func (c *checker) tools(ctx context.Context, r report) {
	r.add("§2", "the three tools are there, text only", c.listed(ctx))
	r.add("§2", "get_plugin_configs gives one text per plugin and structuredContent", c.configs(ctx))
	r.add("§2", "an unknown plugin's config is {}", c.unknownConfig(ctx))
	r.add("§2", "a missing argument is a tool error", c.toolError(ctx, "invoke_hook", `{"hook_type":"tool_pre_invoke","plugin_name":"x"}`))
	r.add("§2", "an unknown tool is a tool error", c.toolError(ctx, "sallyport_conformance", `{}`))
	r.add("§6", "an unknown plugin is an error with the usual text", c.unableToFind(ctx, "sallyport-conformance-unknown", "tool_pre_invoke"))
}

func (c *checker) listed(ctx context.Context) verdict {
	got, err := c.session.request(ctx, wire.MethodToolsList, []byte(`{}`), nil)
	if err == nil {
		err = got.err()
	}
	if err != nil {
		return failf("%v", err)
	}
	missing := []string{"get_plugin_configs", "get_plugin_config", "invoke_hook"}
	for tool := range wire.Elements(wire.Member(got.result, "tools")) {
		name, _ := wire.String(wire.Member(tool, "name"))
		missing = slices.DeleteFunc(missing, func(m string) bool { return m == name })
		if name == "get_plugin_configs" || wire.IsNull(wire.Member(tool, "outputSchema")) {
			continue
		}
		if name == "get_plugin_config" || name == "invoke_hook" {
			return warnf("%s declares an outputSchema, so that clients expect structuredContent", name)
		}
	}
	if len(missing) > 0 {
		return failf("there is no %s", strings.Join(missing, ", "))
	}
	return pass
}

func (c *checker) configs(ctx context.Context) verdict {
	got, err := c.session.tool(ctx, "get_plugin_configs", []byte(`{}`))
	if err != nil {
		return failf("%v", err)
	}
	if got.isError {
		return failf("it is a tool error")
	}
	structured := 0
	for range wire.Elements(wire.Member(wire.Member(got.raw, "structuredContent"), "result")) {
		structured++
	}
	if structured != len(got.texts) {
		return failf("%d texts, and %d plugins in structuredContent.result", len(got.texts), structured)
	}
	return pass
}

func (c *checker) unknownConfig(ctx context.Context) verdict {
	got, err := c.session.tool(ctx, "get_plugin_config", []byte(`{"name":"sallyport-conformance-unknown"}`))
	switch {
	case err != nil:
		return failf("%v", err)
	case got.isError || len(got.texts) != 1 || strings.Join(strings.Fields(string(got.texts[0])), "") != "{}":
		return failf("got %s", clip(got.raw))
	}
	return pass
}

func (c *checker) toolError(ctx context.Context, tool, arguments string) verdict {
	got, err := c.session.tool(ctx, tool, []byte(arguments))
	switch {
	case err != nil:
		return failf("%v", err)
	case !got.isError:
		return failf("isError is false: %s", clip(got.raw))
	case len(got.texts) == 0:
		return failf("it has no text")
	}
	return pass
}

func hookArguments(hook, name string, payload, context json.RawMessage) []byte {
	b := wire.AppendString([]byte(`{"hook_type":`), hook)
	b = wire.AppendString(append(b, `,"plugin_name":`...), name)
	b = append(append(b, `,"payload":`...), payload...)
	return append(append(append(b, `,"context":`...), context...), '}')
}

// unableToFind makes a call that must not find its hook.
func (c *checker) unableToFind(ctx context.Context, name, hook string) verdict {
	got, err := c.session.tool(ctx, "invoke_hook", hookArguments(hook, name, []byte(`{"name":"x"}`), contextOf("unknown")))
	switch {
	case err != nil:
		return failf("%v", err)
	case got.isError || len(got.texts) != 1 || wire.Check(got.texts[0]) != nil:
		return failf("no answer with an error object: %s", clip(got.raw))
	}
	message, _ := wire.String(wire.Member(wire.Member(got.texts[0], "error"), "message"))
	if want := fmt.Sprintf("Unable to find %s for plugin %s.  Make sure the plugin is registered.", hook, name); message != want {
		return failf("the message is %s", clip([]byte(message)))
	}
	return pass
}

// otherCase is name in another case; equal to name if it has no letters.
func otherCase(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, name)
}

// sampleHook is a hook to call when any will do.
func sampleHook(hooks []plugin.Hook) plugin.Hook {
	if len(hooks) == 0 {
		return plugin.ToolPreInvoke
	}
	return hooks[0]
}
