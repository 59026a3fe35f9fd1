// Command policy serves plugins of the kind "policy".
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// policy lets users call the tools that a rule allows them, and no others.
type policy struct {
	Rules []rule `json:"rules"`
}

// rule allows each of Users each of Tools. Both may hold * as in file names.
type rule struct {
	Users []string `json:"users"`
	Tools []string `json:"tools"`
}

var _ plugin.ToolPreInvoker = (*policy)(nil)

func (p *policy) ToolPreInvoke(_ context.Context, call *plugin.ToolPre, c *plugin.Context) (*plugin.Result, error) {
	// The upstream's own name decides where there is one: the client's changes
	// with the gateway's prefixes, and the rules should not.
	user, tool := c.GlobalContext.UserName(), c.GlobalContext.OriginalName()
	if tool == "" {
		tool = call.Name
	}
	if slices.ContainsFunc(p.Rules, func(r rule) bool { return r.allows(user, tool) }) {
		return plugin.Continue(), nil
	}
	details, err := json.Marshal(map[string]string{"user": user, "tool": tool})
	if err != nil {
		return nil, err
	}
	return plugin.Refuse(&plugin.Violation{
		Reason: "Not allowed by policy", Description: "You may not call " + tool, Code: "policy", Details: details,
	}), nil
}

// allows is false for who has no name: to be anonymous is no way around a rule.
func (r rule) allows(user, tool string) bool {
	return user != "" && matches(r.Users, user) && matches(r.Tools, tool)
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil // newPolicy has tried the pattern
	})
}

func newPolicy(c plugin.Config) (plugin.Plugin, error) {
	p := &policy{}
	if err := c.Decode(p); err != nil {
		return nil, err
	}
	if len(p.Rules) == 0 {
		return nil, &plugin.ConfigError{Path: "rules", Message: "there is none, so nobody could call anything"}
	}
	for i, r := range p.Rules {
		for field, patterns := range map[string][]string{"users": r.Users, "tools": r.Tools} {
			for j, pattern := range patterns {
				if _, err := path.Match(pattern, ""); err != nil {
					return nil, &plugin.ConfigError{Path: fmt.Sprintf("rules[%d].%s[%d]", i, field, j), Message: "not a pattern"}
				}
			}
		}
	}
	return plugin.New(p), nil
}

func main() {
	server.Main(plugin.Kind{Name: "policy", Hooks: []plugin.Hook{plugin.ToolPreInvoke}, New: newPolicy})
}
