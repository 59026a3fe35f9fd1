package plugin

import (
	"encoding/json"
	"testing"
)

func TestModifiedPayloadKeepsWhatWasNotChanged(t *testing.T) {
	in := "{ \"future\" : [1, 2],\n \"args\":{\"n\":9007199254740993,\"h\":\"<&>\"}, \"name\" : \"\\u0074\",\"headers\":null }"
	tests := []struct {
		name string
		edit func(*ToolPre)
		want string
	}{
		{"nothing", func(*ToolPre) {}, in},
		{"the name", func(p *ToolPre) { p.Name = "u" }, "{ \"future\" : [1, 2],\n \"args\":{\"n\":9007199254740993,\"h\":\"<&>\"}, \"name\" : \"u\",\"headers\":null }"},
		{"args", func(p *ToolPre) { p.Args = json.RawMessage(`{"<" : 1}`) }, "{ \"future\" : [1, 2],\n \"args\":{\"<\" : 1}, \"name\" : \"\\u0074\",\"headers\":null }"},
		{"headers", func(p *ToolPre) { p.Headers = map[string]string{"a": "<b>"} }, "{ \"future\" : [1, 2],\n \"args\":{\"n\":9007199254740993,\"h\":\"<&>\"}, \"name\" : \"\\u0074\",\"headers\":{\"a\":\"<b>\"} }"},
		{"args taken away", func(p *ToolPre) { p.Args = nil }, "{ \"future\" : [1, 2],\n \"args\":null, \"name\" : \"\\u0074\",\"headers\":null }"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p ToolPre
			if err := readPayload([]byte(in), &p); err != nil {
				t.Fatal(err)
			}
			tt.edit(&p)
			for _, payload := range []any{p, &p} {
				r, err := Modified(payload)
				if err != nil || string(r.ModifiedPayload) != tt.want {
					t.Errorf("%T: got %s, %v\nwant %s", payload, r.ModifiedPayload, err, tt.want)
				}
			}
		})
	}
}

func TestPayloadsOfAllHooks(t *testing.T) {
	tests := []struct {
		payload    payload
		in, absent string // absent: without what may be
	}{
		{&ToolPre{}, `{"name":"t","args":{},"headers":{"a":"b"}}`, `{"name":"t"}`},
		{&ToolPost{}, `{"name":"t","result":null}`, `{"name":"t","result":null}`},
		{&PromptPre{}, `{"prompt_id":"p","args":{"a":"b"}}`, `{"prompt_id":"p"}`},
		{&PromptPost{}, `{"prompt_id":"p","result":{"messages":[]}}`, `{"prompt_id":"p","result":{"messages":[]}}`},
		{&ResourcePre{}, `{"uri":"a:b","metadata":{}}`, `{"uri":"a:b"}`},
		{&ResourcePost{}, `{"uri":"a:b","content":{"text":""}}`, `{"uri":"a:b","content":{"text":""}}`},
	}
	for _, tt := range tests {
		for _, in := range []string{tt.in, tt.absent} {
			raw, _ := tt.payload.parts()
			if err := json.Unmarshal([]byte(in), tt.payload); err != nil {
				t.Errorf("%T from %s: %v", tt.payload, in, err)
			}
			if out, err := json.Marshal(tt.payload); err != nil || string(out) != in {
				t.Errorf("%T from %s: got %s, %v", tt.payload, in, out, err)
			}
			*raw = nil // as if made by hand
			if out, err := json.Marshal(tt.payload); err != nil || string(out) != in {
				t.Errorf("%T by hand: got %s, %v, want %s", tt.payload, out, err, in)
			}
		}
		var missing map[string]json.RawMessage
		if err := json.Unmarshal([]byte(tt.absent), &missing); err != nil {
			t.Fatal(err)
		}
		for name := range missing {
			without, _ := json.Marshal(without(missing, name))
			if err := json.Unmarshal(without, tt.payload); err == nil || err.Error() != name+": required, but missing" {
				t.Errorf("%T from %s: got %v", tt.payload, without, err)
			}
		}
	}
}

func without(m map[string]json.RawMessage, name string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for k, v := range m {
		if k != name {
			out[k] = v
		}
	}
	return out
}

func TestPayloadsRefuseWrongTypes(t *testing.T) {
	for in, want := range map[string]string{
		`{"name":null,"args":{}}`:        "name: not a string",
		`{"name":1}`:                     "name: not a string",
		`{"name":"t","headers":{"a":1}}`: "headers: not an object of strings",
		`{"name":"t","headers":"a"}`:     "headers: not an object of strings",
		`["name"]`:                       "not an object",
		`{"name":"t"} x`:                 "json: text after the value at offset 13",
	} {
		var p ToolPre
		if err := readPayload([]byte(in), &p); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", in, err, want)
		}
	}
}

func TestModifiedRefusesWhatIsNotJSON(t *testing.T) {
	p := ToolPre{Name: "t", Args: json.RawMessage(`{"a":`)}
	if _, err := Modified(p); err == nil || err.Error() != "encode the modified payload: args: not valid JSON" {
		t.Errorf("got %v", err)
	}
}

func TestModifiedTakesRawBytesAsTheyAre(t *testing.T) {
	in := json.RawMessage("{ \"a\" : \"<\" }")
	for _, payload := range []any{in, map[string]string{"a": "<"}} {
		r, err := Modified(payload)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(r.ModifiedPayload); got != string(in) && got != `{"a":"<"}` {
			t.Errorf("%T: got %s", payload, got)
		}
	}
}

func TestSetMember(t *testing.T) {
	tests := []struct {
		name, in string
		value    any
		want     string
	}{
		{"in place", `{"a":1, "k" : [ 2 ],"b":3}`, "<é>", `{"a":1, "k" : "<é>","b":3}`},
		{"appended", `{ "a":1 }`, 9007199254740993, `{ "a":1 ,"k":9007199254740993}`},
		{"into an empty object", `{ }`, nil, `{ "k":null}`},
		{"into none", ``, true, `{"k":true}`},
		{"raw", `{"k":1}`, json.RawMessage(`[ 1 ]`), `{"k":[ 1 ]}`},
		{"only at the top", `{"a":{"k":1}}`, 2, `{"a":{"k":1},"k":2}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := SetMember(json.RawMessage(tt.in), "k", tt.value)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
	for _, in := range []string{`[]`, `null`, `{`} {
		if got, err := SetMember(json.RawMessage(in), "k", 1); err == nil {
			t.Errorf("%s: got %s", in, got)
		}
	}
	if got, err := SetMember(nil, "k", func() {}); err == nil {
		t.Errorf("a function: got %s", got)
	}
}
