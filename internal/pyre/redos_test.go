package pyre

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"unicode"
)

// catastrophes are patterns that only backtracking can search for, and texts on
// which that takes longer than the age of the universe.
var catastrophes = []struct{ name, pattern, text string }{
	{"nested plus before a look-ahead", `(a+)+(?=b)$`, strings.Repeat("a", 60) + "!b"},
	{"overlapping branches", `(a|aa)+(?!a)$`, strings.Repeat("a", 60) + "!"},
	{"an optional branch and a look-behind", `(a|a?)+(?<!c)$`, strings.Repeat("a", 60) + "!"},
	{"a back-reference into a look-ahead", `(?=(a+))\1b`, "b" + strings.Repeat("a", 200_000)},
	{"a look-ahead to the end", `(?=((a+)+b))\1`, "b" + strings.Repeat("a", 60)},
	{"nested plus and a back-reference", `((a+)+)\2b`, "b" + strings.Repeat("a", 60)},
	{"words after a look-behind", `(?<=x)(\w+\s?)+$`, "x" + strings.Repeat("word ", 20) + "!"},
	{"a conditional", `(a+)?(?(1)(b|bb)+)$`, "a" + strings.Repeat("b", 60) + "!"},
	{"a named back-reference in any case", `(?i)(?P<q>A+)+(?P=q)+!(?=x)`, "!" + strings.Repeat("a", 60)},
	{"nested stars, which may be empty", `(a*)*$`, strings.Repeat("a", 60) + "!"},
}

// A search that explodes ends with an error, others go on meanwhile, and after it
// nothing is left that searches.
func TestCatastrophes(t *testing.T) {
	for _, tt := range catastrophes {
		t.Run(tt.name, func(t *testing.T) {
			re, err := Compile(tt.pattern)
			if err != nil {
				t.Fatal(err)
			}
			if re.fast != nil {
				t.Fatal("this does not backtrack")
			}
			re.slow.MatchTimeout = searchLimit / 4 // ten of them in a reasonable time
			explode := func() (first bool, err error) {
				exploded := make(chan error, 1)
				go func() {
					_, err := re.MatchIn(context.Background(), tt.text)
					exploded <- err
				}()
				for range 100 {
					if _, err := re.MatchIn(t.Context(), "-"); err != nil {
						t.Errorf("another search: %v", err)
					}
				}
				first = len(exploded) > 0
				return first, <-exploded
			}
			first, err := explode()
			for try := 1; first && try < busy; try++ {
				first, err = explode()
			}
			if first {
				t.Fatalf("it was over before the others: %v", err)
			}
			if !errors.Is(err, ErrLimit) {
				t.Fatalf("got %v, want ErrLimit", err)
			}
			if strings.Contains(err.Error(), tt.text[:10]) {
				t.Errorf("the error tells the text: %v", err)
			}
			if stacks := allStacks(); strings.Contains(stacks, "regexp2/v2.(*Runner)") {
				t.Errorf("something still searches:\n%s", stacks)
			}
		})
	}
}

// busy is how often a search may be over before others that it did not hold up: a
// busy machine may leave them no time in which they run.
const busy = 10

func allStacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// What backtracks for ever elsewhere is linear here, where RE2 can express it.
func TestCatastrophesThatAreNone(t *testing.T) {
	text := "y" + strings.Repeat("a", 10_000) + "!"
	for _, pattern := range []string{`(a+)+$`, `(a|aa)+$`, `(a+)+b`, `([a-zA-Z]+)*x`, `(\w+\s?)+$`, `^(([a-z])+.)+[A-Z]([a-z])+$`, `(a+a+)+y`, `(?:a|b|ab)+c`, `(.*a){20}z`, `(?i)(x+x+)+y\b`} {
		re, err := Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if !re.fits(text) {
			t.Errorf("%s backtracks", pattern)
		}
		if _, err := re.MatchIn(t.Context(), text); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}

// The linear engine cannot be stopped, so that it must not be given what takes
// it long: a thousand states for each byte of a megabyte.
func TestALongCountIsUnderTheLimit(t *testing.T) {
	re, err := Compile(`[ab]{1,1000}@`)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("ab", 500_000) + " @"
	if re.fits(text) || !re.fits(text[:1000]) {
		t.Fatalf("fits is %t for a long text, %t for a short one", re.fits(text), re.fits(text[:1000]))
	}
	if _, err := re.MatchIn(t.Context(), text); !errors.Is(err, ErrLimit) {
		t.Errorf("got %v, want ErrLimit", err)
	}
	if matched, err := re.MatchIn(t.Context(), "ab@"); err != nil || !matched {
		t.Errorf("a short text: matched is %t, %v", matched, err)
	}
}

// Patterns that would cost much to compile are refused or cost little. No clock
// says so: what grows beyond bounds takes minutes or gigabytes.
func TestHostilePatternsCompile(t *testing.T) {
	tests := []struct{ name, pattern, want string }{
		{"counts of counts", `(a{1000}){1000}`, ""},
		{"counts of counts of counts", `(?:(?:(?:a{1000}){1000}){1000}){1000}`, ""},
		{"counts of counts in a look-ahead", `(?=(?:\w{1000}){1000})`, ""},
		{"a count beyond all", `a{4294967296}`, "the repetition number is too large at position 1"},
		{"nested groups", strings.Repeat("(", 600) + strings.Repeat(")", 600), "nested too deeply at position 500"},
		{"nested repetitions", strings.Repeat("(?:", 499) + "a" + strings.Repeat("){2}", 499), ""},
		{"a huge pattern", strings.Repeat("(a|b)", 1<<20), "the pattern is longer than 131072 characters at position 131072"},
		{"many classes of all characters in any case", `(?i)` + strings.Repeat(`[\x00-\U0010ffff]`, 200), ""},
		{"many alternatives", strings.Repeat("a|", 60_000), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Compile(tt.pattern)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A class in any case looks at the few characters that have one, wherever it
// ends: each class of a pattern costs that.
func TestFoldingLooksAtTheCharactersWithACase(t *testing.T) {
	looked := 0
	for range cased(0, unicode.MaxRune) {
		looked++
	}
	if looked > 5000 {
		t.Errorf("%d characters", looked)
	}
}
