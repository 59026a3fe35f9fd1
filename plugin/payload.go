package plugin

import (
	"bytes"
	"encoding/json"
)

// The payloads of the hooks (plugin protocol §4), for authors who implement
// the typed interfaces. Free-form fields are raw JSON, so that what nobody reads
// is not decoded and 2^53+1 survives; [MapStrings] and [SetMember] edit them.
//
// A payload remembers the bytes that it was read from. Given to [Modified] it
// becomes those bytes with the changed fields replaced: fields that this package
// does not know, the order of members and the spelling of numbers stay. A field
// set to nil becomes null, which the protocol holds equal to absent. A payload
// that was not read from anything has its fields only.
//
// Like the raw payload, one that a hook was given is valid until the hook
// returns; take a copy of what is to be kept.

// ToolPre is the payload of [ToolPreInvoke]: a tool is about to be called.
type ToolPre struct {
	Name    string            // the tool, by the name that the client used
	Args    json.RawMessage   // an object; nil when absent
	Headers map[string]string // for the upstream; nil when absent; secret ones are withheld

	raw json.RawMessage
}

// ToolPost is the payload of [ToolPostInvoke]: a tool has answered.
type ToolPost struct {
	Name   string          // the tool, by the name that the client used
	Result json.RawMessage // the whole MCP result: content, isError, structuredContent, _meta

	raw json.RawMessage
}

// PromptPre is the payload of [PromptPreFetch]: a prompt is about to be fetched.
type PromptPre struct {
	PromptID string          // the prompt, by the name that the client used
	Args     json.RawMessage // an object of strings; nil when absent

	raw json.RawMessage
}

// PromptPost is the payload of [PromptPostFetch]: a prompt has been fetched.
type PromptPost struct {
	PromptID string          // the prompt, by the name that the client used
	Result   json.RawMessage // {"messages": [{"role", "content"}], "description"}

	raw json.RawMessage
}

// ResourcePre is the payload of [ResourcePreFetch]: a resource is about to be read.
type ResourcePre struct {
	URI      string
	Metadata json.RawMessage // an object; nil when absent

	raw json.RawMessage
}

// ResourcePost is the payload of [ResourcePostFetch]: a resource has been read.
type ResourcePost struct {
	URI     string
	Content json.RawMessage // {"uri", "mimeType", "text" or "blob"}

	raw json.RawMessage
}

func (p *ToolPre) parts() (*json.RawMessage, []field) {
	return &p.raw, []field{
		{name: "name", required: true, value: &p.Name},
		{name: "args", value: &p.Args},
		{name: "headers", value: &p.Headers},
	}
}

func (p *ToolPost) parts() (*json.RawMessage, []field) {
	return &p.raw, []field{
		{name: "name", required: true, value: &p.Name},
		{name: "result", required: true, value: &p.Result},
	}
}

func (p *PromptPre) parts() (*json.RawMessage, []field) {
	return &p.raw, []field{
		{name: "prompt_id", required: true, value: &p.PromptID},
		{name: "args", value: &p.Args},
	}
}

func (p *PromptPost) parts() (*json.RawMessage, []field) {
	return &p.raw, []field{
		{name: "prompt_id", required: true, value: &p.PromptID},
		{name: "result", required: true, value: &p.Result},
	}
}

func (p *ResourcePre) parts() (*json.RawMessage, []field) {
	return &p.raw, []field{
		{name: "uri", required: true, value: &p.URI},
		{name: "metadata", value: &p.Metadata},
	}
}

func (p *ResourcePost) parts() (*json.RawMessage, []field) {
	return &p.raw, []field{
		{name: "uri", required: true, value: &p.URI},
		{name: "content", required: true, value: &p.Content},
	}
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *ToolPre) UnmarshalJSON(b []byte) error { return readPayload(bytes.Clone(b), p) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *ToolPost) UnmarshalJSON(b []byte) error { return readPayload(bytes.Clone(b), p) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *PromptPre) UnmarshalJSON(b []byte) error { return readPayload(bytes.Clone(b), p) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *PromptPost) UnmarshalJSON(b []byte) error { return readPayload(bytes.Clone(b), p) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *ResourcePre) UnmarshalJSON(b []byte) error { return readPayload(bytes.Clone(b), p) }

// UnmarshalJSON implements [json.Unmarshaler].
func (p *ResourcePost) UnmarshalJSON(b []byte) error { return readPayload(bytes.Clone(b), p) }

// MarshalJSON implements [json.Marshaler]. [Modified] takes its bytes as they
// are; json.Marshal squeezes the spaces out.
func (p ToolPre) MarshalJSON() ([]byte, error) { return writePayload(&p) }

// MarshalJSON implements [json.Marshaler], like that of [ToolPre].
func (p ToolPost) MarshalJSON() ([]byte, error) { return writePayload(&p) }

// MarshalJSON implements [json.Marshaler], like that of [ToolPre].
func (p PromptPre) MarshalJSON() ([]byte, error) { return writePayload(&p) }

// MarshalJSON implements [json.Marshaler], like that of [ToolPre].
func (p PromptPost) MarshalJSON() ([]byte, error) { return writePayload(&p) }

// MarshalJSON implements [json.Marshaler], like that of [ToolPre].
func (p ResourcePre) MarshalJSON() ([]byte, error) { return writePayload(&p) }

// MarshalJSON implements [json.Marshaler], like that of [ToolPre].
func (p ResourcePost) MarshalJSON() ([]byte, error) { return writePayload(&p) }
