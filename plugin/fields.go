package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// payload is one of the payload types: the bytes it came from and its fields.
type payload interface {
	parts() (raw *json.RawMessage, fields []field)
}

// field ties a member of a payload to where its value is kept.
type field struct {
	name     string
	required bool
	value    any // *string, *int, *bool, *json.RawMessage, *map[string]string or **Credentials
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
	case *int:
		*v = 0
	case *bool:
		*v = false
	case *map[string]string:
		*v = nil
	case **Credentials:
		*v = nil
	}
}

// read sets the field to what raw says.
func (f *field) read(raw []byte) error {
	if f.reset(); isNull(raw) && !f.required {
		return nil // null is absence
	}
	switch v := f.value.(type) {
	case *json.RawMessage: // null is a value where any value may be
		*v = raw
	case *string:
		if raw[0] != '"' {
			return fmt.Errorf("%s: not a string", f.name)
		}
		*v = unquote(raw)
	case *int:
		if err := json.Unmarshal(raw, v); err != nil {
			return fmt.Errorf("%s: not an integer", f.name)
		}
	case *bool:
		if err := json.Unmarshal(raw, v); err != nil {
			return fmt.Errorf("%s: neither true nor false", f.name)
		}
	case *map[string]string:
		if err := json.Unmarshal(raw, v); err != nil || *v == nil {
			return fmt.Errorf("%s: not an object of strings", f.name)
		}
	case **Credentials:
		if err := json.Unmarshal(raw, v); err != nil {
			return fmt.Errorf("%s: not an object with scheme and credentials", f.name)
		}
	}
	return nil
}

// same reports whether raw, the field's value as it was read, still says what
// the field says now.
func (f *field) same(raw []byte) bool {
	if isNull(raw) && f.isZero() {
		return true
	}
	switch v := f.value.(type) {
	case *json.RawMessage:
		return bytes.Equal(raw, *v)
	case *string:
		return raw[0] == '"' && unquote(raw) == *v
	case *int:
		var before int
		return json.Unmarshal(raw, &before) == nil && !isNull(raw) && before == *v
	case *bool:
		return string(raw) == "true" == *v && !isNull(raw)
	case **Credentials:
		var before *Credentials
		return json.Unmarshal(raw, &before) == nil && before != nil && *v != nil && *before == **v
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
	case *string:
		return *v == ""
	case *int:
		return *v == 0
	case *bool:
		return !*v
	case *map[string]string:
		return *v == nil
	case **Credentials:
		return *v == nil
	}
	return false
}

func writePayload(p payload) ([]byte, error) {
	raw, fields := p.parts()
	return splice(*raw, fields)
}

// GetMember decodes the value of the member named name into v and reports
// whether there is one. An empty object, such as an absent field, has none. The
// name has to be the same letter by letter: a struct's fields would also take
// AMOUNT for amount, the last one winning, and a guardrail would judge another
// value than the tool gets. The error is that of decoding, after the name, or
// says that object is none.
func GetMember(object json.RawMessage, name string, v any) (bool, error) {
	if len(object) == 0 {
		return false, nil
	}
	found := false
	s := scanner{data: object}
	s.onMember = func(member string, start, end int) error {
		if member != name {
			return nil
		}
		found = true
		if err := json.Unmarshal(object[start:end], v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	if s.peek() != '{' {
		return false, errors.New("not an object")
	}
	if err := s.document(); err != nil {
		return false, err
	}
	return found, nil
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
