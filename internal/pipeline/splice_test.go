package pipeline

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/plugin"
)

func TestSplice(t *testing.T) {
	for _, test := range []struct {
		name     string
		hook     plugin.Hook
		original string
		answer   string
		want     string
		dropped  []string
	}{
		{
			"re-encoding alone changes nothing", plugin.ToolPreInvoke,
			`{ "name" : "t", "args": {"big": 9007199254740993, "f": 1.0, "e": 1e2, "s": "\u00e9\/"} }`,
			`{"args":{"e":100.0,"s":"é/","f":1,"big":9007199254740993},"name":"t","headers":null}`,
			`{ "name" : "t", "args": {"big": 9007199254740993, "f": 1.0, "e": 1e2, "s": "\u00e9\/"} }`, nil,
		},
		{
			"a neighbour of what changed keeps its bytes", plugin.ToolPreInvoke,
			`{"name":"t","args":{"z":1e2,"text":"crap","big":9007199254740993,"n":null}}`,
			`{"name":"t","args":{"big":9007199254740993,"n":null,"text":"yikes","z":100.0}}`,
			`{"name":"t","args":{"z":1e2,"text":"yikes","big":9007199254740993,"n":null}}`, nil,
		},
		{
			"2^53+1 is not 2^53", plugin.ToolPreInvoke,
			`{"name":"t","args":{"big":9007199254740993}}`, `{"name":"t","args":{"big":9007199254740992}}`,
			`{"name":"t","args":{"big":9007199254740992}}`, nil,
		},
		{
			"a double-only peer's float is the same float", plugin.ToolPreInvoke,
			`{"name":"t","args":{"x":0.10000000000000000001}}`, `{"name":"t","args":{"x":0.1}}`,
			`{"name":"t","args":{"x":0.10000000000000000001}}`, nil,
		},
		{
			"in free-form objects absence deletes and null is a value", plugin.ToolPreInvoke,
			`{"name":"t","args":{"a":1,"b":null,"c":2}}`, `{"name":"t","args":{"b":null,"c":null}}`,
			`{"name":"t","args":{"b":null,"c":null}}`, nil,
		},
		{
			"new members are appended in the answer's order", plugin.ToolPreInvoke,
			`{"name":"t","args":{"a":1}}`, `{"args":{"y":2,"a":1,"x":3},"name":"t"}`,
			`{"name":"t","args":{"a":1,"y":2,"x":3}}`, nil,
		},
		{
			"a lone surrogate differs from U+FFFD", plugin.ToolPreInvoke,
			`{"name":"t","args":{"a":"\ud83d"}}`, `{"name":"t","args":{"a":"\ufffd"}}`,
			`{"name":"t","args":{"a":"\ufffd"}}`, nil,
		},
		{
			"an escaped pair equals the character", plugin.ToolPreInvoke,
			`{"name":"t","args":{"a":"\ud83d\ude00"}}`, `{"name":"t","args":{"a":"😀"}}`,
			`{"name":"t","args":{"a":"\ud83d\ude00"}}`, nil,
		},
		{
			"arrays: equal ends keep their bytes", plugin.ToolPreInvoke,
			`{"name":"t","args":{"l":[1.0,"a",2.0,3.0]}}`, `{"name":"t","args":{"l":[1,"b","c",2,3]}}`,
			`{"name":"t","args":{"l":[1.0,"b","c",2.0,3.0]}}`, nil,
		},
		{
			"arrays: middles of equal length merge by position", plugin.ToolPreInvoke,
			`{"name":"t","args":{"l":[0,{"k":1.0,"x":1},9]}}`, `{"name":"t","args":{"l":[0,{"x":2,"k":1},9]}}`,
			`{"name":"t","args":{"l":[0,{"k":1.0,"x":2},9]}}`, nil,
		},
		{
			"arrays: a moved element takes its original's bytes", plugin.ToolPreInvoke,
			`{"name":"t","args":{"l":[1.0,2.0,3.0]}}`, `{"name":"t","args":{"l":[3,1]}}`,
			`{"name":"t","args":{"l":[3.0,1.0]}}`, nil,
		},
		{
			"line ends between tokens are dropped from what is new", plugin.ToolPreInvoke,
			`{"name":"t","args":{}}`, "{\"name\":\"t\",\"args\":{\"a\":[1,\r\n 2]}}",
			`{"name":"t","args":{"a":[1, 2]}}`, nil,
		},
		{
			"fields of others are put back and named", plugin.ToolPostInvoke,
			`{"name":"t","result":{"content":[]}}`, `{"name":"other","result":{"content":[]},"extra":1}`,
			`{"name":"t","result":{"content":[]}}`, []string{"name", "extra"},
		},
		{
			"a deleted field of others is put back", plugin.PromptPreFetch,
			`{"prompt_id":"p","trace":{"id":1.0},"args":{"a":"x"}}`, `{"prompt_id":"p","args":{"a":"y"}}`,
			`{"prompt_id":"p","trace":{"id":1.0},"args":{"a":"y"}}`, []string{"trace"},
		},
		{
			"absent, null and default are one in a model", plugin.PromptPreFetch,
			`{"prompt_id":"p"}`, `{"prompt_id":"p","args":{}}`, `{"prompt_id":"p"}`, nil,
		},
		{
			"aliases and nulls of the reference's models change nothing", plugin.PromptPostFetch,
			`{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"image","data":"aGk=","mimeType":"image/png"}}]}}`,
			`{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"image","data":"aGk=","mime_type":"image/png","annotations":null,"meta":null}}],"description":null}}`,
			`{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"image","data":"aGk=","mimeType":"image/png"}}]}}`, nil,
		},
		{
			"a new field of a model is spelled as in MCP", plugin.PromptPostFetch,
			`{"prompt_id":"p","result":{"messages":[]}}`,
			`{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"image","mime_type":"image/png","data":"aGk=","meta":null}}]}}`,
			`{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"image","mimeType":"image/png","data":"aGk="}}]}}`, nil,
		},
		{
			"a tool result is free-form: a null there is a change", plugin.ToolPostInvoke,
			`{"name":"t","result":{"content":[{"type":"text","text":"hi"}]}}`,
			`{"name":"t","result":{"content":[{"type":"text","text":"hi"}],"structuredContent":null}}`,
			`{"name":"t","result":{"content":[{"type":"text","text":"hi"}],"structuredContent":null}}`, nil,
		},
		{
			"resource content keeps its own spelling", plugin.ResourcePostFetch,
			`{"uri":"u","content":{"uri":"u","mime_type":"text/plain","text":"a","x":1.0}}`,
			`{"uri":"u","content":{"uri":"u","mimeType":"text/plain","text":"b","x":1}}`,
			`{"uri":"u","content":{"uri":"u","mime_type":"text/plain","text":"b","x":1.0}}`, nil,
		},
		{
			"custom hooks are free-form", "custom", `{"a":1.0,"b":2}`, `{"b":3,"a":1}`, `{"a":1.0,"b":3}`, nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, dropped, err := splice(test.hook, []byte(test.original), []byte(test.answer))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.dropped, dropped); diff != "" {
				t.Errorf("dropped (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSpliceRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		hook   plugin.Hook
		answer string
		want   string
	}{
		{"not JSON", plugin.ToolPreInvoke, `{"name":`, "unexpected EOF"},
		{"two values", plugin.ToolPreInvoke, `{"name":"t"} {}`, "bytes after the value"},
		{"duplicate names", plugin.ToolPreInvoke, `{"name":"t","args":{"a":1,"\u0061":2}}`, `duplicate name "\u0061"`},
		{"invalid UTF-8", plugin.ToolPreInvoke, "{\"name\":\"\xff\"}", "invalid UTF-8"},
		{"not an object", plugin.ToolPreInvoke, `[]`, "the payload is an array, not an object"},
		{"a required field is missing", plugin.ToolPreInvoke, `{"args":{}}`, "the payload has no name"},
		{"a required field is null", plugin.ResourcePreFetch, `{"uri":null}`, "the payload has no uri"},
		{"a mistyped field", plugin.ToolPreInvoke, `{"name":"t","args":[]}`, "args is an array, not an object"},
		{"a header that is no string", plugin.ToolPreInvoke, `{"name":"t","headers":{"a":1}}`, "headers.a is a number, not a string"},
		{"messages that are none", plugin.PromptPostFetch, `{"prompt_id":"p","result":{"messages":[{"role":"user"}]}}`, "result.messages[0] has no role and content"},
		{"two spellings at once", plugin.ResourcePostFetch, `{"uri":"u","content":{"mime_type":"a","mimeType":"b"}}`, `"mime_type" and "mimeType" are two spellings of one field`},
		{"nested too deep", plugin.ToolPreInvoke, `{"name":"t","args":{"a":` + strings.Repeat("[", 1001) + strings.Repeat("]", 1001) + `}}`, "nested more than 1000 deep"},
	} {
		t.Run(test.name, func(t *testing.T) {
			original := `{"name":"t","prompt_id":"p","uri":"u","result":{"messages":[]},"content":{}}`
			_, _, err := splice(test.hook, []byte(original), []byte(test.answer))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "modified_payload: ") {
				t.Errorf("err = %v, want modified_payload: …%s…", err, test.want)
			}
		})
	}
}

func TestSameNumber(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"1", "1.0", true},
		{"100", "1e2", true},
		{"0", "-0", true},
		{"-0.0", "0", true},
		{"1e400", "10e399", true},
		{"1e400", "1e401", false},
		{"1e99999999999999999999", "1e99999999999999999999", true},
		{"1e99999999999999999999", "1e99999999999999999998", false},
		{"0.1", "0.10000000000000000001", true},
		{"9007199254740993", "9007199254740992", false},
		{"9007199254740993", "9007199254740993.0", true},
		{"9007199254740993", "9007199254740992.0", true}, // one of them has a point: the same double
		{"12", "21", false},
		{"-1", "1", false},
	} {
		if got := sameNumber([]byte(test.a), []byte(test.b)); got != test.want {
			t.Errorf("sameNumber(%s, %s) = %v, want %v", test.a, test.b, got, test.want)
		}
	}
}
