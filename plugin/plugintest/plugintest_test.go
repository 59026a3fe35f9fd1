package plugintest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/conformance"
	"github.com/sallyport-mcp/sallyport/plugin/plugintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter counts the calls of a request in its state.
type counter struct{ closed *int }

func (c counter) ToolPreInvoke(_ context.Context, p *plugin.ToolPre, pc *plugin.Context) (*plugin.Result, error) {
	var n int
	if _, err := pc.State.Get("n", &n); err != nil {
		return nil, err
	}
	if p.Name == "forbidden" {
		return plugin.Refuse(&plugin.Violation{Reason: "r", Description: "d", Code: "c"}), nil
	}
	return plugin.Continue(), pc.State.Set("n", n+1)
}

func (c counter) Close() error {
	*c.closed++
	return nil
}

func TestStartServesBehindMutualTLS(t *testing.T) {
	closed := 0
	r := plugintest.Start(t, plugin.New(counter{&closed}))
	c := &plugin.Context{}
	for range 2 {
		if got, err := r.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{"name":"t"}`), c); err != nil || !got.Continue {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	if got := string(c.State["n"]); got != "2" {
		t.Errorf("the state is %s, want 2", got)
	}
	if got, err := r.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{"name":"forbidden"}`), nil); err != nil || got.Continue || got.Violation.Code != "c" {
		t.Errorf("got %+v, %v", got, err)
	}
	if hooks := r.Hooks(); len(hooks) != 1 || hooks[0] != plugin.ToolPreInvoke {
		t.Errorf("hooks are %v", hooks)
	}
	if closed != 0 {
		t.Error("Start closed a plugin that is the caller's")
	}
	withoutCertificate(t, r)
}

// withoutCertificate makes sure that the TLS is mutual.
func withoutCertificate(t *testing.T, r *plugintest.Running) {
	t.Helper()
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(r.CABundle)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}).DialContext(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a client without a certificate was let in")
	}
}

func TestTestRunsTheConformanceSuite(t *testing.T) {
	closed := 0
	plugintest.Test(t, func() (plugin.Plugin, error) { return plugin.New(counter{&closed}), nil }, nil)
	if closed != 2 {
		t.Errorf("%d plugins were closed, want 2", closed)
	}
}

// shy logs, and changes payloads that name Grace.
type shy struct {
	log   *slog.Logger
	Other string `json:"other"`
}

func (s *shy) ToolPreInvoke(_ context.Context, p *plugin.ToolPre, _ *plugin.Context) (*plugin.Result, error) {
	s.log.Info("called", "tool", p.Name)
	args, changed, err := plugin.MapStrings(p.Args, func(_ plugin.Path, text string) (string, error) {
		return strings.ReplaceAll(text, "Grace", s.Other), nil
	})
	if err != nil || !changed {
		return plugin.Continue(), err
	}
	p.Args = args
	return plugin.Modified(p)
}

func newShy(c plugin.Config) (plugin.Plugin, error) {
	s := &shy{log: c.Logger, Other: "somebody"}
	return plugin.New(s), c.Decode(s)
}

func TestConfigMakesAPluginThatCanLog(t *testing.T) {
	for config, want := range map[string]string{"": "somebody", `{"other": "nobody"}`: "nobody"} {
		c := plugintest.Config(t, config)
		if c.Name != plugintest.Name {
			t.Errorf("the name is %q", c.Name)
		}
		p, err := newShy(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := plugintest.Start(t, p).Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{"name":"t","args":{"to":"Grace"}}`), nil)
		if err != nil || string(got.ModifiedPayload) != `{"name":"t","args":{"to":"`+want+`"}}` {
			t.Errorf("%s: got %+v, %v", config, got, err)
		}
	}
}

func TestTestTakesPayloads(t *testing.T) {
	var plugins []*watched
	plugintest.Test(t, func() (plugin.Plugin, error) {
		p, err := newShy(plugintest.Config(t, ""))
		w := &watched{Plugin: p}
		plugins = append(plugins, w)
		return w, err
	}, &conformance.Options{Payloads: map[plugin.Hook]string{plugin.ToolPreInvoke: `{"name":"t","args":{"to":"Grace"}}`}})
	for i, w := range plugins {
		if w.changed.Load() == 0 {
			t.Errorf("plugin %d of %d never got the payload", i+1, len(plugins))
		}
	}
}

// watched counts the payloads that its plugin changes.
type watched struct {
	plugin.Plugin
	changed atomic.Int64
}

func (w *watched) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	r, err := w.Plugin.Invoke(ctx, hook, payload, c)
	if r != nil && r.ModifiedPayload != nil {
		w.changed.Add(1)
	}
	return r, err
}
