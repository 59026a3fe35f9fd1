// Command hello serves plugins of the kind "hello".
package main

import (
	"context"
	"encoding/json"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// hello greets whoever a tool call names, and lets no call pass that names nobody.
type hello struct {
	Greeting string `json:"greeting"`
}

var _ plugin.ToolPreInvoker = (*hello)(nil)

func (h *hello) ToolPreInvoke(_ context.Context, p *plugin.ToolPre, _ *plugin.Context) (*plugin.Result, error) {
	var args struct{ Name string }
	if err := json.Unmarshal(p.Args, &args); err != nil || args.Name == "" {
		return plugin.Refuse(&plugin.Violation{Reason: "Nobody to greet", Description: "The call names nobody", Code: "no_name"}), nil
	}
	var err error
	if p.Args, err = plugin.SetMember(p.Args, "name", h.Greeting+", "+args.Name); err != nil {
		return nil, err
	}
	return plugin.Modified(p)
}

func newHello(c plugin.Config) (plugin.Plugin, error) {
	h := &hello{Greeting: "Hello"}
	return plugin.New(h), c.Decode(h)
}

func main() {
	server.Main(plugin.Kind{Name: "hello", Hooks: []plugin.Hook{plugin.ToolPreInvoke}, New: newHello})
}
