package child

import (
	"encoding/json"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

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

// FuzzLines: whatever a process writes is read without harm.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"\x1b[31mred\x1b[0m\xff", `{"id":1`, `{"jsonrpc":"2.0","id":1,"result":{}}`, `[{"jsonrpc":"2.0","id":1,"result":{}},7]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = plain(data)
		if id := idOf(data); id != nil && wire.Check(data) == nil && !json.Valid(id) {
			t.Fatalf("id %q of %q", id, data)
		}
	})
}
