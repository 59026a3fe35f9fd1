package pipeline_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// equalities are a value as a plugin was given it, as it answers, and as it is
// then. An empty third one is the first: the two are equal, and the original's
// bytes stay. Another value of the payload changes every time.
var equalities = []struct{ given, answer, want string }{
	// Numbers of one decimal value, by digits and exponent.
	{`1e2`, `100`, ``}, {`100`, `1E+2`, ``}, {`1.0`, `1`, ``}, {`1`, `1.000`, ``}, {`12.5e1`, `125`, ``}, {`0.5`, `5e-1`, ``},
	{`-0`, `0`, ``}, {`0`, `-0.0`, ``}, {`0e5`, `0`, ``}, {`-1`, `1`, `1`}, {`12`, `21`, `21`}, {`10`, `1`, `1`},
	{`1e400`, `10e399`, ``}, {`1e400`, `1e401`, `1e401`}, {`1e400`, `-1e400`, `-1e400`}, {`1e99999999999999999999`, `1E+99999999999999999999`, ``},
	{`1e99999999999999999999`, `1e-99999999999999999999`, `1e-99999999999999999999`},
	{`123456789012345678901234567890`, `123456789012345678901234567891`, `123456789012345678901234567891`},
	// Or of one finite double, when either has a point or an exponent.
	{`0.1`, `0.1000000000000000055511151231257827`, ``}, {`0.1`, `0.10000000000000002`, `0.10000000000000002`},
	{`9007199254740993`, `9007199254740992`, `9007199254740992`}, {`9007199254740993`, `9007199254740992.0`, ``}, {`9007199254740993`, `9.007199254740992e15`, ``},
	{`1e-400`, `0`, ``},
	// Nothing equals a value of another kind.
	{`1`, `"1"`, `"1"`}, {`1`, `true`, `true`}, {`null`, `false`, `false`}, {`true`, `false`, `false`}, {`{}`, `[]`, `[]`}, {`{"a":1.0}`, `[1]`, `[1]`}, {`""`, `null`, `null`},
	// Strings by UTF-16 code units.
	{`"\u00e9\/\u003C"`, `"é/<"`, ``}, {`"\uD83D"`, `"\ud83d"`, ``}, {`"\ud83d"`, `"\ufffd"`, `"\ufffd"`}, {`"\ude00"`, `"\ud83d"`, `"\ud83d"`},
	{`"\ud83d\ude00"`, `"😀"`, ``}, {`"\ud83d\ud83d\ude00"`, `"\ud83d😀"`, ``}, {`"\ude00\ud83d"`, `"😀"`, `"😀"`},
	{`"é"`, `"e\u0301"`, `"e\u0301"`}, {`"a\u0000"`, `"a"`, `"a"`}, {`"a"`, `"A"`, `"A"`},
	// Objects as sets of members, their names like strings.
	{`{"a":1.0,"b":{"c":2.0}}`, `{"b":{"c":2},"a":1}`, ``}, {`{"\u0061":1,"b":2}`, `{"b":3,"a":1}`, `{"\u0061":1,"b":3}`},
	{`{"a":1,"b":2}`, `{"a":1}`, `{"a":1}`}, {`{"a":1.0}`, `{"c":3,"a":1,"b":2}`, `{"a":1.0,"c":3,"b":2}`}, {`{"a":1}`, `{}`, `{}`},
	{`{"a":null}`, `{}`, `{}`}, {`{}`, `{"a":null}`, `{"a":null}`}, {`{"\ud83d":1}`, `{"\ufffd":1}`, `{"\ufffd":1}`},
	{`{"a":{"b":[1.0]},"c":1.0}`, `{"a":{"b":[1]},"c":2}`, `{"a":{"b":[1.0]},"c":2}`},
	{`{"mime_type":"a"}`, `{"mimeType":"a"}`, `{"mimeType":"a"}`},
	// Arrays element by element; both ends stay, middles of one length merge by
	// position, and otherwise each element takes the first equal one that is left.
	{`[1.0,[2.0]]`, `[1,[2]]`, ``}, {`[1,2]`, `[2,1]`, `[2,1]`}, {`[1.0,2.0,3.0]`, `[1,3]`, `[1.0,3.0]`}, {`[1.0]`, `[1,1]`, `[1.0,1]`}, {`[1.0]`, `[]`, `[]`},
	{`[9.0,{"a":1.0,"b":1},8.0]`, `[9,{"b":2,"a":1},8]`, `[9.0,{"a":1.0,"b":2},8.0]`}, {`[0,1.0,1.00,9.0]`, `[0,1,7,1,9]`, `[0,1.0,7,1.00,9.0]`},
	{`[1.0,2,1.00]`, `[5,1]`, `[5,1.00]`}, {`[1,2.0,3,2.00]`, `[2,2,9,2,8]`, `[2.0,2.00,9,2,8]`}, {`[{"a":1.0},5]`, `[6,{"a":1},7]`, `[6,{"a":1.0},7]`},
	// What is new goes in verbatim, less CR and LF between tokens.
	{`{"a":1}`, "{\r\n\"a\":1,\n\"b\":[1,\r\n 2 ,\t{\n}]\r}", "{\"a\":1,\"b\":[1, 2 ,\t{}]}"}, {`0`, "[\n1.50,\n\"\\u00e9\\n\"]", `[1.50,"\u00e9\n"]`},
	{`[0]`, "[1,\n{\"a\":\r1e2}]", `[1,{"a":1e2}]`},
}

// notEqualToAnything are values that no reader may take: they are the plugin's
// failure, wherever they stand.
var notEqualToAnything = []string{
	`{"a":1,"a":1}`, `{"a":1,"\u0061":2}`, `{"\ud83d":1,"\uD83D":1}`, `[{"b":{"a":1,"a":2}}]`, `[1,]`, `{"a":1,}`, `01`, `+1`, `1.`, `.5`, `1e`, `NaN`, `'a'`,
	`"\x61"`, `"\ud8"`, "\"\xff\"", "\"\xed\xa0\x80\"", "\"a\nb\"", `tru`, `/**/1`, ``,
}

// Each equality of the paragraph on bytes, and what is not one.
func TestRule_WhatIsEqual(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		answer := ""
		p := at.make(t, nil, pipeline.Entry{Plugin: does(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return &plugin.Result{Continue: true, ModifiedPayload: json.RawMessage(answer)}, nil
		})})
		run := func(hook plugin.Hook, given, answered string) *pipeline.Outcome {
			answer = answered
			return p.Run(t.Context(), hook, json.RawMessage(given), request())
		}
		for _, c := range equalities {
			payload := func(v, w string) string { return `{"name":"t","args":{"v":` + v + `,"w":` + w + `}}` }
			want := c.want
			if want == "" {
				want = c.given
			}
			if out := run(plugin.ToolPreInvoke, payload(c.given, "0"), payload(c.answer, "1")); string(out.Payload) != payload(want, "1") || out.Refusal != nil {
				t.Errorf("%s answered with %q: %s %+v", c.given, c.answer, out.Payload, out.Refusal)
			}
			// The same where nothing is known of the payload.
			if out := run(custom, `{"x":`+c.given+`}`, `{"x":`+c.answer+`}`); string(out.Payload) != `{"x":`+want+`}` || out.Refusal != nil {
				t.Errorf("%s answered with %q, in a custom hook: %s %+v", c.given, c.answer, out.Payload, out.Refusal)
			}
		}
		for _, bad := range notEqualToAnything {
			for _, answered := range []string{`{"name":"t","args":{"v":` + bad + `}}`, `{"name":"t","not_its_own":` + bad + `}`} {
				if out := run(plugin.ToolPreInvoke, given, answered); out.Refusal == nil || out.Refusal.Err == nil {
					t.Errorf("%q passes: %s", answered, out.Payload)
				}
			}
		}
	})
}

// What model objects equal beside that, and where nothing is a model.
func TestRule_WhatIsEqualInModels(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		answer := ""
		p := at.make(t, nil, pipeline.Entry{Plugin: does(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return &plugin.Result{Continue: true, ModifiedPayload: json.RawMessage(answer)}, nil
		})})
		for _, c := range []struct {
			hook                 plugin.Hook
			frame                string // with % where the value goes
			given, answers, want string // an empty one is the first
		}{
			// The payload itself.
			{plugin.ToolPreInvoke, `{"name":"t"%}`, ``, `,"args":{},"headers":null`, ``},
			{plugin.ToolPreInvoke, `{"name":"t"%}`, `,"args":{ }`, ``, ``},
			{plugin.ToolPreInvoke, `{"name":"t"%}`, `,"args":{"a":1}`, ``, `-`},
			{plugin.ResourcePreFetch, `{"uri":"u"%}`, ``, `,"metadata":{}`, ``},
			{plugin.ResourcePreFetch, `{"uri":"u"%}`, `,"metadata":{}`, `,"metadata":null`, ``},
			{plugin.AgentPreInvoke, `{"agent_id":"a","messages":[]%}`, ``, `,"parameters":{},"tools":null,"model":null,"system_prompt":null,"headers":null`, ``},
			{plugin.AgentPostInvoke, `{"agent_id":"a","messages":[]%}`, ``, `,"tool_calls":null`, ``},
			// Results, messages and contents.
			{plugin.PromptPostFetch, `{"prompt_id":"p","result":{"messages":[]%}}`, `,"description":null`, ``, ``},
			{plugin.PromptPostFetch, `{"prompt_id":"p","result":{"messages":[]%}}`, `,"description":"d"`, `,"description":null`, `-`},
			{plugin.PromptPostFetch, `{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"text","text":"x"%}}]}}`, ``, `,"annotations":null,"meta":null`, ``},
			{plugin.PromptPostFetch, `{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"text","text":"x"%}}]}}`, `,"_meta":{"z":1.0}`, `,"meta":{"z":2}`, `,"_meta":{"z":2}`},
			{plugin.PromptPostFetch, `{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"text","text":"x"%}}]}}`, `,"_meta":{"z":null}`, `,"_meta":{}`, `,"_meta":{}`},
			{plugin.ResourcePostFetch, `{"uri":"u","content":{"uri":"u"%}}`, `,"text":"a","blob":null`, `,"text":"a"`, ``},
			{plugin.ResourcePostFetch, `{"uri":"u","content":{"uri":"u"%}}`, `,"text":"a"`, `,"text":null,"blob":"eA=="`, `,"blob":"eA=="`},
			{plugin.ResourcePostFetch, `{"uri":"u","content":{"uri":"u"%}}`, `,"mime_type":"a"`, `,"mimeType":"b"`, `,"mime_type":"b"`},
			{plugin.ResourcePostFetch, `{"uri":"u","content":{"uri":"u"%}}`, ``, `,"mime_type":"b","meta":{"mime_type":null}`, `,"mimeType":"b","_meta":{"mime_type":null}`},
			{plugin.AgentPreInvoke, `{"agent_id":"a","messages":[{"role":"user","content":{"type":"image","data":"eA=="%}}]}`, `,"mimeType":"a"`, `,"mime_type":"a","meta":null`, ``},
			// What is in args, arguments, parameters, metadata, structuredContent, _meta,
			// tool calls and the results of tools is no model.
			{plugin.ToolPreInvoke, `{"name":"t","args":{"x":1%}}`, `,"meta":null`, ``, `-`},
			{plugin.AgentPreInvoke, `{"agent_id":"a","messages":[],"parameters":{"x":1%}}`, `,"meta":null`, ``, `-`},
			{plugin.AgentPreInvoke, `{"agent_id":"a","messages":[],"parameters":{"x":1%}}`, ``, `,"parameters":{}`, `,"parameters":{}`},
			{plugin.ResourcePreFetch, `{"uri":"u","metadata":{"x":1%}}`, `,"mime_type":"a"`, `,"mimeType":"a"`, `,"mimeType":"a"`},
			{plugin.AgentPostInvoke, `{"agent_id":"a","messages":[],"tool_calls":[{"x":1%}]}`, `,"meta":null`, ``, `-`},
			{plugin.ToolPostInvoke, `{"name":"t","result":{"content":[{"type":"image"%}]}}`, `,"mimeType":"a"`, `,"mime_type":"a"`, `,"mime_type":"a"`},
			{plugin.ToolPostInvoke, `{"name":"t","result":{"structuredContent":{"x":1%}}}`, `,"args":null`, `,"args":{}`, `,"args":{}`},
			{plugin.ToolPostInvoke, `{"name":"t","result":{"_meta":{"x":1%}}}`, ``, `,"meta":null`, `,"meta":null`},
		} {
			want := c.want
			switch want {
			case "":
				want = c.given
			case "-":
				want = ""
			}
			in := func(v string) string { return strings.Replace(c.frame, "%", v, 1) }
			answer = in(c.answers)
			if out := p.Run(t.Context(), c.hook, json.RawMessage(in(c.given)), request()); string(out.Payload) != in(want) || out.Refusal != nil {
				t.Errorf("%s answered with %s: %s %+v", in(c.given), answer, out.Payload, out.Refusal)
			}
		}
		for hook, bad := range map[plugin.Hook]string{
			plugin.PromptPostFetch:   `{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"text","text":"x","meta":{},"_meta":{}}}]}}`,
			plugin.ResourcePostFetch: `{"uri":"u","content":{"meta":{"a":1},"_meta":{"a":1}}}`,
			plugin.AgentPostInvoke:   `{"agent_id":"a","messages":[{"role":"user","content":{"type":"image","mime_type":"a","mimeType":"a"}}]}`,
		} {
			given := map[plugin.Hook]string{
				plugin.PromptPostFetch: `{"prompt_id":"p","result":{"messages":[]}}`, plugin.ResourcePostFetch: `{"uri":"u","content":{}}`, plugin.AgentPostInvoke: `{"agent_id":"a","messages":[]}`,
			}[hook]
			answer = bad
			if out := p.Run(t.Context(), hook, json.RawMessage(given), request()); out.Refusal == nil || out.Refusal.Err == nil {
				t.Errorf("two spellings at once pass: %s", out.Payload)
			}
		}
	})
}

// A payload without one of its required fields, or with one of another type, is
// the plugin's failure, on each hook.
func TestRule_RequiredFields(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		answer := ""
		p := at.make(t, nil, pipeline.Entry{Plugin: does(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return &plugin.Result{Continue: true, ModifiedPayload: json.RawMessage(answer)}, nil
		})})
		const message = `{"role":"user","content":"x"}`
		for hook, fields := range map[plugin.Hook]map[string]string{
			plugin.ToolPreInvoke:     {"name": `"t"`},
			plugin.ToolPostInvoke:    {"name": `"t"`, "result": `1`},
			plugin.PromptPreFetch:    {"prompt_id": `"p"`},
			plugin.PromptPostFetch:   {"prompt_id": `"p"`, "result": `{"messages":[` + message + `]}`},
			plugin.ResourcePreFetch:  {"uri": `"u"`},
			plugin.ResourcePostFetch: {"uri": `"u"`, "content": `"x"`},
			plugin.AgentPreInvoke:    {"agent_id": `"a"`, "messages": `[` + message + `]`},
			plugin.AgentPostInvoke:   {"agent_id": `"a"`, "messages": `[` + message + `]`},
		} {
			with := func(changed, value string) string {
				var members []string
				for name, v := range fields {
					if name == changed {
						v = value
					}
					if v != "" {
						members = append(members, `"`+name+`":`+v)
					}
				}
				return "{" + strings.Join(members, ",") + "}"
			}
			bad := map[string][]string{}
			for name := range fields {
				bad[name] = []string{"", `null`, `1`, `true`}
				switch name {
				case "messages":
					bad[name] = append(bad[name], `{}`, `""`)
				case "result":
					bad[name] = append(bad[name], `[]`, `{}`, `{"messages":{}}`, `{"messages":[{"role":"user"}]}`, `{"messages":[{"role":1,"content":"x"}]}`, `{"messages":[1]}`)
				}
				if name == "content" || name == "result" && hook == plugin.ToolPostInvoke {
					bad[name] = []string{""} // any value will do
				}
			}
			for name, values := range bad {
				for _, value := range values {
					answer = with(name, value)
					out := p.Run(t.Context(), hook, json.RawMessage(with("", "")), request())
					if out.Refusal == nil || out.Refusal.Err == nil {
						t.Errorf("%s: %s passes: %s", hook, answer, out.Payload)
					}
				}
			}
			answer = with("", "")
			if out := p.Run(t.Context(), hook, json.RawMessage(answer), request()); out.Refusal != nil {
				t.Errorf("%s: %s: %+v", hook, answer, out.Refusal.Err)
			}
		}
	})
}
