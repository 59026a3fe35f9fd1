package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestTheIDOfALineOverTheLimit(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for name, c := range map[string]struct{ line, want string }{
		"first":           {`{"jsonrpc":"2.0","id":7,"result":"` + long + `"}`, `7`},
		"last":            {`{"result":{"id":1,"x":["` + long + `"]},"jsonrpc":"2.0","id": "a\"b" }`, `"a\"b"`},
		"within a string": {`{"result":"\"id\":1,` + long + `"}`, ``},
		"only deeper":     {`{"result":{"id":1,"x":"` + long + `"}}`, ``},
		"as a value":      {`{"x":"id","y":5,"z":"` + long + `"}`, ``},
		"twice":           {`{"id":1,"result":"` + long + `","id":2}`, ``},
		"null":            {`{"id":null,"result":"` + long + `"}`, ``},
		"far too long":    {`{"id":"` + long + `"}`, ``},
		"no JSON":         {long + `"id":1}`, ``},
	} {
		for _, limit := range []int64{5, 20, 9_000} {
			lines := NewLines(strings.NewReader(c.line+"\nnext\n"), limit)
			_, err := lines.Next()
			var large *TooLargeError
			if !errors.As(err, &large) || string(large.ID) != c.want || large.Size != int64(len(c.line)) {
				t.Errorf("%s, limit %d: %+v, want id %s", name, limit, err, c.want)
			}
			if line, err := lines.Next(); string(line) != "next" || err != nil {
				t.Errorf("%s: then %s, error %v", name, line, err)
			}
		}
	}
}

func FuzzFindID(f *testing.F) {
	f.Add([]byte(`{"a":{"id":[]},"id" : -1e2 ,"b":"\\"}`), uint8(3))
	f.Add([]byte(`{"b":[{"id":1}],"id":"\u0069d"}`), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		var finder idFinder
		for rest := data; len(rest) > 0; { // must not panic on any bytes
			n := min(len(rest), int(size)+1)
			finder.read(rest[:n])
			rest = rest[n:]
		}
		if Check(data) != nil || Kind(data) != '{' || strings.Contains(string(data), `\u`) {
			return
		}
		want := Member(data, "id")
		if k := Kind(want); (k != '"' && k != '0') || len(want) > maxID {
			want = nil
		}
		if got := finder.result(); string(got) != string(want) || (got == nil) != (want == nil) {
			t.Fatalf("id %s, want %s, of %s", got, want, json.RawMessage(data))
		}
	})
}
