package main

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// decodeNumbers decodes JSON with its numbers as they are written.
func decodeNumbers(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return dec.Decode(into)
}

// dig follows names and positions into JSON; nil where there is nothing.
func dig(raw json.RawMessage, path ...any) json.RawMessage {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			var object map[string]json.RawMessage
			if json.Unmarshal(raw, &object) != nil {
				return nil
			}
			raw = object[step]
		case int:
			var list []json.RawMessage
			if json.Unmarshal(raw, &list) != nil || step >= len(list) {
				return nil
			}
			raw = list[step]
		}
	}
	return raw
}

// words is a string in JSON, or what stands there instead.
func words(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return string(raw)
	}
	return text
}

// sameValue compares JSON but for order and spaces. Numbers are compared in
// their digits.
func sameValue(a, b []byte) bool {
	var values [2]any
	for i, text := range [][]byte{a, b} {
		if decodeNumbers(text, &values[i]) != nil {
			return false
		}
	}
	x, errX := json.Marshal(values[0])
	y, errY := json.Marshal(values[1])
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// contains says what of want is not in got. Objects may have more members,
// everything else has to be equal; numbers as they are written.
func contains(want string, got json.RawMessage) error {
	var both [2]any
	for i, text := range []string{want, string(got)} {
		if err := decodeNumbers([]byte(text), &both[i]); err != nil {
			return fmt.Errorf("%w: %s", err, text)
		}
	}
	return within("", both[0], both[1])
}

func within(at string, want, got any) error {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: want an object, got %v", at, got)
		}
		for name, value := range w {
			member, ok := g[name]
			if !ok {
				return fmt.Errorf("%s.%s is missing", at, name)
			}
			if err := within(at+"."+name, value, member); err != nil {
				return err
			}
		}
		return nil
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Errorf("%s: want %v, got %v", at, want, got)
		}
		for i := range w {
			if err := within(fmt.Sprintf("%s[%d]", at, i), w[i], g[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if want != got {
		return fmt.Errorf("%s: want %v, got %v", at, want, got)
	}
	return nil
}

// withoutNulls removes null members, but those of the free-form objects, which
// have a number beside them.
func withoutNulls(raw json.RawMessage) json.RawMessage {
	var value any
	if decodeNumbers(raw, &value) != nil {
		return raw
	}
	strip(value)
	out, err := json.Marshal(value)
	if err != nil {
		return raw
	}
	return out
}

func strip(value any) {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			strip(item)
		}
	case map[string]any:
		_, free := value["n"]
		for name, member := range value {
			if member == nil && !free {
				delete(value, name)
			}
			strip(member)
		}
	}
}
