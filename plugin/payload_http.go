package plugin

import (
	"bytes"
	"encoding/json"
)

// The payloads of the HTTP and agent hooks, like those of the MCP hooks. An
// HTTP hook does not answer with its payload: what [Modified] is given there
// stands with each type.

// HTTPPre is the payload of [HTTPPreRequest]: an HTTP request has come. The
// hook answers with headers, a map[string]string given to [Modified].
type HTTPPre struct {
	Path       string
	Method     string
	ClientHost string            // "" when unknown
	ClientPort int               // 0 when unknown
	Headers    map[string]string // of the request

	raw json.RawMessage
}

// HTTPPost is the payload of [HTTPPostRequest]: an HTTP request has been
// answered. The hook answers with headers of the response, a map[string]string
// given to [Modified].
type HTTPPost struct {
	Path            string
	Method          string
	ClientHost      string            // "" when unknown
	ClientPort      int               // 0 when unknown
	Headers         map[string]string // of the request
	ResponseHeaders map[string]string // nil when unknown
	StatusCode      int               // 0 when unknown

	raw json.RawMessage
}

// ResolveUser is the payload of [HTTPAuthResolveUser]: who sends this request?
// The hook answers with a [User] given to [Modified], with [Continue] when it
// does not know, and with [Refuse] for who shall not come in.
type ResolveUser struct {
	Credentials *Credentials      // nil when there are none
	Headers     map[string]string // of the request
	ClientHost  string            // "" when unknown
	ClientPort  int               // 0 when unknown

	raw json.RawMessage
}

// Credentials are those of an Authorization header.
type Credentials struct {
	Scheme      string `json:"scheme"`      // "Bearer"
	Credentials string `json:"credentials"` // what follows the scheme
}

// User is the answer to [HTTPAuthResolveUser]. For members that it does not
// have, give [Modified] a struct or a map of your own.
type User struct {
	Email    string `json:"email"`
	FullName string `json:"full_name,omitempty"`
	IsAdmin  bool   `json:"is_admin"`
	IsActive bool   `json:"is_active"`
}

// CheckPermission is the payload of [HTTPAuthCheckPermission]: may this user do
// that? The hook answers with a [Permission] given to [Modified], and with
// [Continue] when it is not its business.
type CheckPermission struct {
	UserEmail    string
	Permission   string // "tools.execute"
	ResourceType string // "" when unknown
	TeamID       string // "" when unknown
	IsAdmin      bool
	AuthMethod   string // "" when unknown
	ClientHost   string // "" when unknown
	UserAgent    string // "" when unknown

	raw json.RawMessage
}

// Permission is the answer to [HTTPAuthCheckPermission].
type Permission struct {
	Granted bool   `json:"granted"`
	Reason  string `json:"reason,omitempty"`
}

// AgentPre is the payload of [AgentPreInvoke]: an agent is about to be called.
type AgentPre struct {
	AgentID      string
	Messages     json.RawMessage   // an array of {"role", "content"}
	Tools        json.RawMessage   // an array; nil when absent
	Headers      map[string]string // nil when absent; secret ones are withheld
	Model        string            // "" when absent
	SystemPrompt string            // "" when absent
	Parameters   json.RawMessage   // an object; nil when absent

	raw json.RawMessage
}

// AgentPost is the payload of [AgentPostInvoke]: an agent has answered.
type AgentPost struct {
	AgentID   string
	Messages  json.RawMessage // an array of {"role", "content"}
	ToolCalls json.RawMessage // an array; nil when absent

	raw json.RawMessage
}

func (p *HTTPPre) parts() (*json.RawMessage, []field) {
	return &p.raw, []field{
		{name: "path", required: true, value: &p.Path},
		{name: "method", required: true, value: &p.Method},
		{name: "client_host", value: &p.ClientHost},
		{name: "client_port", value: &p.ClientPort},
		{name: "headers", required: true, value: &p.Headers},
	}
}

func (p *HTTPPost) parts() (*json.RawMessage, []field) {
	return &p.raw, []field{
		{name: "path", required: true, value: &p.Path},
		{name: "method", required: true, value: &p.Method},
		{name: "client_host", value: &p.ClientHost},
		{name: "client_port", value: &p.ClientPort},
		{name: "headers", required: true, value: &p.Headers},
		{name: "response_headers", value: &p.ResponseHeaders},
		{name: "status_code", value: &p.StatusCode},
	}
}

func (p *ResolveUser) parts() (*json.RawMessage, []field) {
	return &p.raw, []field{
		{name: "credentials", value: &p.Credentials},
		{name: "headers", required: true, value: &p.Headers},
		{name: "client_host", value: &p.ClientHost},
		{name: "client_port", value: &p.ClientPort},
	}
}

func (p *CheckPermission) parts() (*json.RawMessage, []field) {
	return &p.raw, []field{
		{name: "user_email", required: true, value: &p.UserEmail},
		{name: "permission", required: true, value: &p.Permission},
		{name: "resource_type", value: &p.ResourceType},
		{name: "team_id", value: &p.TeamID},
		{name: "is_admin", value: &p.IsAdmin},
		{name: "auth_method", value: &p.AuthMethod},
		{name: "client_host", value: &p.ClientHost},
		{name: "user_agent", value: &p.UserAgent},
	}
}

func (p *AgentPre) parts() (*json.RawMessage, []field) {
	return &p.raw, []field{
		{name: "agent_id", required: true, value: &p.AgentID},
		{name: "messages", required: true, value: &p.Messages},
		{name: "tools", value: &p.Tools},
		{name: "headers", value: &p.Headers},
		{name: "model", value: &p.Model},
		{name: "system_prompt", value: &p.SystemPrompt},
		{name: "parameters", value: &p.Parameters},
	}
}

func (p *AgentPost) parts() (*json.RawMessage, []field) {
	return &p.raw, []field{
		{name: "agent_id", required: true, value: &p.AgentID},
		{name: "messages", required: true, value: &p.Messages},
		{name: "tool_calls", value: &p.ToolCalls},
	}
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *HTTPPre) UnmarshalJSON(b []byte) error { return readPayload(bytes.Clone(b), p) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *HTTPPost) UnmarshalJSON(b []byte) error { return readPayload(bytes.Clone(b), p) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *ResolveUser) UnmarshalJSON(b []byte) error { return readPayload(bytes.Clone(b), p) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *CheckPermission) UnmarshalJSON(b []byte) error { return readPayload(bytes.Clone(b), p) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *AgentPre) UnmarshalJSON(b []byte) error { return readPayload(bytes.Clone(b), p) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *AgentPost) UnmarshalJSON(b []byte) error { return readPayload(bytes.Clone(b), p) }

// MarshalJSON implements [json.Marshaler], like that of [ToolPre].
func (p HTTPPre) MarshalJSON() ([]byte, error) { return writePayload(&p) }

// MarshalJSON implements [json.Marshaler], like that of [ToolPre].
func (p HTTPPost) MarshalJSON() ([]byte, error) { return writePayload(&p) }

// MarshalJSON implements [json.Marshaler], like that of [ToolPre].
func (p ResolveUser) MarshalJSON() ([]byte, error) { return writePayload(&p) }

// MarshalJSON implements [json.Marshaler], like that of [ToolPre].
func (p CheckPermission) MarshalJSON() ([]byte, error) { return writePayload(&p) }

// MarshalJSON implements [json.Marshaler], like that of [ToolPre].
func (p AgentPre) MarshalJSON() ([]byte, error) { return writePayload(&p) }

// MarshalJSON implements [json.Marshaler], like that of [ToolPre].
func (p AgentPost) MarshalJSON() ([]byte, error) { return writePayload(&p) }
