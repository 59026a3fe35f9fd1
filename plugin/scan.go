package plugin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// maxDepth bounds the recursion of the scanner, as encoding/json bounds its own.
const maxDepth = 10000

// scanner walks one JSON text and checks it on the way, without building
// anything: who edits a few bytes of a payload must not decode all of it.
type scanner struct {
	data []byte
	pos  int
	path Path

	// onString is called with the span of each string value, quotes included.
	onString func(start, end int) error

	// onMember is called with the name and the value's span of each member of
	// the outermost object.
	onMember func(name string, start, end int) error
}

// document scans a whole text: one value and space around it.
func (s *scanner) document() error {
	if err := s.value(0); err != nil {
		return err
	}
	if s.space(); s.pos < len(s.data) {
		return s.fault("text after the value")
	}
	return nil
}

func (s *scanner) fault(what string) error {
	if s.pos >= len(s.data) {
		return errors.New("json: unexpected end")
	}
	return fmt.Errorf("json: %s at offset %d", what, s.pos)
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek skips space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) value(depth int) error {
	if depth > maxDepth {
		return s.fault("too deep")
	}
	switch s.peek() {
	case '{':
		return s.object(depth)
	case '[':
		return s.array(depth)
	case '"':
		start := s.pos
		if err := s.str(); err != nil || s.onString == nil {
			return err
		}
		return s.onString(start, s.pos)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) object(depth int) error {
	s.pos++
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.fault("no member name")
		}
		start := s.pos
		if err := s.str(); err != nil {
			return err
		}
		name := unquote(s.data[start:s.pos])
		if s.peek() != ':' {
			return s.fault("no colon")
		}
		s.pos++
		s.space()
		start = s.pos
		s.path = append(s.path, Step{Key: name, Index: -1})
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		if depth == 0 && s.onMember != nil {
			if err := s.onMember(name, start, s.pos); err != nil {
				return err
			}
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.fault("no comma or brace after a member")
		}
	}
}

func (s *scanner) array(depth int) error {
	s.pos++
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for i := 0; ; i++ {
		s.path = append(s.path, Step{Index: i})
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.path = s.path[:len(s.path)-1]
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.fault("no comma or bracket after an element")
		}
	}
}

// str scans a string, from one quote to past the other.
func (s *scanner) str() error {
	start, data := s.pos, s.data
	ascii, run := true, 0
	for i := start + 1; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			s.pos = i + 1
			if !ascii && !utf8.Valid(data[start:s.pos]) {
				s.pos = start
				return s.fault("invalid UTF-8 in the string")
			}
			return nil
		case c == '\\':
			run = 0
			s.pos = i
			if err := s.escape(); err != nil {
				return err
			}
			i = s.pos
		case c < ' ':
			s.pos = i
			return s.fault("control character in a string")
		case c >= utf8.RuneSelf:
			ascii, run = false, 0
		default:
			if run++; run == 8 { // so it goes on, most likely
				i += plain(data[i+1:])
				run = 0
			}
		}
	}
	s.pos = len(data)
	return s.fault("")
}

// plain counts the bytes at the start of b that mean themselves in a string: all
// of ASCII but quotes, backslashes and control characters. Most of a payload is
// such text, so it takes eight at a time.
func plain(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, backslash := x^ones*'"', x^ones*'\\'
		// The high bit of each byte that is less than ' ', zero in one of the
		// others, or over 0x7f. A borrow may set more of them, behind the first.
		if odd := ((x-ones*' ')&^x | (quote-ones)&^quote | (backslash-ones)&^backslash | x) & highs; odd != 0 {
			return i + bits.TrailingZeros64(odd)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] < utf8.RuneSelf && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// escape scans a backslash and what follows, up to its last byte.
func (s *scanner) escape() error {
	s.pos++
	if s.pos >= len(s.data) {
		return s.fault("")
	}
	switch s.data[s.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			s.pos++
			if s.pos >= len(s.data) || !isHex(s.data[s.pos]) {
				return s.fault("bad escape")
			}
		}
		return nil
	default:
		return s.fault("bad escape")
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (s *scanner) word(want string) error {
	for i := range len(want) {
		if s.pos >= len(s.data) || s.data[s.pos] != want[i] {
			return s.fault("no value")
		}
		s.pos++
	}
	return nil
}

func (s *scanner) number() error {
	if s.pos < len(s.data) && s.data[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.data) && s.data[s.pos] == '0' {
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.pos < len(s.data) && s.data[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		return s.digits()
	}
	return nil
}

func (s *scanner) digits() error {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	if s.pos == start {
		return s.fault("no value")
	}
	return nil
}
