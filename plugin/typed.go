package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// The typed side of the contract: one optional interface for each hook, found
// by type assertion. A type implements those that it needs and [New] makes a
// [Plugin] of it:
//
//	type shout struct{}
//
//	var _ plugin.ToolPreInvoker = shout{}
//
//	func (shout) ToolPreInvoke(ctx context.Context, p *plugin.ToolPre, c *plugin.Context) (*plugin.Result, error) {
//		…
//	}
//
// The line with the blank identifier is worth its place: a method whose name or
// signature is a little off is no hook at all, and the compiler says so there.
//
// All that [Plugin] says holds for these methods too: they are called by many
// goroutines at once, must return soon after ctx ends, answer with [Continue],
// [Modified] or [Refuse], and a non-nil error means that the plugin failed. A
// nil Result without an error is such a failure: a guardrail that says nothing
// has not let anything pass.

// ToolPreInvoker sees a tool call before it is made. It may change all fields.
type ToolPreInvoker interface {
	ToolPreInvoke(ctx context.Context, p *ToolPre, c *Context) (*Result, error)
}

// ToolPostInvoker sees what a tool has answered. It may change Result.
type ToolPostInvoker interface {
	ToolPostInvoke(ctx context.Context, p *ToolPost, c *Context) (*Result, error)
}

// PromptPreFetcher sees a prompt before it is fetched. It may change Args.
type PromptPreFetcher interface {
	PromptPreFetch(ctx context.Context, p *PromptPre, c *Context) (*Result, error)
}

// PromptPostFetcher sees a prompt that has been fetched. It may change Result.
type PromptPostFetcher interface {
	PromptPostFetch(ctx context.Context, p *PromptPost, c *Context) (*Result, error)
}

// ResourcePreFetcher sees a resource before it is read. It may change all fields.
type ResourcePreFetcher interface {
	ResourcePreFetch(ctx context.Context, p *ResourcePre, c *Context) (*Result, error)
}

// ResourcePostFetcher sees a resource that has been read. It may change Content.
type ResourcePostFetcher interface {
	ResourcePostFetch(ctx context.Context, p *ResourcePost, c *Context) (*Result, error)
}

// HTTPPreRequester sees an HTTP request before anything else does. It answers
// with headers to set.
type HTTPPreRequester interface {
	HTTPPreRequest(ctx context.Context, p *HTTPPre, c *Context) (*Result, error)
}

// HTTPPostRequester sees an HTTP request that has been answered. It answers with
// headers to set on the response.
type HTTPPostRequester interface {
	HTTPPostRequest(ctx context.Context, p *HTTPPost, c *Context) (*Result, error)
}

// UserResolver says who sends a request: it answers with a [User].
type UserResolver interface {
	HTTPAuthResolveUser(ctx context.Context, p *ResolveUser, c *Context) (*Result, error)
}

// PermissionChecker says what a user may do: it answers with a [Permission].
type PermissionChecker interface {
	HTTPAuthCheckPermission(ctx context.Context, p *CheckPermission, c *Context) (*Result, error)
}

// AgentPreInvoker sees a call of an agent before it is made. It may change all
// fields.
type AgentPreInvoker interface {
	AgentPreInvoke(ctx context.Context, p *AgentPre, c *Context) (*Result, error)
}

// AgentPostInvoker sees what an agent has answered. It may change Messages and
// ToolCalls.
type AgentPostInvoker interface {
	AgentPostInvoke(ctx context.Context, p *AgentPost, c *Context) (*Result, error)
}

// New makes a [Plugin] of v, which implements one or more of the hook
// interfaces of this package, and [io.Closer] if it has something to release.
// New panics if v implements no hook: such a plugin would guard nothing.
func New(v any) Plugin {
	t := &typed{v: v, invoke: map[Hook]invoker{}}
	if x, ok := v.(ToolPreInvoker); ok {
		t.add(ToolPreInvoke, adapt(x.ToolPreInvoke))
	}
	if x, ok := v.(ToolPostInvoker); ok {
		t.add(ToolPostInvoke, adapt(x.ToolPostInvoke))
	}
	if x, ok := v.(PromptPreFetcher); ok {
		t.add(PromptPreFetch, adapt(x.PromptPreFetch))
	}
	if x, ok := v.(PromptPostFetcher); ok {
		t.add(PromptPostFetch, adapt(x.PromptPostFetch))
	}
	if x, ok := v.(ResourcePreFetcher); ok {
		t.add(ResourcePreFetch, adapt(x.ResourcePreFetch))
	}
	if x, ok := v.(ResourcePostFetcher); ok {
		t.add(ResourcePostFetch, adapt(x.ResourcePostFetch))
	}
	t.addHTTP(v)
	if x, ok := v.(AgentPreInvoker); ok {
		t.add(AgentPreInvoke, adapt(x.AgentPreInvoke))
	}
	if x, ok := v.(AgentPostInvoker); ok {
		t.add(AgentPostInvoke, adapt(x.AgentPostInvoke))
	}
	if len(t.hooks) == 0 {
		panic(fmt.Sprintf("plugin: New: %T implements none of the hook interfaces", v))
	}
	return t
}

// typed is the Plugin that New makes.
type typed struct {
	v      any
	hooks  []Hook
	invoke map[Hook]invoker
}

// invoker runs one hook on a raw payload.
type invoker func(ctx context.Context, raw json.RawMessage, c *Context) (*Result, error)

func (t *typed) add(hook Hook, f invoker) {
	t.hooks = append(t.hooks, hook)
	t.invoke[hook] = f
}

// addHTTP adds the HTTP hooks that v has.
func (t *typed) addHTTP(v any) {
	if x, ok := v.(HTTPPreRequester); ok {
		t.add(HTTPPreRequest, adapt(x.HTTPPreRequest))
	}
	if x, ok := v.(HTTPPostRequester); ok {
		t.add(HTTPPostRequest, adapt(x.HTTPPostRequest))
	}
	if x, ok := v.(UserResolver); ok {
		t.add(HTTPAuthResolveUser, adapt(x.HTTPAuthResolveUser))
	}
	if x, ok := v.(PermissionChecker); ok {
		t.add(HTTPAuthCheckPermission, adapt(x.HTTPAuthCheckPermission))
	}
}

// Hooks implements [Plugin].
func (t *typed) Hooks() []Hook { return t.hooks }

// Invoke implements [Plugin].
func (t *typed) Invoke(ctx context.Context, hook Hook, raw json.RawMessage, c *Context) (*Result, error) {
	f, ok := t.invoke[hook]
	if !ok {
		return nil, fmt.Errorf("invoke %s: %T does not implement it", hook, t.v)
	}
	result, err := f(ctx, raw, c)
	if result == nil && err == nil {
		err = fmt.Errorf("invoke %s: %T gave neither a result nor an error", hook, t.v)
	}
	return result, err
}

// Close closes what v is, if it can be closed.
func (t *typed) Close() error {
	if c, ok := t.v.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// adapt makes an invoker of a typed method.
func adapt[T any, P interface {
	*T
	payload
}](f func(context.Context, P, *Context) (*Result, error)) invoker {
	return func(ctx context.Context, raw json.RawMessage, c *Context) (*Result, error) {
		p := P(new(T))
		if err := readPayload(raw, p); err != nil {
			return nil, &Error{Message: "read the payload: " + err.Error()}
		}
		return f(ctx, p, c)
	}
}
