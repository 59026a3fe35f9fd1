package pyre

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestWordsNeedNoEngine(t *testing.T) {
	tests := []struct {
		pattern  string
		any      bool // in any case
		is, need string
	}{
		{`crap`, false, "crap", ""},
		{`\bDROP\b`, true, "drop", ""},
		{`api-key`, true, "api-key", ""},
		{`\bcafé`, true, "café", ""},
		{`é`, true, "", ""}, // no byte of ASCII to look for
		{`ssk`, true, "", ""},
		{`password\s*[:=]\s*(\S+)`, true, "", "password"},
		{`(?=never)(?:a|b)c+(?!not)dé(ef)?gh$`, false, "", "dé"},
		{`(x|yz)*`, false, "", ""},
		{`[a-d]`, false, "", ""},
	}
	spell := func(w *word) string {
		if w == nil {
			return ""
		}
		var b strings.Builder
		for _, alike := range w.chars {
			i := max(0, slices.IndexFunc(alike, unicode.IsLower))
			b.WriteRune(alike[i])
		}
		return b.String()
	}
	for _, tt := range tests {
		re, err := compile(tt.pattern, tt.any)
		if err != nil {
			t.Fatal(err)
		}
		if is := spell(re.word); is != tt.is {
			t.Errorf("%s: is the word %q, want %q", tt.pattern, is, tt.is)
		}
		if need := spell(re.needle); need != tt.need {
			t.Errorf("%s: needs %q, want %q", tt.pattern, need, tt.need)
		}
	}
}

// matches lists the matches of re.
func matches(t *testing.T, re *Regexp, text string) (all [][2]int) {
	t.Helper()
	err := re.FindAll(t.Context(), text, func(start, end int) { all = append(all, [2]int{start, end}) })
	if err != nil {
		t.Skip(err)
	}
	return all
}

// FuzzWord holds the shortcuts against the engines.
func FuzzWord(f *testing.F) {
	f.Add(`\bDROP\b`, "drop dropped xDROP DROP", true)
	f.Add(`kiss`, "KISS \u212aiſs kIſS kiß", true)
	f.Add(`\Bé\b`, "cafÉ é aé", true)
	f.Add(`(?a)\bx`, "éx x ax", false)
	f.Add(`pass(word)?\s*=\s*\S+$`, "pass =x\npassword= y\n", true)
	f.Add(`aa\b`, "aaaa aa", false)
	f.Add(`a(?=b)c|ab`, "abcab", false)
	f.Add(`z\ufffd`, "Z\xed\xa0\xbdz\ufffd", true)
	f.Add(`[xy]{1,70}z`, "xyxyxyz", false)
	f.Fuzz(func(t *testing.T, pattern, text string, ignoreCase bool) {
		if !utf8.ValidString(pattern) || len(pattern) > 100 || len(text) > 200 || manyRepeats(pattern) {
			return
		}
		re, err := compile(pattern, ignoreCase)
		if err != nil || re.word == nil && re.needle == nil {
			return
		}
		_, tree, err := parse(pattern, ignoreCase)
		if err != nil {
			t.Fatal(err)
		}
		plain := &Regexp{groups: re.groups, names: re.names, nullable: re.nullable}
		if err := plain.engines(tree); err != nil {
			return
		}
		text = standIn(text)
		if !utf8.ValidString(text) {
			return
		}
		want, got := matches(t, plain, text), matches(t, re, text)
		if len(want) != len(got) {
			t.Fatalf("%q in %q: %v, the engine finds %v", pattern, text, got, want)
		}
		for i := range want {
			if want[i] != got[i] {
				t.Fatalf("%q in %q: %v, the engine finds %v", pattern, text, got, want)
			}
		}
		if matched, err := re.MatchIn(t.Context(), text); err != nil || matched != (len(want) > 0) {
			t.Fatalf("%q in %q: matched is %t, %v; the engine finds %v", pattern, text, matched, err, want)
		}
	})
}
