package gateway

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// rig is what mutual TLS between a gateway and its plugin servers needs.
type rig struct {
	ca                *pkitest.CA
	dir               string
	bundle, cert, key string // the gateway's
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{ca: pkitest.NewCA(t), dir: t.TempDir()}
	r.bundle = r.ca.Write(t, r.dir)
	r.cert, r.key = r.ca.Gateway(t).Write(t, r.dir, "client")
	return r
}

// address reserves a port on which nobody listens for now.
func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start starts a plugin server with the certificate of leaf at addr and returns
// what stops it.
func (r *rig) start(t *testing.T, addr string, leaf *pkitest.Leaf, entries ...server.Entry) (stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	// A server of ours would refuse to start with some of these certificates.
	pool := r.ca.Pool()
	tlsListener := tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{leaf.TLS()}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})
	s, err := server.New(entries, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, tlsListener) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// remote is the client of plugin P at addr.
func (r *rig) remote(t *testing.T, addr string, hooks ...plugin.Hook) *remote.Plugin {
	t.Helper()
	c, err := mtls.NewClient(mtls.ClientConfig{CertFile: r.cert, KeyFile: r.key, CABundle: r.bundle, Verify: true, Plugin: "P"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := remote.New(remote.Config{Name: "P", URL: "https://" + addr + "/mcp", TLS: c, Hooks: hooks}, &remote.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}
