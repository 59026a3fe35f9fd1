package pyre

import (
	"math"
	"slices"
)

// node is one piece of a parsed pattern.
type node struct {
	op   op
	set  *set    // opSet
	subs []*node // operands
	max  int     // opRepeat; unlimited for no limit
	min  int     // opRepeat

	how   rune // opRepeat: 0 greedy, '?' lazy, '+' possessive; opAnchor: its letter
	group int  // opGroup, opBackref, opIf
	flags flags
	neg   bool // opAhead, opBehind: must not match
}

type op int

const (
	opCat     op = iota // subs one after the other; none is the empty string
	opAlt               // one of subs, the first that leads to a match
	opSet               // one character
	opRepeat            // subs[0], min to max times
	opGroup             // subs[0], captured
	opAtomic            // subs[0], without a second try
	opAhead             // look ahead for subs[0]
	opBehind            // look behind for subs[0]
	opBackref           // what group has captured
	opIf                // subs[0] if group has captured, else subs[1]
	opAnchor            // a place: ^ $ A Z b B
)

// unlimited is a repetition without end and a width beyond counting.
const unlimited = math.MaxInt32

// flags are those in force at a place of the pattern.
type flags struct {
	ignoreCase, multiLine, dotAll, verbose, ascii bool
}

// width gives the least and the greatest number of characters that n matches.
// widths are those of the groups passed so far.
func (n *node) width(widths map[int][2]int) (lo, hi int) {
	switch n.op {
	case opSet:
		return 1, 1
	case opCat:
		for _, sub := range n.subs {
			l, h := sub.width(widths)
			lo, hi = plus(lo, l), plus(hi, h)
		}
		return lo, hi
	case opAlt, opIf:
		lo = unlimited
		for _, sub := range n.subs {
			l, h := sub.width(widths)
			lo, hi = min(lo, l), max(hi, h)
		}
		return lo, hi
	case opRepeat:
		l, h := n.subs[0].width(widths)
		return times(l, n.min), times(h, n.max)
	case opGroup:
		lo, hi = n.subs[0].width(widths)
		widths[n.group] = [2]int{lo, hi}
		return lo, hi
	case opAtomic:
		return n.subs[0].width(widths)
	case opBackref:
		w := widths[n.group]
		return w[0], w[1]
	default: // places and looks
		return 0, 0
	}
}

// captures reports whether there is a group in n.
func (n *node) captures() bool {
	return n.op == opGroup || slices.ContainsFunc(n.subs, (*node).captures)
}

// weight is an upper bound of the states that the linear engine has to follow at
// a time, alternatives not counted: it copies what is repeated.
func (n *node) weight() int {
	w := 1
	switch n.op {
	case opAlt, opIf:
		for _, sub := range n.subs {
			w = max(w, sub.weight())
		}
	case opRepeat:
		copies := n.max
		if copies == unlimited {
			copies = max(n.min, 1)
		}
		w = times(n.subs[0].weight(), max(copies, 1))
	default:
		for _, sub := range n.subs {
			w = plus(w, sub.weight())
		}
	}
	return w
}

func plus(a, b int) int { return min(a+b, unlimited) }

func times(a, b int) int {
	if a == 0 || b == 0 {
		return 0
	}
	if a > unlimited/b {
		return unlimited
	}
	return a * b
}
