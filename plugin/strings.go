package plugin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MapStrings calls f with each string value in raw, in order, and returns raw
// with those that f changed replaced. Whatever f leaves alone keeps its bytes:
// spacing, key order, numbers such as 2^53+1, escapes. Member names are not
// values and are never changed. changed is false when f changed nothing; the
// result is then raw itself. An empty raw, such as an absent field, holds none.
//
// Path says where the string stands; it is reused, so f must [Path.Clone] what
// it keeps. A lone surrogate, such as the "\ud83d" that JavaScript sends for a
// cut emoji, is given to f as the three bytes that UTF-8 would have for it
// (which [utf8.ValidString] refuses), and those bytes in the answer become the
// escape again. Any other invalid UTF-8 in the answer becomes U+FFFD.
//
// An error is one of f, as it is, or says where raw is not JSON. MapStrings
// does not notice a member that is there twice: what comes over the wire has
// been checked for that.
func MapStrings(raw json.RawMessage, f func(at Path, s string) (string, error)) (out json.RawMessage, changed bool, err error) {
	copied := 0 // raw[:copied] is in out
	s := scanner{data: raw}
	s.onString = func(start, end int) error {
		old := unquote(raw[start:end])
		now, err := f(s.path, old)
		if err != nil || now == old {
			return err
		}
		if out == nil {
			out = make(json.RawMessage, 0, len(raw)+len(now)-len(old)+64)
		}
		out = append(out, raw[copied:start]...)
		out = appendQuoted(out, now)
		copied = end
		return nil
	}
	if len(raw) == 0 {
		return raw, false, nil
	}
	if err := s.document(); err != nil {
		return nil, false, err
	}
	if copied == 0 {
		return raw, false, nil
	}
	return append(out, raw[copied:]...), true, nil
}

// Path leads from the top of a JSON value to a value in it. The empty Path is
// the whole.
type Path []Step

// Step is one member or element on a [Path].
type Step struct {
	Key   string // the member's name, when Index is negative
	Index int    // the element's index, from 0; -1 for a member
}

// Is reports whether s is the member named key.
func (s Step) Is(key string) bool { return s.Index < 0 && s.Key == key }

// Clone returns a copy of p that is the caller's.
func (p Path) Clone() Path { return append(Path(nil), p...) }

// String writes p for people: "result.content[0].text".
func (p Path) String() string {
	var b strings.Builder
	for i, s := range p {
		switch {
		case s.Index >= 0:
			b.WriteByte('[')
			b.WriteString(strconv.Itoa(s.Index))
			b.WriteByte(']')
		case i > 0:
			b.WriteByte('.')
			fallthrough
		default:
			b.WriteString(s.Key)
		}
	}
	return b.String()
}

// unquote gives the text of a JSON string that the scanner has passed.
func unquote(quoted []byte) string {
	text := quoted[1 : len(quoted)-1]
	next := bytes.IndexByte(text, '\\')
	if next < 0 {
		return string(text)
	}
	b := make([]byte, 0, len(text)) // unescaping never lengthens
	for ; next >= 0; next = bytes.IndexByte(text, '\\') {
		b = append(b, text[:next]...)
		text = text[next:]
		if text[1] != 'u' {
			b = append(b, unescaped(text[1]))
			text = text[2:]
			continue
		}
		r := hex4(text[2:])
		text = text[6:]
		if utf16.IsSurrogate(r) && len(text) >= 6 && text[0] == '\\' && text[1] == 'u' {
			if pair := utf16.DecodeRune(r, hex4(text[2:])); pair != utf8.RuneError {
				r, text = pair, text[6:]
			}
		}
		b = appendSurrogateOrRune(b, r)
	}
	return string(append(b, text...))
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default: // one of " \ /
		return c
	}
}

func hex4(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 16)
	return rune(n)
}

// appendSurrogateOrRune writes a lone surrogate as UTF-8 would if it were a
// character, which utf8.AppendRune turns into U+FFFD.
func appendSurrogateOrRune(b []byte, r rune) []byte {
	if utf16.IsSurrogate(r) {
		return append(b, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
	}
	return utf8.AppendRune(b, r)
}

// surrogateAt returns the lone surrogate that s starts with.
func surrogateAt(s string) (r rune, ok bool) {
	if len(s) < 3 || s[0] != 0xed || s[1]&0xe0 != 0xa0 || s[2]&0xc0 != 0x80 {
		return 0, false
	}
	return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), true
}

// appendQuoted appends text as a JSON string, escaping only what must be.
func appendQuoted(b []byte, text string) []byte {
	b = append(b, '"')
	s := []byte(text)
	for len(s) > 0 {
		n := plain(s)
		b = append(b, s[:n]...)
		s = s[n:]
		if len(s) == 0 {
			break
		}
		r, size := utf8.DecodeRune(s)
		switch surrogate, isSurrogate := surrogateAt(string(s[:min(3, len(s))])); {
		case isSurrogate:
			b = fmt.Appendf(b, `\u%04x`, surrogate)
			size = 3
		case r >= utf8.RuneSelf: // U+FFFD for an invalid byte
			b = utf8.AppendRune(b, r)
		default:
			b = appendEscape(b, s[0])
		}
		s = s[size:]
	}
	return append(b, '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	default:
		return fmt.Appendf(b, `\u%04x`, c)
	}
}
