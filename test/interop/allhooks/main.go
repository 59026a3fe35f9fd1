// Command allhooks serves the plugin that others call while interop runs: it
// has all hooks, and the request's id says what it is to do.
package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

func main() { server.Main(kind()) }

// custom is a hook of nobody's but this plugin's.
const custom plugin.Hook = "interop_custom"

func kind() plugin.Kind {
	return plugin.Kind{
		Name:  "allhooks",
		Hooks: append(plugin.Hooks(), custom),
		New: func(c plugin.Config) (plugin.Plugin, error) {
			var a allHooks
			if err := c.Decode(&a); err != nil {
				return nil, err
			}
			return &withCustom{plugin.New(&a), &a}, nil
		},
	}
}

// withCustom adds the custom hook to the typed ones.
type withCustom struct {
	plugin.Plugin
	all *allHooks
}

func (w *withCustom) Hooks() []plugin.Hook { return append(w.Plugin.Hooks(), custom) }

func (w *withCustom) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	if hook != custom {
		return w.Plugin.Invoke(ctx, hook, payload, c)
	}
	return w.all.do(c, func() (any, error) { return plugin.SetMember(payload, "name", "changed") })
}

// allHooks has nothing but its behaviour. Mark, if it is set, goes into the
// metadata of every verdict.
type allHooks struct {
	Mark string `json:"mark"`
}

var (
	_ plugin.ToolPreInvoker      = (*allHooks)(nil)
	_ plugin.ToolPostInvoker     = (*allHooks)(nil)
	_ plugin.PromptPreFetcher    = (*allHooks)(nil)
	_ plugin.PromptPostFetcher   = (*allHooks)(nil)
	_ plugin.ResourcePreFetcher  = (*allHooks)(nil)
	_ plugin.ResourcePostFetcher = (*allHooks)(nil)
	_ plugin.HTTPPreRequester    = (*allHooks)(nil)
	_ plugin.HTTPPostRequester   = (*allHooks)(nil)
	_ plugin.UserResolver        = (*allHooks)(nil)
	_ plugin.PermissionChecker   = (*allHooks)(nil)
	_ plugin.AgentPreInvoker     = (*allHooks)(nil)
	_ plugin.AgentPostInvoker    = (*allHooks)(nil)
)

// do does what the request's id says, up to its first slash: pass, modify,
// violation, error or context. modified gives the payload of modify.
func (a *allHooks) do(c *plugin.Context, modified func() (any, error)) (*plugin.Result, error) {
	var r *plugin.Result
	behaviour, _, _ := strings.Cut(c.GlobalContext.RequestID, "/")
	switch behaviour {
	case "modify":
		payload, err := modified()
		if err != nil {
			return nil, err
		}
		if r, err = plugin.Modified(payload); err != nil {
			return nil, err
		}
	case "violation":
		code, status := -32050, 451
		r = plugin.Refuse(&plugin.Violation{
			Reason: "Not here", Description: "This is refused “on purpose”", Code: "ON_PURPOSE",
			Details: json.RawMessage(`{"n":9007199254740993,"list":[1,null]}`), MCPCode: &code, HTTPStatus: &status,
		})
	case "error":
		return nil, &plugin.Error{Message: "this plugin fails on purpose", Code: "BROKEN", Details: json.RawMessage(`{"why":"asked to"}`), MCPCode: -32042}
	case "context":
		if err := remember(c); err != nil {
			return nil, err
		}
		fallthrough
	default:
		r = plugin.Continue()
	}
	if a.Mark != "" {
		var marks plugin.Object
		if err := marks.Set(a.Mark, true); err != nil {
			return nil, err
		}
		var err error
		r.Metadata, err = json.Marshal(marks)
		return r, err
	}
	return r, nil
}

// remember counts the calls of a request in each of the three places that a
// plugin may write to.
func remember(c *plugin.Context) error {
	for _, place := range []*plugin.Object{&c.State, &c.Metadata, &c.GlobalContext.State} {
		var n int
		if _, err := place.Get("calls", &n); err != nil {
			return err
		}
		if err := place.Set("calls", n+1); err != nil {
			return err
		}
	}
	return nil
}

func (a *allHooks) ToolPreInvoke(_ context.Context, p *plugin.ToolPre, c *plugin.Context) (*plugin.Result, error) {
	return a.do(c, func() (_ any, err error) {
		p.Args, err = plugin.SetMember(p.Args, "added", "changed")
		return p, err
	})
}

func (a *allHooks) ToolPostInvoke(_ context.Context, p *plugin.ToolPost, c *plugin.Context) (*plugin.Result, error) {
	return a.do(c, func() (_ any, err error) {
		p.Result, err = plugin.SetMember(p.Result, "added", "changed")
		return p, err
	})
}

func (a *allHooks) PromptPreFetch(_ context.Context, p *plugin.PromptPre, c *plugin.Context) (*plugin.Result, error) {
	return a.do(c, func() (_ any, err error) {
		p.Args, err = plugin.SetMember(p.Args, "added", "changed")
		return p, err
	})
}

func (a *allHooks) PromptPostFetch(_ context.Context, p *plugin.PromptPost, c *plugin.Context) (*plugin.Result, error) {
	return a.do(c, func() (_ any, err error) {
		p.Result, err = plugin.SetMember(p.Result, "description", "changed")
		return p, err
	})
}

func (a *allHooks) ResourcePreFetch(_ context.Context, p *plugin.ResourcePre, c *plugin.Context) (*plugin.Result, error) {
	return a.do(c, func() (any, error) {
		p.URI += "?changed"
		return p, nil
	})
}

func (a *allHooks) ResourcePostFetch(_ context.Context, p *plugin.ResourcePost, c *plugin.Context) (*plugin.Result, error) {
	return a.do(c, func() (_ any, err error) {
		p.Content, err = plugin.SetMember(p.Content, "text", "changed")
		return p, err
	})
}

func (a *allHooks) HTTPPreRequest(_ context.Context, p *plugin.HTTPPre, c *plugin.Context) (*plugin.Result, error) {
	return a.do(c, func() (any, error) { return map[string]string{"X-Added": "changed", "X-Was": p.Headers["X-Team"]}, nil })
}

func (a *allHooks) HTTPPostRequest(_ context.Context, p *plugin.HTTPPost, c *plugin.Context) (*plugin.Result, error) {
	return a.do(c, func() (any, error) {
		return map[string]string{"X-Added": "changed", "X-Was": p.ResponseHeaders["Content-Type"]}, nil
	})
}

func (a *allHooks) HTTPAuthResolveUser(_ context.Context, p *plugin.ResolveUser, c *plugin.Context) (*plugin.Result, error) {
	return a.do(c, func() (any, error) {
		return plugin.User{Email: p.Credentials.Credentials + "@example.com", FullName: "Alice", IsActive: true}, nil
	})
}

func (a *allHooks) HTTPAuthCheckPermission(_ context.Context, p *plugin.CheckPermission, c *plugin.Context) (*plugin.Result, error) {
	return a.do(c, func() (any, error) {
		return plugin.Permission{Granted: true, Reason: p.UserEmail + " may " + p.Permission}, nil
	})
}

func (a *allHooks) AgentPreInvoke(_ context.Context, p *plugin.AgentPre, c *plugin.Context) (*plugin.Result, error) {
	return a.do(c, func() (any, error) {
		p.Model = "changed"
		return p, nil
	})
}

func (a *allHooks) AgentPostInvoke(_ context.Context, p *plugin.AgentPost, c *plugin.Context) (*plugin.Result, error) {
	return a.do(c, func() (_ any, err error) {
		p.ToolCalls = json.RawMessage(`[{"name":"changed"}]`)
		return p, nil
	})
}
