package pyre

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// word is a run of characters, each one of a few: plain text, in any case where
// the pattern says so. A pattern that is nothing else is searched for by it, and
// one that cannot match without it is not searched for where there is none: to
// look for a rare byte is much faster than either engine.
type word struct {
	chars [][]rune // what each character may be

	text string // chars, when each can be one thing only

	rare  int    // the character that is looked for first
	bytes []byte // what it may be: one or two of ASCII

	before, after *node // opAnchor: \b or \B around it, nil for neither
}

// maxAlike is how many characters may be equal in any case.
const maxAlike = 4

// newWord returns nil when no character of the run can be looked for.
func newWord(chars [][]rune) *word {
	w := &word{chars: chars, rare: -1}
	var text strings.Builder
	for i, alike := range chars {
		text.WriteRune(alike[0])
		if len(alike) <= 2 && alike[len(alike)-1] < utf8.RuneSelf && (w.rare < 0 || rarity(alike[0]) > rarity(chars[w.rare][0])) {
			w.rare = i
		}
	}
	if !slices.ContainsFunc(chars, func(alike []rune) bool { return len(alike) > 1 }) {
		w.text = text.String()
		return w
	}
	if w.rare < 0 {
		return nil
	}
	for _, r := range chars[w.rare] {
		w.bytes = append(w.bytes, byte(r))
	}
	return w
}

// rarity is greater for what text has less of.
func rarity(r rune) int {
	const common = " etaoinsrhldcumfpgwybvkxjqz"
	if i := strings.IndexRune(common, unicode.ToLower(r)); i >= 0 {
		return i
	}
	return len(common) / 2
}

// alike lists the characters of a set, nil when there are too many.
func (s *set) alike() []rune {
	if s.negate || s.cats != "" {
		return nil
	}
	var out []rune
	for i := 0; i < len(s.ranges); i += 2 {
		for r := s.ranges[i]; r <= s.ranges[i+1]; r++ {
			if out = append(out, r); len(out) > maxAlike {
				return nil
			}
		}
	}
	return out
}

// word returns what n is when it is a word and no more.
func (n *node) word() *word {
	subs := []*node{n}
	if n.op == opCat {
		subs = n.subs
	}
	var before, after *node
	if len(subs) > 0 && subs[0].isBoundary() {
		before, subs = subs[0], subs[1:]
	}
	if len(subs) > 0 && subs[len(subs)-1].isBoundary() {
		after, subs = subs[len(subs)-1], subs[:len(subs)-1]
	}
	var chars [][]rune
	for _, sub := range subs {
		if sub.op != opSet {
			return nil
		}
		alike := sub.set.alike()
		if alike == nil {
			return nil
		}
		chars = append(chars, alike)
	}
	if len(chars) == 0 {
		return nil
	}
	w := newWord(chars)
	if w != nil {
		w.before, w.after = before, after
	}
	return w
}

func (n *node) isBoundary() bool { return n.op == opAnchor && (n.how == 'b' || n.how == 'B') }

// needle returns a word without which n does not match: the longest that it
// takes in any case. nil is none.
func (n *node) needle() *word {
	var f factors
	f.add(n)
	f.end()
	var best *word
	for _, chars := range f.runs {
		if w := newWord(chars); w != nil && (best == nil || len(chars) > len(best.chars)) {
			best = w
		}
	}
	return best
}

// factors collects the runs of characters that a node must take.
type factors struct {
	runs [][][]rune
	run  [][]rune // goes on with what comes next
}

func (f *factors) end() {
	if len(f.run) > 0 {
		f.runs = append(f.runs, f.run)
		f.run = nil
	}
}

func (f *factors) add(n *node) {
	switch n.op {
	case opSet:
		if alike := n.set.alike(); alike != nil {
			f.run = append(f.run, alike)
			return
		}
		f.end()
	case opCat:
		for _, sub := range n.subs {
			f.add(sub)
		}
	case opGroup, opAtomic:
		f.add(n.subs[0])
	case opRepeat:
		f.end()
		if n.min > 0 {
			f.add(n.subs[0])
			f.end()
		}
	case opAnchor, opAhead, opBehind: // take nothing
	default:
		f.end()
	}
}

// next returns the first place of w in text that does not start before from; ok
// is false when there is none.
func (w *word) next(text string, from int) (start, end int, ok bool) {
	if w.text != "" {
		i := strings.Index(text[from:], w.text)
		return from + i, from + i + len(w.text), i >= 0
	}
	places := [2]int{from - 1, from - 1}
	for i := range w.bytes {
		places[i] = indexFrom(text, w.bytes[i], from)
	}
	if len(w.bytes) == 1 {
		places[1] = len(text)
	}
	for {
		i := 0
		if places[1] < places[0] {
			i = 1
		}
		at := places[i]
		if at == len(text) {
			return 0, 0, false
		}
		if start, end, ok := w.around(text, at); ok && start >= from {
			return start, end, true
		}
		places[i] = indexFrom(text, w.bytes[i], at+1)
	}
}

// indexFrom gives where c is, at from or later; the text's length if nowhere.
func indexFrom(text string, c byte, from int) int {
	if i := strings.IndexByte(text[from:], c); i >= 0 {
		return from + i
	}
	return len(text)
}

// around looks for the rest of w where its rare character is.
func (w *word) around(text string, at int) (start, end int, ok bool) {
	start, end = at, at+1
	for i := w.rare - 1; i >= 0; i-- {
		r, size := utf8.DecodeLastRuneInString(text[:start])
		if size == 0 || !slices.Contains(w.chars[i], r) {
			return 0, 0, false
		}
		start -= size
	}
	for _, alike := range w.chars[w.rare+1:] {
		r, size := utf8.DecodeRuneInString(text[end:])
		if size == 0 || !slices.Contains(alike, r) {
			return 0, 0, false
		}
		end += size
	}
	return start, end, true
}

// search calls found with each place of w, in order, until it says no.
func (w *word) search(text string, found func(loc []int) bool) {
	var loc [2]int
	for from := 0; ; {
		start, end, ok := w.next(text, from)
		if !ok {
			return
		}
		if !w.before.holds(text, start) || !w.after.holds(text, end) {
			_, size := utf8.DecodeRuneInString(text[start:])
			from = start + size
			continue
		}
		if loc = [2]int{start, end}; !found(loc[:]) {
			return
		}
		from = end
	}
}

// holds reports whether a \b or \B holds at i; nil holds anywhere.
func (n *node) holds(text string, i int) bool {
	if n == nil {
		return true
	}
	before, _ := utf8.DecodeLastRuneInString(text[:i])
	after, _ := utf8.DecodeRuneInString(text[i:])
	boundary := isWordChar(before, n.flags.ascii) != isWordChar(after, n.flags.ascii)
	return boundary == (n.how == 'b')
}

// isWordChar is \w. The error rune of a text's ends is none.
func isWordChar(r rune, ascii bool) bool {
	switch {
	case r == '_', '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		return true
	case ascii || r < utf8.RuneSelf:
		return false
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r)
}
