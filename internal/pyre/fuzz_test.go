package pyre

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzSub gives the parsers whatever comes: nothing panics, a pattern that is
// accepted compiles for its engine, and a search ends, with an error if need be.
func FuzzSub(f *testing.F) {
	for _, seed := range [][3]string{
		{`(?P<a>\w+)(?(a)b|c)(?=\1)`, `\g<a>\1\n`, "abc"}, {`(?ix: a [^\W\d] # x` + "\n)", `\0`, "É"},
		{`[]\-a-z]{2,}+?`, `\\`, "\xed\xa0\xbd"}, {`(?<!a|b)$|\Bx*?`, ``, "x\n"}, {`(?>a|ab)\x41\u00e9\101`, `\101`, ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, pattern, replacement, text string) {
		if !utf8.ValidString(pattern) || len(pattern) > 200 || len(text) > 200 || manyRepeats(pattern) {
			return
		}
		re, err := Compile(pattern)
		if err != nil {
			if _, ok := errors.AsType[*syntaxError](err); !ok {
				t.Fatalf("%q: %v", pattern, err)
			}
			return
		}
		sub, err := re.NewSub(replacement)
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		out, err := sub.Replace(ctx, text)
		if err != nil && !errors.Is(err, ErrLimit) && ctx.Err() == nil {
			t.Fatalf("%q on %q: %v", pattern, text, err)
		}
		if utf8.ValidString(text) && utf8.ValidString(replacement) && !utf8.ValidString(out) {
			t.Fatalf("%q on %q: %q is not UTF-8", pattern, text, out)
		}
	})
}

// manyRepeats tells patterns whose counts only cost time: the operator who
// writes a{60000}{60000} gets what he asked for.
func manyRepeats(pattern string) bool {
	return strings.Count(pattern, "{") > 1 || strings.ContainsAny(pattern, "{") && strings.ContainsAny(pattern, "0123456789") && len(strings.Map(digit, pattern)) > 3
}

func digit(r rune) rune {
	if isDigit(r) {
		return r
	}
	return -1
}
