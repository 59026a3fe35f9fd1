package builtin

import (
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// What the detectors of secrets and of personal data have in common.

// span is a place in a text that a detector has found.
type span struct {
	start, end int
	kind       int // of the detector; where two kinds are equally good, the lower wins
	rank       int // how good the evidence is; more is better
	merged     bool
	mask       string // how it is masked; empty: as its kind is
}

// settle makes of spans that overlap one each, so that replacing them replaces
// all that any of them found, once. The one with the best evidence gives its
// kind; merged says that it has grown by parts of others.
func settle(spans []span) []span {
	if len(spans) < 2 {
		return spans
	}
	slices.SortStableFunc(spans, func(a, b span) int { return a.start - b.start })
	out := spans[:1]
	for _, s := range spans[1:] {
		last := &out[len(out)-1]
		if s.start >= last.end {
			out = append(out, s)
			continue
		}
		start, end := last.start, max(last.end, s.end)
		best := *last
		if s.rank > last.rank || s.rank == last.rank && (s.end-s.start > last.end-last.start ||
			s.end-s.start == last.end-last.start && s.kind < last.kind) {
			best = s
		}
		best.merged = best.merged || best.start != start || best.end != end
		best.start, best.end = start, end
		*last = best
	}
	return out
}

// maxJSONDepth bounds JSON in strings of JSON: each level costs a walk.
const maxJSONDepth = 4

// searchText looks at one text, see [eachText].
type searchText func(where func() string, key, s string) (now string, hit bool, err error)

// eachText calls f with a text: with the whole of it or, when it is a JSON
// object or array, with each string and long number in it, and then with each
// member's name; when f finds nothing in strings and numbers, with the whole after
// all, instead of the names. where tells where the text
// stands, for whoever wants to know, and key is the name of the member that holds
// it. f gives back the text or another for it, and whether it found something.
func eachText(where func() string, key, s string, depth int, f searchText) (string, bool, error) {
	if depth < maxJSONDepth && isJSON(s) {
		found := false
		out, _, err := plugin.MapStrings([]byte(s), func(at plugin.Path, inner string) (string, error) {
			inside := func() string { return where() + "(json)" + suffix(at) }
			now, hit, err := eachText(inside, keyOf(at, key), inner, depth+1, f)
			if hit {
				found = true
			}
			if err != nil {
				return "", errStop{err}
			}
			return now, nil
		})
		if stop, ok := err.(errStop); ok { //nolint:errorlint // MapStrings gives it back as it is
			return "", found, stop.err
		}
		if err == nil {
			now, hit, err := eachNumber(where, key, string(out), f)
			if found = found || hit; found && err == nil {
				now, err = eachName(where, now, f)
			}
			if found || err != nil {
				return now, found, err
			}
		}
	}
	return f(where, key, s)
}

// eachNumber calls f with the whole numbers of 7 digits and more in JSON. What
// f gives for one becomes a string, so that the rest can still be read.
func eachNumber(where func() string, key, s string, f searchText) (string, bool, error) {
	inside := func() string { return where() + "(json)" }
	var b strings.Builder
	copied, found, last := 0, false, ""
	for i := 0; i < len(s); i++ {
		start := i
		switch c := s[i]; {
		case c == '"':
			for i++; s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			last = s[start+1 : i]
			continue
		case c == ':':
			key = last
			continue
		case !isDigit(c) && c != '-':
			continue
		}
		for i < len(s) && strings.IndexByte("0123456789+-.eE", s[i]) >= 0 {
			i++
		}
		number := s[start:i]
		i--
		if len(number) < 7 || !all(number, digitChars) {
			continue
		}
		now, hit, err := f(inside, key, number)
		if err != nil {
			return "", found, err
		}
		found = found || hit
		if now != number {
			b.WriteString(s[copied:start])
			b.Write(encode(now))
			copied = i + 1
		}
	}
	b.WriteString(s[copied:])
	return b.String(), found, nil
}

// eachName calls f with the names of members in JSON, whose texts have been looked
// at: what is found there must not be where a name hides.
func eachName(where func() string, s string, f searchText) (string, error) {
	inside := func() string { return where() + "(json)" }
	var b strings.Builder
	copied := 0
	for i := 0; i < len(s); i++ {
		if s[i] != '"' {
			continue
		}
		start := i
		for i++; s[i] != '"'; i++ {
			if s[i] == '\\' {
				i++
			}
		}
		if !strings.HasPrefix(strings.TrimLeft(s[i+1:], " \t\r\n"), ":") {
			continue
		}
		var name string
		if err := json.Unmarshal([]byte(s[start:i+1]), &name); err != nil {
			return "", err
		}
		now, _, err := f(inside, "", name)
		if err != nil {
			return "", err
		}
		if now != name {
			b.WriteString(s[copied:start])
			b.Write(encode(now))
			copied = i + 1
		}
	}
	b.WriteString(s[copied:])
	return b.String(), nil
}

// errStop is an error of the callback, not of the JSON.
type errStop struct{ err error }

func (e errStop) Error() string { return e.err.Error() }

// isJSON reports whether s looks like an object or array.
func isJSON(s string) bool {
	s = strings.TrimSpace(s)
	return len(s) > 1 && (s[0] == '{' && s[len(s)-1] == '}' || s[0] == '[' && s[len(s)-1] == ']')
}

// maxSteps bounds what is told or asked of a path: JSON in a text may be nested
// thousands deep, and hold something in each place.
const maxSteps = 32

// pathText writes a path, or its start.
func pathText(at plugin.Path) string {
	if len(at) > maxSteps {
		return at[:maxSteps].String() + "…"
	}
	return at.String()
}

// suffix writes a path to be put after another.
func suffix(at plugin.Path) string {
	s := pathText(at)
	if s == "" || s[0] == '[' {
		return s
	}
	return "." + s
}

// keyOf gives the name of the member that the path leads to or through last.
func keyOf(at plugin.Path, otherwise string) string {
	for _, step := range slices.Backward(at[max(0, len(at)-maxSteps):]) {
		if step.Index < 0 {
			return step.Key
		}
	}
	return otherwise
}

// class is a set of bytes.
type class [256]bool

func classOf(bytes string) *class {
	var c class
	for i := 0; i < len(bytes); i++ {
		c[bytes[i]] = true
	}
	return &c
}

// runs calls f with the runs of bytes of c in s that are at least so long. It
// looks at the end of what could be one first: most of a text is not looked at.
func (c *class) runs(s string, least int, f func(start, end int)) {
	for i := 0; i+least <= len(s); {
		j := i + least - 1
		for j >= i && c[s[j]] {
			j--
		}
		if j >= i {
			i = j + 1
			continue
		}
		end := i + least
		for end < len(s) && c[s[end]] {
			end++
		}
		f(i, end)
		i = end + 1
	}
}

const (
	lowers = "abcdefghijklmnopqrstuvwxyz"
	uppers = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
)

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isLower(c byte) bool { return c >= 'a' && c <= 'z' }

// isWord is `\w` on ASCII. Letters beyond it end a word: better found once too
// often than not at all.
func isWord(c byte) bool { return isDigit(c) || isUpper(c) || isLower(c) || c == '_' }

// wordBefore and wordAfter report whether a word goes on beyond i.
func wordBefore(s string, i int) bool { return i > 0 && isWord(s[i-1]) }
func wordAfter(s string, i int) bool  { return i < len(s) && isWord(s[i]) }

// before gives up to n bytes in front of i, of the same line, in lower case.
func before(s string, i, n int) string {
	b := s[max(0, i-n):i]
	if j := strings.LastIndexByte(b, '\n'); j >= 0 {
		b = b[j+1:]
	}
	return asciiLower(b)
}

// asciiLower keeps offsets: strings.ToLower may not.
func asciiLower(s string) string {
	for i := range len(s) {
		if isUpper(s[i]) {
			b := []byte(s)
			for ; i < len(b); i++ {
				if isUpper(b[i]) {
					b[i] |= 0x20
				}
			}
			return string(b)
		}
	}
	return s
}

// wordList is a set of words by their last byte, so that a text is searched for
// all of them at once, from its end.
type wordList [256][]string

func newWordList(words []string) *wordList {
	var l wordList
	for _, w := range words {
		c := w[len(w)-1]
		l[c] = append(l[c], w)
	}
	return &l
}

// endsAt reports whether a word ends at end.
func (l *wordList) endsAt(s string, end int) bool {
	for _, w := range l[s[end-1]] {
		if strings.HasSuffix(s[:end], w) {
			return true
		}
	}
	return false
}

// entropy is Shannon's, in bits for each byte.
func entropy(s string) float64 {
	var counts [256]int
	for i := range len(s) {
		counts[s[i]]++
	}
	var bits float64
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(s))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}
