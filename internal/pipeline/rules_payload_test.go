package pipeline_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/plugin"
)

const (
	image    = `{"type":"image","data":"aGk=","mimeType":"image/png","annotations":{"audience":["user"],"priority":0.50}}`
	imageRef = `{"type":"image","data":"aGk=","mime_type":"image/png","annotations":{"audience":["user"],"priority":0.5,"last_modified":null},"meta":null}`
	embedded = `{"type":"resource","resource":{"uri":"f://a","mimeType":"text/plain","text":"secret"}}`
	toolDone = `{"content":[{"type":"text","text":"crap"},{"type":"resource_link","uri":"f://a","name":"a","size":9007199254740993}],"structuredContent":{"rows":[{"n":1.0,"z":null},{"n":2}]},"isError":false,"_meta":{"x/y":null}}`
)

// change is what a plugin answers, and what the request then is.
type change struct {
	name                string
	hook                plugin.Hook
	given, answer, want string
	dropped             string // fields that the log names
	fails               string // or: why the answer is a failure
}

// What the reference's models answer when a plugin changes one thing: nulls,
// snake case and numbers of doubles around it. All else keeps its bytes.
var changes = []change{
	{"tool_pre_invoke", plugin.ToolPreInvoke,
		`{"name":"t","args":{"big":9007199254740993,"f":1.50,"z":null,"s":"caf\u00e9","text":"crap"},"headers":{"X-A":"1"}}`,
		`{"name":"t","args":{"text":"****","s":"café","z":null,"f":1.5,"big":9007199254740993},"headers":{"X-A":"1"}}`,
		`{"name":"t","args":{"big":9007199254740993,"f":1.50,"z":null,"s":"caf\u00e9","text":"****"},"headers":{"X-A":"1"}}`, "", ""},
	{"tool_pre_invoke, name and headers", plugin.ToolPreInvoke,
		`{"name":"t","args":{}}`, `{"name":"u","args":{},"headers":{"X-B":"2"}}`, `{"name":"u","args":{},"headers":{"X-B":"2"}}`, "", ""},
	{"tool_pre_invoke, args that are gone are the default", plugin.ToolPreInvoke,
		`{"name":"t","args":{"a":1}}`, `{"name":"t","args":null,"headers":null}`, `{"name":"t"}`, "", ""},
	{"tool_post_invoke", plugin.ToolPostInvoke,
		`{"name":"t","result":` + toolDone + `}`,
		`{"name":"t","result":` + strings.Replace(strings.Replace(toolDone, "crap", "yikes", 1), `"n":1.0`, `"n":1`, 1) + `}`,
		`{"name":"t","result":` + strings.Replace(toolDone, "crap", "yikes", 1) + `}`, "", ""},
	{"tool_post_invoke, results are free-form: a null is a change", plugin.ToolPostInvoke,
		`{"name":"t","result":{"content":[]}}`, `{"name":"t","result":{"content":[],"isError":null}}`, `{"name":"t","result":{"content":[],"isError":null}}`, "", ""},
	{"tool_post_invoke, another name", plugin.ToolPostInvoke,
		`{"name":"t","result":"a"}`, `{"name":"u","result":"b"}`, `{"name":"t","result":"b"}`, "[name]", ""},
	{"tool_post_invoke, a null of nobody is nothing", plugin.ToolPostInvoke,
		`{"name":"t","result":"a"}`, `{"name":"t","result":"b","headers":null,"args":{}}`, `{"name":"t","result":"b"}`, "", ""},
	{"prompt_pre_fetch", plugin.PromptPreFetch,
		`{"prompt_id":"p","args":{"a":"x","b":"crap"}}`, `{"prompt_id":"p","args":{"b":"yikes","a":"x"}}`, `{"prompt_id":"p","args":{"a":"x","b":"yikes"}}`, "", ""},
	{"prompt_pre_fetch, another prompt", plugin.PromptPreFetch,
		`{"prompt_id":"p","args":{"a":"x"}}`, `{"prompt_id":"q","args":{"a":"y"}}`, `{"prompt_id":"p","args":{"a":"y"}}`, "[prompt_id]", ""},
	{"prompt_post_fetch", plugin.PromptPostFetch,
		`{"prompt_id":"p","result":{"description":"d","messages":[{"role":"user","content":` + image + `},{"role":"assistant","content":` + embedded + `}]}}`,
		`{"prompt_id":"p","result":{"messages":[{"role":"user","content":` + imageRef + `},{"role":"assistant","content":{"type":"resource","resource":{"uri":"f://a","mime_type":"text/plain","text":"***","blob":null,"meta":null},"annotations":null,"meta":null}}],"description":"d"}}`,
		`{"prompt_id":"p","result":{"description":"d","messages":[{"role":"user","content":` + image + `},{"role":"assistant","content":` + strings.Replace(embedded, "secret", "***", 1) + `}]}}`, "", ""},
	{"prompt_post_fetch, only spelt otherwise", plugin.PromptPostFetch,
		`{ "prompt_id":"p","result":{"messages":[{"role":"user","content":` + image + `}]}}`,
		`{"prompt_id":"p","result":{"messages":[{"role":"user","content":` + imageRef + `}],"description":null}}`,
		`{ "prompt_id":"p","result":{"messages":[{"role":"user","content":` + image + `}]}}`, "", ""},
	{"prompt_post_fetch, a new message is spelt as in MCP", plugin.PromptPostFetch,
		`{"prompt_id":"p","result":{"messages":[]}}`,
		`{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"audio","data":"aGk=","mime_type":"audio/wav","meta":{"k":null}}}]}}`,
		`{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"audio","data":"aGk=","mimeType":"audio/wav","_meta":{"k":null}}}]}}`, "", ""},
	{"resource_pre_fetch", plugin.ResourcePreFetch,
		`{"uri":"f://a","metadata":{}}`, `{"uri":"f://b","metadata":{"n":9007199254740993}}`, `{"uri":"f://b","metadata":{"n":9007199254740993}}`, "", ""},
	{"resource_post_fetch, a blob", plugin.ResourcePostFetch,
		`{"uri":"f://a","content":{"uri":"f://a","mimeType":"image/png","blob":"aGk=","_meta":{"z":null}}}`,
		`{"uri":"f://a","content":{"uri":"f://a","mime_type":"image/png","text":null,"blob":"YWE=","meta":{"z":null}}}`,
		`{"uri":"f://a","content":{"uri":"f://a","mimeType":"image/png","blob":"YWE=","_meta":{"z":null}}}`, "", ""},
	{"resource_post_fetch, bare text", plugin.ResourcePostFetch,
		`{"uri":"f://a","content":"crap"}`, `{"uri":"f://a","content":"yikes"}`, `{"uri":"f://a","content":"yikes"}`, "", ""},
	{"resource_post_fetch, snake case of the original stays", plugin.ResourcePostFetch,
		`{"uri":"f://a","content":{"mime_type":"text/plain","text":"a"}}`, `{"uri":"f://a","content":{"mimeType":"text/plain","text":"b"}}`,
		`{"uri":"f://a","content":{"mime_type":"text/plain","text":"b"}}`, "", ""},
	{"agent_pre_invoke", plugin.AgentPreInvoke,
		`{"agent_id":"a","messages":[{"role":"user","content":{"type":"text","text":"crap"}}],"tools":["x"],"headers":{"X-A":"1"},"model":"m","system_prompt":"s","parameters":{"temperature":0.70,"n":9007199254740993,"stop":null}}`,
		`{"agent_id":"b","messages":[{"role":"user","content":{"type":"text","text":"yikes","annotations":null,"meta":null}}],"tools":["x","y"],"headers":{"X-A":"2"},"model":"n","system_prompt":"u","parameters":{"temperature":0.7,"n":9007199254740993,"stop":null}}`,
		`{"agent_id":"b","messages":[{"role":"user","content":{"type":"text","text":"yikes"}}],"tools":["x","y"],"headers":{"X-A":"2"},"model":"n","system_prompt":"u","parameters":{"temperature":0.70,"n":9007199254740993,"stop":null}}`, "", ""},
	{"agent_pre_invoke, a field of nobody", plugin.AgentPreInvoke,
		`{"agent_id":"a","messages":[]}`, `{"agent_id":"a","messages":[],"trace":1,"tools":null,"parameters":{}}`, `{"agent_id":"a","messages":[]}`, "[trace]", ""},
	{"agent_post_invoke", plugin.AgentPostInvoke,
		`{"agent_id":"a","messages":[{"role":"assistant","content":{"type":"text","text":"crap"}}],"tool_calls":[{"id":9007199254740993,"args":{"z":null}}]}`,
		`{"agent_id":"z","messages":[{"role":"assistant","content":{"type":"text","text":"yikes","annotations":null,"meta":null}}],"tool_calls":[{"id":9007199254740993,"args":{}}]}`,
		`{"agent_id":"a","messages":[{"role":"assistant","content":{"type":"text","text":"yikes"}}],"tool_calls":[{"id":9007199254740993,"args":{}}]}`, "[agent_id]", ""},
	{"custom hooks are raw JSON", custom,
		`{"a":1.0,"b":{"x":null,"mime_type":"t"}}`, `{"b":{"x":null,"mime_type":"t","y":2},"a":1}`, `{"a":1.0,"b":{"x":null,"mime_type":"t","y":2}}`, "", ""},
	{"in free-form objects absence deletes and null is a value", plugin.ToolPreInvoke,
		`{"name":"t","args":{"a":1,"b":null,"c":2}}`, `{"name":"t","args":{"b":null,"c":null}}`, `{"name":"t","args":{"b":null,"c":null}}`, "", ""},
	{"2^53+1 is not 2^53", plugin.ToolPreInvoke,
		`{"name":"t","args":{"n":9007199254740993}}`, `{"name":"t","args":{"n":9007199254740992}}`, `{"name":"t","args":{"n":9007199254740992}}`, "", ""},
	{"a lone surrogate is not U+FFFD", plugin.ToolPreInvoke,
		`{"name":"t","args":{"s":"\ud83d","t":"\ud83d\ude00"}}`, `{"name":"t","args":{"s":"\ufffd","t":"😀"}}`, `{"name":"t","args":{"s":"\ufffd","t":"\ud83d\ude00"}}`, "", ""},
	{"exponents are compared, never expanded", plugin.ToolPreInvoke,
		`{"name":"t","args":{"a":1e400,"b":1e99999999999999,"c":-0}}`, `{"name":"t","args":{"a":10e399,"b":1e99999999999999,"c":0,"d":1}}`, `{"name":"t","args":{"a":1e400,"b":1e99999999999999,"c":-0,"d":1}}`, "", ""},
	{"arrays keep what is equal at both ends", plugin.ToolPreInvoke,
		`{"name":"t","args":{"l":[1.0,2.0,"x",3.0]}}`, `{"name":"t","args":{"l":[1,"y","z",3]}}`, `{"name":"t","args":{"l":[1.0,"y","z",3.0]}}`, "", ""},
	{"arrays, elements that moved", plugin.ToolPreInvoke,
		`{"name":"t","args":{"l":[1.0,2.0,3.0]}}`, `{"name":"t","args":{"l":[3,1]}}`, `{"name":"t","args":{"l":[3.0,1.0]}}`, "", ""},
	{"line ends between tokens are dropped", plugin.ToolPreInvoke,
		`{"name":"t","args":{}}`, "{\"name\":\"t\",\r\n\"args\":{\"a\":[1,\n2]}}", `{"name":"t","args":{"a":[1,2]}}`, "", ""},
	{"null is no payload", plugin.ToolPreInvoke, `{"name":"t","args":{"a":1}}`, `null`, `{"name":"t","args":{"a":1}}`, "", ""},
	{"a required field is missing", plugin.ToolPreInvoke, `{"name":"t"}`, `{"args":{}}`, "", "", "the payload has no name"},
	{"a field has another type", plugin.ToolPreInvoke, `{"name":"t"}`, `{"name":"t","args":[]}`, "", "", "args is an array, not an object"},
	{"a prompt's argument is no string", plugin.PromptPreFetch, `{"prompt_id":"p"}`, `{"prompt_id":"p","args":{"a":1}}`, "", "", "args.a is a number, not a string"},
	{"both spellings at once", plugin.ResourcePostFetch, `{"uri":"u","content":{}}`, `{"uri":"u","content":{"mime_type":"a","mimeType":"a"}}`, "", "", "two spellings of one field"},
	{"duplicate names", plugin.ToolPreInvoke, `{"name":"t"}`, `{"name":"t","args":{"a":1,"a":2}}`, "", "", ""},
	{"not JSON", plugin.ToolPreInvoke, `{"name":"t"}`, `{"name":`, "", "", ""},
	{"invalid UTF-8", plugin.ToolPreInvoke, `{"name":"t"}`, "{\"name\":\"\xff\"}", "", "", ""},
	{"no payload", plugin.ToolPostInvoke, `{"name":"t","result":1}`, `[]`, "", "", ""},
}

// The bytes of a payload after a plugin's change, and the write policy: a hook
// changes its own fields only, and the log names what was dropped.
func TestRule_BytesAndWritePolicy(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		answer := ""
		p := at.make(t, nil, pipeline.Entry{Plugin: does(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return &plugin.Result{Continue: true, ModifiedPayload: json.RawMessage(answer)}, nil
		})})
		for _, c := range changes {
			t.Run(c.name, func(t *testing.T) {
				answer = c.answer
				p.log.reset()
				out := p.Run(t.Context(), c.hook, json.RawMessage(c.given), request())
				if c.want == "" {
					if out.Refusal == nil || out.Refusal.Err == nil || out.Refusal.Violation != nil {
						t.Fatalf("the answer passes: %s", out.Payload)
					}
					if !strings.Contains(out.Refusal.Err.Error(), c.fails) {
						t.Errorf("error %v, want %s", out.Refusal.Err, c.fails)
					}
					return
				}
				if out.Refusal != nil || string(out.Payload) != c.want {
					t.Errorf("got  %s %+v\nwant %s", out.Payload, out.Refusal, c.want)
				}
				if got := p.log.has("level=WARN", "dropped", "plugin=P1", "fields="+c.dropped); got != (c.dropped != "") {
					t.Errorf("dropped %q, and the log says:\n%s", c.dropped, p.log.text.String())
				}
			})
		}
	})
}

// What plugins see of each hook: the payload to the byte, custom hooks included,
// and the user as a string or an object.
func TestRule_PayloadAndContextAsTheyAre(t *testing.T) {
	payloads := map[plugin.Hook]string{
		custom:                         `{"anything":[1e2,{"z":null}]}`,
		plugin.HTTPPreRequest:          `{"path":"/mcp","method":"POST","client_host":"127.0.0.1","client_port":5,"headers":{"accept":"*/*"}}`,
		plugin.HTTPPostRequest:         `{"path":"/mcp","method":"POST","headers":{},"response_headers":{"content-type":"x"},"status_code":200}`,
		plugin.HTTPAuthResolveUser:     `{"credentials":{"scheme":"Bearer","credentials":"tok"},"headers":{}}`,
		plugin.HTTPAuthCheckPermission: `{"user_email":"a@b","permission":"tools.execute","is_admin":false}`,
	}
	for _, c := range changes {
		if _, have := payloads[c.hook]; !have {
			payloads[c.hook] = c.given
		}
	}
	everywhere(t, func(t *testing.T, at place) {
		var saw string
		var global plugin.GlobalContext
		p := at.make(t, nil, pipeline.Entry{Plugin: does(func(_ context.Context, _ plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
			saw, global = string(payload), c.GlobalContext
			return plugin.Continue(), nil
		})})
		for hook, payload := range payloads {
			for _, user := range []string{`"alice"`, `{"email":"a@b","n":9007199254740993,"x":null}`} {
				req := &pipeline.Request{Global: plugin.GlobalContext{
					RequestID: "r7", User: json.RawMessage(user), TenantID: "t1", ServerID: "up",
					State: plugin.Object{"s": json.RawMessage(`{"z":null}`)}, Metadata: plugin.Object{"original_name": json.RawMessage(`"o"`)},
				}}
				if out := p.Run(t.Context(), hook, json.RawMessage(payload), req); out.Refusal != nil || string(out.Payload) != payload {
					t.Errorf("%s: %+v %s", hook, out.Refusal, out.Payload)
				}
				if saw != payload {
					t.Errorf("%s: the plugin saw %s", hook, saw)
				}
				if global.RequestID != "r7" || string(global.User) != user || global.TenantID != "t1" || global.ServerID != "up" ||
					string(global.State["s"]) != `{"z":null}` || string(global.Metadata["original_name"]) != `"o"` {
					t.Errorf("%s: the plugin saw %+v", hook, global)
				}
			}
		}
	})
}

// The HTTP hooks answer with headers, a user or a verdict.
func TestRule_HTTPHooks(t *testing.T) {
	const pre = `{"path":"/mcp","method":"POST","headers":{"accept":"*/*","authorization":"Bearer x","cookie":"c","x-team":"blue","x-old":"1"}}`
	const post = `{"path":"/mcp","method":"POST","headers":{"accept":"*/*"},"response_headers":{"content-type":"a","x-old":"1"},"status_code":200}`
	const auth = `{"credentials":{"scheme":"Bearer","credentials":"tok"},"headers":{}}`
	const check = `{"user_email":"a@b","permission":"tools.execute"}`
	everywhere(t, func(t *testing.T, at place) {
		for _, c := range []struct {
			name          string
			hook          plugin.Hook
			o             pipeline.Options
			given, answer string
			payload, want string // of the outcome: payload, answer or refusal
		}{
			{"headers set and changed; what is left out and the client's own stay", plugin.HTTPPreRequest, pipeline.Options{}, pre,
				`{"Accept":"x","x-team":"red","X-New":"1","authorization":"mine"}`,
				`{"path":"/mcp","method":"POST","headers":{"accept":"x","authorization":"Bearer x","cookie":"c","x-team":"red","x-old":"1","X-New":"1"}}`, ""},
			{"plugins_can_override_auth_headers", plugin.HTTPPreRequest, pipeline.Options{OverrideAuthHeaders: true}, pre,
				`{"accept":"*/*","x-team":"blue","x-old":"1","Authorization":"mine"}`,
				`{"path":"/mcp","method":"POST","headers":{"accept":"*/*","authorization":"mine","cookie":"c","x-team":"blue","x-old":"1"}}`, ""},
			{"which says nothing of other secrets", plugin.HTTPPreRequest, pipeline.Options{OverrideAuthHeaders: true, SecretHeaders: []string{"x-mine"}}, `{"path":"/","method":"GET","headers":{"mcp-session-id":"s","x-mine":"m","x-old":"1"}}`,
				`{"Mcp-Session-Id":"mine","X-Mine":"mine","x-old":"2"}`, `{"path":"/","method":"GET","headers":{"mcp-session-id":"s","x-mine":"m","x-old":"2"}}`, ""},
			{"response headers", plugin.HTTPPostRequest, pipeline.Options{}, post, `{"content-type":"a","x-new":"2"}`,
				`{"path":"/mcp","method":"POST","headers":{"accept":"*/*"},"response_headers":{"content-type":"a","x-old":"1","x-new":"2"},"status_code":200}`, ""},
			{"response headers have no credentials of the client", plugin.HTTPPostRequest, pipeline.Options{}, `{"path":"/","method":"GET","headers":{},"response_headers":{"x-api-key":"old","mcp-session-id":"s"}}`,
				`{"X-Api-Key":"new"}`, `{"path":"/","method":"GET","headers":{},"response_headers":{"x-api-key":"new","mcp-session-id":"s"}}`, ""},
			{"headers that are no object", plugin.HTTPPreRequest, pipeline.Options{}, pre, `[]`, "", "failure"},
			{"a header that is no text", plugin.HTTPPreRequest, pipeline.Options{}, pre, `{"x":1}`, "", "failure"},
			{"a user", plugin.HTTPAuthResolveUser, pipeline.Options{}, auth, `{"email":"a@b","full_name":null,"is_admin":false,"is_active":true}`,
				auth, `{"email":"a@b","full_name":null,"is_admin":false,"is_active":true}`},
			{"granted", plugin.HTTPAuthCheckPermission, pipeline.Options{}, check, `{"granted":true,"reason":null}`, check, `{"granted":true,"reason":null}`},
			{"not granted", plugin.HTTPAuthCheckPermission, pipeline.Options{}, check, `{"granted":false,"reason":"no team"}`, "", "no team"},
			{"a verdict without granted", plugin.HTTPAuthCheckPermission, pipeline.Options{}, check, `{"reason":"x"}`, "", "failure"},
		} {
			t.Run(c.name, func(t *testing.T) {
				req := request()
				out := at.make(t, &c.o, pipeline.Entry{Plugin: answers(c.answer)}).Run(t.Context(), c.hook, json.RawMessage(c.given), req)
				switch {
				case c.want == "failure":
					if out.Refusal == nil || out.Refusal.Err == nil {
						t.Errorf("passes: %s", describe(out))
					}
				case c.payload == "":
					if out.Refusal == nil || out.Refusal.Violation == nil || out.Refusal.Violation.Description != c.want {
						t.Errorf("refusal %+v", out.Refusal)
					}
				case out.Refusal != nil || string(out.Payload) != c.payload || string(out.Answer) != c.want:
					t.Errorf("got  %s answer %s %+v\nwant %s answer %s", out.Payload, out.Answer, out.Refusal, c.payload, c.want)
				case c.hook == plugin.HTTPAuthResolveUser && string(req.Global.User) != c.want:
					t.Errorf("the user is %s", req.Global.User)
				}
			})
		}
	})
}

// Secret headers are withheld unless the entry lists them, and put back after;
// http_auth_resolve_user has its credentials all the same.
func TestRule_SecretHeadersAreWithheldAndPutBack(t *testing.T) {
	const secret = `"Authorization":"Bearer x","cookie":"c","Proxy-Authorization":"p","X-Api-Key":"k","mcp-session-id":"s","X-Mine":"m"`
	everywhere(t, func(t *testing.T, at place) {
		var saw string
		look := does(func(_ context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
			saw = string(payload)
			if hook == plugin.ToolPreInvoke {
				return plugin.Modified(json.RawMessage(`{"name":"t","headers":{"X-Team":"red","AUTHORIZATION":"mine"}}`))
			}
			return plugin.Continue(), nil
		})
		for _, c := range []struct {
			name    string
			hook    plugin.Hook
			exposed []string
			shown   string
			want    string
		}{
			{"tool_pre_invoke", plugin.ToolPreInvoke, nil, `{"name":"t","headers":{"X-Team":"blue"}}`, `{"name":"t","headers":{` + secret + `,"X-Team":"red"}}`},
			{"tool_pre_invoke, two exposed", plugin.ToolPreInvoke, []string{"AUTHORIZATION", "x-mine"},
				`{"name":"t","headers":{"Authorization":"Bearer x","X-Mine":"m","X-Team":"blue"}}`, ""},
			{"agent_pre_invoke", plugin.AgentPreInvoke, nil, `{"agent_id":"a","messages":[],"headers":{"X-Team":"blue"}}`, ""},
			{"http_pre_request", plugin.HTTPPreRequest, nil, `{"path":"/","method":"GET","headers":{"X-Team":"blue"}}`, ""},
			{"http_post_request", plugin.HTTPPostRequest, nil, `{"path":"/","method":"GET","headers":{"X-Team":"blue"},"status_code":200}`, ""},
			{"http_auth_resolve_user", plugin.HTTPAuthResolveUser, nil, `{"credentials":{"scheme":"Bearer","credentials":"x"},"headers":{"X-Team":"blue"}}`, ""},
		} {
			given := strings.Replace(c.shown, `"X-Team":"blue"`, secret+`,"X-Team":"blue"`, 1)
			given = strings.Replace(given, `"Authorization":"Bearer x","X-Mine":"m",`, "", 1)
			p := at.make(t, &pipeline.Options{SecretHeaders: []string{"x-mine"}}, pipeline.Entry{Plugin: look, ExposeHeaders: c.exposed})
			out := p.Run(t.Context(), c.hook, json.RawMessage(given), request())
			if saw != c.shown {
				t.Errorf("%s: the plugin saw %s\nwant %s", c.name, saw, c.shown)
			}
			if c.want != "" && string(out.Payload) != c.want {
				t.Errorf("%s: the payload is %s\nwant %s", c.name, out.Payload, c.want)
			}
			if c.hook != plugin.ToolPreInvoke && string(out.Payload) != given {
				t.Errorf("%s: the payload is %s", c.name, out.Payload)
			}
		}
	})
}
