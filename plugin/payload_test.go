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
		{&HTTPPre{}, `{"path":"/","method":"GET","client_host":"h","client_port":1,"headers":{}}`, `{"path":"/","method":"GET","headers":{}}`},
		{&HTTPPost{}, `{"path":"/","method":"GET","client_host":"h","client_port":1,"headers":{},"response_headers":{"a":"b"},"status_code":200}`,
			`{"path":"/","method":"GET","headers":{}}`},
		{&ResolveUser{}, `{"credentials":{"scheme":"Basic","credentials":"x"},"headers":{},"client_host":"h","client_port":1}`, `{"headers":{}}`},
		{&CheckPermission{}, `{"user_email":"u","permission":"p","resource_type":"tool","team_id":"t","is_admin":true,"auth_method":"jwt","client_host":"h","user_agent":"a"}`,
			`{"user_email":"u","permission":"p"}`},
		{&AgentPre{}, `{"agent_id":"a","messages":[],"tools":[],"headers":{},"model":"m","system_prompt":"s","parameters":{}}`, `{"agent_id":"a","messages":[]}`},
		{&AgentPost{}, `{"agent_id":"a","messages":[],"tool_calls":[]}`, `{"agent_id":"a","messages":[]}`},
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
	for _, payload := range []any{in, []byte(in), map[string]string{"a": "<"}} {
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

func TestGetMember(t *testing.T) {
	for in, want := range map[string]struct {
		found bool
		value float64
	}{
		`{"a":{"amount":1},"amount": 101}`:          {true, 101},
		`{"amount":101,"AMOUNT":1,"\u0041mount":2}`: {true, 101},
		`{"\u0061mount":101}`:                       {true, 101},
		`{"AMOUNT":1}`:                              {false, 7},
		`{"amount":null}`:                           {true, 7},
		` { } `:                                     {false, 7},
		``:                                          {false, 7},
	} {
		value := 7.0
		if found, err := GetMember(json.RawMessage(in), "amount", &value); err != nil || found != want.found || value != want.value {
			t.Errorf("%s: got %v %v, %v", in, found, value, err)
		}
	}
	for in, want := range map[string]string{
		`[]`:               "not an object",
		`null`:             "not an object",
		`{"amount":1`:      "json: unexpected end",
		`{"amount":"101"}`: "amount: json: cannot unmarshal string into Go value of type float64",
	} {
		var value float64
		if found, err := GetMember(json.RawMessage(in), "amount", &value); err == nil || found || err.Error() != want {
			t.Errorf("%s: got %v, %v", in, found, err)
		}
	}
}

// Null and absence are one for what may be absent: neither is an error, and
// neither is written over the other.
func TestNullIsAbsenceForOptionalFields(t *testing.T) {
	for in, p := range map[string]payload{
		`{"path":"/","method":"GET","client_host":null,"client_port":null,"headers":{},"response_headers":null,"status_code":null}`: &HTTPPost{},
		`{"credentials":null,"headers":{}}`:                                                                              &ResolveUser{},
		`{"user_email":"u","permission":"p","is_admin":null,"team_id":null}`:                                             &CheckPermission{},
		`{"agent_id":"a","messages":[],"tools":null,"headers":null,"model":null,"system_prompt":null,"parameters":null}`: &AgentPre{},
	} {
		if err := readPayload([]byte(in), p); err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if out, err := writePayload(p); err != nil || string(out) != in {
			t.Errorf("got %s, %v, want %s", out, err, in)
		}
	}
}

func TestFieldsOfEachTypeAreReplacedInPlace(t *testing.T) {
	tests := []struct {
		p        payload
		in, want string
		edit     func(payload)
	}{
		{&HTTPPost{}, `{"path":"/","status_code":200,"x":1,"method":"GET","headers":{}}`, `{"path":"/","status_code":201,"x":1,"method":"GET","headers":{}}`,
			func(p payload) { p.(*HTTPPost).StatusCode++ }},
		{&CheckPermission{}, `{"is_admin":true,"user_email":"u","permission":"p"}`, `{"is_admin":false,"user_email":"u","permission":"p"}`,
			func(p payload) { p.(*CheckPermission).IsAdmin = false }},
		{&ResolveUser{}, `{"credentials":{"scheme":"a","credentials":"b"},"headers":{}}`, `{"credentials":{"scheme":"a","credentials":"c"},"headers":{}}`,
			func(p payload) { p.(*ResolveUser).Credentials.Credentials = "c" }},
		{&AgentPre{}, `{"agent_id":"a","model":null,"messages":[]}`, `{"agent_id":"a","model":"m","messages":[]}`,
			func(p payload) { p.(*AgentPre).Model = "m" }},
	}
	for _, tt := range tests {
		if err := readPayload([]byte(tt.in), tt.p); err != nil {
			t.Fatal(err)
		}
		if out, err := writePayload(tt.p); err != nil || string(out) != tt.in {
			t.Errorf("unchanged: got %s, %v, want %s", out, err, tt.in)
		}
		tt.edit(tt.p)
		if out, err := writePayload(tt.p); err != nil || string(out) != tt.want {
			t.Errorf("got %s, %v, want %s", out, err, tt.want)
		}
	}
}

func TestHTTPAndAgentPayloadsRefuseWrongTypes(t *testing.T) {
	for in, want := range map[string]string{
		`{"path":"/","method":"GET","headers":null}`:                         "headers: not an object of strings",
		`{"path":"/","method":"GET","headers":{},"client_port":"9"}`:         "client_port: not an integer",
		`{"path":"/","method":"GET","headers":{},"client_port":1.5}`:         "client_port: not an integer",
		`{"path":"/","method":"GET","headers":{},"client_host":1}`:           "client_host: not a string",
		`{"path":"/","method":"GET","headers":{"a":["b"]},"client_port":80}`: "headers: not an object of strings",
	} {
		if err := readPayload([]byte(in), &HTTPPre{}); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", in, err, want)
		}
	}
	if err := readPayload([]byte(`{"headers":{},"credentials":"x"}`), &ResolveUser{}); err == nil {
		t.Error("credentials that are a string were read")
	}
	if err := readPayload([]byte(`{"user_email":"u","permission":"p","is_admin":"yes"}`), &CheckPermission{}); err == nil {
		t.Error("is_admin that is a string was read")
	}
}
