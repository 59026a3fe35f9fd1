package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// polite refuses tool calls that do not say please.
type polite struct{}

func (polite) Hooks() []plugin.Hook { return []plugin.Hook{plugin.ToolPreInvoke} }

func (polite) Invoke(_ context.Context, _ plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
	if bytes.Contains(payload, []byte("please")) {
		return plugin.Continue(), nil
	}
	return plugin.Refuse(&plugin.Violation{Reason: "Not polite", Description: "say please", Code: "POLITE"}), nil
}

// A program's main function, which reads plugin file, environment and flags as
// `sallyport plugin-server` does, is one call of [server.Main]. A [server.Server]
// serves plugins that the program makes itself, as here.
func ExampleServer() {
	s, err := server.New([]server.Entry{{Name: "Polite", Plugin: polite{}}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()

	call := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"invoke_hook","arguments":{
		"hook_type":"tool_pre_invoke","plugin_name":"Polite","payload":{"name":"door","args":{"say":"open"}},
		"context":{"global_context":{"request_id":"1"}}}}}`
	transport := &http.Transport{}
	resp, err := (&http.Client{Transport: transport}).Post("http://"+l.Addr().String()+"/mcp", "application/json", bytes.NewBufferString(call))
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	transport.CloseIdleConnections()
	fmt.Println(string(text))

	stop()
	fmt.Println(<-ended)
	// Output:
	// {"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"plugin_name\":\"Polite\",\"result\":{\"continue_processing\":false,\"violation\":{\"reason\":\"Not polite\",\"description\":\"say please\",\"code\":\"POLITE\",\"details\":{},\"mcp_error_code\":null}}}"}],"isError":false}}
	// <nil>
}
