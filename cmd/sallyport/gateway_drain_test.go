package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// The end of the command lets a call in flight finish, upstream and plugins
// included, and takes no new one.
func TestGatewayDrains(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m, err := wire.Parse(body, 1<<20)
		if err != nil {
			t.Error(err)
			return
		}
		result := `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":60000}`
		switch m.Method {
		case wire.MethodToolsList:
			result = `{"resultType":"complete","tools":[{"name":"slow","inputSchema":{"type":"object"}}],"ttlMs":60000}`
		case wire.MethodToolsCall:
			close(entered)
			<-release
			result = `{"resultType":"complete","content":[{"type":"text","text":"crap at last"}]}`
		}
		w.Header().Set("Content-Type", wire.MediaJSON)
		_, _ = w.Write(wire.AppendResult(nil, m.ID, []byte(result)))
	}))
	defer up.Close()
	file := filepath.Join(t.TempDir(), "sallyport.yaml")
	text := fmt.Sprintf(`{listen: "127.0.0.1:0", upstreams: {up: {url: %q}}, plugins: [{name: P, kind: search_replace, hooks: [tool_post_invoke], config: {words: [{search: crap, replace: nice}]}}]}`, up.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	log, stderr := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"gateway", "--config", file, "--log-format", "json"}, strings.NewReader(""), io.Discard, stderr)
		stderr.Close()
	}()
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(log); s.Scan(); {
			lines <- s.Text()
		}
	}()
	wait := func(msg string) (line map[string]any) {
		for text := range lines {
			if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == msg {
				return line
			}
		}
		t.Fatalf("the log ended without %q", msg)
		return nil
	}
	addr, _ := wait("listening")["addr"].(string)
	body := make(chan string, 1)
	go func() { body <- callSlow(t, addr) }()
	<-entered
	cancel()
	wait("shutting down")
	for deadline := time.Now().Add(startLimit); ; { // the listener closes just after the log says so
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			break
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("new connections are still taken")
		}
	}
	close(release)
	if got := <-body; !strings.Contains(got, "nice at last") {
		t.Errorf("the call in flight: %s", got)
	}
	if call := wait("call"); call["outcome"] != "ok" {
		t.Errorf("log: %v", call)
	}
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for range lines { // lets its reader end
	}
}

func callSlow(t *testing.T, addr string) string {
	params := `{"name":"slow","_meta":{"` + wire.MetaRevision + `":"2026-07-28","` + wire.MetaCapabilities + `":{}}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+params+`}`))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Content-Type", wire.MediaJSON)
	wire.SetModern(req.Header, wire.Revision2026_07, wire.MethodToolsCall, "slow")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}
