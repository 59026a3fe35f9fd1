// Command hello serves plugins of the kind "hello".
package main

import (
	"context"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// hello puts a greeting before the text of each tool call, and lets no call pass
// that has none.
type hello struct {
	Greeting string `json:"greeting"`
}

var _ plugin.ToolPreInvoker = (*hello)(nil)

func (h *hello) ToolPreInvoke(_ context.Context, p *plugin.ToolPre, _ *plugin.Context) (*plugin.Result, error) {
	var text string
	if _, err := plugin.GetMember(p.Args, "text", &text); err != nil || text == "" {
		return plugin.Refuse(&plugin.Violation{Reason: "Nothing to greet", Description: "The call has no text", Code: "no_text"}), nil
	}
	var err error
	if p.Args, err = plugin.SetMember(p.Args, "text", h.Greeting+", "+text); err != nil {
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
