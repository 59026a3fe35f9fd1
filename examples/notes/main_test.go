package main

import (
	"log/slog"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func TestNotesAreKept(t *testing.T) {
	client, server := mcp.NewInMemoryTransports()
	if _, err := newServer(slog.New(slog.DiscardHandler)).Connect(t.Context(), server, nil); err != nil {
		t.Fatal(err)
	}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), client, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	for _, call := range []*mcp.CallToolParams{
		{Name: "write", Arguments: map[string]any{"text": "buy milk"}},
		{Name: "write", Arguments: map[string]any{"text": "feed the cat"}},
	} {
		if _, err := session.CallTool(t.Context(), call); err != nil {
			t.Fatal(err)
		}
	}
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "read"})
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Content[0].(*mcp.TextContent).Text; got != "buy milk\nfeed the cat" {
		t.Errorf("read gave %q", got)
	}
}
