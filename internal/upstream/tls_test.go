package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

func TestTLS(t *testing.T) {
	ca := pkitest.NewCA(t)
	leaf := ca.Leaf(t, pkitest.Spec{CN: "up", DNS: []string{"localhost"}, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	srv := httptest.NewUnstartedServer(&scripted{t: t, answer: modern(func(w http.ResponseWriter, r *got) { send(w, r, hard) })})
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{leaf.TLS()}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	byName := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	trusting, err := mtls.NewClient(mtls.ClientConfig{CABundle: ca.Write(t, t.TempDir()), Verify: true, CheckHostname: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	u := start(t, Config{URL: byName, TLS: trusting}, Options{})
	if got := call(t, u, "a", `{"name":"a"}`); got != hard {
		t.Errorf("result %s", got)
	}
	_, plainURL := serve(t, modern(nil))
	for name, c := range map[string]struct {
		cfg  Config
		kind Kind
		text string
	}{
		"unknown CA":           {Config{URL: byName}, TLS, "certificate verify failed"},
		"another host":         {Config{URL: srv.URL, TLS: trusting}, Identity, "127.0.0.1"},
		"https to a plain one": {Config{URL: strings.Replace(plainURL, "http:", "https:", 1)}, TLS, ""},
		"http to a TLS one":    {Config{URL: "http:" + strings.TrimPrefix(srv.URL, "https:")}, TLS, "speaks TLS"},
		"nobody there":         {Config{URL: "https://127.0.0.1:1/"}, Unreachable, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			u := start(t, c.cfg, Options{})
			_, err := u.Do(within(t), tool("a", `{"name":"a"}`))
			checkError(t, err, c.kind, c.text)
			if hints := strings.Join(hint.Of(err), "\n"); strings.Contains(hints, "plugin") {
				t.Errorf("an upstream is no plugin server: %s", hints)
			}
			if st := u.State(); st.Up || st.Err == nil {
				t.Errorf("state %+v", st)
			}
		})
	}
}
