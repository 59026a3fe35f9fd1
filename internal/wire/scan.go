package wire

import (
	"bytes"
	"encoding/json"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions of this file skim JSON that [Check] has accepted. Given other
// text they neither panic nor loop, but what they return means nothing.

// Kind is the kind of a JSON value by its first byte: '{', '[', '"', 'n', 't',
// 'f', '0' for numbers, and 0 when raw is empty.
func Kind(raw []byte) byte {
	i := skipSpace(raw, 0)
	if i == len(raw) {
		return 0
	}
	if c := raw[i]; c != '-' && (c < '0' || c > '9') {
		return c
	}
	return '0'
}

// IsNull reports whether raw is absent or null.
func IsNull(raw []byte) bool { k := Kind(raw); return k == 0 || k == 'n' }

// Members yields the members of a JSON object in their order: the unescaped
// name and the value's bytes, without surrounding space. Both are parts of raw
// (a name with escapes is a copy). It yields nothing when raw is no object.
func Members(raw []byte) iter.Seq2[[]byte, json.RawMessage] {
	return func(yield func([]byte, json.RawMessage) bool) {
		i := skipSpace(raw, 0)
		if i == len(raw) || raw[i] != '{' {
			return
		}
		for i = skipSpace(raw, i+1); i < len(raw) && raw[i] == '"'; i = skipSpace(raw, i+1) {
			end := skipString(raw, i)
			name := unquoted(raw[i:end])
			if i = skipSpace(raw, end); i == len(raw) || raw[i] != ':' {
				return
			}
			i = skipSpace(raw, i+1)
			end = skipValue(raw, i)
			if !yield(name, raw[i:end:end]) {
				return
			}
			if i = skipSpace(raw, end); i == len(raw) || raw[i] != ',' {
				return
			}
		}
	}
}

// Elements yields the elements of a JSON array, parts of raw, without
// surrounding space. It yields nothing when raw is no array.
func Elements(raw []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		i := skipSpace(raw, 0)
		if i == len(raw) || raw[i] != '[' {
			return
		}
		for i = skipSpace(raw, i+1); i < len(raw) && raw[i] != ']'; i = skipSpace(raw, i+1) {
			end := skipValue(raw, i)
			if end == i || !yield(raw[i:end:end]) {
				return
			}
			if i = skipSpace(raw, end); i == len(raw) || raw[i] != ',' {
				return
			}
		}
	}
}

// Member returns one member of a JSON object, nil when it is not there.
func Member(raw []byte, name string) json.RawMessage {
	for key, value := range Members(raw) {
		if string(key) == name {
			return value
		}
	}
	return nil
}

// String returns the value of a JSON string. It reports false when raw is
// something else. A lone surrogate escape becomes U+FFFD.
func String(raw []byte) (string, bool) {
	if Kind(raw) != '"' {
		return "", false
	}
	return string(unquoted(bytes.TrimSpace(raw))), true
}

// AppendText appends the value of a JSON string to dst. It reports false when
// raw is something else.
func AppendText(dst, raw []byte) ([]byte, bool) {
	raw = bytes.TrimSpace(raw)
	if Kind(raw) != '"' || len(raw) < 2 {
		return dst, false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return append(dst, raw[1:len(raw)-1]...), true
	}
	dst, _ = jsontext.AppendUnquote(dst, raw) // lone surrogates are reported and replaced
	return dst, true
}

// unquoted is the value of a JSON string: a part of it, or a copy when it has
// escapes.
func unquoted(quoted []byte) []byte {
	if len(quoted) < 2 {
		return nil
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	text, _ := jsontext.AppendUnquote(nil, quoted) // lone surrogates are reported and replaced
	return text
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipString returns the index after the string that starts at b[i].
func skipString(b []byte, i int) int {
	i++
	for i < len(b) {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return len(b)
		}
		// The quote ends the string unless an odd number of backslashes is before it.
		end := i + n
		escapes := 0
		for k := end - 1; k >= i && b[k] == '\\'; k-- {
			escapes++
		}
		i = end + 1
		if escapes%2 == 0 {
			return i
		}
	}
	return len(b)
}

// skipValue returns the index after the value that starts at b[i].
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				i = skipString(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return len(b)
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}
