package builtin

import "github.com/sallyport-mcp/sallyport/plugin"

// isText reports whether the string at a path of a hook's payload is text that
// people and models read, and not what the protocol needs as it is: names,
// types, URIs, encoded bytes, annotations. Arguments are text at any depth, and
// so is what a tool returns when it is not in MCP's shape. Unknown members are
// text: a guardrail must not be got around by a content type that is new.
func isText(hook plugin.Hook, at plugin.Path) bool {
	if len(at) < 2 {
		return len(at) == 1 && (hook == plugin.ToolPostInvoke && at[0].Is("result") ||
			hook == plugin.ResourcePostFetch && at[0].Is("content"))
	}
	switch hook {
	case plugin.PromptPreFetch, plugin.ToolPreInvoke:
		return at[0].Is("args")
	case plugin.PromptPostFetch:
		return at[0].Is("result") && isPromptText(at[1:])
	case plugin.ToolPostInvoke:
		return at[0].Is("result") && isResultText(at[1:])
	case plugin.ResourcePostFetch:
		return at[0].Is("content") && isResourceText(at[1:])
	default:
		return false
	}
}

// isSearched reports whether a detector looks at the string at a path. Beside
// text that is what a tool's result says of its links and resources, names and
// addresses among it, and its _meta: whoever passes an address on may pass on
// what is in it. Left are types and encoded bytes, in which words mean nothing,
// and what only the protocol reads.
func isSearched(hook plugin.Hook, at plugin.Path) bool {
	if isText(hook, at) {
		return true
	}
	if hook != plugin.ToolPostInvoke || len(at) < 2 || !at[0].Is("result") {
		return false
	}
	if step := at[1]; step.Is("resultType") || step.Is("requestState") || step.Is("inputRequests") {
		return false
	}
	for _, step := range at[1:] {
		switch {
		case step.Is("_meta"), step.Is("meta"): // whose members mean what a server likes
			return true
		case encoded[step.Key]:
			return false
		}
	}
	return true
}

// encoded are the members of a content block in which no detector looks.
var encoded = map[string]bool{
	"type": true, "role": true, "mimeType": true, "mime_type": true, "data": true, "blob": true, "icons": true,
}

// isPromptText: result is {"messages": [{"role", "content"}], "description"}.
func isPromptText(at plugin.Path) bool {
	return len(at) >= 3 && at[0].Is("messages") && at[2].Is("content") && isContentText(at[3:])
}

// isResultText: result is {"content": […], "structuredContent", …} or anything.
func isResultText(at plugin.Path) bool {
	switch step := at[0]; {
	case step.Is("content"):
		return isContentText(at[1:])
	case step.Is("_meta"), step.Is("resultType"), step.Is("requestState"), step.Is("inputRequests"):
		return false
	default:
		return true
	}
}

// isContentText: a content is a block, a list of blocks, or bare text.
func isContentText(at plugin.Path) bool {
	for len(at) > 0 && at[0].Index >= 0 {
		at = at[1:]
	}
	if len(at) == 0 {
		return true
	}
	if at[0].Is("resource") && len(at) > 1 { // an embedded resource
		at = at[1:]
	}
	return !opaque[at[0].Key]
}

// isResourceText: content is {"uri", "mimeType", "text" or "blob"}, several of
// them, or a whole {"contents": […]}.
func isResourceText(at plugin.Path) bool {
	if at[0].Is("contents") {
		at = at[1:]
	}
	return isContentText(at)
}

// opaque are the members of a content block or a resource that are not text.
// Servers of the reference write some of them its own way.
var opaque = map[string]bool{
	"type": true, "role": true, "name": true, "id": true, "uri": true,
	"mimeType": true, "mime_type": true, "data": true, "blob": true,
	"annotations": true, "icons": true, "_meta": true, "meta": true,
}
