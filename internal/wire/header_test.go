package wire

import (
	"net/http"
	"testing"
)

// The first rows are the specification's own examples.
func TestHeaderValues(t *testing.T) {
	for value, want := range map[string]string{
		"us-west1":           "us-west1",
		"Hello, 世界":          "=?base64?SGVsbG8sIOS4lueVjA==?=",
		" padded ":           "=?base64?IHBhZGRlZCA=?=",
		"line1\nline2":       "=?base64?bGluZTEKbGluZTI=?=",
		"=?base64?literal?=": "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=",
		"=?base64?":          "=?base64?",
		"":                   "",
		"a b":                "a b",
		"\x7f":               "=?base64?fw==?=",
	} {
		got := EncodeHeader(value)
		if got != want {
			t.Errorf("EncodeHeader(%q) = %q, want %q", value, got, want)
		}
		if back, err := DecodeHeader(got); err != nil || back != value {
			t.Errorf("DecodeHeader(%q) = %q, %v; want %q", got, back, err, value)
		}
	}
}

func TestDecodeHeaderRefuses(t *testing.T) {
	for _, value := range []string{"=?base64?SGVs!!!?=", "=?base64?SGVsbG8?=", "=?base64?/w==?=", "=?base64?SGV\nsbG8=?=", "a\x00", "ü", "\x7f"} {
		if got, err := DecodeHeader(value); err == nil {
			t.Errorf("DecodeHeader(%q) = %q, want an error", value, got)
		}
	}
}

func TestAccepts(t *testing.T) {
	for accept, want := range map[string][2]bool{
		AcceptBoth:                        {true, true},
		"text/event-stream":               {false, true},
		"application/json":                {true, false},
		"Application/JSON; charset=utf-8": {true, false},
		"*/*":                             {true, true},
		"application/*":                   {true, false},
		"text/html":                       {false, false},
		"text/event-stream, application/json;q=0": {false, true},
		"application/json; q=0.5":                 {true, false},
	} {
		plain, sse := Accepts(http.Header{"Accept": {accept}})
		if got := [2]bool{plain, sse}; got != want {
			t.Errorf("Accept %q: %v, want %v", accept, got, want)
		}
	}
	if plain, sse := Accepts(http.Header{}); !plain || !sse {
		t.Error("no Accept header: want both")
	}
	if plain, sse := Accepts(http.Header{"Accept": {"text/event-stream", "application/json"}}); !plain || !sse {
		t.Error("two Accept headers: want both")
	}
}
