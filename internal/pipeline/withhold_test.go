package pipeline

import (
	"encoding/json"
	"hash/maphash"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// TestWithholdFindsTheHeaders: wherever they stand and however their name is
// spelt, secret headers are taken out of a payload and nothing else changes.
func TestWithholdFindsTheHeaders(t *testing.T) {
	p, err := New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	const args = `{"headers":{"Cookie":"of the tool"},"a":[1,{"b":"]}\"\\"},[]],"c":{ } , "d":-1.5e3,"e":[true,null , "\ud83d"]}`
	for _, c := range []struct{ name, payload, want string }{
		{"last", `{"name":"t","args":` + args + `,"headers":{"Cookie":"x","A":"b"}}`, `{"name":"t","args":` + args + `,"headers":{"A":"b"}}`},
		{"first", ` { "headers" : {"Cookie":"x"} , "args":` + args + `,"name":"t"}`, `{ "headers" : {} , "args":` + args + `,"name":"t"}`},
		{"escaped", `{"\u0068eaders":{"A":"b","\u0043ookie":"x"},"name":"t"}`, `{"\u0068eaders":{"A":"b"},"name":"t"}`},
		{"nothing secret", `{"name":"t","args":` + args + `,"headers":{"A":"b"}}`, `{"name":"t","args":` + args + `,"headers":{"A":"b"}}`},
		{"no headers", `{"name":"t","args":` + args + `}`, `{"name":"t","args":` + args + `}`},
	} {
		got, _, err := p.withhold(&Entry{}, newSubject(plugin.ToolPreInvoke, json.RawMessage(c.payload)))
		if err != nil || string(got) != c.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.name, got, err, c.want)
		}
	}
	for _, bad := range []string{
		`{"headers":{"Cookie":"x"},"headers":{}}`, `{"headers":{"A":"b","A":"c"}}`, `{"headers":{}`, `{"headers":{}} {}`, "{\"name\":\"\xff\"}",
	} {
		if got, _, err := p.withhold(&Entry{}, newSubject(plugin.ToolPreInvoke, json.RawMessage(bad))); err == nil {
			t.Errorf("%s: %s and no error", bad, got)
		}
	}
}

func BenchmarkWithhold(b *testing.B) {
	p, err := New(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	payload := json.RawMessage(`{"name":"t","args":{"text":"` + strings.Repeat("All work and no play. ", 1500) + `"},"headers":{"User-Agent":"x","A":"b"}}`)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.withhold(&Entry{}, newSubject(plugin.ToolPreInvoke, payload)); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzParseOnly: what is read of a part of a text is what is read of the whole.
func FuzzParseOnly(f *testing.F) {
	for _, seed := range []string{`{"headers":{"A":"b"},"x":[1,"]",{}]}`, `[{"headers":1}]`, `{"a":{"headers":2},"headers":"\ud83d"}`, ` 7 `, `{"a":"\\","headers":[[]]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		whole, err := parse([]byte(text), maphash.MakeSeed())
		part, partErr := parseOnly([]byte(text), "headers")
		if partErr != nil {
			if err == nil {
				t.Fatalf("%q: %v", text, partErr)
			}
			return
		}
		if err != nil {
			return // a duplicate name elsewhere
		}
		a, b := whole.get("headers"), part.get("headers")
		if (a == nil) != (b == nil) || a != nil && string(a.raw) != string(b.raw) {
			t.Fatalf("%q: %+v, want %+v", text, b, a)
		}
	})
}
