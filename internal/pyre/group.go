package pyre

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// group reads what follows an opening parenthesis at start.
func (p *parser) group(start int, f flags) (*node, error) {
	if !p.take("?") {
		return p.capture(start, "", f)
	}
	switch c := p.next(); c {
	case ':':
		return p.plain(start, f)
	case '>':
		return p.wrap(start, &node{op: opAtomic}, f)
	case '#':
		return nil, p.comment(start)
	case 'P':
		return p.extension(start, f)
	case '=', '!':
		return p.wrap(start, &node{op: opAhead, neg: c == '!'}, f)
	case '<':
		return p.lookBehind(start, f)
	case '(':
		return p.conditional(start, f)
	case -1:
		return nil, p.fault(start, "unexpected end of pattern")
	default:
		p.pos--
		if c != '-' && !strings.ContainsRune("aiLmsux", c) {
			return nil, p.fault(start, "unknown extension ?%c", c)
		}
		inner, scoped, err := p.flagLetters(start, f)
		if err != nil {
			return nil, err
		}
		if !scoped {
			return nil, p.fault(start, "global flags not at the start of the expression")
		}
		return p.plain(start, inner)
	}
}

// plain reads the inside of a group that captures nothing.
func (p *parser) plain(start int, f flags) (*node, error) {
	inside, err := p.alternation(f)
	if err != nil {
		return nil, err
	}
	return inside, p.end(start)
}

// wrap reads the inside of a group as the operand of n.
func (p *parser) wrap(start int, n *node, f flags) (*node, error) {
	inside, err := p.plain(start, f)
	n.subs = []*node{inside}
	return n, err
}

func (p *parser) end(start int) error {
	if !p.take(")") {
		return p.fault(start, "missing ), unterminated subpattern")
	}
	return nil
}

// capture reads the inside of a group that captures.
func (p *parser) capture(start int, name string, f flags) (*node, error) {
	p.groups++
	number := p.groups
	if name != "" {
		if before, ok := p.names[name]; ok {
			return nil, p.fault(start, "redefinition of group name %q as group %d; was group %d", name, number, before)
		}
		p.names[name] = number
	}
	p.open = append(p.open, number)
	n, err := p.wrap(start, &node{op: opGroup, group: number}, f)
	if err != nil {
		return nil, err
	}
	p.open = p.open[:len(p.open)-1]
	n.width(p.widths)
	return n, nil
}

// extension reads (?P<name>…) and (?P=name).
func (p *parser) extension(start int, f flags) (*node, error) {
	switch c := p.next(); c {
	case '<':
		name, err := p.name('>')
		if err != nil {
			return nil, err
		}
		if !isIdentifier(name) {
			return nil, p.fault(start, "bad character in group name %q", name)
		}
		return p.capture(start, name, f)
	case '=':
		name, err := p.name(')')
		if err != nil {
			return nil, err
		}
		number, ok := p.names[name]
		if !ok {
			return nil, p.fault(start, "unknown group name %q", name)
		}
		return p.reference(start, number, f)
	case -1:
		return nil, p.fault(start, "unexpected end of pattern")
	default:
		return nil, p.fault(start, "unknown extension ?P%c", c)
	}
}

// reference is a back-reference to a group that must be closed.
func (p *parser) reference(start, number int, f flags) (*node, error) {
	if number > p.groups {
		return nil, p.fault(start, "invalid group reference %d", number)
	}
	if slices.Contains(p.open, number) {
		return nil, p.fault(start, "cannot refer to an open group")
	}
	if p.insideBehind(number) {
		return nil, p.fault(start, "cannot refer to group defined in the same lookbehind subpattern")
	}
	return &node{op: opBackref, group: number, flags: f}, nil
}

func (p *parser) insideBehind(number int) bool {
	return len(p.behind) > 0 && number > p.behind[len(p.behind)-1]
}

// lookBehind reads (?<=…) and (?<!…).
func (p *parser) lookBehind(start int, f flags) (*node, error) {
	c := p.next()
	if c < 0 {
		return nil, p.fault(start, "unexpected end of pattern")
	}
	if c != '=' && c != '!' {
		return nil, p.fault(start, "unknown extension ?<%c", c)
	}
	p.behind = append(p.behind, p.groups)
	n, err := p.wrap(start, &node{op: opBehind, neg: c == '!'}, f)
	if err != nil {
		return nil, err
	}
	p.behind = p.behind[:len(p.behind)-1]
	if lo, hi := n.subs[0].width(p.widths); lo != hi {
		return nil, p.fault(start, "look-behind requires fixed-width pattern")
	}
	return n, nil
}

// conditional reads (?(group)yes|no).
func (p *parser) conditional(start int, f flags) (*node, error) {
	name, err := p.name(')')
	if err != nil {
		return nil, err
	}
	number, known := p.names[name]
	if !known {
		if number, err = strconv.Atoi(name); err != nil || number < 0 || name[0] == '+' {
			return nil, p.fault(start, "unknown group name %q", name)
		}
		if number == 0 {
			return nil, p.fault(start, "bad group number")
		}
	}
	if number > p.groups || slices.Contains(p.open, number) {
		// Python allows it, the engine does not or not in the same way, and
		// nothing sensible is written so.
		return nil, p.fault(start, "condition on group %d, which does not end before it", number)
	}
	if p.insideBehind(number) {
		return nil, p.fault(start, "cannot refer to group defined in the same lookbehind subpattern")
	}
	n := &node{op: opIf, group: number}
	yes, err := p.sequence(f)
	if err != nil {
		return nil, err
	}
	no := &node{op: opCat}
	if p.take("|") {
		if no, err = p.sequence(f); err != nil {
			return nil, err
		}
		if p.peek() == '|' {
			return nil, p.fault(p.pos, "conditional backref with more than two branches")
		}
	}
	n.subs = []*node{yes, no}
	return n, p.end(start)
}

// flagLetters reads the letters of a flag group, the first being next, and what
// ends them: a colon (scoped) or the closing parenthesis.
func (p *parser) flagLetters(start int, f flags) (out flags, scoped bool, err error) {
	on, off, negative := "", "", false
	for {
		switch c := p.next(); {
		case c == ')' && !negative && on != "", c == ':' && (off != "" || on != "" && !negative):
			out, err = p.apply(start, f, on, off)
			return out, c == ':', err
		case c == '-' && !negative:
			negative = true
		case c == 'L':
			return f, false, p.fault(start, "bad inline flags: cannot use 'L' flag with a str pattern")
		case c >= 0 && strings.ContainsRune("aimsux", c) && negative:
			off += string(c)
		case c >= 0 && strings.ContainsRune("aimsux", c):
			on += string(c)
		case unicode.IsLetter(c):
			return f, false, p.fault(start, "unknown flag")
		default:
			return f, false, p.fault(start, "missing -, : or )")
		}
	}
}

func (p *parser) apply(start int, f flags, on, off string) (flags, error) {
	switch {
	case strings.ContainsAny(off, "au"):
		return f, p.fault(start, "bad inline flags: cannot turn off flags 'a' and 'u'")
	case strings.Contains(on, "a") && strings.Contains(on, "u"):
		return f, p.fault(start, "bad inline flags: flags 'a' and 'u' are incompatible")
	case strings.ContainsAny(on, off):
		return f, p.fault(start, "bad inline flags: flag turned on and off")
	}
	for _, letter := range on {
		f.set(letter, true)
	}
	for _, letter := range off {
		f.set(letter, false)
	}
	return f, nil
}

func (f *flags) set(letter rune, value bool) {
	switch letter {
	case 'i':
		f.ignoreCase = value
	case 'm':
		f.multiLine = value
	case 's':
		f.dotAll = value
	case 'x':
		f.verbose = value
	case 'a':
		f.ascii = true
	case 'u':
		f.ascii = false
	}
}

// isIdentifier is Python's str.isidentifier, near enough for group names.
func isIdentifier(name string) bool {
	for i, r := range name {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return name != ""
}
