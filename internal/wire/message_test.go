package wire

import (
	"errors"
	"strings"
	"testing"
)

func TestParseTakesWhatIsAMessage(t *testing.T) {
	for name, text := range map[string]string{
		"request":            `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`,
		"string id":          `{"jsonrpc":"2.0","id":"1","method":"ping"}`,
		"notification":       `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		"result":             `{"jsonrpc":"2.0","id":7,"result":{}}`,
		"null result":        `{"jsonrpc":"2.0","id":7,"result":null}`,
		"error":              `{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"no"}}`,
		"error without id":   `{"jsonrpc":"2.0","error":{"code":-32700,"message":"no"}}`,
		"error with null id": `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no","data":[1]}}`,
		"unknown members":    `{"jsonrpc":"2.0","id":1,"method":"ping","x":{}}`,
		"lone surrogate":     `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\ud83d","\ud83d":1}}`,
		"spaces":             " {\n\t\"jsonrpc\" : \"2.0\" , \"id\" : 1 , \"method\" : \"ping\" }\r\n",
		"escaped names":      `{"json\u0072pc":"2.0","id":1,"\u006dethod":"ping"}`,
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Parse([]byte(text), 1000)
			if err != nil {
				t.Fatal(err)
			}
			kinds := 0
			for _, is := range []bool{m.IsRequest(), m.IsNotification(), m.IsResponse()} {
				if is {
					kinds++
				}
			}
			if kinds != 1 {
				t.Errorf("%+v is %d of request, notification and response", m, kinds)
			}
		})
	}
}

// Each text is refused with this code and a message that holds these words.
func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text, words string
		code        int64
	}{
		"empty":                {``, "empty", CodeParse},
		"cut off":              {`{"jsonrpc":"2.0","id":1`, "unexpected end", CodeParse},
		"trailing bytes":       {`{"jsonrpc":"2.0","id":1,"method":"ping"}{}`, "more than one value", CodeParse},
		"duplicate":            {`{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}`, `duplicate object member name "method"`, CodeParse},
		"duplicate, escaped":   {`{"jsonrpc":"2.0","id":1,"method":"a","m\u0065thod":"b"}`, `duplicate object member name "method"`, CodeParse},
		"duplicate for others": {`{"jsonrpc":"2.0","id":1,"method":"a","params":{"\ud83d":1,"\ud83e":2}}`, "duplicate object member name", CodeParse},
		"duplicate, deep down": {`{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":[{"y":1,"y":1}]}}`, `"/params/x/0"`, CodeParse},
		"invalid UTF-8":        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc3\"}", "invalid UTF-8 after 34 bytes", CodeParse},
		"surrogate as UTF-8":   {"{\"a\":\"\xed\xa0\xbd\"}", "invalid UTF-8", CodeParse},
		"comment":              {`{/**/}`, "invalid character", CodeParse},
		"NaN":                  {`{"a":NaN}`, "invalid character", CodeParse},
		"nested too deep":      {strings.Repeat(`[`, MaxDepth+1) + strings.Repeat(`]`, MaxDepth+1), "nesting deeper than 512", CodeParse},
		"batch":                {`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, "batch", CodeInvalidRequest},
		"not an object":        {`"ping"`, "not an object", CodeInvalidRequest},
		"version 1":            {`{"id":1,"method":"ping"}`, "jsonrpc", CodeInvalidRequest},
		"null id":              {`{"jsonrpc":"2.0","id":null,"method":"ping"}`, "id is null", CodeInvalidRequest},
		"id an object":         {`{"jsonrpc":"2.0","id":{},"method":"ping"}`, "neither a string nor", CodeInvalidRequest},
		"id a fraction":        {`{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, "not an integer", CodeInvalidRequest},
		"method a number":      {`{"jsonrpc":"2.0","id":1,"method":1}`, "method is not", CodeInvalidRequest},
		"params an array":      {`{"jsonrpc":"2.0","id":1,"method":"a","params":[]}`, "params is not an object", CodeInvalidRequest},
		"request and result":   {`{"jsonrpc":"2.0","id":1,"method":"a","result":{}}`, "both a request", CodeInvalidRequest},
		"result and error":     {`{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}`, "both result", CodeInvalidRequest},
		"result without id":    {`{"jsonrpc":"2.0","result":{}}`, "result without id", CodeInvalidRequest},
		"nothing":              {`{"jsonrpc":"2.0","id":1}`, "neither method", CodeInvalidRequest},
		"error a string":       {`{"jsonrpc":"2.0","id":1,"error":"no"}`, "error is not", CodeInvalidRequest},
		"Params":               {`{"jsonrpc":"2.0","id":1,"method":"a","params":{},"Params":{}}`, `"Params" looks like "params"`, CodeInvalidRequest},
		"paramſ":               {`{"jsonrpc":"2.0","id":1,"method":"a","paramſ":{}}`, `looks like "params"`, CodeInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.text), 10000)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want an *Error", err)
			}
			if e.Code != c.code || !strings.Contains(e.Message, c.words) {
				t.Errorf("error %v, want code %d and %q", e, c.code, c.words)
			}
		})
	}
}

func TestParseRefusesBySize(t *testing.T) {
	_, err := Parse([]byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), 10)
	var large *TooLargeError
	if !errors.As(err, &large) || large.Size != 40 || large.Limit != 10 {
		t.Fatalf("error %#v", err)
	}
	if want := "message of 40 bytes is larger than the limit of 10 bytes"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

// A refusal of something that is no proper message can still be addressed.
func TestParseKeepsTheIDOfARefusedMessage(t *testing.T) {
	m, err := Parse([]byte(`{"jsonrpc":"1.0","id":42,"method":"ping"}`), 1000)
	if err == nil || m == nil || string(m.ID) != "42" {
		t.Fatalf("message %+v, error %v", m, err)
	}
}

// The deepest nesting that is allowed, with brackets in strings beside it.
func TestNestingIsCountedOutsideStrings(t *testing.T) {
	text := strings.Repeat(`[`, MaxDepth-1) + `"` + strings.Repeat(`[{\"`, MaxDepth) + `"` + strings.Repeat(`]`, MaxDepth-1)
	if err := Check([]byte(text)); err != nil {
		t.Error(err)
	}
	if err := Check([]byte(`[[` + text + `]]`)); err == nil {
		t.Error("one level too many passed")
	}
}

func TestParseBatch(t *testing.T) {
	messages, errs, err := ParseBatch([]byte(`[{"jsonrpc":"2.0","id":1,"method":"ping"}, 5 ,{"jsonrpc":"2.0","method":"n"}]`), 1000)
	if err != nil || len(messages) != 3 {
		t.Fatalf("%d messages, error %v", len(messages), err)
	}
	if !messages[0].IsRequest() || !messages[2].IsNotification() || errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("messages %v, errors %v", messages, errs)
	}
	for _, text := range []string{`[]`, `[` + strings.Repeat(`1,`, MaxBatch) + `1]`, `[1`} {
		if _, _, err := ParseBatch([]byte(text), 1000); err == nil {
			t.Errorf("%s passed", text)
		}
	}
}

// Raw parts are the bytes that came: numbers beyond 2^53 and odd spellings too.
func TestRawPartsKeepTheirBytes(t *testing.T) {
	const params = `{ "n":9007199254740993, "e":1.50e+01,"s":"\u0041\/" }`
	m, err := Parse([]byte(`{"jsonrpc":"2.0","id":9007199254740993,"method":"x","params":`+params+`}`), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Params) != params || string(m.ID) != "9007199254740993" {
		t.Errorf("params %s, id %s", m.Params, m.ID)
	}
	got := AppendRequest(nil, m.ID, m.Method, m.Params)
	if want := `{"jsonrpc":"2.0","id":9007199254740993,"method":"x","params":` + params + `}`; string(got) != want {
		t.Errorf("rebuilt\n%s, want\n%s", got, want)
	}
}

func TestAppendError(t *testing.T) {
	got := string(AppendError(nil, []byte(`"a"`), Unsupported([]string{"b"}, "c\n")))
	want := `{"jsonrpc":"2.0","id":"a","error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["b"],"requested":"c\n"}}}`
	if got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}
