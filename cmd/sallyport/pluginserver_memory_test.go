package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// idleLimit is what a plugin server may occupy when it is idle, in bytes.
const idleLimit = 30 << 20

// TestPluginServerMemory measures the released binary over mutual TLS: idle,
// after 10,000 hook calls, and under clients that mean harm.
func TestPluginServerMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	if testing.Short() {
		t.Skip("builds the binary and makes 12,000 calls")
	}
	pki := scriptPKI(t)
	server, addr := startBuilt(t, pki)
	resident := func() int64 { return residentBytes(t, server.cmd.Process.Pid) }

	idle := resident()
	t.Logf("idle: %.1f MB", mb(idle))
	if idle > idleLimit {
		t.Errorf("%d bytes resident when idle, limit %d", idle, idleLimit)
	}

	client, config := gatewayClient(t, pki)
	hookCalls(t, client, addr, 2000)
	warm := resident()
	hookCalls(t, client, addr, 10_000)
	client.CloseIdleConnections()
	after := resident()
	t.Logf("after 2,000 calls: %.1f MB, after 10,000 more: %.1f MB", mb(warm), mb(after))
	if after > warm+6<<20 || after > idleLimit {
		t.Errorf("%d bytes resident after 10,000 calls, %d before", after, warm)
	}

	end := attack(t, addr, config)
	attacked := resident()
	t.Logf("under 300 silent connections, 300 half-open handshakes and a header of up to 1 GB: %.1f MB", mb(attacked))
	if attacked > after+32<<20 {
		t.Errorf("%d bytes resident under attack, %d before", attacked, after)
	}
	hookCalls(t, client, addr, 10) // and it still serves
	client.CloseIdleConnections()

	end()
	deadline := time.Now().Add(time.Minute)
	for resident() > idleLimit && time.Now().Before(deadline) {
		<-time.After(100 * time.Millisecond)
	}
	calm := resident()
	t.Logf("some time after: %.1f MB", mb(calm))
	if calm > idleLimit {
		t.Errorf("%d bytes resident a minute after the attack, limit %d", calm, idleLimit)
	}
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }

// startBuilt builds the command as it is released and starts its plugin server.
func startBuilt(t *testing.T, pki string) (server *scriptServer, addr string) {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "grpcnotrace", "-o", filepath.Join(dir, "sallyport"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "plugins.yaml")
	text := "plugins: [{name: P, kind: search_replace, config: {words: [{search: crap, replace: crud}]}}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := startServer([]string{
		"PATH=" + dir, "PLUGINS_SERVER_PORT=0", "PLUGINS_SERVER_SSL_ENABLED=true",
		"PLUGINS_SERVER_SSL_CERTFILE=" + filepath.Join(pki, "server.crt"), "PLUGINS_SERVER_SSL_KEYFILE=" + filepath.Join(pki, "server.key"),
		"PLUGINS_SERVER_SSL_CA_CERTS=" + filepath.Join(pki, "ca.crt"),
	}, dir, []string{"plugin-server", "--config", file, "--log-format", "json"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.kill)
	select {
	case line := <-server.listening:
		addr, _ = line["addr"].(string)
	case <-server.ended:
		t.Fatalf("the server ended (%v) and said:\n%s", server.err, server.log.String())
	case <-time.After(startLimit):
		t.Fatal("the server does not listen")
	}
	return server, addr
}

// residentBytes reads what a process occupies.
func residentBytes(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	t.Fatal("no VmRSS in /proc/PID/status")
	return 0
}

func gatewayClient(t *testing.T, pki string) (*http.Client, *tls.Config) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(pki, "gateway.crt"), filepath.Join(pki, "gateway.key"))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 16}, Timeout: time.Minute}, config
}

// hookCalls makes n hook calls from 8 callers.
func hookCalls(t *testing.T, client *http.Client, addr string, n int) {
	t.Helper()
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"invoke_hook","arguments":{"hook_type":"tool_pre_invoke","plugin_name":"P",` +
		`"payload":{"name":"t","args":{"q":"` + strings.Repeat("crap ", 150) + `"}},"context":{"global_context":{"request_id":"1"}}}}}`
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range (n + 7) / 8 {
				resp, err := client.Post("https://"+addr+"/mcp", "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || !strings.Contains(string(text), "crud crud") {
					t.Errorf("answer %s, error %v", text, err)
					return
				}
			}
		})
	}
	callers.Wait()
}

// attack leaves connections in every state that costs the server something: no
// request after the handshake, half a handshake, half a header, and a header
// that does not end until the server has had enough. end closes them.
func attack(t *testing.T, addr string, config *tls.Config) (end func()) {
	t.Helper()
	var open []net.Conn
	keep := func(conn net.Conn, err error) net.Conn {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	for i := range 300 {
		half := keep(net.Dial("tcp", addr))
		_, _ = half.Write([]byte{22, 3, 1, 2, 0, 1, 0}) // the start of a ClientHello
		silent := tls.Client(keep(net.Dial("tcp", addr)), config)
		// The listener may be busy with the half-open ones and close this one:
		// that is an answer, too.
		if err := silent.Handshake(); err == nil && i%2 == 0 {
			_, _ = io.WriteString(silent, "POST /mcp HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		}
	}
	endless := tls.Client(keep(net.Dial("tcp", addr)), config)
	_, err := io.WriteString(endless, "POST /mcp HTTP/1.1\r\nHost: x\r\nX: ")
	chunk := strings.Repeat("x", 1<<20)
	for sent := 0; err == nil && sent < 1<<30; sent += len(chunk) {
		_, err = io.WriteString(endless, chunk)
	}
	if err == nil {
		t.Error("a header of 1 GB was taken")
	}
	return func() {
		for _, conn := range open {
			conn.Close()
		}
	}
}
