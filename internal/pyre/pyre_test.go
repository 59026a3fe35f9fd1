package pyre

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func replace(t *testing.T, pattern, replacement, text string) (string, error) {
	t.Helper()
	re, err := Compile(pattern)
	if err != nil {
		t.Fatalf("%s: %v", pattern, err)
	}
	sub, err := re.NewSub(replacement)
	if err != nil {
		t.Fatalf("%s: %v", replacement, err)
	}
	return sub.Replace(context.Background(), text)
}

func TestSubIsPythons(t *testing.T) {
	tests := []struct{ name, pattern, replacement, text, want string }{
		{"word boundary is Unicode's", `\bcafé\b`, `x`, "un café noir, cafétéria", "un x noir, cafétéria"},
		{"word boundary, ASCII text", `\bcat\b`, `dog`, "cat concat cat", "dog concat dog"},
		{"word characters are Unicode's", `\w+`, `x`, "naïve Größe_2 ٣", "x x x"},
		{"digits are Unicode's", `\d`, `#`, "1٣५", "###"},
		{"spaces are Unicode's", `\s`, `_`, "a\u00a0b\u2003c\x1fd\ve", "a_b_c_d_e"},
		{"not a word", `\W+`, `.`, "é-ü", "é.ü"},
		{"not a word in a class", `[\W\d]`, `.`, "é-1", "é.."},
		{"the a flag", `(?a)\w+`, `x`, "aé", "xé"},
		{"the a flag, scoped", `(?a:\d)\d`, `x`, "1٣٣", "x٣"},
		{"combining marks are no word characters", `\w`, `x`, "e\u0301", "x\u0301"},
		{"the i flag folds", `(?i)ÉCOLE`, `x`, "école", "x"},
		{"the i flag and Kelvin", `(?i)k`, `x`, "kK\u212a", "xxx"},
		{"the i flag and dotless i", `(?i)[h-j]`, `x`, "iİıI", "xxxx"},
		{"the i flag of ASCII", `(?ai)k`, `x`, "kK\u212a", "xx\u212a"},
		{"dollar before a last newline", `a$`, `x`, "a\n", "x\n"},
		{"dollar at the end", `a$`, `x`, "aa", "ax"},
		{"dollar takes both", `$`, `x`, "a\n", "ax\nx"},
		{"end is Z", `a\Z`, `x`, "a\n", "a\n"},
		{"empty matches beside others", `x*`, `-`, "abxd", "-a-b--d-"},
		{"an empty match, then one at the same place", `|a`, `-`, "aa", "-----"},
		{"look-ahead", `foo(?=bar)`, `x`, "foobar foo", "xbar foo"},
		{"look-behind", `(?<!\$)\b\d+`, `n`, "$12 34", "$12 n"},
		{"back-reference", `(\w)\1`, `\1`, "aabbc", "abc"},
		{"named group", `(?P<y>\d{4})-(?P<m>\d\d)`, `\g<m>/\g<y>`, "2026-11", "11/2026"},
		{"named back-reference", `(?P<q>['"]).*?(?P=q)`, `\g<q>…\1`, `say "it's"`, `say "…"`},
		{"conditional", `(<)?a(?(1)>|$)`, `x`, "<a> a", "x x"},
		{"no lower bound", `a{,2}b`, `x`, "aaab", "ax"},
		{"a brace that is none", `a{x}`, `y`, "a{x}", "y"},
		{"possessive", `a++b`, `x`, "aaab", "x"},
		{"atomic", `(?>a|ab)c`, `x`, "abc ac", "abc x"},
		{"class with bracket first", `[]a]+`, `x`, "]a", "x"},
		{"no POSIX classes", `[[:alpha:]]`, `x`, "a]:] z]", "xx z]"},
		{"verbose", "(?x) a  b # comment\n c", `x`, "abc", "x"},
		{"octal and hexadecimal", `\101\x42\u0043\U00000044\0`, `x`, "ABCD\x00", "x"},
		{"dollars are text in the replacement", `a`, `$1${1}`, "a", "$1${1}"},
		{"escapes in the replacement", `a`, `\t\\\.\101\0`, "a", "\t\\\\.A\x00"},
		{"group 0", `b+`, `[\g<0>]`, "abb", "a[bb]"},
		{"a digit after a reference", `(a)`, `\g<1>0`, "a", "a0"},
		{"group that took no part", `(a)|b`, `<\1>`, "ab", "<a><>"},
		{"lone surrogate is one character and stays", `.crap`, `\g<0>!`, "\xed\xa0\xbdcrap", "\xed\xa0\xbdcrap!"},
		{"lone surrogate, other engine", `(?<=.)crap`, `x`, "é\xed\xa0\xbdcrap", "é\xed\xa0\xbdx"},
		{"lone surrogate is no word", `\w`, `x`, "a\xed\xa0\xbdb", "x\xed\xa0\xbdx"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := replace(t, tt.pattern, tt.replacement, tt.text); err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestRefusedPatternsSayWhyAndWhere(t *testing.T) {
	tests := map[string]string{
		`(a`:                      "missing ), unterminated subpattern at position 0",
		`a)`:                      "unbalanced parenthesis at position 1",
		`*a`:                      "nothing to repeat at position 0",
		`a**`:                     "multiple repeat at position 2",
		`^*`:                      "nothing to repeat at position 1",
		`a{3,2}`:                  "min repeat greater than max repeat at position 1",
		`a{99999999999}`:          "the repetition number is too large at position 1",
		`[a`:                      "unterminated character set at position 0",
		`[b-a]`:                   "bad character range b-a at position 1",
		`[\d-z]`:                  `bad character range \d-z at position 1`,
		`a\`:                      "bad escape (end of pattern) at position 1",
		`\q`:                      `bad escape \q at position 0`,
		`[\A]`:                    `bad escape \A at position 1`,
		`\x4`:                     `incomplete escape \x4 at position 0`,
		`\400`:                    `octal escape value \400 outside of range 0-0o377 at position 0`,
		`\1`:                      "invalid group reference 1 at position 0",
		`(\1)`:                    "cannot refer to an open group at position 1",
		`(?P<n>a)(?P<n>b)`:        `redefinition of group name "n" as group 2; was group 1 at position 8`,
		`(?P<1>a)`:                `bad character in group name "1" at position 0`,
		`(?P=n)`:                  `unknown group name "n" at position 0`,
		`(?<n>a)`:                 "unknown extension ?<n at position 0",
		`(?<=a+)b`:                "look-behind requires fixed-width pattern at position 0",
		`a(?i)b`:                  "global flags not at the start of the expression at position 1",
		`(?L)a`:                   "bad inline flags: cannot use 'L' flag with a str pattern at position 0",
		`(?au)a`:                  "bad inline flags: flags 'a' and 'u' are incompatible at position 0",
		`(?i-i:a)`:                "bad inline flags: flag turned on and off at position 0",
		`(?y)a`:                   "unknown extension ?y at position 0",
		`\N{DASH}`:                `\N{…} is not supported: write \uXXXX or \UXXXXXXXX at position 0`,
		`\ud83d`:                  `\ud83d is not a character at position 0`,
		`(a(?(1)b))`:              "condition on group 1, which does not end before it at position 2",
		strings.Repeat("(", 1000): "nested too deeply at position 500",
	}
	for pattern, want := range tests {
		if _, err := Compile(pattern); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", pattern, err, want)
		}
	}
}

func TestRefusedReplacements(t *testing.T) {
	re, err := Compile(`(?P<n>a)`)
	if err != nil {
		t.Fatal(err)
	}
	for replacement, want := range map[string]string{
		`\2`:     "invalid group reference 2 at position 0",
		`\q`:     `bad escape \q at position 0`,
		`x\`:     "bad escape (end of pattern) at position 1",
		`\g`:     "missing < at position 0",
		`\g<>`:   "missing group name at position 3",
		`\g<n`:   "missing >, unterminated name at position 3",
		`\g<m>`:  `unknown group name "m" at position 0`,
		`\g<99>`: "invalid group reference 99 at position 0",
		`\777`:   `octal escape value \777 outside of range 0-0o377 at position 0`,
	} {
		if _, err := re.NewSub(replacement); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", replacement, err, want)
		}
	}
}

// A pattern that backtracks for ever must come back, and not as a pass.
func TestATimeOutIsAnError(t *testing.T) {
	start := time.Now()
	got, err := replace(t, `(a+)+(?=b)$`, ``, strings.Repeat("a", 5000)+"c")
	if !errors.Is(err, ErrLimit) || got != "" {
		t.Errorf("got %q, %v, want ErrLimit", got, err)
	}
	if took := time.Since(start); took > 5*searchLimit {
		t.Errorf("took %s", took)
	}
}

func TestAnEndedContextStopsBacktracking(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	re, err := Compile(`(?=a)`)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := re.NewSub("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Replace(ctx, "aaa"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// What people write goes to the linear engine.
func TestEverydayPatternsAreFast(t *testing.T) {
	for _, pattern := range []string{`crap`, `(?i)secret`, `\bfoo\b`, `^a.*b$`, `\d{3}-\d{2}-\d{4}`, `(?P<u>[\w.]+)@(\w+\.)+\w+`, `[^\s"']+`} {
		re, err := Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if re.word == nil && !re.fits("plain text") {
			t.Errorf("%s backtracks", pattern)
		}
	}
}

func TestFindAllAndMatchInUnderIgnoreCase(t *testing.T) {
	tests := []struct {
		pattern, text string
		want          []string
	}{
		{`secret`, "a SECRET, a Secret", []string{"SECRET", "Secret"}},
		{`(?s)k.`, "K\n", []string{"K\n"}},
		{`(?<=x)ü+`, "XÜü xü", []string{"Üü", "ü"}},
		{`a*`, "bA", []string{"", "A", ""}},
		{`z`, "none", nil},
		{`[a-c]`, "\xed\xa0\xbdB", []string{"B"}},
	}
	for _, tt := range tests {
		re, err := CompileIgnoreCase(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		err = re.FindAll(t.Context(), tt.text, func(start, end int) { got = append(got, tt.text[start:end]) })
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s in %q: got %q, %v, want %q", tt.pattern, tt.text, got, err, tt.want)
		}
		if matched, err := re.MatchIn(t.Context(), tt.text); err != nil || matched != (len(tt.want) > 0) {
			t.Errorf("%s in %q: matched is %t, %v", tt.pattern, tt.text, matched, err)
		}
	}
	if re, err := Compile("secret"); err != nil {
		t.Error(err)
	} else if matched, err := re.MatchIn(t.Context(), "SECRET"); matched || err != nil {
		t.Errorf("without the flag: %t, %v", matched, err)
	}
}
