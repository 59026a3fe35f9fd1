package pyre

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// escape reads what follows a backslash at start, outside of a class.
func (p *parser) escape(start int, f flags) (*node, error) {
	c := p.peek()
	switch {
	case c < 0:
		return nil, p.fault(start, "bad escape (end of pattern)")
	case strings.ContainsRune("AbBZz", c):
		p.pos++
		if c == 'z' { // Python 3.14's other name for \Z
			c = 'Z'
		}
		return &node{op: opAnchor, how: c, flags: f}, nil
	case strings.ContainsRune("dDsSwW", c):
		p.pos++
		return &node{op: opSet, set: category(c, f)}, nil
	case '1' <= c && c <= '9':
		return p.numbered(start, f)
	}
	r, err := p.escaped(start)
	if err != nil {
		return nil, err
	}
	return character(r, f), nil
}

// category is \d and its like, alone.
func category(letter rune, f flags) *set {
	s := &set{negate: letter < 'a'}
	s.addCategory(letter|0x20, f.ascii)
	return s
}

// numbered reads \1 to \99, or three octal digits, which are a character.
func (p *parser) numbered(start int, f flags) (*node, error) {
	digits := string(p.next())
	if c := p.peek(); isDigit(c) {
		digits += string(p.next())
		if third := p.peek(); isOctal(rune(digits[0])) && isOctal(c) && isOctal(third) {
			digits += string(p.next())
			r, err := octal(digits)
			if err != nil {
				return nil, p.fault(start, `octal escape value \%s outside of range 0-0o377`, digits)
			}
			return character(r, f), nil
		}
	}
	number, err := strconv.Atoi(digits)
	if err != nil {
		return nil, p.fault(start, "invalid group reference %s", digits)
	}
	return p.reference(start, number, f)
}

func isDigit(c rune) bool { return '0' <= c && c <= '9' }
func isOctal(c rune) bool { return '0' <= c && c <= '7' }

func octal(digits string) (rune, error) {
	n, err := strconv.ParseUint(digits, 8, 8)
	return rune(n), err
}

// escaped reads what follows a backslash at start and stands for one character
// in a class as outside of one.
func (p *parser) escaped(start int) (rune, error) {
	c := p.next()
	if r, ok := letterEscape(c); ok && c != 'b' { // \b is for classes and templates
		return r, nil
	}
	switch c {
	case 'x':
		return p.hex(start, 2)
	case 'u':
		return p.hex(start, 4)
	case 'U':
		return p.hex(start, 8)
	case 'N':
		return 0, p.fault(start, `\N{…} is not supported: write \uXXXX or \UXXXXXXXX`)
	}
	if isOctal(c) {
		digits := string(c)
		for len(digits) < 3 && isOctal(p.peek()) {
			digits += string(p.next())
		}
		r, err := octal(digits)
		if err != nil {
			return 0, p.fault(start, `octal escape value \%s outside of range 0-0o377`, digits)
		}
		return r, nil
	}
	if c < 0 || isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' {
		return 0, p.fault(start, `bad escape \%c`, c)
	}
	return c, nil
}

// letterEscape gives the control character that a letter stands for.
func letterEscape(c rune) (r rune, ok bool) {
	switch c {
	case 'a':
		return '\a', true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'v':
		return '\v', true
	default:
		return 0, false
	}
}

func (p *parser) hex(start, digits int) (rune, error) {
	end := min(p.pos+digits, len(p.src))
	text := string(p.src[p.pos:end])
	n, err := strconv.ParseUint(text, 16, 32)
	if err != nil || len(text) != digits {
		return 0, p.fault(start, `incomplete escape \%s`, string(p.src[start+1:end]))
	}
	p.pos = end
	r := rune(n)
	if n > utf8.MaxRune || !utf8.ValidRune(r) {
		return 0, p.fault(start, `%s is not a character`, string(p.src[start:end]))
	}
	return r, nil
}

// class reads what follows an opening bracket.
func (p *parser) class(f flags) (*node, error) {
	start := p.pos - 1
	s := &set{negate: p.take("^")}
	for first := p.pos; ; {
		at := p.pos
		c := p.next()
		if c < 0 {
			return nil, p.fault(start, "unterminated character set")
		}
		if c == ']' && at > first {
			break
		}
		lo, isCategory, err := p.member(c, at)
		if err != nil {
			return nil, err
		}
		hi := lo
		if p.peek() == '-' && p.pos+1 < len(p.src) && p.src[p.pos+1] != ']' {
			p.pos++
			end := p.pos
			var endCategory bool
			if hi, endCategory, err = p.member(p.next(), end); err != nil {
				return nil, err
			}
			if isCategory || endCategory || hi < lo {
				return nil, p.fault(at, "bad character range %s", string(p.src[at:p.pos]))
			}
		}
		if isCategory {
			s.addCategory(lo, f.ascii)
		} else {
			s.ranges = append(s.ranges, lo, hi)
		}
	}
	if f.ignoreCase {
		s.fold(f.ascii)
	}
	return &node{op: opSet, set: s}, nil
}

// member reads one member of a class whose first character c, at at, has been
// passed: a character, or the letter of a category.
func (p *parser) member(c rune, at int) (r rune, isCategory bool, err error) {
	switch {
	case c != '\\':
		return c, false, nil
	case p.more() && strings.ContainsRune("dDsSwW", p.peek()):
		return p.next(), true, nil
	case p.take("b"):
		return '\b', false, nil
	}
	r, err = p.escaped(at)
	return r, false, err
}
