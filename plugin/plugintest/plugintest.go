// Package plugintest helps to test plugins: [Config] is what a plugin is made
// of, [Start] runs one behind real mutual TLS, as a gateway would find it, and
// [Test] checks it against the protocol.
//
//	func TestConformance(t *testing.T) {
//		plugintest.Test(t, func() (plugin.Plugin, error) {
//			return newHello(plugintest.Config(t, `{"greeting": "Hi"}`))
//		}, nil)
//	}
//
// Certificates are made for the test and thrown away with it.
package plugintest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/conformance"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// Name is the name of the plugin on the server that [Start] starts.
const Name = "Plugin"

// Config is the configuration of a plugin with [Name]: config is what a plugin
// file has under `config:`, as JSON; empty stands for {}. What the plugin logs
// goes to the test's log, until the test ends.
func Config(tb testing.TB, config string) plugin.Config {
	tb.Helper()
	if config == "" {
		config = "{}"
	}
	return plugin.Config{
		Name: Name, Raw: json.RawMessage(config), Logger: slog.New(slog.NewTextHandler(tb.Output(), nil)),
	}
}

// Running is a plugin on a plugin server of its own, and a client of it. It
// implements [plugin.Plugin]: its Invoke goes over the network.
type Running struct {
	// URL is the server's endpoint.
	URL string

	// CertFile, KeyFile and CABundle are PEM files with which a gateway may
	// call it. They are there until the test ends.
	CertFile, KeyFile, CABundle string

	client *remote.Plugin
}

var _ plugin.Plugin = (*Running)(nil)

// Start serves p on a port of the loopback interface that the system chooses,
// behind mutual TLS, until the test ends. What the server logs goes to the
// test's log. Start does not close p.
func Start(tb testing.TB, p plugin.Plugin) *Running {
	tb.Helper()
	dir := tb.TempDir()
	ca := pkitest.NewCA(tb)
	r := &Running{CABundle: ca.Write(tb, dir)}
	r.CertFile, r.KeyFile = ca.Gateway(tb).Write(tb, dir, "gateway")
	certFile, keyFile := ca.Plugin(tb, Name).Write(tb, dir, "server")
	security, err := mtls.NewServer(mtls.ServerConfig{
		CertFile: certFile, KeyFile: keyFile, CABundle: r.CABundle, ClientAuth: mtls.CertRequired,
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(tb.Output(), nil))
	s, err := server.New([]server.Entry{{Name: Name, Kind: "plugintest", Priority: 100, Plugin: p}}, &server.Options{Logger: log})
	if err != nil {
		tb.Fatal(err)
	}
	var listen net.ListenConfig
	l, err := listen.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	r.URL = "https://localhost:" + port + "/mcp"
	// Not tb.Context: that ends before the clean-up, which the client's goes
	// before.
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, security.Listen(l)) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("serving the plugin: %v", err)
		}
	})
	r.connect(tb)
	return r
}

// connect makes the client.
func (r *Running) connect(tb testing.TB) {
	tb.Helper()
	tls, err := mtls.NewClient(mtls.ClientConfig{
		CertFile: r.CertFile, KeyFile: r.KeyFile, CABundle: r.CABundle, Verify: true, CheckHostname: true, Plugin: Name,
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if r.client, err = remote.New(remote.Config{Name: Name, URL: r.URL, TLS: tls}, nil); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.client.Close() }) // nothing is left to lose
	if _, err := r.client.Describe(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// Hooks lists the hooks that the server declares.
func (r *Running) Hooks() []plugin.Hook { return r.client.Hooks() }

// Invoke runs one hook over the network. A nil c is a fresh context; one that
// is given holds afterwards what a gateway would carry to the next hook.
func (r *Running) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	return r.client.Invoke(ctx, hook, payload, c)
}

// Test checks plugins that newPlugin makes against the protocol: one in this
// process, and one behind mutual TLS. Each broken rule fails a subtest of its
// name; what is only a pity is logged. A plugin that is an [io.Closer] is closed.
// A nil o is the zero value; its Payloads are worth giving for a plugin that
// changes few payloads.
func Test(t *testing.T, newPlugin func() (plugin.Plugin, error), o *conformance.Options) {
	t.Helper()
	create := func(t *testing.T) plugin.Plugin {
		t.Helper()
		p, err := newPlugin()
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := p.(io.Closer); ok {
			t.Cleanup(func() {
				if err := c.Close(); err != nil {
					t.Errorf("closing the plugin: %v", err)
				}
			})
		}
		return p
	}
	t.Run("in process", func(t *testing.T) {
		report(t, conformance.Plugin(t.Context(), create(t), o))
	})
	t.Run("over mutual TLS", func(t *testing.T) {
		r := Start(t, create(t))
		results, err := conformance.Server(t.Context(), conformance.Target{
			URL: r.URL, Plugin: Name, TLS: &conformance.TLS{CertFile: r.CertFile, KeyFile: r.KeyFile, CABundle: r.CABundle},
		}, o)
		report(t, results)
		if err != nil {
			t.Error(err)
		}
	})
}

func report(t *testing.T, results []conformance.Result) {
	t.Helper()
	for _, r := range results {
		t.Run(r.Name(), func(t *testing.T) {
			switch r.Status {
			case conformance.Pass:
			case conformance.Fail:
				t.Error(r.Detail)
			case conformance.Warn, conformance.Skip:
				t.Logf("%s: %s", r.Status, r.Detail)
			}
		})
	}
}
