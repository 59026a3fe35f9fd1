package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// client connects the official Go SDK's client to the gateway, as any MCP
// client would be.
func (d *demo) client(ctx context.Context) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "demo", Version: "1.0.0"}, nil)
	return client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint:   "http://" + d.gateway.addr + "/mcp",
		HTTPClient: &http.Client{Transport: &http.Transport{}},
	}, nil)
}

// calls makes three tool calls through the gateway, then one while the plugin
// server is dead and one after its restart, and checks each.
func (d *demo) calls(ctx context.Context) error {
	session, err := d.client(ctx)
	if err != nil {
		return fmt.Errorf("connecting an MCP client to the gateway: %w", err)
	}
	defer session.Close() //nolint:errcheck // the gateway may be gone
	for _, c := range []toolCall{
		{"A benign call passes", "buy milk", "note 1: buy milk", true},
		{"A rude one is rewritten: crap → crud → yikes", "fix this crap", "note 2: fix this yikes", true},
		{"A deny word is refused, and never reaches the server", "a revolutionary idea", "Plugin Violation: ", false},
	} {
		if err := d.call(ctx, session, c); err != nil {
			return err
		}
	}

	heading("The plugin server is killed: what cannot be checked does not pass")
	port := d.plugins.port()
	if err := d.plugins.kill(); err != nil {
		return err
	}
	d.plugins = nil
	if err := d.call(ctx, session, toolCall{"", "buy bread", "Plugin Error: ", false}); err != nil {
		return err
	}
	heading("It is started again: the next call passes")
	if err := d.servePlugins(ctx, port); err != nil {
		return err
	}
	return d.call(ctx, session, toolCall{"", "buy bread", "note 3: buy bread", true})
}

// toolCall is one call of the notes server's tool and what must come of it.
type toolCall struct {
	title  string
	text   string // what the client says
	answer string // how the answer begins
	passes bool   // it reaches the notes server
}

func (d *demo) call(ctx context.Context, session *mcp.ClientSession, c toolCall) error {
	if c.title != "" {
		heading(c.title)
	}
	seen, told := d.notes.log.position(), d.gateway.log.position()
	fmt.Printf("  tools/call write {\"text\": %q}\n", c.text)
	var answer string
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "write", Arguments: map[string]any{"text": c.text}})
	switch {
	case err != nil:
		answer = err.Error()
	case len(result.Content) > 0:
		if text, ok := result.Content[0].(*mcp.TextContent); ok {
			answer = text.Text
		}
	}
	fmt.Printf("  → %s\n", answer)
	line, err := d.gateway.log.await(ctx, told, func(r record) bool { return r.get("method") == "tools/call" })
	if err != nil {
		return fmt.Errorf("the gateway's log has no line on the call: %w\n%s", err, d.gateway.log.text())
	}
	if d.plugins != nil {
		fmt.Printf("  plugin server: %s\n", d.peer())
	}
	fmt.Printf("  gateway: %s\n", summary(line))
	for _, r := range d.gateway.log.since(told) {
		if cause := r.get("error"); cause != "" {
			fmt.Printf("    the cause, in its log: %s\n", cause)
		}
	}
	reached := len(d.notes.log.since(seen)) > 0
	if !strings.Contains(answer, c.answer) || reached != c.passes {
		return fmt.Errorf("this did not happen: the answer is %q, want %q…; it reached the notes server: %v, want %v\n%s",
			answer, c.answer, reached, c.passes, d.gateway.log.text())
	}
	return nil
}

// peer says who answers the gateway's hook calls, from its last handshake.
func (d *demo) peer() string {
	lines := d.gateway.log.since(0)
	for _, line := range slices.Backward(lines) {
		if peer, ok := line["peer"].(map[string]any); ok && line["msg"] == "TLS handshake" {
			return fmt.Sprintf("%v, %v, %v", peer["subject"], peer["tls"], peer["group"])
		}
	}
	return "no handshake yet"
}

// summary says in one line what became of a call and what each plugin said.
func summary(line record) string {
	var said []string
	plugins, _ := line["plugins"].([]any)
	for _, p := range plugins {
		if v, ok := p.(map[string]any); ok {
			said = append(said, fmt.Sprintf("%v at %v: %v", v["plugin"], v["hook"], v["verdict"]))
		}
	}
	return fmt.Sprintf("%v\n    %s", line["outcome"], strings.Join(said, "\n    "))
}
