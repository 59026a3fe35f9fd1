package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// sdkServer is an upstream made with the official SDK.
func sdkServer(t *testing.T, stateless bool) *httptest.Server {
	t.Helper()
	s := mcp.NewServer(&mcp.Implementation{Name: "sdk", Version: "1"}, nil)
	type args struct {
		Text string `json:"text"`
	}
	mcp.AddTool(s, &mcp.Tool{Name: "say"}, func(ctx context.Context, r *mcp.CallToolRequest, a args) (*mcp.CallToolResult, any, error) {
		if token := r.Params.GetProgressToken(); token != nil {
			_ = r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: 1, Total: 2})
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "said " + a.Text}}}, nil, nil
	})
	s.AddPrompt(&mcp.Prompt{Name: "greet", Arguments: []*mcp.PromptArgument{{Name: "who"}}}, func(_ context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: "hello " + r.Params.Arguments["who"]}}}}, nil
	})
	s.AddResource(&mcp.Resource{URI: "mem://a", Name: "a"}, func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, Text: "a word"}}}, nil
	})
	s.AddResourceTemplate(&mcp.ResourceTemplate{URITemplate: "mem://t/{id}", Name: "t"}, func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, Text: "word of " + r.Params.URI}}}, nil
	})
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{Stateless: stateless})
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

// The official SDK is the oracle on both sides: its client, in each revision,
// lists and calls what its server offers in either era, and a plugin's change
// and refusal arrive.
func TestTheOfficialSDKOnBothSides(t *testing.T) {
	change := func(_ context.Context, _ plugin.Hook, payload json.RawMessage) (*plugin.Result, error) {
		if strings.Contains(string(payload), "forbidden") {
			return plugin.Refuse(&plugin.Violation{Description: "not that", Code: "NO"}), nil
		}
		return &plugin.Result{Continue: true, ModifiedPayload: json.RawMessage(strings.ReplaceAll(string(payload), "word", "****"))}, nil
	}
	for _, stateless := range []bool{false, true} {
		backend := sdkServer(t, stateless)
		for _, revision := range supported() {
			name := map[bool]string{false: "legacy upstream ", true: "modern upstream "}[stateless] + revision
			t.Run(name, func(t *testing.T) {
				entries := says(change, pipeline.Enforce, plugin.ToolPreInvoke, plugin.PromptPostFetch, plugin.ResourcePostFetch)
				s := serve(t, Config{}, entries, &fakeServer{Server: backend})
				useSDK(t, s, revision)
			})
		}
	}
}

func useSDK(t *testing.T, s *served, revision string) {
	t.Helper()
	progress := make(chan float64, 9)
	c := mcp.NewClient(&mcp.Implementation{Name: "oracle", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { progress <- r.Params.Total },
	})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	session, err := c.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: s.url, HTTPClient: &http.Client{Transport: transport}}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	if got := session.InitializeResult(); got.ProtocolVersion != revision || got.ServerInfo.Name != "sallyport" {
		t.Errorf("initialize: %+v", got)
	}
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil || len(tools.Tools) != 1 || tools.Tools[0].Name != "say" {
		t.Fatalf("tools %+v, error %v", tools, err)
	}
	prompts, err := session.ListPrompts(t.Context(), nil)
	if err != nil || len(prompts.Prompts) != 1 {
		t.Fatalf("prompts %+v, error %v", prompts, err)
	}
	templates, err := session.ListResourceTemplates(t.Context(), nil)
	if err != nil || len(templates.ResourceTemplates) != 1 {
		t.Fatalf("templates %+v, error %v", templates, err)
	}
	params := &mcp.CallToolParams{Name: "say", Arguments: map[string]any{"text": "a word"}}
	params.SetProgressToken("p")
	result, err := session.CallTool(t.Context(), params)
	if err != nil || result.IsError || result.Content[0].(*mcp.TextContent).Text != "said a ****" {
		t.Errorf("call: %+v, error %v", result, err)
	}
	if total := <-progress; total != 2 {
		t.Errorf("progress of %v", total)
	}
	result, err = session.CallTool(t.Context(), &mcp.CallToolParams{Name: "say", Arguments: map[string]any{"text": "forbidden"}})
	if err != nil || !result.IsError || result.Content[0].(*mcp.TextContent).Text != "Plugin Violation: not that" || result.Meta[metaViolation] == nil {
		t.Errorf("refused call: %+v, error %v", result, err)
	}
	prompt, err := session.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "greet", Arguments: map[string]string{"who": "word"}})
	if err != nil || prompt.Messages[0].Content.(*mcp.TextContent).Text != "hello ****" {
		t.Errorf("prompt: %+v, error %v", prompt, err)
	}
	if _, err := session.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "greet", Arguments: map[string]string{"who": "forbidden"}}); err == nil || !strings.Contains(err.Error(), "Plugin Violation: not that") {
		t.Errorf("refused prompt: %v", err)
	}
	for uri, want := range map[string]string{"mem://a": "a ****", "mem://t/1": "**** of mem://t/1"} {
		resource, err := session.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri})
		if err != nil || resource.Contents[0].Text != want {
			t.Errorf("resource %s: %+v, error %v", uri, resource, err)
		}
	}
	if revision < wire.FirstModern {
		if err := session.Ping(t.Context(), nil); err != nil {
			t.Errorf("ping after all that: %v", err)
		}
	}
}
