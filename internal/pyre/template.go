package pyre

import (
	"strconv"
)

// piece is literal text or, when text is empty, what a group has captured.
type piece struct {
	text  string
	group int
}

// NewSub reads a replacement in Python's syntax: \1, \g<1>, \g<name> and the
// escapes \a \b \f \n \r \t \v \\ and \ooo. The error is in Python's words.
func (re *Regexp) NewSub(replacement string) (*Sub, error) {
	t := &template{parser: parser{src: []rune(replacement)}, re: re}
	for t.more() {
		if err := t.one(); err != nil {
			return nil, err
		}
	}
	return &Sub{re, t.pieces}, nil
}

// template is a replacement being read.
type template struct {
	parser
	re     *Regexp
	pieces []piece
}

func (t *template) literal(text string) {
	if n := len(t.pieces); n > 0 && t.pieces[n-1].text != "" {
		t.pieces[n-1].text += text
		return
	}
	t.pieces = append(t.pieces, piece{text: text})
}

func (t *template) groupRef(start, group int) error {
	if group > t.re.groups {
		return t.fault(start, "invalid group reference %d", group)
	}
	t.pieces = append(t.pieces, piece{group: group})
	return nil
}

// one reads a character, an escape or a reference.
func (t *template) one() error {
	start := t.pos
	c := t.next()
	if c != '\\' {
		t.literal(string(c))
		return nil
	}
	switch c = t.next(); {
	case c < 0:
		return t.fault(start, "bad escape (end of pattern)")
	case c == 'g':
		return t.named(start)
	case isDigit(c):
		return t.numbered(start, string(c))
	case 'a' <= c|0x20 && c|0x20 <= 'z':
		r, ok := letterEscape(c)
		if !ok {
			return t.fault(start, `bad escape \%c`, c)
		}
		t.literal(string(r))
	case c == '\\':
		t.literal(`\`)
	default: // Python leaves the backslash before what is no escape
		t.literal(`\` + string(c))
	}
	return nil
}

// named reads \g<…>.
func (t *template) named(start int) error {
	if !t.take("<") {
		return t.fault(start, "missing <")
	}
	name, err := t.name('>')
	if err != nil {
		return err
	}
	if group, ok := t.re.names[name]; ok {
		return t.groupRef(start, group)
	}
	group, err := strconv.ParseUint(name, 10, 31)
	if err != nil {
		return t.fault(start, "unknown group name %q", name)
	}
	return t.groupRef(start, int(group))
}

// numbered reads \1 to \99, and \0 or three digits, which are a character in
// octal. The first digit has been passed.
func (t *template) numbered(start int, digits string) error {
	isChar := digits == "0"
	for len(digits) < 3 {
		c := t.peek()
		if isChar && !isOctal(c) || !isDigit(c) {
			break
		}
		if len(digits) == 2 && !isChar {
			if !isOctal(rune(digits[0])) || !isOctal(rune(digits[1])) || !isOctal(c) {
				break
			}
			isChar = true
		}
		digits += string(t.next())
	}
	if isChar {
		r, err := octal(digits)
		if err != nil {
			return t.fault(start, `octal escape value \%s outside of range 0-0o377`, digits)
		}
		t.literal(string(r))
		return nil
	}
	group, err := strconv.Atoi(digits)
	if err != nil {
		return t.fault(start, "invalid group reference %s", digits)
	}
	return t.groupRef(start, group)
}
