package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// The payloads of the MCP hooks (plugin protocol §4), for authors who implement
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

// payload is one of the types above: the bytes it came from and its fields.
type payload interface {
	parts() (raw *json.RawMessage, fields []field)
}

// field ties a member of a payload to where its value is kept.
type field struct {
	name     string
	required bool
	value    any // *string, *json.RawMessage or *map[string]string
}

// readPayload sets p to what raw says, and keeps raw.
func readPayload(raw []byte, p payload) error {
	kept, fields := p.parts()
	for i := range fields {
		fields[i].reset()
	}
	seen := make([]bool, len(fields))
	s := scanner{data: raw}
	s.onMember = func(name string, start, end int) error {
		for i := range fields {
			if fields[i].name == name {
				seen[i] = true
				return fields[i].read(raw[start:end])
			}
		}
		return nil
	}
	if s.peek() != '{' {
		return errors.New("not an object")
	}
	if err := s.document(); err != nil {
		return err
	}
	for i, f := range fields {
		if f.required && !seen[i] {
			return fmt.Errorf("%s: required, but missing", f.name)
		}
	}
	*kept = raw
	return nil
}

// isNull reports whether raw is the JSON null.
func isNull(raw []byte) bool { return string(raw) == "null" }

// reset sets the field to what it is when it is absent.
func (f *field) reset() {
	switch v := f.value.(type) {
	case *json.RawMessage:
		*v = nil
	case *string:
		*v = ""
	case *map[string]string:
		*v = nil
	}
}

// read sets the field to what raw says.
func (f *field) read(raw []byte) error {
	switch v := f.value.(type) {
	case *json.RawMessage: // null is a value where any value may be
		if *v = raw; isNull(raw) && !f.required {
			*v = nil
		}
	case *string:
		if raw[0] != '"' {
			return fmt.Errorf("%s: not a string", f.name)
		}
		*v = unquote(raw)
	case *map[string]string:
		*v = nil
		if err := json.Unmarshal(raw, v); err != nil {
			return fmt.Errorf("%s: not an object of strings", f.name)
		}
	}
	return nil
}

// same reports whether raw, the field's value as it was read, still says what
// the field says now.
func (f *field) same(raw []byte) bool {
	switch v := f.value.(type) {
	case *json.RawMessage:
		return bytes.Equal(raw, *v) || *v == nil && isNull(raw)
	case *string:
		return raw[0] == '"' && unquote(raw) == *v
	case *map[string]string:
		var before map[string]string
		return json.Unmarshal(raw, &before) == nil && (before == nil) == (*v == nil) && maps.Equal(before, *v)
	}
	return false
}

// append writes the field's value.
func (f *field) append(b []byte) ([]byte, error) {
	switch v := f.value.(type) {
	case *json.RawMessage:
		if *v == nil {
			return append(b, "null"...), nil
		}
		if s := (scanner{data: *v}); s.document() != nil {
			return nil, fmt.Errorf("%s: not valid JSON", f.name)
		}
		return append(b, *v...), nil
	case *string:
		return appendQuoted(b, *v), nil
	default:
		raw, err := marshal(f.value)
		return append(b, raw...), err
	}
}

// isZero reports whether the field need not be written where it was absent.
func (f *field) isZero() bool {
	switch v := f.value.(type) {
	case *json.RawMessage:
		return *v == nil
	case *map[string]string:
		return *v == nil
	}
	return false
}

func writePayload(p payload) ([]byte, error) {
	raw, fields := p.parts()
	return splice(*raw, fields)
}

// SetMember returns object with the member named name set to value, in place or
// as the last; all else keeps its bytes. An empty object stands for {}. The
// error is that of encoding value, or says that object is none.
func SetMember(object json.RawMessage, name string, value any) (json.RawMessage, error) {
	raw, err := marshal(value)
	if err != nil {
		return nil, err
	}
	return splice(object, []field{{name: name, required: true, value: &raw}})
}

// splice returns object with the fields that differ replaced, and those that
// are not there appended.
func splice(object json.RawMessage, fields []field) (json.RawMessage, error) {
	if len(object) == 0 {
		object = json.RawMessage("{}")
	}
	out := make(json.RawMessage, 0, len(object)+64)
	copied, members := 0, 0
	seen := make([]bool, len(fields))
	s := scanner{data: object}
	s.onMember = func(name string, start, end int) error {
		members++
		for i := range fields {
			f := &fields[i]
			if f.name != name {
				continue
			}
			seen[i] = true
			if f.same(object[start:end]) {
				return nil
			}
			out = append(out, object[copied:start]...)
			copied = end
			var err error
			out, err = f.append(out)
			return err
		}
		return nil
	}
	if s.peek() != '{' {
		return nil, errors.New("not an object")
	}
	if err := s.document(); err != nil {
		return nil, err
	}
	end := bytes.LastIndexByte(object, '}')
	out = append(out, object[copied:end]...)
	for i := range fields {
		f := &fields[i]
		if seen[i] || f.isZero() && !f.required {
			continue
		}
		if members > 0 {
			out = append(out, ',')
		}
		members++
		out = append(appendQuoted(out, f.name), ':')
		var err error
		if out, err = f.append(out); err != nil {
			return nil, err
		}
	}
	return append(out, object[end:]...), nil
}

// marshal encodes v without the escapes that are for HTML.
func marshal(v any) (json.RawMessage, error) {
	if raw, ok := v.(json.RawMessage); ok && raw != nil {
		return raw, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
