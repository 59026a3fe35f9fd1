package remote

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// sdkServer is a plugin server made with the official SDK, with sessions.
func sdkServer(t *testing.T, ran *atomic.Int32, o *mcp.StreamableHTTPOptions) http.Handler {
	s := mcp.NewServer(&mcp.Implementation{Name: "MCP Plugin Server", Version: "1"}, nil)
	t.Cleanup(func() {
		for session := range s.Sessions() {
			_ = session.Close()
		}
	})
	text := func(text string) *mcp.CallToolResult {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
	}
	schema := json.RawMessage(`{"type":"object"}`)
	s.AddTool(&mcp.Tool{Name: toolConfig, InputSchema: schema}, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return text(`{"name":"P","hooks":["tool_pre_invoke"]}`), nil
	})
	s.AddTool(&mcp.Tool{Name: toolInvoke, InputSchema: schema}, func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		ran.Add(1)
		// Something else comes first on the stream.
		_ = r.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "error", Data: "x"}) //nolint:staticcheck // what a legacy server may send
		return text(passes), nil
	})
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, o)
}

// TestServersOfTheSDK are peers that others wrote.
func TestServersOfTheSDK(t *testing.T) {
	for name, o := range map[string]*mcp.StreamableHTTPOptions{
		"sessions, events": {},
		"sessions, JSON":   {JSONResponse: true},
		"stateless":        {Stateless: true, JSONResponse: true},
		"stateless events": {Stateless: true},
	} {
		t.Run(name, func(t *testing.T) {
			var ran atomic.Int32
			var current atomic.Pointer[http.Handler]
			restart := func() { h := sdkServer(t, &ran, o); current.Store(&h) }
			restart()
			srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*current.Load()).ServeHTTP(w, r) }))
			p := client(t, srv.URL)
			const rounds, callers = 3, 8
			for round := range rounds {
				for _, err := range parallel(t, p, callers) {
					if err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
				}
				restart() // which forgets every session
			}
			if n := ran.Load(); n != rounds*callers {
				t.Errorf("%d hooks ran for %d calls", n, rounds*callers)
			}
			if _, err := p.Describe(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
