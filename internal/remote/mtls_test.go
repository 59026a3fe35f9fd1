package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// counting is a plugin that counts how often its hook runs.
type counting struct{ ran *atomic.Int32 }

func (c counting) Hooks() []plugin.Hook { return []plugin.Hook{plugin.ToolPreInvoke} }

func (c counting) Invoke(_ context.Context, _ plugin.Hook, _ json.RawMessage, pc *plugin.Context) (*plugin.Result, error) {
	n := c.ran.Add(1)
	return plugin.Continue(), pc.State.Set("ran", n)
}

// deployment is our plugin server behind mutual TLS, with what its client needs.
type deployment struct {
	t      *testing.T
	ca     *pkitest.CA
	dir    string
	config string
	ran    atomic.Int32
	addr   string
	stop   context.CancelFunc
	ended  chan error
}

func deploy(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{t: t, ca: pkitest.NewCA(t), dir: t.TempDir(), addr: "127.0.0.1:0"}
	cert, key := d.ca.Plugin(t, "P").Write(t, d.dir, "server")
	d.config = filepath.Join(d.dir, "plugins.yaml")
	text := fmt.Sprintf("plugins: [{name: P, kind: counting}]\nserver_settings:\n  tls: {certfile: %s, keyfile: %s, ca_bundle: %s}\n", cert, key, d.ca.Write(t, d.dir))
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start()
	t.Cleanup(func() { d.end() })
	return d
}

func (d *deployment) start() {
	d.t.Helper()
	host, port, err := net.SplitHostPort(d.addr)
	if err != nil {
		d.t.Fatal(err)
	}
	env := map[string]string{"PLUGINS_SERVER_HOST": host, "PLUGINS_SERVER_PORT": port, "PLUGINS_SERVER_HEALTH_PORT": "0", "PLUGINS_TRANSPORT": "http"}
	watch := &watcher{Handler: slog.DiscardHandler, listening: make(chan string, 1)}
	ctx, stop := context.WithCancel(context.Background())
	d.stop, d.ended = stop, make(chan error, 1)
	go func() {
		d.ended <- server.Run(ctx, server.RunOptions{
			Kinds: []plugin.Kind{{Name: "counting", Hooks: []plugin.Hook{plugin.ToolPreInvoke}, New: func(plugin.Config) (plugin.Plugin, error) {
				return counting{&d.ran}, nil
			}}},
			ConfigPath: d.config, Logger: slog.New(watch),
			Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		})
	}()
	select {
	case d.addr = <-watch.listening:
	case err := <-d.ended:
		d.t.Fatalf("the plugin server ended: %v", err)
	}
}

// end stops the server like SIGTERM does.
func (d *deployment) end() {
	d.t.Helper()
	d.stop()
	if err := <-d.ended; err != nil {
		d.t.Errorf("the plugin server ended with %v", err)
	}
}

func (d *deployment) client(leaf *pkitest.Leaf, change ...func(*mtls.ClientConfig)) *Plugin {
	d.t.Helper()
	cert, key := leaf.Write(d.t, d.t.TempDir(), "client")
	cfg := mtls.ClientConfig{CertFile: cert, KeyFile: key, CABundle: filepath.Join(d.dir, "ca.crt"), Verify: true, Plugin: "P"}
	for _, f := range change {
		f(&cfg)
	}
	secure, err := mtls.NewClient(cfg, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return client(d.t, "https://"+d.addr, func(c *Config, _ *Options) { c.TLS = secure })
}

// watcher tells of the log line that says where the server listens.
type watcher struct {
	slog.Handler
	listening chan string
}

func (w *watcher) Enabled(context.Context, slog.Level) bool { return true }

func (w *watcher) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "listening" {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "addr" {
				w.listening <- a.Value.String()
			}
			return a.Key != "addr"
		})
	}
	return nil
}

func (w *watcher) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w *watcher) WithGroup(string) slog.Handler      { return w }

// TestARestartOverMutualTLSCostsNoCall is acceptance 12: our server ends and
// starts again between rounds of calls, with a pool of connections that all
// die, each with a TLS close_notify first.
func TestARestartOverMutualTLSCostsNoCall(t *testing.T) {
	const rounds, callers = 10, 16
	d := deploy(t)
	p := d.client(d.ca.Gateway(t))
	for round := range rounds {
		for _, err := range parallel(t, p, callers) {
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		d.end()
		d.start()
	}
	if n := d.ran.Load(); n != rounds*callers {
		t.Errorf("%d hooks ran for %d calls", n, rounds*callers)
	}
}

// TestCallsDuringARestart: a call may fail while the server is away, and only
// as one that found nobody; no hook runs twice.
func TestCallsDuringARestart(t *testing.T) {
	d := deploy(t)
	p := d.client(d.ca.Gateway(t))
	var failed, passed atomic.Int32
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, err := range parallel(t, p, 4) {
				if err != nil {
					failed.Add(1)
					wantKind(t, err, Unreachable, "")
				} else {
					passed.Add(1)
				}
			}
		}
	}()
	for range 5 {
		d.end()
		d.start()
	}
	close(stop)
	<-stopped
	if ran := d.ran.Load(); ran < passed.Load() || ran > passed.Load()+failed.Load() {
		t.Errorf("%d hooks ran for %d calls that passed and %d that failed", ran, passed.Load(), failed.Load())
	}
	if _, err := invoke(t, p, `{}`); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestStateComesBackOverMutualTLS(t *testing.T) {
	d := deploy(t)
	p := d.client(d.ca.Gateway(t))
	c := &plugin.Context{}
	if _, err := p.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{"name":"t"}`), c); err != nil {
		t.Fatal(err)
	}
	if string(c.State["ran"]) != "1" {
		t.Errorf("state is %s", c.State)
	}
	info, err := p.Describe(t.Context())
	if err != nil || info.Kind != "counting" || len(p.Hooks()) != 1 {
		t.Errorf("Describe = %+v, %v; hooks %v", info, err, p.Hooks())
	}
}

// TestARefusedCertificateIsExplained: in TLS 1.3 the refusal comes after the
// request has been sent. It must neither be lost nor taken for another era.
func TestARefusedCertificateIsExplained(t *testing.T) {
	d := deploy(t)
	base := pkitest.Spec{CN: "mcp-gateway-client", DNS: []string{"mcp-gateway-client"}, EKU: d.ca.Gateway(t).Cert.ExtKeyUsage}
	p := d.client(d.ca.Wrong(t, base, pkitest.UnknownCA))
	for range 30 {
		_, err := invoke(t, p, `{}`)
		wantKind(t, err, TLS, `"unknown certificate authority"`)
		if len(hint.Of(err)) == 0 {
			t.Fatal("no hint")
		}
	}
	large := `{"text":"` + strings.Repeat("x", 500_000) + `"}` // the write cannot finish before the refusal
	_, err := invoke(t, p, large)
	wantKind(t, err, TLS, `"unknown certificate authority"`)
	if n := d.ran.Load(); n != 0 {
		t.Errorf("%d hooks ran", n)
	}
}

func TestAnotherServerIsNotGivenThePayload(t *testing.T) {
	d := deploy(t)
	for name, tt := range map[string]struct {
		change func(*mtls.ClientConfig)
		kind   Kind
		text   string
	}{
		"another plugin": {func(c *mtls.ClientConfig) { c.Plugin = "Q" }, Identity, "identity mismatch, the certificate is that of plugin 'P', not of 'Q'"},
		"host name":      {func(c *mtls.ClientConfig) { c.CheckHostname = true }, Identity, "IP address mismatch, certificate is not valid for '127.0.0.1'"},
		"unknown CA":     {func(c *mtls.ClientConfig) { c.CABundle = pkitest.NewCA(t).Write(t, t.TempDir()) }, TLS, "certificate verify failed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := invoke(t, d.client(d.ca.Gateway(t), tt.change), `{}`)
			wantKind(t, err, tt.kind, tt.text)
		})
	}
	if n := d.ran.Load(); n != 0 {
		t.Errorf("%d hooks ran", n)
	}
}

// TestASilentServer accepts connections and never says a word.
func TestASilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ca := pkitest.NewCA(t)
	secure, err := mtls.NewClient(mtls.ClientConfig{CABundle: ca.Write(t, t.TempDir()), Verify: true, Plugin: "P"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config, *Options){
		"handshake": func(c *Config, o *Options) { c.TLS, o.DialTimeout = secure, 50*time.Millisecond },
		"call":      func(c *Config, _ *Options) { c.TLS, c.Timeout = secure, 50*time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := invoke(t, client(t, "https://"+l.Addr().String(), change), `{}`)
			wantKind(t, err, Timeout, "no answer")
		})
	}
}
