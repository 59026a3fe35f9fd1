package pyre

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// set is a set of characters: one literal, a class, or a category.
type set struct {
	ranges []rune // pairs of first and last
	cats   string // what else is in it, as text for inside a class of either engine
	negate bool
}

// Unicode's word characters and digits are those of str.isalnum and
// str.isdecimal; all versions of Python agree with these categories.
const (
	wordCats  = `\p{L}\p{N}_`
	digitCats = `\p{Nd}`
)

// spaces are those of str.isspace.
func spaces() []rune {
	return []rune{
		'\t', '\r', 0x1c, ' ', 0x85, 0x85, 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a,
		0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000,
	}
}

func asciiWord() []rune { return []rune{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'} }

func one(r rune) *set { return &set{ranges: []rune{r, r}} }

// addCategory adds \d, \s or \w, or the opposite for \D, \S and \W.
func (s *set) addCategory(letter rune, ascii bool) {
	switch letter {
	case 'd', 'D':
		switch {
		case ascii && letter == 'd':
			s.ranges = append(s.ranges, '0', '9')
		case ascii:
			s.ranges = append(s.ranges, complement([]rune{'0', '9'})...)
		case letter == 'd':
			s.cats += digitCats
		default:
			s.ranges = append(s.ranges, complement(tableRanges(unicode.Nd))...)
		}
	case 's', 'S':
		blank := spaces()
		if ascii {
			blank = []rune{'\t', '\r', ' ', ' '}
		}
		if letter == 'S' {
			blank = complement(blank)
		}
		s.ranges = append(s.ranges, blank...)
	case 'w', 'W':
		switch {
		case ascii && letter == 'w':
			s.ranges = append(s.ranges, asciiWord()...)
		case ascii:
			s.ranges = append(s.ranges, complement(asciiWord())...)
		case letter == 'w':
			s.cats += wordCats
		default:
			s.ranges = append(s.ranges, complement(append(tableRanges(unicode.L, unicode.N), '_', '_'))...)
		}
	}
}

// tableRanges spells tables out, for the classes that hold what is not in them:
// in regexp2, \P{…} and another category in one class exclude each other.
func tableRanges(tables ...*unicode.RangeTable) []rune {
	var ranges []rune
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			ranges = append(ranges, lo, hi)
			return
		}
		for r := lo; r <= hi; r += stride {
			ranges = append(ranges, r, r)
		}
	}
	for _, table := range tables {
		for _, r := range table.R16 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range table.R32 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
	}
	return ranges
}

// normal sorts ranges and joins those that touch.
func normal(ranges []rune) []rune {
	pairs := make([][2]rune, 0, len(ranges)/2)
	for i := 0; i < len(ranges); i += 2 {
		pairs = append(pairs, [2]rune{ranges[i], ranges[i+1]})
	}
	slices.SortFunc(pairs, func(a, b [2]rune) int { return int(a[0] - b[0]) })
	out := ranges[:0:0]
	for _, pair := range pairs {
		if n := len(out); n > 0 && pair[0] <= out[n-1]+1 {
			out[n-1] = max(out[n-1], pair[1])
			continue
		}
		out = append(out, pair[0], pair[1])
	}
	return out
}

// complement gives what is not in ranges.
func complement(ranges []rune) []rune {
	var out []rune
	next := rune(0)
	for i, sorted := 0, normal(ranges); i < len(sorted); i += 2 {
		if next < sorted[i] {
			out = append(out, next, sorted[i]-1)
		}
		next = sorted[i+1] + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, next, unicode.MaxRune)
	}
	return out
}

// fold adds to the ranges what the i flag makes equal to them. Categories are
// the same with and without the flag.
func (s *set) fold(ascii bool) {
	folded := slices.Clone(s.ranges)
	for i := 0; i < len(s.ranges); i += 2 {
		for r := range cased(s.ranges[i], s.ranges[i+1]) {
			if ascii {
				if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
					folded = append(folded, r^0x20, r^0x20)
				}
				continue
			}
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				folded = append(folded, f, f)
			}
			for _, f := range pythonFold(r) {
				folded = append(folded, f, f)
			}
		}
	}
	s.ranges = normal(folded)
}

// cased gives the characters from lo to hi, if there are many only those that
// have another case: a pattern may hold any number of classes that go to the end
// of Unicode.
func cased(lo, hi rune) iter.Seq[rune] {
	if hi-lo > 1000 {
		all := allCased()
		from, _ := slices.BinarySearch(all, lo)
		to, _ := slices.BinarySearch(all, hi+1)
		return slices.Values(all[from:to])
	}
	return func(yield func(rune) bool) {
		for r := lo; r <= hi && yield(r); r++ {
		}
	}
}

var allCased = sync.OnceValue(func() (all []rune) {
	for r := range unicode.MaxRune {
		if unicode.SimpleFold(r) != r || pythonFold(r) != nil {
			all = append(all, r)
		}
	}
	return all
})

// pythonFold gives what Python holds equal to r beyond simple folding: it
// looks at the lower and the upper case of the full mappings too.
func pythonFold(r rune) []rune {
	switch r {
	case 'I', 'i', 0x130, 0x131:
		return []rune{'I', 'i', 0x130, 0x131}
	case 0x390, 0x1fd3:
		return []rune{0x390, 0x1fd3}
	case 0x3b0, 0x1fe3:
		return []rune{0x3b0, 0x1fe3}
	case 0xfb05, 0xfb06:
		return []rune{0xfb05, 0xfb06}
	default:
		return nil
	}
}

// String writes s for either engine.
func (s *set) String() string {
	if !s.negate && s.cats == "" && len(s.ranges) == 2 && s.ranges[0] == s.ranges[1] {
		return literal(s.ranges[0])
	}
	var b strings.Builder
	b.WriteByte('[')
	if s.negate {
		b.WriteByte('^')
	}
	for i := 0; i < len(s.ranges); i += 2 {
		b.WriteString(literal(s.ranges[i]))
		if s.ranges[i+1] > s.ranges[i] {
			b.WriteByte('-')
			b.WriteString(literal(s.ranges[i+1]))
		}
	}
	b.WriteString(s.cats)
	b.WriteByte(']')
	return b.String()
}

// literal writes one character such that no syntax can see more in it.
func literal(r rune) string {
	if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
		return string(r)
	}
	return fmt.Sprintf(`\x{%x}`, r)
}
