package server

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// The official SDK is the oracle: its client, which has a mind of its own about
// eras, lists the tools and calls a hook in each revision, over HTTP and stdio.
func TestTheOfficialSDKAsClient(t *testing.T) {
	e := entry(func(_ context.Context, _ plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		return &plugin.Result{Continue: true, ModifiedPayload: payload}, nil
	})
	for _, revision := range wire.Revisions() {
		t.Run("http "+revision, func(t *testing.T) {
			base := start(t, nil, e)
			useSDK(t, revision, &mcp.StreamableClientTransport{Endpoint: base + "/mcp", HTTPClient: client(t)})
		})
		t.Run("stdio "+revision, func(t *testing.T) {
			s, err := New([]Entry{e}, nil)
			if err != nil {
				t.Fatal(err)
			}
			fromClient, toServer := io.Pipe()
			fromServer, toClient := io.Pipe()
			ended := make(chan error, 1)
			go func() { ended <- s.ServeStdio(t.Context(), fromClient, toClient); toClient.Close() }()
			useSDK(t, revision, &mcp.IOTransport{Reader: fromServer, Writer: toServer})
			if err := <-ended; err != nil {
				t.Errorf("ServeStdio: %v", err)
			}
		})
	}
}

func useSDK(t *testing.T, revision string, transport mcp.Transport) {
	t.Helper()
	c := mcp.NewClient(&mcp.Implementation{Name: "oracle", Version: "1"}, nil)
	session, err := c.Connect(t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }() // closes stdin, too
	if got := session.InitializeResult(); got.ProtocolVersion != revision || got.ServerInfo.Name != "MCP Plugin Server" || got.Instructions != "External plugin server for MCP Gateway" {
		t.Errorf("initialize: %+v", got)
	}
	list, err := session.ListTools(t.Context(), nil)
	if err != nil || len(list.Tools) != 3 {
		t.Fatalf("tools %+v, error %v", list, err)
	}
	for _, tool := range list.Tools {
		if tool.OutputSchema != nil || tool.InputSchema == nil {
			t.Errorf("%s: outputSchema %v, inputSchema %v", tool.Name, tool.OutputSchema, tool.InputSchema)
		}
	}
	configs, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "get_plugin_configs"})
	if err != nil || configs.StructuredContent == nil || len(configs.Content) != 1 {
		t.Fatalf("get_plugin_configs: %+v, error %v", configs, err)
	}
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "invoke_hook", Arguments: map[string]any{
		"hook_type": "tool_pre_invoke", "plugin_name": "P",
		"payload": map[string]any{"name": "grüße"},
		"context": map[string]any{"global_context": map[string]any{"request_id": "1"}},
	}})
	if err != nil || result.IsError || len(result.Content) != 1 {
		t.Fatalf("invoke_hook: %+v, error %v", result, err)
	}
	if text := result.Content[0].(*mcp.TextContent).Text; !strings.Contains(text, `"modified_payload":{"name":"grüße"}`) {
		t.Errorf("answer %s", text)
	}
	_, err = session.ListResources(t.Context(), nil)
	if err == nil {
		t.Error("a server without resources lists them")
	}
}
