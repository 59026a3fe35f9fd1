package child

import "testing"

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
