package logs

import (
	"slices"
	"testing"
)

func TestMask(t *testing.T) {
	mask := Mask(slices.Values([]string{"warn", "Bearer tok-12345678", "line-one-1\nline-two-2", "tok-12345678-longer", ""}))
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
