package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// The end of the context lets a call in flight finish; meanwhile /readyz says
// that the server goes, and no new connection is taken.
func TestServeDrains(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s, err := New([]Entry{entry(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		close(entered)
		<-release
		return plugin.Continue(), nil
	})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mcp, probes := listenLoopback(t), listenLoopback(t)
	h := &health{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.serveAll(ctx, s.front(mcp, &face{s, h, false}, false), s.probes(probes, h), h)
	}()
	silent := dial(t, mcp.Addr().String()) // would hold up http.Server.Shutdown for 5 s
	got := make(chan answer)
	go func() { got <- post(t, "http://"+mcp.Addr().String(), hookMessage(`{}`, testContext)) }()
	<-entered
	cancel()
	isClosed(t, silent)
	if a := send(t, "GET", "http://"+probes.Addr().String()+"/readyz", ""); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "shutting down") {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	if a := send(t, "GET", "http://"+probes.Addr().String()+"/livez", ""); a.status != http.StatusOK {
		t.Errorf("livez: %d %s", a.status, a.body)
	}
	if conn, err := net.Dial("tcp", mcp.Addr().String()); err == nil {
		conn.Close()
		t.Error("a new connection was taken")
	}
	close(release)
	if a := <-got; a.status != http.StatusOK || !a.closes {
		t.Errorf("the call in flight: %d, closes %v", a.status, a.closes)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A call that does not end is given up after the drain time.
func TestServeDoesNotDrainForever(t *testing.T) {
	entered := make(chan struct{})
	log := &logLines{}
	s, err := New([]Entry{entry(func(ctx context.Context, _ plugin.Hook, _ json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	})}, &Options{DrainTimeout: 50 * time.Millisecond, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	l := listenLoopback(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	go func() {
		resp, err := client(t).Post("http://"+l.Addr().String()+"/mcp", "application/json", strings.NewReader(hookMessage(`{}`, testContext)))
		if err == nil {
			resp.Body.Close()
		}
	}()
	<-entered
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "shut down with calls in flight") {
		t.Errorf("log:\n%s", log)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for i := range 2 { // the second start finds the socket of the first, which was killed
		l, err := listenUnix(t.Context(), path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("start %d: %v", i, err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, error %v", info.Mode(), err)
		}
		if _, err := listenUnix(t.Context(), path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another process serves it") {
			t.Errorf("a second server: error %v", err)
		}
		if i == 0 {
			l.(*unixListener).Listener.Close() // as a kill does: the socket stays
			continue
		}
		l.Close()
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket stays after Close: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(t.Context(), path, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("over a file: error %v", err)
	}
	if _, err := listenUnix(t.Context(), filepath.Join(t.TempDir(), strings.Repeat("x", 100), "s"), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a folder that is not there")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".s*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestServeOnAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := listenUnix(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New([]Entry{entry(passes)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if resp := answers(t, conn, "GET /health HTTP/1.1\r\nHost: anything\r\n\r\n"); resp.status != http.StatusOK {
		t.Errorf("status %d", resp.status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket stays: %v", err)
	}
}

func TestChooseTransport(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	said := config.Value[string]{V: "stdio", Source: config.Source{Env: "PLUGINS_TRANSPORT"}}
	for name, c := range map[string]struct {
		cfg           config.Server
		stdin, stdout any
		want, why     string
	}{
		"said":                        {config.Server{Transport: said, HTTPAsked: true}, file, file, "stdio", "env PLUGINS_TRANSPORT says so"},
		"http asked for":              {config.Server{HTTPAsked: true}, reader, writer, "http", "ask for it"},
		"two pipes":                   {config.Server{}, reader, writer, "stdio", "are pipes"},
		"stdin a file":                {config.Server{}, file, writer, "http", "not both pipes"},
		"stdout a file":               {config.Server{}, reader, file, "http", "not both pipes"},
		"no files at all (embedding)": {config.Server{}, strings.NewReader(""), writer, "http", "not both pipes"},
	} {
		got, why := chooseTransport(&c.cfg, c.stdin, c.stdout)
		if got != c.want || !strings.Contains(why, c.why) {
			t.Errorf("%s: %s because %s, want %s because %s", name, got, why, c.want, c.why)
		}
	}
}

func TestLegacyMode(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"", ""}: "enforce", {"enforce", ""}: "enforce", {"sequential", "fail"}: "enforce", {"sequential", "ignore"}: "enforce_ignore_error",
		{"concurrent", ""}: "enforce", {"enforce_ignore_error", ""}: "enforce_ignore_error", {"permissive", ""}: "permissive",
		{"transform", ""}: "permissive", {"audit", "fail"}: "permissive", {"fire_and_forget", ""}: "permissive", {"disabled", ""}: "disabled",
	} {
		if got := LegacyMode(in[0], in[1]); got != want {
			t.Errorf("mode %q, on_error %q: %q, want %q", in[0], in[1], got, want)
		}
	}
}

// A server whose certificate has expired is alive and healthy, but not ready.
func TestNotReady(t *testing.T) {
	h := &health{ready: func() string { return `own certificate has expired: "x"` }}
	for path, want := range map[string]string{
		"/readyz": `503 {"status":"not ready","reason":"own certificate has expired: \"x\""}`,
		"/livez":  `200 {"status":"alive"}`,
		"/health": `200 {"status":"healthy"}`,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if got := fmt.Sprintf("%d %s", w.Code, w.Body); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
