package pipeline

import (
	"bytes"
	"hash/maphash"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// FuzzSplice: whatever a plugin answers, the result means what the answer means,
// and an answer that means the original is the original to the byte.
func FuzzSplice(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"a":1.0,"b":[1,2,{"c":null}]}`, `{"b":[1,2,{"c":null},3],"a":1}`},
		{`{"l":[1.0,2.0,3.0,"x"]}`, `{"l":["x",3,1]}`},
		{`{"s":"\ud83d","t":"\u00e9"}`, `{"t":"é","s":"\ufffd"}`},
		{`[9007199254740993,1e400,-0]`, `[9007199254740992,10e399,0]`},
		{`{"name":"t","args":{"a":[]}}`, "{\"args\":{\"a\":[\r\n1]},\"name\":\"t\"}"},
		{`{"prompt_id":"p","result":{"messages":[{"role":"u","content":{"type":"text","text":"a"}}]}}`, `{"prompt_id":"p","result":{"messages":[{"role":"u","content":{"type":"text","text":"b","meta":null}}],"description":null}}`},
		{`{"uri":"u","content":{"mime_type":"a"}}`, `{"uri":"u","content":{"mimeType":"b","_meta":{"x":null}}}`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	hooks := append(plugin.Hooks(), "custom")
	f.Fuzz(func(t *testing.T, original, answer []byte) {
		seed := maphash.MakeSeed()
		o, errO := parse(original, seed)
		n, errN := parse(answer, seed)
		for _, hook := range hooks {
			result, dropped, err := splice(hook, original, answer)
			if err != nil {
				continue
			}
			if errO != nil || errN != nil {
				t.Fatalf("%s: spliced what is not JSON: %v, %v", hook, errO, errN)
			}
			if len(dropped) == 0 {
				means(t, hook, result, n, seed)
			}
			if equal(o, n) && !bytes.Equal(bytes.TrimSpace(result), o.raw) {
				t.Errorf("%s: an answer that means the original changed it:\n%s\n%s", hook, original, result)
			}
		}
	})
}

func means(t *testing.T, hook plugin.Hook, result []byte, n *node, seed maphash.Seed) {
	t.Helper()
	got, err := parse(result, seed)
	if err != nil {
		t.Fatalf("%s: the result is not JSON: %v\n%s", hook, err, result)
	}
	rules, known := rulesOf(hook)
	var s *shape
	if known {
		s = rules.shape
	}
	if !s.same(got, n) {
		t.Errorf("%s: the result does not mean the answer:\n%s\n%s", hook, n.raw, result)
	}
}
