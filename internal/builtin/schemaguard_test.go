package builtin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

func TestSchemaGuardSaysWhatIsWrong(t *testing.T) {
	const calc = `{"type":"object","required":["b","a"],"properties":{"b":{"type":"integer"},"a":{"type":"number"},"l":{"type":"array","items":{"type":"string"}}}}`
	tests := []struct {
		name, schema, args string
		want               []string
	}{
		{"fine", calc, `{"a":1,"b":2}`, []string{}},
		{"missing, in the order of the schema", calc, `{}`, []string{"Missing required property: b", "Missing required property: a"}},
		{"no arguments", calc, `null`, []string{"Missing required property: b", "Missing required property: a"}},
		{"types, nested, in the order of the schema", calc, `{"l":["x",1,null],"a":"1","b":"hush"}`, []string{
			"b: Type mismatch: expected integer", "a: Type mismatch: expected number",
			"l: [1]: Type mismatch: expected string", "l: [2]: Type mismatch: expected string"}},
		{"a boolean is no number", calc, `{"a":true,"b":2}`, []string{"a: Type mismatch: expected number"}},
		{"1.0 is an integer, 1.5 is none", calc, `{"a":1,"b":1.0}`, []string{}},
		{"1.5 is none", calc, `{"a":1,"b":1.5}`, []string{"b: Type mismatch: expected integer"}},
		{"2^53+1 is itself", `{"properties":{"n":{"maximum":9007199254740992}}}`, `{"n":9007199254740993}`, []string{"n: More than 9.007199254740992e+15"}},
		{"several types", `{"properties":{"a":{"type":["string","null"]}}}`, `{"a":1}`, []string{"a: Type mismatch: expected null or string"}},
		{"an enumeration, without the value", `{"properties":{"a":{"enum":["x"]}}}`, `{"a":"hush"}`, []string{"a: Not one of the allowed values"}},
		{"a pattern, without the value", `{"properties":{"a":{"pattern":"^x"}}}`, `{"a":"hush"}`, []string{"a: Does not match pattern ^x"}},
		{"what is not allowed for", `{"properties":{"a":{}},"additionalProperties":false}`, `{"a":1,"z":2,"c":3}`, []string{"Unexpected property: c", "Unexpected property: z"}},
		{"anyOf", `{"properties":{"a":{"anyOf":[{"type":"string"},{"type":"null"}]}}}`, `{"a":1}`, []string{"a: Matches none of the schemas of anyOf"}},
		{"oneOf", `{"oneOf":[{},{}],"required":[]}`, `{"a":1}`, []string{"Does not match exactly one of the schemas of oneOf"}},
		{"allOf", `{"allOf":[{"required":["a"]},{"required":["b"]}]}`, `{}`, []string{"Missing required property: a", "Missing required property: b"}},
		{"references within", `{"$defs":{"s":{"type":"string"}},"properties":{"a":{"$ref":"#/$defs/s"}}}`, `{"a":1}`, []string{"a: Type mismatch: expected string"}},
		{"sizes", `{"properties":{"a":{"minLength":2},"b":{"maxItems":1},"c":{"uniqueItems":true}}}`, `{"a":"é","b":[1,2],"c":[1,1.0]}`,
			[]string{"a: Shorter than 2 characters", "b: More than 1 items", "c: Items 0 and 1 are equal"}},
		{"2020-12: unevaluatedProperties", `{"allOf":[{"properties":{"a":true}}],"unevaluatedProperties":false}`, `{"a":1,"b":2}`, []string{"b: Not allowed"}},
		{"2020-12: prefixItems", `{"properties":{"l":{"prefixItems":[{"type":"string"}],"items":false}}}`, `{"l":["a",1]}`, []string{"l: [1]: Not allowed"}},
		{"draft 7, when it says so", `{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"l":{"items":[{"type":"string"}],"additionalItems":false}}}`, `{"l":["a",1]}`, []string{"l: Does not satisfy additionalItems"}},
		{"a schema that refers to itself for ever", `{"$ref":"#"}`, `{}`, []string{"Does not satisfy "}},
		{"a number that costs too much", `{"properties":{"a":{"type":"integer"}}}`, `{"a":[1,1e999999]}`, []string{"a: [1]: Number out of range"}},
		{"and one below", `{"properties":{"a":{"type":"integer"}}}`, `{"a":1E-99999999999999999999}`, []string{"a: Number out of range"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			payload := `{"name":"calc","args":` + tt.args + `,"ARGS":{"a":1,"b":2}}`
			want := string(encode(tt.want))
			p := mustPlugin(t, "plugins.schema_guard.schema_guard.SchemaGuardPlugin", `{"arg_schemas":{"calc":`+tt.schema+`},"result_schemas":null}`)
			_, metadata, violation := verdict(t, p, "tool_pre_invoke", payload, nil)
			if len(tt.want) == 0 {
				if metadata != `{"schema_errors":[]}` || violation != "" {
					t.Errorf("got %s %s", metadata, violation)
				}
				return
			}
			if refused := `{"reason":"Schema validation failed","description":"Arguments do not conform to schema","code":"SCHEMA_GUARD_ARGS","details":{"errors":` + want + `},"mcp_error_code":null}`; violation != refused || metadata != "" {
				t.Errorf("got %s %s\nwant %s", metadata, violation, refused)
			}
			p = mustPlugin(t, "schema_guard", `{"arg_schemas":{"calc":`+tt.schema+`},"block_on_violation":"false"}`)
			if _, metadata, violation := verdict(t, p, "tool_pre_invoke", payload, nil); metadata != `{"schema_errors":`+want+`}` || violation != "" {
				t.Errorf("not blocking: got %s %s", metadata, violation)
			}
		})
	}
}

func TestSchemaGuardOfResults(t *testing.T) {
	const (
		inner    = `{"type":"object","required":["result"],"properties":{"result":{"type":"number"}}}`
		envelope = `{"type":"object","required":["content"],"properties":{"content":{"type":"array","items":{"required":["text"]}}}}`
	)
	tests := []struct{ name, schema, result, want string }{
		{"not MCP's shape", inner, `{"result":1}`, ``},
		{"not MCP's shape, wrong", inner, `{"result":"1"}`, `["result: Type mismatch: expected number"]`},
		{"structured content", inner, `{"content":[{"type":"text","text":"one"}],"structuredContent":{"result":1}}`, ``},
		{"structured content, wrong", inner, `{"content":[{"type":"text","text":"{\"result\":1}"}],"structuredContent":{"result":true}}`, `["result: Type mismatch: expected number"]`},
		{"JSON in text", inner, `{"content":[{"type":"text","text":"{\"result\":1}"}],"structuredContent":null}`, ``},
		{"JSON in text, wrong", inner, `{"content":[{"type":"text","text":"{}"}]}`, `["Missing required property: result"]`},
		{"text that is no JSON", `{"type":"string","maxLength":3}`, `{"content":[{"type":"text","text":"abcd"}]}`, `["Longer than 3 characters"]`},
		{"several blocks are a list", `{"type":"array","items":{"type":"integer"}}`, `{"content":[{"type":"text","text":"1"},{"type":"text","text":"x"}]}`, `["[1]: Type mismatch: expected integer"]`},
		{"an error of the tool is checked too", inner, `{"content":[{"type":"text","text":"failed"}],"isError":true}`, `["Type mismatch: expected object"]`},
		{"a schema of the whole", envelope, `{"content":[{"type":"text"}],"structuredContent":{}}`, `["content: [0]: Missing required property: text"]`},
		{"null", inner, `null`, `["Type mismatch: expected object"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustPlugin(t, "schema_guard", `{"result_schemas":{"calc":`+tt.schema+`}}`)
			_, _, violation := verdict(t, p, "tool_post_invoke", `{"name":"calc","result":`+tt.result+`}`, nil)
			want := ""
			if tt.want != "" {
				want = `{"reason":"Schema validation failed","description":"Result does not conform to schema","code":"SCHEMA_GUARD_RESULT","details":{"errors":` + tt.want + `},"mcp_error_code":null}`
			}
			if violation != want {
				t.Errorf("got %s\nwant %s", violation, want)
			}
		})
	}
}

// A second upstream prefixes all names, which must not switch a schema off.
func TestSchemaGuardKnowsAToolByEitherName(t *testing.T) {
	p := mustPlugin(t, "schema_guard", `{"arg_schemas":{"calc":{"required":["a"]},"up__calc":{"required":["b"]},"free":{}}}`)
	for name, want := range map[string]string{
		`"up__calc"`:    `"errors":["Missing required property: b","Missing required property: a"]`,
		`"other__calc"`: `"errors":["Missing required property: a"]`,
	} {
		c := &plugin.Context{GlobalContext: plugin.GlobalContext{Metadata: plugin.Object{"original_name": json.RawMessage(`"calc"`)}}}
		if _, _, violation := verdict(t, p, "tool_pre_invoke", `{"name":`+name+`,"args":{}}`, c); !strings.Contains(violation, want) {
			t.Errorf("%s: got %s", name, violation)
		}
	}
	for _, name := range []string{"unknown", "free"} {
		if modified, metadata, violation := verdict(t, p, "tool_pre_invoke", `{"name":"`+name+`","args":{}}`, nil); modified+metadata+violation != "" {
			t.Errorf("%s: got %s %s %s", name, modified, metadata, violation)
		}
	}
}

func TestSchemaGuardBoundsItsErrors(t *testing.T) {
	p := mustPlugin(t, "schema_guard", `{"arg_schemas":{"t":{"properties":{"l":{"items":{"type":"string"}}}}}}`)
	_, _, violation := verdict(t, p, "tool_pre_invoke", `{"name":"t","args":{"l":[`+strings.Repeat("1,", 5000)+`1]}}`, nil)
	if n := strings.Count(violation, "Type mismatch"); n != maxSchemaErrors || !strings.Contains(violation, "and more") {
		t.Errorf("got %d errors", n)
	}
}

func TestSchemaGuardConfigFaults(t *testing.T) {
	tests := []struct{ config, want string }{
		{`{"arg_schema":{}}`, `arg_schema: unknown key "arg_schema" (known: arg_schemas, result_schemas, block_on_violation)`},
		{`{"arg_schemas":[]}`, `arg_schemas: not an object of schemas by tool`},
		{`{"arg_schemas":{"t":"x"}}`, `arg_schemas.t: not a JSON Schema: not an object`},
		{`{"result_schemas":{"t":{"type":"text"}}}`, `result_schemas.t: not a JSON Schema: type: `},
		{`{"arg_schemas":{"t":{"properties":{"a":{"pattern":"("}}}}}`, `arg_schemas.t: not a JSON Schema: `},
		{`{"arg_schemas":{"t":{"$ref":"http://127.0.0.1:1/x.json"}}}`, `arg_schemas.t: references to other documents are not followed (http://127.0.0.1:1/x.json): put the schema under $defs`},
		{`{"arg_schemas":{"t":{"$ref":"file:///etc/passwd"}}}`, `arg_schemas.t: references to other documents are not followed (file:///etc/passwd)`},
		{`{"arg_schemas":{"t":{"$schema":"http://127.0.0.1:1/meta"}}}`, `arg_schemas.t: references to other documents are not followed (http://127.0.0.1:1/meta)`},
		{`{"arg_schemas":{"t":{"$ref":"#/$defs/x"}}}`, `arg_schemas.t: not a JSON Schema: `},
		{`{"block_on_violation":2}`, `block_on_violation: not true or false`},
	}
	for _, tt := range tests {
		_, err := newPlugin(t, "schema_guard", tt.config)
		if _, ok := errors.AsType[*plugin.ConfigError](err); !ok || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v\nwant %s", tt.config, err, tt.want)
		}
	}
}
