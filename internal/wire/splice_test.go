package wire

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSetMember(t *testing.T) {
	for name, c := range map[string]struct{ raw, member, value, want string }{
		"replaced":                {`{ "a" : 1 , "b":2.50 }`, "a", `[3]`, `{ "a" : [3] , "b":2.50 }`},
		"replaced, last":          {`{"a":1,"b":2 }`, "b", `"x"`, `{"a":1,"b":"x" }`},
		"replaced, name escaped":  {`{"\u0061":1}`, "a", `2`, `{"\u0061":2}`},
		"added":                   {`{"b": 1e2}`, "a", `null`, `{"a":null,"b": 1e2}`},
		"added to nothing":        {` { } `, "a", `1`, ` {"a":1 } `},
		"added where none was":    {``, "a", `1`, `{"a":1}`},
		"in place of no object":   {`null`, "a", `1`, `{"a":1}`},
		"removed":                 {`{"a":1, "b":{"a":3}}`, "a", ``, `{"b":{"a":3}}`},
		"removed, last":           {`{"b":2 , "a":1 }`, "a", ``, `{"b":2  }`},
		"removed, only one":       {`{ "a":1}`, "a", ``, `{ }`},
		"removed, in the middle":  {`{"x":"," , "a":"}" , "y":1}`, "a", ``, `{"x":"," , "y":1}`},
		"removed, was not there":  {`{"b":{"a":1}}`, "a", ``, `{"b":{"a":1}}`},
		"a string with its quote": {`{"s":"\"a\":1","a":1}`, "a", `2`, `{"s":"\"a\":1","a":2}`},
	} {
		t.Run(name, func(t *testing.T) {
			var value []byte
			if c.value != "" {
				value = []byte(c.value)
			}
			if got := string(SetMember([]byte("x"), []byte(c.raw), c.member, value)); got != "x"+c.want {
				t.Errorf("got  %s\nwant x%s", got, c.want)
			}
		})
	}
}

func FuzzSetMember(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[{"a":2}] , "\u0061x":"\\"}`), "a", true)
	f.Add([]byte(` { "b" : "}" , "a":{} } `), "a", false)
	f.Fuzz(func(t *testing.T, raw []byte, name string, set bool) {
		var value []byte
		if set {
			value = []byte(`{"new":1}`)
		}
		got := SetMember(nil, raw, name, value) // must not panic on any bytes
		if Check(raw) != nil || Kind(raw) != '{' || !json.Valid(AppendString(nil, name)) {
			return
		}
		if err := Check(got); err != nil {
			t.Fatalf("%q with %q set to %q became %q: %v", raw, name, value, got, err)
		}
		want := members(raw)
		key := string(unquoted(AppendString(nil, name)))
		if key != name {
			return // not UTF-8: becomes another name
		}
		if delete(want, name); set {
			want[name] = string(value)
		}
		if diff := cmp.Diff(want, members(got)); diff != "" {
			t.Fatalf("%q became %q\n%s", raw, got, diff)
		}
	})
}

func members(raw []byte) map[string]string {
	all := map[string]string{}
	for key, value := range Members(raw) {
		all[string(key)] = string(value)
	}
	return all
}
