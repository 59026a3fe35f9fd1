package upstream

import (
	"slices"
	"testing"
)

func TestRedactor(t *testing.T) {
	mask := redactor(slices.Values([]string{"warn", "Bearer tok-12345678", "line-one-1\nline-two-2", "tok-12345678-longer", ""}))
	for text, want := range map[string]string{
		"level warn":                           "level warn",
		"sent Bearer tok-12345678!":            "sent ***!",
		"got tok-12345678":                     "got ***",
		"got tok-12345678-longer":              "got ***",
		"key line-two-2 of line-one-1, both":   "key *** of ***, both",
		"tok-12345678tok-12345678-longer, end": "******, end",
	} {
		if got := mask(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"\x1b[31mno\x1b[0m token\x07\r": "no token",
		"\x1b[38;5;1mé\tx\u0085":        "é\tx",
		"\x1b[":                         "",
		"\x1b":                          "",
		"\xff\x1b[3":                    "\uFFFD",
	} {
		if got := plain([]byte(text)); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
