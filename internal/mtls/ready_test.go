package mtls

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// A server is ready while its certificate and one CA are valid.
func TestReady(t *testing.T) {
	clk, dir := newClock(), t.TempDir()
	now := clk.Now()
	ca := pkitest.NewCA(t, pkitest.CAOptions{NotAfter: now.Add(48 * time.Hour)})
	spec := pkitest.PluginSpec("P")
	spec.NotAfter = now.Add(24 * time.Hour)
	cert, key := ca.Leaf(t, spec).Write(t, dir, "server")
	s, err := NewServer(ServerConfig{CertFile: cert, KeyFile: key, CABundle: ca.Write(t, dir), ClientAuth: CertRequired}, &Options{Now: clk.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(); err != nil {
		t.Errorf("at first: %v", err)
	}
	clk.set(now.Add(25 * time.Hour))
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "own certificate has expired") || strings.Contains(err.Error(), filepath.Base(dir)) {
		t.Errorf("after the certificate: %v", err)
	}

	spec.NotAfter = now.Add(100 * time.Hour)
	cert, key = ca.Leaf(t, spec).Write(t, dir, "long")
	clk.set(now)
	s, err = NewServer(ServerConfig{CertFile: cert, KeyFile: key, CABundle: filepath.Join(dir, "ca.crt"), ClientAuth: CertRequired}, &Options{Now: clk.Now})
	if err != nil {
		t.Fatal(err)
	}
	clk.set(now.Add(50 * time.Hour))
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "every CA in the bundle has expired") {
		t.Errorf("after the CA: %v", err)
	}
}
