package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// newSDKServer is a real server, as anybody writes one.
func newSDKServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "sdk", Version: "1"}, &mcp.ServerOptions{Instructions: "be kind"})
	type in struct {
		Text string `json:"text"`
	}
	mcp.AddTool(s, &mcp.Tool{Name: "greet"}, func(ctx context.Context, r *mcp.CallToolRequest, a in) (*mcp.CallToolResult, any, error) {
		if token := r.Params.GetProgressToken(); token != nil {
			_ = r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: 1, Message: "half"})
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "hello " + a.Text}}}, nil, nil
	})
	s.AddPrompt(&mcp.Prompt{Name: "p"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: "hi"}}}}, nil
	})
	s.AddResource(&mcp.Resource{URI: "memo://a", Name: "a"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "memo://a", Text: "note"}}}, nil
	})
	return s
}

// TestSDKServers talks to real servers of both eras over both transports.
func TestSDKServers(t *testing.T) {
	overHTTP := func(o *mcp.StreamableHTTPOptions) func(t *testing.T) Config {
		return func(t *testing.T) Config {
			s := newSDKServer()
			srv := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, o))
			t.Cleanup(srv.Close)
			return Config{URL: srv.URL}
		}
	}
	for name, c := range map[string]struct {
		config func(t *testing.T) Config
		era    wire.Era
	}{
		"modern, events": {overHTTP(&mcp.StreamableHTTPOptions{Stateless: true}), wire.Modern},
		"modern, JSON":   {overHTTP(&mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true}), wire.Modern},
		"legacy, events": {overHTTP(&mcp.StreamableHTTPOptions{}), wire.Legacy},
		"legacy, JSON":   {overHTTP(&mcp.StreamableHTTPOptions{JSONResponse: true}), wire.Legacy},
		"stdio":          {func(t *testing.T) Config { return spawn(t, "sdk") }, wire.Modern},
	} {
		t.Run(name, func(t *testing.T) {
			u := start(t, c.config(t), Options{})
			ctx := within(t)
			info, err := u.Info(ctx)
			if err != nil || info.Era != c.era || info.Instructions != "be kind" {
				t.Fatalf("info %+v, error %v", info, err)
			}
			var notes []string
			answer, err := u.Do(ctx, Call{
				Method: wire.MethodToolsCall, Name: "greet", Params: json.RawMessage(`{"name":"greet","arguments":{"text":"you"},"_meta":{"progressToken":"tok"}}`),
				Notify: func(m json.RawMessage) { notes = append(notes, string(m)) },
			})
			if err != nil || answer.Error != nil || !strings.Contains(string(answer.Result), `"hello you"`) {
				t.Fatalf("answer %+v, error %v", answer, err)
			}
			if !strings.Contains(name, "JSON") && (len(notes) != 1 || !strings.Contains(notes[0], `"progressToken":"tok"`)) {
				t.Errorf("notifications %v", notes)
			}
			for _, c := range []struct{ method, name, params, want string }{
				{"tools/list", "", `{}`, `"name":"greet"`},
				{"prompts/list", "", ``, `"name":"p"`},
				{"prompts/get", "p", `{"name":"p"}`, `"text":"hi"`},
				{"resources/list", "", ``, `"memo://a"`},
				{"resources/templates/list", "", ``, `[]`},
				{"resources/read", "memo://a", `{"uri":"memo://a"}`, `"note"`},
			} {
				answer, err := u.Do(ctx, Call{Method: c.method, Name: c.name, Params: json.RawMessage(c.params)})
				if err != nil || answer.Error != nil || !strings.Contains(string(answer.Result), c.want) {
					t.Errorf("%s: answer %+v, error %v", c.method, answer, err)
				}
			}
			answer, err = u.Do(ctx, tool("none", `{"name":"none"}`))
			if err != nil || answer.Error == nil {
				t.Errorf("unknown tool: answer %+v, error %v", answer, err)
			}
			answer, err = u.Do(ctx, Call{Method: "no/such"})
			if strings.HasPrefix(name, "legacy") { // it answers 400 and no JSON-RPC error
				if e, ok := errors.AsType[*Error](err); !ok || e.Kind != BadAnswer {
					t.Errorf("unknown method: error %v", err)
				}
			} else if err != nil || answer.Error == nil || answer.Error.Code != wire.CodeMethodNotFound {
				t.Errorf("unknown method: answer %+v, error %v", answer, err)
			}
			if diff := cmp.Diff(true, u.State().Up); diff != "" {
				t.Error(diff)
			}
		})
	}
}
