package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// mirror is an upstream, on the official Go SDK and in this process, that
// answers with what it was asked and remembers it: so one sees what plugins let
// through.
type mirror struct {
	url    string
	server *http.Server
	ended  chan error

	mu   sync.Mutex
	asks []asked
}

// asked is one request that reached the upstream.
type asked struct {
	name      string // of the tool or prompt, or the uri
	arguments string // of a tool in their bytes, of a prompt as JSON
	header    http.Header
}

func newMirror(ctx context.Context) (*mirror, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &mirror{url: "http://" + listener.Addr().String() + "/mcp", ended: make(chan error, 1)}
	inner := m.mcp()
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return inner }, &mcp.StreamableHTTPOptions{Stateless: true})
	m.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { m.ended <- m.server.Serve(listener) }()
	return m, nil
}

func (m *mirror) mcp() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "mirror", Version: "1.0.0"}, nil)
	s.AddTool(&mcp.Tool{
		Name: "echo", Description: "Says it again", InputSchema: map[string]any{"type": "object"},
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
	}, m.echo)
	s.AddPrompt(&mcp.Prompt{Name: "greet", Arguments: []*mcp.PromptArgument{{Name: "who"}}}, m.greet)
	s.AddResource(&mcp.Resource{URI: "mirror://note", Name: "note", MIMEType: "text/plain"}, m.read)
	s.AddResourceTemplate(&mcp.ResourceTemplate{URITemplate: "mirror://{name}", Name: "any"}, m.read)
	return s
}

func (m *mirror) note(name string, arguments []byte, header http.Header) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asks = append(m.asks, asked{name, string(arguments), header})
}

// since are the requests after the first skip ones.
func (m *mirror) since(skip int) []asked {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]asked(nil), m.asks[skip:]...)
}

func (m *mirror) echo(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	arguments := bytes.Clone(r.Params.Arguments)
	m.note(r.Params.Name, arguments, r.Extra.Header)
	var said struct{ Text string }
	if err := json.Unmarshal(arguments, &said); err != nil {
		return nil, err
	}
	return &mcp.CallToolResult{
		Content:           []mcp.Content{&mcp.TextContent{Text: said.Text}, &mcp.ImageContent{Data: []byte("png"), MIMEType: "image/png"}},
		StructuredContent: json.RawMessage(arguments), Meta: mcp.Meta{"mirror/n": 1},
	}, nil
}

func (m *mirror) greet(_ context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	arguments, err := json.Marshal(r.Params.Arguments)
	if err != nil {
		return nil, err
	}
	m.note(r.Params.Name, arguments, r.Extra.Header)
	return &mcp.GetPromptResult{Description: "A greeting", Messages: []*mcp.PromptMessage{
		{Role: "user", Content: &mcp.TextContent{
			Text: "Hello, " + r.Params.Arguments["who"], Annotations: &mcp.Annotations{Audience: []mcp.Role{"user"}, Priority: 0.5}, Meta: mcp.Meta{"mirror/n": 1},
		}},
		{Role: "assistant", Content: &mcp.ImageContent{Data: []byte("png"), MIMEType: "image/png"}},
	}}, nil
}

func (m *mirror) read(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	m.note(r.Params.URI, nil, r.Extra.Header)
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{
		{URI: r.Params.URI, MIMEType: "text/plain", Text: "This is " + r.Params.URI, Meta: mcp.Meta{"mirror/n": 1}},
	}}, nil
}

func (m *mirror) close() error {
	err := m.server.Close()
	if served := <-m.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
