// Package pyre is Python's re on Python's str: its syntax, its Unicode classes
// and its rules for replacing. Plugin files are written for ContextForge, so
// their patterns mean what Python says they mean.
//
// A pattern is parsed by this package and written anew for an engine, so that
// nothing depends on what two syntaxes have in common by chance. The standard
// library's engine, linear in the text, gets all that it can express; what it
// cannot (look-around, back-references, atomic groups, conditionals, patterns
// that match the empty string) goes to regexp2, which backtracks, under a time
// limit. A word, in any case and with \b around it, needs neither. Two things are
// the same in both engines for most texts only: `\b` is that of RE2 while the text
// is ASCII, and `$` is its `\z` while the text does not end in a newline. Such a
// pattern is kept for both engines, and each text takes the fast one when it may.
// So is a pattern with counts so high that on a long text even the fast engine
// would be slow.
//
// Known differences from Python: \N{…} and surrogates in a pattern are refused,
// so is a condition on a group that does not end before it; \B matches in the
// empty string, as since Python 3.14; a possessive group is the atomic group that
// the documentation says it is; and a back-reference under the i flag compares
// by Unicode's simple folding.
package pyre

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
)

const (
	// searchLimit bounds the search for one match by backtracking; the engine's
	// clock lets it run up to 0.2 s longer.
	searchLimit = time.Second

	// stackLimit bounds the memory of such a search, in slots of 8 bytes.
	stackLimit = 1 << 20

	// fastLimit bounds the work of the linear engine, in states times bytes; a
	// second or two. `.{0,1000}x` has a thousand states for each byte, and nothing
	// stops that engine: beyond this the other one, which can be stopped, is used.
	fastLimit = 1 << 28

	// lightest is the weight up to which a pattern never comes near that limit, in
	// a text of 4 MiB.
	lightest = fastLimit >> 22

	// maxPattern bounds the length of a pattern, in characters.
	maxPattern = 1 << 17
)

// Regexp is a compiled pattern. It is safe for concurrent use.
type Regexp struct {
	groups   int            // without group 0
	names    map[string]int // of groups
	nullable bool           // can match the empty string

	word   *word // all that it matches is this; nil when it is more than a word
	needle *word // it matches nothing in a text without this; nil for none

	fast   *regexp.Regexp // nil when only backtracking will do
	limits limits         // of fast
	weight int            // how many states of fast can be alive at a time

	slow    *regexp2.Regexp // nil when fast is always good enough
	advance *regexp2.Regexp // slow, but never empty where the search starts; nil unless nullable
}

// Compile reads a pattern in Python's syntax. The error says in Python's words
// what is wrong, and at which character, counted from 0.
func Compile(pattern string) (*Regexp, error) { return compile(pattern, false) }

// CompileIgnoreCase is [Compile] with Python's re.IGNORECASE.
func CompileIgnoreCase(pattern string) (*Regexp, error) { return compile(pattern, true) }

func compile(pattern string, ignoreCase bool) (*Regexp, error) {
	p, tree, err := parse(pattern, ignoreCase)
	if err != nil {
		return nil, err
	}
	shortest, _ := tree.width(map[int][2]int{})
	re := &Regexp{groups: p.groups, names: p.names, nullable: shortest == 0}
	if re.word = tree.word(); re.word != nil {
		return re, nil
	}
	re.needle = tree.needle()
	if err := re.engines(tree); err != nil {
		return nil, err
	}
	return re, nil
}

// engines compiles tree for the engines that are needed.
func (re *Regexp) engines(tree *node) (err error) {
	re.weight = tree.weight()
	if !re.nullable {
		text, limits := emit(tree, true)
		if !limits.impossible {
			re.limits = limits
			// An error means that it would need too much memory there.
			if re.fast, err = regexp.Compile(text); err != nil {
				re.fast = nil
			} else if !limits.ascii && !limits.noNewline && re.weight <= lightest {
				return nil
			}
		}
	}
	text, _ := emit(tree, false)
	if re.slow, err = compileSlow(text); err != nil {
		return err
	}
	if re.nullable {
		// \G is where the search started: a match that ends there is empty.
		re.advance, err = compileSlow("(?:" + text + `)(?!\G)`)
	}
	return err
}

func compileSlow(text string) (*regexp2.Regexp, error) {
	re, err := regexp2.Compile(text, regexp2.RE2, regexp2.OptionMaxBacktrackingStackSize(stackLimit))
	if err != nil {
		return nil, fmt.Errorf("pattern not supported: %w", err)
	}
	re.MatchTimeout = searchLimit
	return re, nil
}

// fits reports whether the fast engine may search text.
func (re *Regexp) fits(text string) bool {
	return re.fast != nil &&
		(!re.limits.noNewline || !strings.HasSuffix(text, "\n")) &&
		(!re.limits.ascii || isASCII(text)) &&
		(re.slow == nil || re.weight <= fastLimit/(len(text)+1))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
