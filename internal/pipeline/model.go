package pipeline

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// shape says how a JSON value is to be read. A nil shape is free-form: there
// null is a value and absence a deletion. In a model object absent, null and
// the model's default are the same, and so are the two spellings of a field
// that has an alias (plugin protocol §7, Bytes).
type shape struct {
	fields map[string]*shape // of a model object: its fields that are not free-form
	elem   *shape            // of an array: what its elements are
	absent []string          // fields whose default is {}
}

var (
	resourceShape = &shape{fields: map[string]*shape{}}
	contentShape  = &shape{fields: map[string]*shape{"resource": resourceShape, "annotations": {fields: map[string]*shape{}}}}
	messageShape  = &shape{fields: map[string]*shape{"content": contentShape}}
	messagesShape = &shape{elem: messageShape}
	promptShape   = &shape{fields: map[string]*shape{"messages": messagesShape}}
)

// rules are what one hook's payload looks like and which fields its plugins
// may change.
type rules struct {
	shape    *shape
	writable []string
	required []field
}

// field is a payload member that must be there, or must have a type when it is.
type field struct {
	name     string
	kind     kind
	optional bool // may be absent or null
	any      bool // any kind will do
	texts    bool // an object whose values are all strings
}

// rulesOf returns the rules of the six MCP and two agent hooks; ok is false
// for any other.
func rulesOf(hook plugin.Hook) (r rules, ok bool) {
	defaults := []string{"args", "metadata", "parameters"}
	payload := func(fields map[string]*shape) *shape { return &shape{fields: fields, absent: defaults} }
	texts := func(name string) field { return field{name: name, kind: kindObject, optional: true, texts: true} }
	object := func(name string) field { return field{name: name, kind: kindObject, optional: true} }
	text := func(name string) field { return field{name: name, kind: kindString} }
	switch hook {
	case plugin.ToolPreInvoke:
		return rules{payload(nil), []string{"name", "args", "headers"}, []field{text("name"), object("args"), texts("headers")}}, true
	case plugin.ToolPostInvoke:
		return rules{payload(nil), []string{"result"}, []field{text("name"), {name: "result", any: true}}}, true
	case plugin.PromptPreFetch:
		return rules{payload(nil), []string{"args"}, []field{text("prompt_id"), texts("args")}}, true
	case plugin.PromptPostFetch:
		return rules{payload(map[string]*shape{"result": promptShape}), []string{"result"}, []field{text("prompt_id"), {name: "result", kind: kindObject}}}, true
	case plugin.ResourcePreFetch:
		return rules{payload(nil), []string{"uri", "metadata"}, []field{text("uri"), object("metadata")}}, true
	case plugin.ResourcePostFetch:
		return rules{payload(map[string]*shape{"content": resourceShape}), []string{"content"}, []field{text("uri"), {name: "content", any: true}}}, true
	case plugin.AgentPreInvoke:
		return rules{
			payload(map[string]*shape{"messages": messagesShape}),
			[]string{"agent_id", "messages", "tools", "model", "system_prompt", "parameters", "headers"},
			[]field{text("agent_id"), {name: "messages", kind: kindArray}, object("parameters"), texts("headers")},
		}, true
	case plugin.AgentPostInvoke:
		return rules{
			payload(map[string]*shape{"messages": messagesShape}),
			[]string{"messages", "tool_calls"},
			[]field{text("agent_id"), {name: "messages", kind: kindArray}},
		}, true
	default:
		return rules{}, false
	}
}

// check reports a required field that is missing or has the wrong type.
func (r rules) check(payload *node) error {
	if payload.kind != kindObject {
		return fmt.Errorf("the payload is %s, not an object", payload.kind)
	}
	for _, f := range r.required {
		val := payload.get(f.name)
		if val == nil || (val.kind == kindNull && !f.any) {
			if f.optional {
				continue
			}
			return fmt.Errorf("the payload has no %s", f.name)
		}
		if !f.any && val.kind != f.kind {
			return fmt.Errorf("%s is %s, not %s", f.name, val.kind, f.kind)
		}
		if f.texts {
			for _, m := range val.members {
				if m.val.kind != kindString {
					return fmt.Errorf("%s.%s is %s, not a string", f.name, m.name, m.val.kind)
				}
			}
		}
	}
	if r.shape.fields["result"] != promptShape {
		return nil
	}
	return checkMessages(payload.get("result"))
}

func checkMessages(result *node) error {
	messages := result.get("messages")
	if messages == nil || messages.kind != kindArray {
		return fmt.Errorf("result.messages is not an array")
	}
	for i, message := range messages.elems {
		role, content := message.get("role"), message.get("content")
		if role == nil || role.kind != kindString || content == nil || content.kind == kindNull {
			return fmt.Errorf("result.messages[%d] has no role and content", i)
		}
	}
	return nil
}

// String names the kind with its article.
func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// spelling returns MCP's name of a model field that may also come in snake case.
func spelling(name string) string {
	switch name {
	case "mime_type":
		return "mimeType"
	case "meta":
		return "_meta"
	}
	return name
}

// isDefault reports whether a model field's value says no more than its absence.
func (s *shape) isDefault(name string, val *node) bool {
	return val.kind == kindNull ||
		(val.kind == kindObject && len(val.members) == 0 && slices.Contains(s.absent, name))
}

// fieldsOf returns the members of a model object that say something, by MCP's
// name. Both spellings of one field at once are an error.
func (s *shape) fieldsOf(n *node) (map[string]member, error) {
	fields := make(map[string]member, len(n.members))
	for _, m := range n.members {
		name := spelling(m.name)
		if other, twice := fields[name]; twice {
			return nil, fmt.Errorf("%s and %s are two spellings of one field", other.key, m.key)
		}
		if !s.isDefault(name, m.val) {
			fields[name] = m
		}
	}
	return fields, nil
}

// field returns the shape of one of a model's fields.
func (s *shape) field(name string) *shape {
	if s == nil {
		return nil
	}
	return s.fields[name]
}

// isModel reports whether objects are to be read as models.
func (s *shape) isModel() bool { return s != nil && s.elem == nil }

// same reports whether two values are equal as their shape has it.
func (s *shape) same(a, b *node) bool {
	switch {
	case s == nil || a.kind != b.kind:
		return equal(a, b)
	case a.kind == kindArray && s.elem != nil:
		return slices.EqualFunc(a.elems, b.elems, s.elem.same)
	case a.kind != kindObject || !s.isModel():
		return equal(a, b)
	}
	x, errX := s.fieldsOf(a)
	y, errY := s.fieldsOf(b)
	if errX != nil || errY != nil || len(x) != len(y) {
		return false
	}
	for name, m := range x {
		if other, ok := y[name]; !ok || !s.field(name).same(m.val, other.val) {
			return false
		}
	}
	return true
}

// dropNewlines returns a value's bytes less CR and LF between tokens, which
// stdio and SSE could not carry.
func dropNewlines(raw []byte) []byte {
	if !bytes.ContainsAny(raw, "\r\n") {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for _, c := range raw {
		// In a valid text a raw CR or LF never stands inside a string.
		if c != '\r' && c != '\n' {
			out = append(out, c)
		}
	}
	return out
}
