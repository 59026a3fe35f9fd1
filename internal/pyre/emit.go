package pyre

import (
	"strconv"
	"strings"
)

// limits are what a text must be like, and what an engine must be able to do,
// for a pattern to mean in the standard library's engine what it does in Python.
type limits struct {
	ascii      bool // the text must be ASCII: \b
	noNewline  bool // the text must not end in a newline: $
	impossible bool // backtracking is needed
}

// emitter writes a tree in the syntax of an engine.
type emitter struct {
	b      strings.Builder
	fast   bool // for the standard library, else for regexp2
	limits limits
}

func emit(n *node, fast bool) (string, limits) {
	e := &emitter{fast: fast}
	e.node(n)
	return e.b.String(), e.limits
}

func (e *emitter) write(parts ...string) {
	for _, part := range parts {
		e.b.WriteString(part)
	}
}

// group writes n between prefix and a closing parenthesis.
func (e *emitter) group(prefix string, n *node) {
	e.write(prefix)
	e.node(n)
	e.write(")")
}

func (e *emitter) node(n *node) {
	switch n.op {
	case opSet:
		e.write(n.set.String())
	case opCat:
		for _, sub := range n.subs {
			if sub.op == opAlt || sub.op == opCat {
				e.group("(?:", sub)
				continue
			}
			e.node(sub)
		}
	case opAlt:
		for i, sub := range n.subs {
			if i > 0 {
				e.write("|")
			}
			e.node(sub)
		}
	case opGroup:
		e.group("(", n.subs[0])
	case opRepeat:
		e.repeat(n)
	case opAnchor:
		e.anchor(n)
	case opAtomic:
		e.limits.impossible = true
		e.write("(?>")
		e.group("(?:", n.subs[0])
		e.write(atomicEnd)
	case opAhead:
		e.limits.impossible = true
		e.group(either(n.neg, "(?!", "(?="), n.subs[0])
	case opBehind:
		e.limits.impossible = true
		e.group(either(n.neg, "(?<!", "(?<="), n.subs[0])
	case opBackref:
		e.limits.impossible = true
		e.write(either(n.flags.ignoreCase, "(?i:", "(?:"), `\`, strconv.Itoa(n.group), ")")
	case opIf:
		e.limits.impossible = true
		e.write("(?(", strconv.Itoa(n.group), ")")
		e.group("(?:", n.subs[0])
		e.group("|(?:", n.subs[1])
		e.write(")")
	}
}

func either(cond bool, yes, no string) string {
	if cond {
		return yes
	}
	return no
}

func (e *emitter) repeat(n *node) {
	if n.how == '+' {
		e.limits.impossible = true
		e.write("(?>")
	}
	if n.max > 1 && n.subs[0].captures() {
		// What a group holds after an iteration that took nothing differs.
		if shortest, _ := n.subs[0].width(map[int][2]int{}); shortest == 0 {
			e.limits.impossible = true
		}
	}
	if sub := n.subs[0]; sub.op == opSet || sub.op == opGroup {
		e.node(sub)
	} else {
		e.group("(?:", sub)
	}
	switch {
	case n.min == 0 && n.max == unlimited:
		e.write("*")
	case n.min == 1 && n.max == unlimited:
		e.write("+")
	case n.min == 0 && n.max == 1:
		e.write("?")
	case n.max == unlimited:
		e.write("{", strconv.Itoa(n.min), ",}")
	default:
		e.write("{", strconv.Itoa(n.min), ",", strconv.Itoa(n.max), "}")
	}
	switch n.how {
	case '?':
		e.write("?")
	case '+':
		e.write(atomicEnd)
	}
}

// atomicEnd closes an atomic group. The look-ahead in it always holds: it keeps
// regexp2's optimizer from joining a loop in the group with what stands before
// it, after which `(?:.(?>.?)){2}` matches two characters.
const atomicEnd = `(?!a\A))`

func (e *emitter) anchor(n *node) {
	switch n.how {
	case '^':
		e.write(either(n.flags.multiLine, "(?m:^)", `\A`))
	case '$':
		switch {
		case n.flags.multiLine:
			e.write("(?m:$)")
		case e.fast:
			e.limits.noNewline = true
			e.write(`\z`)
		default:
			e.write(`(?=\n?\z)`)
		}
	case 'A':
		e.write(`\A`)
	case 'Z':
		e.write(`\z`)
	default: // b B
		e.boundary(n)
	}
}

// boundary writes \b and \B. The standard library's are ASCII's.
func (e *emitter) boundary(n *node) {
	if e.fast {
		e.limits.ascii = e.limits.ascii || !n.flags.ascii
		e.write(`\`, string(n.how))
		return
	}
	word := category('w', n.flags).String()
	if n.how == 'b' {
		e.write("(?:(?<=", word, ")(?!", word, ")|(?<!", word, ")(?=", word, "))")
	} else {
		e.write("(?:(?<=", word, ")(?=", word, ")|(?<!", word, ")(?!", word, "))")
	}
}
