package pyre

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// parser reads Python's syntax, by the rules of its re/_parser.py.
type parser struct {
	src    []rune
	pos    int
	groups int            // opened so far
	names  map[string]int // of groups
	open   []int          // groups that are not closed yet
	behind []int          // for each look-behind around: the groups before it
	widths map[int][2]int // of groups closed so far
	depth  int
}

// maxNesting bounds the recursion, as Python's own stack does.
const maxNesting = 500

// syntaxError is a fault in the pattern.
type syntaxError struct {
	message string
	at      int
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at position %d", e.message, e.at) }

func (p *parser) fault(at int, format string, args ...any) error {
	return &syntaxError{fmt.Sprintf(format, args...), at}
}

func parse(pattern string, ignoreCase bool) (*parser, *node, error) {
	p := &parser{src: []rune(pattern), names: map[string]int{}, widths: map[int][2]int{}}
	if len(p.src) > maxPattern {
		return nil, nil, p.fault(maxPattern, "the pattern is longer than %d characters", maxPattern)
	}
	f, err := p.globalFlags()
	if err != nil {
		return nil, nil, err
	}
	f.ignoreCase = f.ignoreCase || ignoreCase
	tree, err := p.alternation(f)
	if err != nil {
		return nil, nil, err
	}
	if p.more() { // only a parenthesis ends an alternation early
		return nil, nil, p.fault(p.pos, "unbalanced parenthesis")
	}
	return p, tree, nil
}

func (p *parser) more() bool { return p.pos < len(p.src) }

// peek returns the next character, -1 at the end.
func (p *parser) peek() rune {
	if p.more() {
		return p.src[p.pos]
	}
	return -1
}

func (p *parser) next() rune {
	c := p.peek()
	p.pos++
	return c
}

// take passes text if it comes next.
func (p *parser) take(text string) bool {
	want := []rune(text)
	if !slices.Equal(p.src[p.pos:min(p.pos+len(want), len(p.src))], want) {
		return false
	}
	p.pos += len(want)
	return true
}

// name returns the name of a group that goes up to end, and passes both.
func (p *parser) name(end rune) (string, error) {
	start := p.pos
	for p.more() {
		if c := p.next(); c == end {
			if p.pos-1 == start {
				return "", p.fault(start, "missing group name")
			}
			return string(p.src[start : p.pos-1]), nil
		}
	}
	if p.pos == start {
		return "", p.fault(start, "missing group name")
	}
	return "", p.fault(start, "missing %c, unterminated name", end)
}

// globalFlags reads the (?i) and the like that start a pattern.
func (p *parser) globalFlags() (flags, error) {
	var f flags
	for {
		p.blank(f)
		start := p.pos
		if !p.take("(?") {
			return f, nil
		}
		if p.take("#") {
			if err := p.comment(start); err != nil {
				return f, err
			}
			continue
		}
		if !strings.ContainsRune("aiLmsux", p.peek()) {
			p.pos = start
			return f, nil
		}
		on, scoped, err := p.flagLetters(start, f)
		if err != nil {
			return f, err
		}
		if scoped {
			p.pos = start
			return f, nil
		}
		f = on
	}
}

// blank passes what the x flag makes meaningless.
func (p *parser) blank(f flags) {
	for f.verbose && p.more() {
		switch c := p.peek(); {
		case strings.ContainsRune(" \t\n\r\v\f", c):
			p.pos++
		case c == '#':
			for p.more() && p.next() != '\n' {
			}
		default:
			return
		}
	}
}

func (p *parser) comment(start int) error {
	for p.more() {
		if p.next() == ')' {
			return nil
		}
	}
	return p.fault(start, "missing ), unterminated comment")
}

// alternation reads branches up to a closing parenthesis or the end.
func (p *parser) alternation(f flags) (*node, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, p.fault(p.pos, "nested too deeply")
	}
	defer func() { p.depth-- }()
	var branches []*node
	for {
		branch, err := p.sequence(f)
		if err != nil {
			return nil, err
		}
		branches = append(branches, branch)
		if !p.take("|") {
			break
		}
	}
	if len(branches) == 1 {
		return branches[0], nil
	}
	return &node{op: opAlt, subs: branches}, nil
}

// sequence reads one branch.
func (p *parser) sequence(f flags) (*node, error) {
	seq := &node{op: opCat}
	for {
		p.blank(f)
		start := p.pos
		c := p.peek()
		if c < 0 || c == '|' || c == ')' {
			return seq, nil
		}
		if lo, hi, ok, err := p.quantifier(); err != nil {
			return nil, err
		} else if ok {
			if err := p.repeat(seq, lo, hi, start); err != nil {
				return nil, err
			}
			continue
		}
		item, err := p.item(f)
		if err != nil {
			return nil, err
		}
		if item != nil {
			seq.subs = append(seq.subs, item)
		}
	}
}

// quantifier passes one of * + ? {m,n}. A brace that is none is a literal.
func (p *parser) quantifier() (lo, hi int, ok bool, err error) {
	start := p.pos
	switch p.next() {
	case '*':
		return 0, unlimited, true, nil
	case '+':
		return 1, unlimited, true, nil
	case '?':
		return 0, 1, true, nil
	case '{':
		if p.peek() == '}' {
			break
		}
		first := p.digits()
		last := first
		if p.take(",") {
			last = p.digits()
		}
		if !p.take("}") {
			break
		}
		lo, hi = 0, unlimited
		if first != "" {
			if lo, err = strconv.Atoi(first); err != nil || lo >= unlimited {
				return 0, 0, false, p.fault(start, "the repetition number is too large")
			}
		}
		if last != "" {
			if hi, err = strconv.Atoi(last); err != nil || hi >= unlimited {
				return 0, 0, false, p.fault(start, "the repetition number is too large")
			}
		}
		if hi < lo {
			return 0, 0, false, p.fault(start, "min repeat greater than max repeat")
		}
		return lo, hi, true, nil
	}
	p.pos = start
	return 0, 0, false, nil
}

func (p *parser) digits() string {
	start := p.pos
	for c := p.peek(); '0' <= c && c <= '9'; c = p.peek() {
		p.pos++
	}
	return string(p.src[start:p.pos])
}

// repeat wraps the last item of seq.
func (p *parser) repeat(seq *node, lo, hi, start int) error {
	if len(seq.subs) == 0 || seq.subs[len(seq.subs)-1].op == opAnchor {
		return p.fault(start, "nothing to repeat")
	}
	last := &seq.subs[len(seq.subs)-1]
	if (*last).op == opRepeat {
		return p.fault(start, "multiple repeat")
	}
	r := &node{op: opRepeat, subs: []*node{*last}, min: lo, max: hi}
	if p.take("?") {
		r.how = '?'
	} else if p.take("+") {
		r.how = '+'
	}
	*last = r
	return nil
}

// item reads one item without its quantifier; nil for a comment.
func (p *parser) item(f flags) (*node, error) {
	start := p.pos
	switch c := p.next(); c {
	case '[':
		return p.class(f)
	case '(':
		return p.group(start, f)
	case '.':
		s := &set{ranges: []rune{'\n', '\n'}, negate: true}
		if f.dotAll {
			s = &set{ranges: []rune{0, '\U0010ffff'}}
		}
		return &node{op: opSet, set: s}, nil
	case '^', '$':
		return &node{op: opAnchor, how: c, flags: f}, nil
	case '\\':
		return p.escape(start, f)
	default:
		return character(c, f), nil
	}
}

// character is a literal under the flags.
func character(c rune, f flags) *node {
	s := one(c)
	if f.ignoreCase {
		s.fold(f.ascii)
	}
	return &node{op: opSet, set: s}
}
