package pyre

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// oracle runs re.sub for each case and says what came out, or that re refused.
const oracle = `
import json, re, sys, warnings
warnings.simplefilter("ignore")
out = []
for pattern, repl, text in json.load(sys.stdin):
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        out.append([1, ""])
        continue
    try:
        out.append([0, compiled.sub(repl, text)])
    except (re.error, IndexError):
        out.append([2, ""])
json.dump(out, sys.stdout)
`

// python answers as oracle does. The possessive quantifiers and atomic groups
// came with Python 3.11.
func python(t *testing.T, cases [][3]string) []answer {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err == nil {
		err = exec.CommandContext(t.Context(), path, "-c", "import sys; sys.exit(sys.version_info < (3, 11))").Run()
	}
	if err != nil {
		if os.Getenv("REQUIRE_TOOLS") != "" {
			t.Fatal("python3, 3.11 or newer, is not installed")
		}
		t.Skip("python3, 3.11 or newer, is not installed")
	}
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "-c", oracle)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers []answer
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

// answer is what became of a case.
type answer struct {
	refused int // 1: the pattern, 2: the replacement
	text    string
}

func (a *answer) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&a.refused, &a.text})
}

var errSkip = errors.New("not comparable")

func ours(c [3]string) (answer, error) {
	re, err := Compile(c[0])
	switch {
	case err != nil && strings.Contains(err.Error(), "does not end before"): // a documented difference
		return answer{}, errSkip
	case err != nil:
		return answer{refused: 1}, nil
	}
	sub, err := re.NewSub(c[1])
	if err != nil {
		return answer{refused: 2}, nil
	}
	text, err := sub.Replace(context.Background(), c[2])
	return answer{text: text}, err
}

// TestAgreesWithPython runs the same random cases here and there: patterns of
// every construct, most of them valid, on texts that they have a chance with.
func TestAgreesWithPython(t *testing.T) {
	const n = 5000
	g := &generator{rand.New(rand.NewPCG(1, 2))}
	cases := make([][3]string, n)
	for i := range cases {
		cases[i] = [3]string{g.pattern(), g.replacement(), g.text()}
	}
	valid, changed := 0, 0
	for i, want := range python(t, cases) {
		got, err := ours(cases[i])
		if errors.Is(err, ErrLimit) || errors.Is(err, errSkip) {
			continue
		}
		if err != nil || got != want {
			t.Errorf("re.sub(%q, %q, %q)\n got %+v, %v\nwant %+v", cases[i][0], cases[i][1], cases[i][2], got, err, want)
		}
		if want.refused == 0 {
			valid++
			if want.text != cases[i][2] {
				changed++
			}
		}
	}
	if valid < n/4 || changed < n/10 {
		t.Errorf("of %d cases %d were valid and %d changed: the generator has gone blind", n, valid, changed)
	}
}

// generator makes up patterns, replacements and texts over a small alphabet.
type generator struct{ *rand.Rand }

func (g *generator) pick(choices ...string) string { return choices[g.IntN(len(choices))] }

func (g *generator) text() string {
	var b strings.Builder
	for range 1 + g.IntN(10) { // none: Python 3.14 has changed what \B does there
		b.WriteString(g.pick("a", "a", "b", "b", "A", "B", "c", "1", "_", " ", "-", "é", "É", "٣", "k", "\u212a", "\u00a0", "\x1c", "𝔸", "\n"))
	}
	return b.String()
}

func (g *generator) pattern() string {
	flags := ""
	if g.IntN(4) == 0 {
		flags = g.pick("(?i)", "(?m)", "(?s)", "(?x)", "(?a)", "(?ia)", "(?ms)", "(?u)", "(?xi)")
	}
	return flags + g.alternation(3)
}

func (g *generator) alternation(depth int) string {
	s := g.sequence(depth)
	for g.IntN(5) == 0 {
		s += "|" + g.sequence(depth)
	}
	return s
}

func (g *generator) sequence(depth int) string {
	var b strings.Builder
	for range g.IntN(4) {
		item := g.item(depth)
		b.WriteString(item)
		if g.IntN(3) > 0 {
			continue
		}
		b.WriteString(g.pick("*", "+", "?", "{2}", "{,2}", "{1,}", "{0,1}", "{,}", "{}", "{a}"))
		if item[0] == '(' { // (?:…)*+ is not always (?>(?:…)*) in Python, as it should be
			b.WriteString(g.pick("", "", "?"))
		} else {
			b.WriteString(g.pick("", "", "", "?", "+"))
		}
	}
	return b.String()
}

func (g *generator) item(depth int) string {
	if depth > 0 && g.IntN(3) == 0 {
		open := g.pick("(", "(", "(", "(?:", "(?:", "(?P<n>", "(?P<m>", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:", "(?s-i:", "(?m:", "(?x: ", "(?(1)", "(?(n)")
		return open + g.alternation(depth-1) + ")"
	}
	switch g.IntN(10) {
	case 0, 1, 2, 3:
		return g.pick("a", "b", "A", "c", "k", "é", "1", "_", "-", " ", "#", "]", "}", "{", "\n", "٣")
	case 4:
		return g.class()
	case 5, 6:
		return g.pick(`\w`, `\W`, `\d`, `\D`, `\s`, `\S`, `\b`, `\B`, `\A`, `\Z`, "^", "$", ".", ".")
	case 7:
		return g.pick(`\1`, `\2`, `(?P=n)`, `\10`, `\0`, `\07`, `\101`, `\x61`, `\u00e9`, `\U0001d538`, `\n`, `\.`, `\-`, `\e`, `\q`, `\é`, `(?#x)`)
	default:
		return g.pick("a", "b", "ab", "aa", ".")
	}
}

func (g *generator) class() string {
	var b strings.Builder
	b.WriteString(g.pick("[", "[", "[^"))
	if g.IntN(5) == 0 {
		b.WriteString("]")
	}
	for range 1 + g.IntN(3) {
		b.WriteString(g.pick("a", "b", "A-Z", "a-z", "k", "é", `\w`, `\W`, `\d`, `\D`, `\s`, `\S`, "-", "^", "0-9", `\b`, `\x61`, `\n`, "[:alpha:", ".", `\]`, `a-\d`, "b-a", `\101`))
	}
	return b.String() + "]"
}

func (g *generator) replacement() string {
	var b strings.Builder
	for range g.IntN(4) {
		b.WriteString(g.pick("x", "<", `\1`, `\2`, `\g<0>`, `\g<1>`, `\g<n>`, `\0`, `\10`, `\101`, `\n`, `\\`, `\.`, `\q`, "$1", "${1}", `\g<`, "é"))
	}
	return b.String()
}
