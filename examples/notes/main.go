// Command notes is a small MCP server on the official Go SDK: something real to
// put behind the gateway. It keeps notes in memory and serves stdio, or HTTP
// with -http.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func main() {
	address := flag.String("http", "", "address to serve Streamable HTTP on, such as 127.0.0.1:9101; empty means stdio")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(ctx, *address, log); err != nil {
		log.Error("notes", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address string, log *slog.Logger) error {
	server := newServer(log)
	if address == "" {
		return server.Run(ctx, &mcp.StdioTransport{})
	}
	// Stateless serves all revisions of MCP: nothing here needs a session.
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})
	mux := http.NewServeMux()
	mux.Handle("/mcp", handler)
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	log.Info("listening", "addr", listener.Addr().String())
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = web.Close() })
	if err := web.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}

// notes is what the server keeps.
type notes struct {
	log *slog.Logger

	mu   sync.Mutex
	text []string
}

type note struct {
	Text string `json:"text" jsonschema:"what to write down"`
}

// newServer makes a server with one prompt, one resource and two tools. Each
// tool call is logged, so that one can see what reached it.
func newServer(log *slog.Logger) *mcp.Server {
	n := &notes{log: log}
	server := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "write", Description: "Write a note down"}, n.write)
	mcp.AddTool(server, &mcp.Tool{Name: "read", Description: "Read all notes"}, n.read)
	server.AddPrompt(&mcp.Prompt{
		Name: "summarize", Description: "Ask for a summary of the notes",
		Arguments: []*mcp.PromptArgument{{Name: "style", Description: "how to write it"}},
	}, n.summarize)
	server.AddResource(&mcp.Resource{URI: "notes://all", Name: "all notes", MIMEType: "text/plain"}, n.resource)
	return server
}

func (n *notes) write(_ context.Context, _ *mcp.CallToolRequest, in note) (*mcp.CallToolResult, any, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text = append(n.text, in.Text)
	n.log.Info("called", "tool", "write", "text", in.Text)
	return text(fmt.Sprintf("note %d: %s", len(n.text), in.Text)), nil, nil
}

func (n *notes) read(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
	n.log.Info("called", "tool", "read")
	return text(n.all()), nil, nil
}

func (n *notes) summarize(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	ask := "Summarize these notes, " + req.Params.Arguments["style"] + ":\n" + n.all()
	return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: ask}}}}, nil
}

func (n *notes) resource(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: req.Params.URI, MIMEType: "text/plain", Text: n.all()}}}, nil
}

func (n *notes) all() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.text, "\n")
}

func text(s string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s}}}
}
