package plugin

// Hook names a point in the life of a request at which plugins run. The names
// are ContextForge's, as they stand on the wire and in plugin files. A custom
// hook is any other name that a plugin declares.
type Hook string

// The twelve hooks of ContextForge.
const (
	ToolPreInvoke           Hook = "tool_pre_invoke"
	ToolPostInvoke          Hook = "tool_post_invoke"
	PromptPreFetch          Hook = "prompt_pre_fetch"
	PromptPostFetch         Hook = "prompt_post_fetch"
	ResourcePreFetch        Hook = "resource_pre_fetch"
	ResourcePostFetch       Hook = "resource_post_fetch"
	HTTPPreRequest          Hook = "http_pre_request"
	HTTPPostRequest         Hook = "http_post_request"
	HTTPAuthResolveUser     Hook = "http_auth_resolve_user"
	HTTPAuthCheckPermission Hook = "http_auth_check_permission"
	AgentPreInvoke          Hook = "agent_pre_invoke"
	AgentPostInvoke         Hook = "agent_post_invoke"
)

// Hooks returns the twelve hooks of ContextForge, in the order of the protocol.
// The slice is the caller's.
func Hooks() []Hook {
	return []Hook{
		ToolPreInvoke, ToolPostInvoke, PromptPreFetch, PromptPostFetch,
		ResourcePreFetch, ResourcePostFetch, HTTPPreRequest, HTTPPostRequest,
		HTTPAuthResolveUser, HTTPAuthCheckPermission, AgentPreInvoke, AgentPostInvoke,
	}
}
