package plugintest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/url"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/sallyport-mcp/sallyport/plugin"
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
	plugintest.Test(t, func() (plugin.Plugin, error) { return plugin.New(counter{&closed}), nil })
	if closed != 2 {
		t.Errorf("%d plugins were closed, want 2", closed)
	}
}
