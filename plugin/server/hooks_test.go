package server

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// typed is an author's plugin with all hooks: it notes what it was given and
// changes one thing.
type typed struct{ saw string }

func (p *typed) note(format string, args ...any) { p.saw = fmt.Sprintf(format, args...) }

func (p *typed) ToolPreInvoke(_ context.Context, v *plugin.ToolPre, _ *plugin.Context) (*plugin.Result, error) {
	p.note("%s %s %v", v.Name, v.Args, v.Headers)
	var err error
	if v.Args, err = plugin.SetMember(v.Args, "text", "new"); err != nil {
		return nil, err
	}
	return plugin.Modified(v)
}

func (p *typed) ToolPostInvoke(_ context.Context, v *plugin.ToolPost, _ *plugin.Context) (*plugin.Result, error) {
	p.note("%s %s", v.Name, v.Result)
	var err error
	if v.Result, err = plugin.SetMember(v.Result, "isError", true); err != nil {
		return nil, err
	}
	return plugin.Modified(v)
}

func (p *typed) PromptPreFetch(_ context.Context, v *plugin.PromptPre, _ *plugin.Context) (*plugin.Result, error) {
	p.note("%s %s", v.PromptID, v.Args)
	v.Args = json.RawMessage(`{"topic":"new"}`)
	return plugin.Modified(v)
}

func (p *typed) PromptPostFetch(_ context.Context, v *plugin.PromptPost, _ *plugin.Context) (*plugin.Result, error) {
	p.note("%s %s", v.PromptID, v.Result)
	var err error
	if v.Result, err = plugin.SetMember(v.Result, "description", "new"); err != nil {
		return nil, err
	}
	return plugin.Modified(v)
}

func (p *typed) ResourcePreFetch(_ context.Context, v *plugin.ResourcePre, _ *plugin.Context) (*plugin.Result, error) {
	p.note("%s %s", v.URI, v.Metadata)
	v.URI = "f://new"
	return plugin.Modified(v)
}

func (p *typed) ResourcePostFetch(_ context.Context, v *plugin.ResourcePost, _ *plugin.Context) (*plugin.Result, error) {
	p.note("%s %s", v.URI, v.Content)
	var err error
	if v.Content, err = plugin.SetMember(v.Content, "blob", "bmV3"); err != nil {
		return nil, err
	}
	return plugin.Modified(v)
}

func (p *typed) HTTPPreRequest(_ context.Context, v *plugin.HTTPPre, _ *plugin.Context) (*plugin.Result, error) {
	p.note("%s %s %s %d %v", v.Method, v.Path, v.ClientHost, v.ClientPort, v.Headers)
	v.Headers["x-new"] = "1"
	return plugin.Modified(v.Headers)
}

func (p *typed) HTTPPostRequest(_ context.Context, v *plugin.HTTPPost, _ *plugin.Context) (*plugin.Result, error) {
	p.note("%s %s %s %d %v %v %d", v.Method, v.Path, v.ClientHost, v.ClientPort, v.Headers, v.ResponseHeaders, v.StatusCode)
	return plugin.Modified(map[string]string{"x-new": "1"})
}

func (p *typed) HTTPAuthResolveUser(_ context.Context, v *plugin.ResolveUser, _ *plugin.Context) (*plugin.Result, error) {
	p.note("%+v %v %s %d", v.Credentials, v.Headers, v.ClientHost, v.ClientPort)
	return plugin.Modified(plugin.User{Email: "a@b", FullName: "A", IsAdmin: true, IsActive: true})
}

func (p *typed) HTTPAuthCheckPermission(_ context.Context, v *plugin.CheckPermission, _ *plugin.Context) (*plugin.Result, error) {
	p.note("%s %s %s %s %v %s %s %s", v.UserEmail, v.Permission, v.ResourceType, v.TeamID, v.IsAdmin, v.AuthMethod, v.ClientHost, v.UserAgent)
	return plugin.Modified(plugin.Permission{Granted: false, Reason: "no team"})
}

func (p *typed) AgentPreInvoke(_ context.Context, v *plugin.AgentPre, _ *plugin.Context) (*plugin.Result, error) {
	p.note("%s %s %s %v %s %s %s", v.AgentID, v.Messages, v.Tools, v.Headers, v.Model, v.SystemPrompt, v.Parameters)
	v.Model = "new"
	return plugin.Modified(v)
}

func (p *typed) AgentPostInvoke(_ context.Context, v *plugin.AgentPost, _ *plugin.Context) (*plugin.Result, error) {
	p.note("%s %s %s", v.AgentID, v.Messages, v.ToolCalls)
	v.ToolCalls = json.RawMessage(`[]`)
	return plugin.Modified(v)
}

// hookCase is what a gateway sends, what the plugin sees of it, and what goes
// back as modified_payload.
type hookCase struct {
	hook            plugin.Hook
	payload         string
	sees, modified  string
	shortest, least string // a payload without what may be absent, and what the plugin sees of that
}

const (
	result   = `{"content":[{"type":"text","text":"a\ud83d"},{"type":"resource_link","uri":"f://a","name":"a","size":9007199254740993}],"structuredContent":{"n":1.50,"z":null},"_meta":{"k":null}`
	messages = `[{"role":"user","content":{"type":"image","data":"aGk=","mime_type":"image/png","meta":null}},{"role":"assistant","content":{"type":"audio","data":"aGk=","mimeType":"audio/wav"}},{"role":"user","content":{"type":"resource","resource":{"uri":"f://a","blob":"aGk="}}}]`
	content  = `{"uri":"f://a","mime_type":"image/png","text":null,"_meta":{"k":null}`
	calls    = `[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"n\":9007199254740993}"},"index":null}]`
)

var hookCases = []hookCase{
	{plugin.ToolPreInvoke,
		`{"name":"t","args":{"n":9007199254740993,"z":null,"text":"old"},"headers":{"X-A":"1"},"later":1}`,
		`t {"n":9007199254740993,"z":null,"text":"old"} map[X-A:1]`,
		`{"name":"t","args":{"n":9007199254740993,"z":null,"text":"new"},"headers":{"X-A":"1"},"later":1}`,
		`{"name":"t","args":null,"headers":null}`, `t  map[]`},
	{plugin.ToolPostInvoke, `{"name":"t","result":` + result + `}}`, `t ` + result + `}`, `{"name":"t","result":` + result + `,"isError":true}}`,
		`{"name":"t","result":{}}`, `t {}`},
	{plugin.PromptPreFetch, `{"prompt_id":"p","args":{"topic":"caf\u00e9"}}`, `p {"topic":"caf\u00e9"}`, `{"prompt_id":"p","args":{"topic":"new"}}`,
		`{"prompt_id":"p"}`, `p `},
	{plugin.PromptPostFetch, `{"prompt_id":"p","result":{"messages":` + messages + `,"description":null}}`, `p {"messages":` + messages + `,"description":null}`,
		`{"prompt_id":"p","result":{"messages":` + messages + `,"description":"new"}}`, `{"prompt_id":"p","result":{"messages":[]}}`, `p {"messages":[]}`},
	{plugin.ResourcePreFetch, `{"uri":"f://a","metadata":{"n":1e2}}`, `f://a {"n":1e2}`, `{"uri":"f://new","metadata":{"n":1e2}}`,
		`{"uri":"f://a","metadata":null}`, `f://a `},
	{plugin.ResourcePostFetch, `{"uri":"f://a","content":` + content + `,"blob":"aGk="}}`, `f://a ` + content + `,"blob":"aGk="}`,
		`{"uri":"f://a","content":` + content + `,"blob":"bmV3"}}`, `{"uri":"f://a","content":{}}`, `f://a {}`},
	{plugin.HTTPPreRequest, `{"path":"/mcp","method":"POST","client_host":"10.0.0.1","client_port":5,"headers":{"accept":"*/*"}}`,
		`POST /mcp 10.0.0.1 5 map[accept:*/*]`, `{"accept":"*/*","x-new":"1"}`,
		`{"path":"/","method":"GET","client_host":null,"client_port":null,"headers":{}}`, `GET /  0 map[]`},
	{plugin.HTTPPostRequest, `{"path":"/mcp","method":"POST","client_host":"h","client_port":5,"headers":{"a":"1"},"response_headers":{"b":"2"},"status_code":201}`,
		`POST /mcp h 5 map[a:1] map[b:2] 201`, `{"x-new":"1"}`,
		`{"path":"/","method":"GET","headers":{},"response_headers":null,"status_code":null}`, `GET /  0 map[] map[] 0`},
	{plugin.HTTPAuthResolveUser, `{"credentials":{"scheme":"Bearer","credentials":"tok","later":1},"headers":{"a":"1"},"client_host":"h","client_port":5}`,
		`&{Scheme:Bearer Credentials:tok} map[a:1] h 5`, `{"email":"a@b","full_name":"A","is_admin":true,"is_active":true}`,
		`{"credentials":null,"headers":{}}`, `<nil> map[]  0`},
	{plugin.HTTPAuthCheckPermission, `{"user_email":"a@b","permission":"tools.execute","resource_type":"tool","team_id":"t","is_admin":true,"auth_method":"jwt","client_host":"h","user_agent":"u"}`,
		`a@b tools.execute tool t true jwt h u`, `{"granted":false,"reason":"no team"}`,
		`{"user_email":"a@b","permission":"p","resource_type":null,"team_id":null,"auth_method":null,"client_host":null,"user_agent":null}`, `a@b p   false   `},
	{plugin.AgentPreInvoke, `{"agent_id":"a","messages":` + messages + `,"tools":["x"],"headers":{"X-A":"1"},"model":"m","system_prompt":"s","parameters":{"temperature":0.70,"stop":null}}`,
		`a ` + messages + ` ["x"] map[X-A:1] m s {"temperature":0.70,"stop":null}`,
		`{"agent_id":"a","messages":` + messages + `,"tools":["x"],"headers":{"X-A":"1"},"model":"new","system_prompt":"s","parameters":{"temperature":0.70,"stop":null}}`,
		`{"agent_id":"a","messages":[],"tools":null,"headers":null,"model":null,"system_prompt":null,"parameters":null}`, `a []  map[]   `},
	{plugin.AgentPostInvoke, `{"agent_id":"a","messages":` + messages + `,"tool_calls":` + calls + `}`, `a ` + messages + ` ` + calls,
		`{"agent_id":"a","messages":` + messages + `,"tool_calls":[]}`, `{"agent_id":"a","messages":[],"tool_calls":null}`, `a [] `},
}

// Each hook's payload reaches an author's method typed, nulls being absence and
// free-form fields being the bytes that came, and what it changes goes back in
// the protocol's form: in this process and through a server.
func TestRule_TwelveHooks(t *testing.T) {
	p := &typed{}
	local := plugin.New(p)
	base := start(t, nil, Entry{Name: "P", Kind: "typed", Plugin: local})
	invoke := map[string]func(t *testing.T, hook plugin.Hook, payload string) string{
		"in process": func(t *testing.T, hook plugin.Hook, payload string) string {
			r, err := local.Invoke(t.Context(), hook, json.RawMessage(payload), &plugin.Context{})
			if err != nil || !r.Continue {
				t.Fatalf("result %+v, error %v", r, err)
			}
			return string(r.ModifiedPayload)
		},
		"remote": func(t *testing.T, hook plugin.Hook, payload string) string {
			user := `{"email":"a@b","full_name":null}`
			got := callTool(t, base, "invoke_hook", json.RawMessage(`{"hook_type":"`+string(hook)+`","plugin_name":"P","payload":`+payload+
				`,"context":{"state":{},"global_context":{"request_id":"r1","user":`+user+`,"tenant_id":null},"metadata":null}}`), false)
			answer := wire.Member(got, "result")
			if string(wire.Member(answer, "continue_processing")) != "true" {
				t.Fatalf("answer %s", got)
			}
			return string(wire.Member(answer, "modified_payload"))
		},
	}
	if len(hookCases) != len(plugin.Hooks()) {
		t.Fatalf("%d cases for %d hooks", len(hookCases), len(plugin.Hooks()))
	}
	for _, c := range hookCases {
		for place, call := range invoke {
			t.Run(string(c.hook)+" "+place, func(t *testing.T) {
				if got := call(t, c.hook, c.payload); got != c.modified {
					t.Errorf("modified_payload\n%s, want\n%s", got, c.modified)
				}
				if p.saw != c.sees {
					t.Errorf("the plugin saw\n%s, want\n%s", p.saw, c.sees)
				}
				call(t, c.hook, c.shortest)
				if p.saw != c.least {
					t.Errorf("of %s the plugin saw\n%q, want\n%q", c.shortest, p.saw, c.least)
				}
			})
		}
	}
}

// Aliases and nulls of the answer's envelope, the newer fields, and what a plugin
// leaves in its context.
func TestRule_ShapeOfTheAnswer(t *testing.T) {
	ms, code, status := int64(250), -32001, 429
	for name, c := range map[string]struct {
		result *plugin.Result
		left   func(c *plugin.Context)
		want   string
	}{
		"nothing to say": {plugin.Continue(), nil, `{"plugin_name":"P","result":{"continue_processing":true}}`},
		"all fields": {
			&plugin.Result{
				Continue: false, Metadata: json.RawMessage(`{"n":9007199254740993}`), HTTPHeaders: map[string]string{"X-A": "<1>"}, RetryDelayMS: &ms,
				Violation: &plugin.Violation{Reason: "r", Description: "d", Code: "c", MCPCode: &code, HTTPStatus: &status, HTTPHeaders: map[string]string{"Retry-After": "1"}},
			}, nil,
			`{"plugin_name":"P","result":{"continue_processing":false,"violation":{"reason":"r","description":"d","code":"c","details":{},"mcp_error_code":-32001,"http_status_code":429,"http_headers":{"Retry-After":"1"}},` +
				`"metadata":{"n":9007199254740993},"http_headers":{"X-A":"\u003c1\u003e"},"retry_delay_ms":250}}`,
		},
		"a violation without a code": {
			plugin.Refuse(&plugin.Violation{Reason: "r", Description: "d", Code: "c", Details: json.RawMessage(`{"z":null}`)}), nil,
			`{"plugin_name":"P","result":{"continue_processing":false,"violation":{"reason":"r","description":"d","code":"c","details":{"z":null},"mcp_error_code":null}}}`,
		},
		"own state": {
			plugin.Continue(), func(c *plugin.Context) { c.State["n"] = json.RawMessage("9007199254740993") },
			`{"plugin_name":"P","result":{"continue_processing":true},"context":{"global_context":{"request_id":"r1","user":"u","metadata":{"m":null},"state":{}},"state":{"n":9007199254740993},"metadata":{}}}`,
		},
		"own metadata": {
			plugin.Continue(), func(c *plugin.Context) { c.Metadata["m"] = json.RawMessage("null") },
			`{"plugin_name":"P","result":{"continue_processing":true},"context":{"global_context":{"request_id":"r1","user":"u","metadata":{"m":null},"state":{}},"state":{},"metadata":{"m":null}}}`,
		},
		"global state": {
			plugin.Continue(), func(c *plugin.Context) {
				c.GlobalContext.State["s"], c.GlobalContext.Metadata["m"], c.GlobalContext.RequestID = json.RawMessage("1"), json.RawMessage("1"), "r2"
			},
			`{"plugin_name":"P","result":{"continue_processing":true},"context":{"global_context":{"request_id":"r1","user":"u","metadata":{"m":null},"state":{"s":1}},"state":{},"metadata":{}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := start(t, nil, entry(func(_ context.Context, _ plugin.Hook, _ json.RawMessage, pc *plugin.Context) (*plugin.Result, error) {
				if c.left != nil {
					c.left(pc)
				}
				return c.result, nil
			}))
			text, isError := toolText(t, post(t, base, hookMessage(`{"name":"t"}`, `{"state":null,"global_context":{"request_id":"r1","user":"u","metadata":{"m":null},"state":null}}`)))
			if isError || text != c.want {
				t.Errorf("isError %v, got\n%s, want\n%s", isError, text, c.want)
			}
		})
	}
}

// The error object of a plugin that fails: its own words as it chose them, and
// the defaults for what it did not say; nothing it left in its context goes back.
func TestRule_ShapeOfAnError(t *testing.T) {
	for want, failure := range map[string]error{
		`{"message":"quota","plugin_name":"P","code":"","details":{},"mcp_error_code":-32603}`: &plugin.Error{Message: "quota"},
		`{"message":"quota","plugin_name":"Inner","code":"Q","details":{"n":9007199254740993,"z":null},"mcp_error_code":-32001}`: fmt.Errorf("wrapped: %w",
			&plugin.Error{Message: "quota", Plugin: "Inner", Code: "Q", Details: json.RawMessage(`{"n":9007199254740993,"z":null}`), MCPCode: -32001}),
		`{"message":"no details","plugin_name":"P","code":"","details":{},"mcp_error_code":-32603}`:                                        &plugin.Error{Message: "no details", Details: json.RawMessage(`[1]`)},
		`{"message":"the plugin failed; the log of its server says why","plugin_name":"P","code":"","details":{},"mcp_error_code":-32603}`: errSecret,
	} {
		base := start(t, nil, entry(func(_ context.Context, _ plugin.Hook, _ json.RawMessage, pc *plugin.Context) (*plugin.Result, error) {
			pc.State["n"] = json.RawMessage("1")
			return nil, failure
		}))
		text, isError := toolText(t, post(t, base, hookMessage(`{"name":"t"}`, testContext)))
		if isError || text != `{"plugin_name":"P","error":`+want+`}` {
			t.Errorf("isError %v, got\n%s, want the error\n%s", isError, text, want)
		}
	}
}
