package plugin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// shout makes the arguments of every tool call loud, and lets nobody delete.
type shout struct{}

var _ plugin.ToolPreInvoker = shout{}

func (shout) ToolPreInvoke(_ context.Context, p *plugin.ToolPre, _ *plugin.Context) (*plugin.Result, error) {
	if p.Name == "delete" {
		return plugin.Refuse(&plugin.Violation{
			Reason:      "Tool not allowed",
			Description: "Nobody deletes here",
			Code:        "no_delete",
		}), nil
	}
	args, changed, err := plugin.MapStrings(p.Args, func(_ plugin.Path, s string) (string, error) {
		return strings.ToUpper(s), nil
	})
	if err != nil || !changed {
		return plugin.Continue(), err
	}
	p.Args = args
	return plugin.Modified(p)
}

// A plugin in its usual form: a type with the hooks that it needs.
func Example() {
	p := plugin.New(shout{})
	fmt.Println(p.Hooks())
	for _, payload := range []string{
		`{"name": "echo", "args": {"text": "hello", "count": 9007199254740993}, "new": true}`,
		`{"name": "delete", "args": {}}`,
	} {
		r, err := p.Invoke(context.Background(), plugin.ToolPreInvoke, json.RawMessage(payload), &plugin.Context{})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(r.Continue, string(r.ModifiedPayload))
	}
	// Output:
	// [tool_pre_invoke]
	// true {"name": "echo", "args": {"text": "HELLO", "count": 9007199254740993}, "new": true}
	// false
}

func ExampleMapStrings() {
	raw := json.RawMessage(`{"id": 9007199254740993, "text": "hello", "tags": ["hello", "x"]}`)
	out, changed, err := plugin.MapStrings(raw, func(at plugin.Path, s string) (string, error) {
		if at.String() == "text" {
			return s, nil
		}
		return strings.ReplaceAll(s, "hello", "goodbye"), nil
	})
	fmt.Println(string(out), changed, err)
	// Output: {"id": 9007199254740993, "text": "hello", "tags": ["goodbye", "x"]} true <nil>
}

func ExampleGetMember() {
	args := json.RawMessage(`{"to": "Ada", "amount": 250.5}`)
	var amount float64
	found, err := plugin.GetMember(args, "amount", &amount)
	fmt.Println(found, amount, err)
	// Output: true 250.5 <nil>
}

func ExampleSetMember() {
	out, err := plugin.SetMember(json.RawMessage(`{"city": "Bern", "zip": 3000}`), "city", "Basel")
	fmt.Println(string(out), err)
	// Output: {"city": "Basel", "zip": 3000} <nil>
}
