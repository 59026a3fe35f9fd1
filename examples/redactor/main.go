// Command redactor serves plugins of the kind "redactor".
package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// redactor keeps e-mail addresses from a tool: it puts a placeholder for each
// into the arguments, and the address back into the tool's answer. What stands
// for what is kept in the state of the request, which no other request sees.
type redactor struct {
	Placeholder string `json:"placeholder"`
}

var (
	_ plugin.ToolPreInvoker  = (*redactor)(nil)
	_ plugin.ToolPostInvoker = (*redactor)(nil)
)

const stateKey = "addresses"

var address = regexp.MustCompile(`[\w.+-]+@[\w-]+(\.[\w-]+)+`)

func (r *redactor) ToolPreInvoke(_ context.Context, p *plugin.ToolPre, c *plugin.Context) (*plugin.Result, error) {
	var addresses []string
	args, changed, err := plugin.MapStrings(p.Args, func(_ plugin.Path, s string) (string, error) {
		return address.ReplaceAllStringFunc(s, func(found string) string {
			addresses = append(addresses, found)
			return r.name(len(addresses))
		}), nil
	})
	if err != nil || !changed {
		return plugin.Continue(), err
	}
	if err := c.State.Set(stateKey, addresses); err != nil {
		return nil, err
	}
	p.Args = args
	return plugin.Modified(p)
}

func (r *redactor) ToolPostInvoke(_ context.Context, p *plugin.ToolPost, c *plugin.Context) (*plugin.Result, error) {
	var addresses []string
	if found, err := c.State.Get(stateKey, &addresses); err != nil || !found {
		return plugin.Continue(), err
	}
	var pairs []string
	for i, a := range addresses {
		pairs = append(pairs, r.name(i+1), a)
	}
	back := strings.NewReplacer(pairs...)
	result, changed, err := plugin.MapStrings(p.Result, func(_ plugin.Path, s string) (string, error) {
		return back.Replace(s), nil
	})
	if err != nil || !changed {
		return plugin.Continue(), err
	}
	p.Result = result
	return plugin.Modified(p)
}

// name is the placeholder of the address with this number. Its end keeps the
// first from being found in the tenth.
func (r *redactor) name(number int) string { return fmt.Sprintf("<%s %d>", r.Placeholder, number) }

func newRedactor(c plugin.Config) (plugin.Plugin, error) {
	r := &redactor{Placeholder: "address"}
	if err := c.Decode(r); err != nil {
		return nil, err
	}
	if r.Placeholder == "" {
		return nil, &plugin.ConfigError{Path: "placeholder", Message: "empty"}
	}
	return plugin.New(r), nil
}

func main() {
	server.Main(plugin.Kind{
		Name: "redactor", Hooks: []plugin.Hook{plugin.ToolPreInvoke, plugin.ToolPostInvoke}, New: newRedactor,
	})
}
