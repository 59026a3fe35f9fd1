package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"testing"
)

// everything implements all typed hooks and says which one was called, with what.
type everything struct {
	called string
	closed bool
}

func (e *everything) note(hook Hook, parts ...string) (*Result, error) {
	e.called = string(hook)
	for _, part := range parts {
		e.called += " " + part
	}
	return Continue(), nil
}

func (e *everything) ToolPreInvoke(_ context.Context, p *ToolPre, c *Context) (*Result, error) {
	return e.note(ToolPreInvoke, p.Name, string(p.Args), p.Headers["h"], c.GlobalContext.RequestID)
}

func (e *everything) ToolPostInvoke(_ context.Context, p *ToolPost, _ *Context) (*Result, error) {
	return e.note(ToolPostInvoke, p.Name, string(p.Result))
}

func (e *everything) PromptPreFetch(_ context.Context, p *PromptPre, _ *Context) (*Result, error) {
	return e.note(PromptPreFetch, p.PromptID, string(p.Args))
}

func (e *everything) PromptPostFetch(_ context.Context, p *PromptPost, _ *Context) (*Result, error) {
	return e.note(PromptPostFetch, p.PromptID, string(p.Result))
}

func (e *everything) ResourcePreFetch(_ context.Context, p *ResourcePre, _ *Context) (*Result, error) {
	return e.note(ResourcePreFetch, p.URI, string(p.Metadata))
}

func (e *everything) ResourcePostFetch(_ context.Context, p *ResourcePost, _ *Context) (*Result, error) {
	return e.note(ResourcePostFetch, p.URI, string(p.Content))
}

func (e *everything) HTTPPreRequest(_ context.Context, p *HTTPPre, _ *Context) (*Result, error) {
	return e.note(HTTPPreRequest, p.Method, p.Path, p.ClientHost, strconv.Itoa(p.ClientPort), p.Headers["h"])
}

func (e *everything) HTTPPostRequest(_ context.Context, p *HTTPPost, _ *Context) (*Result, error) {
	return e.note(HTTPPostRequest, p.Method, p.Path, p.Headers["h"], p.ResponseHeaders["r"], strconv.Itoa(p.StatusCode))
}

func (e *everything) HTTPAuthResolveUser(_ context.Context, p *ResolveUser, _ *Context) (*Result, error) {
	if p.Credentials == nil {
		return e.note(HTTPAuthResolveUser, p.Headers["h"])
	}
	return e.note(HTTPAuthResolveUser, p.Headers["h"], p.Credentials.Scheme, p.Credentials.Credentials)
}

func (e *everything) HTTPAuthCheckPermission(_ context.Context, p *CheckPermission, _ *Context) (*Result, error) {
	return e.note(HTTPAuthCheckPermission, p.UserEmail, p.Permission, p.TeamID, strconv.FormatBool(p.IsAdmin))
}

func (e *everything) AgentPreInvoke(_ context.Context, p *AgentPre, _ *Context) (*Result, error) {
	return e.note(AgentPreInvoke, p.AgentID, string(p.Messages), string(p.Tools), p.Headers["h"], p.Model, p.SystemPrompt, string(p.Parameters))
}

func (e *everything) AgentPostInvoke(_ context.Context, p *AgentPost, _ *Context) (*Result, error) {
	return e.note(AgentPostInvoke, p.AgentID, string(p.Messages), string(p.ToolCalls))
}

func (e *everything) Close() error {
	e.closed = true
	return nil
}

func TestNewCallsTheTypedMethods(t *testing.T) {
	e := &everything{}
	p := New(e)
	tests := []struct {
		hook          Hook
		payload, want string
	}{
		{ToolPreInvoke, `{"name":"t","args":{"n":1.0},"headers":{"h":"v"}}`, `tool_pre_invoke t {"n":1.0} v req-1`},
		{ToolPostInvoke, `{"name":"t","result":[1]}`, `tool_post_invoke t [1]`},
		{PromptPreFetch, `{"prompt_id":"p","args":{}}`, `prompt_pre_fetch p {}`},
		{PromptPostFetch, `{"prompt_id":"p","result":{}}`, `prompt_post_fetch p {}`},
		{ResourcePreFetch, `{"uri":"u:","metadata":null}`, `resource_pre_fetch u: `},
		{ResourcePostFetch, `{"uri":"u:","content":null}`, `resource_post_fetch u: null`},
		{HTTPPreRequest, `{"path":"/mcp","method":"POST","client_host":"h","client_port":9,"headers":{"h":"v"}}`, `http_pre_request POST /mcp h 9 v`},
		{HTTPPostRequest, `{"path":"/mcp","method":"GET","headers":{"h":"v"},"response_headers":{"r":"w"},"status_code":404}`, `http_post_request GET /mcp v w 404`},
		{HTTPAuthResolveUser, `{"credentials":{"scheme":"Bearer","credentials":"x"},"headers":{"h":"v"}}`, `http_auth_resolve_user v Bearer x`},
		{HTTPAuthCheckPermission, `{"user_email":"a@b","permission":"tools.invoke","team_id":null,"is_admin":true}`, `http_auth_check_permission a@b tools.invoke  true`},
		{AgentPreInvoke, `{"agent_id":"a","messages":[{"n":1.0}],"tools":["t"],"headers":{"h":"v"},"model":"m","system_prompt":"s","parameters":{"p":1.0}}`,
			`agent_pre_invoke a [{"n":1.0}] ["t"] v m s {"p":1.0}`},
		{AgentPostInvoke, `{"agent_id":"a","messages":[],"tool_calls":[1]}`, `agent_post_invoke a [] [1]`},
	}
	var hooks []Hook
	for _, tt := range tests {
		hooks = append(hooks, tt.hook)
		c := &Context{GlobalContext: GlobalContext{RequestID: "req-1"}}
		r, err := p.Invoke(context.Background(), tt.hook, json.RawMessage(tt.payload), c)
		if err != nil || !r.Continue || e.called != tt.want {
			t.Errorf("got %s, %+v, %v, want %s", e.called, r, err, tt.want)
		}
	}
	if !slices.Equal(p.Hooks(), hooks) || !slices.Equal(hooks, Hooks()) {
		t.Errorf("hooks are %v, want %v", p.Hooks(), hooks)
	}
	if err := p.(interface{ Close() error }).Close(); err != nil || !e.closed {
		t.Errorf("not closed: %v", err)
	}
}

// onlyPost has one hook and nothing to close.
type onlyPost struct{ result *Result }

func (o onlyPost) ToolPostInvoke(context.Context, *ToolPost, *Context) (*Result, error) {
	return o.result, nil
}

func TestNewFailsClosed(t *testing.T) {
	p := New(onlyPost{})
	if !slices.Equal(p.Hooks(), []Hook{ToolPostInvoke}) {
		t.Errorf("hooks are %v", p.Hooks())
	}
	for name, call := range map[string]struct {
		hook    Hook
		payload string
		want    string
	}{
		"no result":      {ToolPostInvoke, `{"name":"t","result":1}`, "invoke tool_post_invoke: plugin.onlyPost gave neither a result nor an error"},
		"another hook":   {ToolPreInvoke, `{"name":"t"}`, "invoke tool_pre_invoke: plugin.onlyPost does not implement it"},
		"a bad payload":  {ToolPostInvoke, `{"name":"t"}`, "read the payload: result: required, but missing"},
		"no object":      {ToolPostInvoke, `[]`, "read the payload: not an object"},
		"an empty input": {ToolPostInvoke, ``, "read the payload: not an object"},
	} {
		r, err := p.Invoke(context.Background(), call.hook, json.RawMessage(call.payload), &Context{})
		if r != nil || err == nil || err.Error() != call.want {
			t.Errorf("%s: got %+v, %v, want %s", name, r, err, call.want)
		}
	}
	if err := p.(interface{ Close() error }).Close(); err != nil {
		t.Error(err)
	}
}

// The text of a payload fault is for the caller, who made the payload.
func TestAPayloadFaultCrossesTheWire(t *testing.T) {
	_, err := New(onlyPost{}).Invoke(context.Background(), ToolPostInvoke, json.RawMessage(`{}`), &Context{})
	if _, ok := errors.AsType[*Error](err); !ok {
		t.Errorf("got %T", err)
	}
}

func TestNewOfNoHookPanics(t *testing.T) {
	defer func() {
		if got, want := recover(), "plugin: New: struct {} implements none of the hook interfaces"; got != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}()
	New(struct{}{})
}
