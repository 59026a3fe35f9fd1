package plugin

import (
	"encoding/json"
	"fmt"
)

// Result is a plugin's verdict on one hook (plugin protocol §4). The zero value
// refuses without saying why: use [Continue], [Modified] or [Refuse].
type Result struct {
	// Continue is false when the plugin refuses the request.
	Continue bool `json:"continue_processing"`

	// ModifiedPayload replaces the payload when it is not empty.
	ModifiedPayload json.RawMessage `json:"modified_payload,omitempty"`

	// Violation says why a request is refused. With Continue true it is
	// information only.
	Violation *Violation `json:"violation,omitempty"`

	// Metadata is an object of the plugin's own remarks on this call.
	Metadata json.RawMessage `json:"metadata,omitempty"`

	// HTTPHeaders are set on the HTTP answer unless it has begun, all but HTTP's
	// and MCP's own; usually nil.
	HTTPHeaders map[string]string `json:"http_headers,omitempty"`

	// RetryDelayMS, on tool_post_invoke, has the gateway call the tool again after
	// this many milliseconds, three times at most; nil and 0 say nothing.
	RetryDelayMS *int64 `json:"retry_delay_ms,omitempty"`
}

// Violation is the reason for a refusal.
type Violation struct {
	Reason      string          `json:"reason"`                     // short and general: "Prompt not allowed"
	Description string          `json:"description"`                // what the MCP client is told
	Code        string          `json:"code"`                       // for programs: "deny"
	Details     json.RawMessage `json:"details,omitempty"`          // an object; nil stands for {}
	MCPCode     *int            `json:"mcp_error_code"`             // JSON-RPC code to answer with, nil for none
	HTTPStatus  *int            `json:"http_status_code,omitempty"` // for HTTP hooks, nil for the default

	// HTTPHeaders go with HTTPStatus.
	HTTPHeaders map[string]string `json:"http_headers,omitempty"`
}

// Continue lets the request pass unchanged.
func Continue() *Result { return &Result{Continue: true} }

// Modified lets the request pass with its payload replaced. The error is that
// of encoding payload as JSON. A [json.RawMessage], a []byte, and what a
// [json.Marshaler] such as [*ToolPre] gives, is taken as it is and kept.
func Modified(payload any) (*Result, error) {
	var raw json.RawMessage
	var err error
	switch p := payload.(type) {
	case json.Marshaler:
		raw, err = p.MarshalJSON()
	case []byte: // what json.Marshal returns, not a string in base64
		raw = p
	default:
		raw, err = marshal(payload)
	}
	if err != nil {
		return nil, fmt.Errorf("encode the modified payload: %w", err)
	}
	return &Result{Continue: true, ModifiedPayload: raw}, nil
}

// Refuse refuses the request. It keeps v.
func Refuse(v *Violation) *Result { return &Result{Violation: v} }

// Error is a plugin's failure as it crosses the wire (plugin protocol §6).
// Returned from [Plugin.Invoke] it decides what the other side is told.
type Error struct {
	Message string          `json:"message"`
	Plugin  string          `json:"plugin_name"`
	Code    string          `json:"code"`
	Details json.RawMessage `json:"details,omitempty"` // an object; nil stands for {}
	MCPCode int             `json:"mcp_error_code"`    // 0 stands for -32603, internal error
}

// Error gives the plugin's name, if there is one, and the message.
func (e *Error) Error() string {
	if e.Plugin == "" {
		return e.Message
	}
	return e.Plugin + ": " + e.Message
}
