package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is the deepest nesting of objects and arrays that is accepted. It
// is below what the parsers of common languages survive (Python's gives up at
// about 1000), so that what passes here can be read there.
const MaxDepth = 512

// TooLargeError is a message over the limit of its hop.
type TooLargeError struct {
	Size  int64 // bytes seen; 0 when reading stopped at the limit
	Limit int64 // bytes allowed

	// ID is that of the message when [Lines] read it and found one; else nil.
	ID json.RawMessage
}

// Error names both sizes.
func (e *TooLargeError) Error() string {
	if e.Size == 0 {
		return fmt.Sprintf("message is larger than the limit of %d bytes", e.Limit)
	}
	return fmt.Sprintf("message of %d bytes is larger than the limit of %d bytes", e.Size, e.Limit)
}

// Check reads text as one JSON value, strictly: no duplicate member names (also
// when spelled with escapes), no invalid UTF-8, nothing after the value, no
// nesting deeper than [MaxDepth]. Lone surrogate escapes pass. In names they
// count as U+FFFD, which parsers and [Members] make of them: two names of one
// object that differ in nothing else are duplicates. The error says what is
// wrong and where.
func Check(text []byte) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("invalid UTF-8 after %d bytes", validPrefix(text))
	}
	if tooDeep(text) {
		return fmt.Errorf("nesting deeper than %d", MaxDepth)
	}
	// AllowInvalidUTF8 only lets lone surrogate escapes through: the bytes
	// themselves have just been checked.
	if jsontext.Value(text).IsValid(jsontext.AllowInvalidUTF8(true)) {
		return nil
	}
	return explain(text)
}

// explain finds out what IsValid did not like.
func explain(text []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowInvalidUTF8(true))
	_, err := d.ReadValue()
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("unexpected end")
	case err == nil:
		return fmt.Errorf("more than one value: something follows after %d bytes", d.InputOffset())
	}
	return errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
}

func validPrefix(text []byte) int {
	n := 0
	for n < len(text) {
		r, size := utf8.DecodeRune(text[n:])
		if r == utf8.RuneError && size <= 1 {
			break
		}
		n += size
	}
	return n
}

// tooDeep is a quick look for the usual text, which has fewer brackets in all
// than may be nested, and a scan for the rest.
func tooDeep(text []byte) bool {
	if bytes.Count(text, []byte{'{'})+bytes.Count(text, []byte{'['}) <= MaxDepth {
		return false
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = skipString(text, i) - 1
		case '{', '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}
