package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// acceptances tells of each connection that a listener hands out.
type acceptances struct {
	net.Listener
	accepted chan struct{}
}

func (a acceptances) Accept() (net.Conn, error) {
	conn, err := a.Listener.Accept()
	if err == nil {
		a.accepted <- struct{}{}
	}
	return conn, err
}

// Connections that came through the handshake and say nothing give way under
// TLS too: the TLS listener must not turn the new one away before.
func TestSilentTLSConnectionsGiveWay(t *testing.T) {
	s, err := New([]Entry{entry(passes)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.limits.Conns, s.limits.First = 3, 0
	ca := pkitest.NewCA(t)
	cert, key := ca.Plugin(t, "P").Write(t, t.TempDir(), "server")
	secure, err := s.security(&config.Server{TLS: &config.ServerTLS{
		CertFile: config.Value[string]{V: cert}, KeyFile: config.Value[string]{V: key},
		CertReqs: config.Value[int]{V: mtls.CertNone},
	}})
	if err != nil {
		t.Fatal(err)
	}
	l := acceptances{secure.Listen(listenLoopback(t)), make(chan struct{}, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	connect := func() *tls.Conn {
		c := tls.Client(dial(t, l.Addr().String()), &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		<-l.accepted // not before the next: handshakes end in any order
		return c
	}
	for range 20 {
		connect()
	}
	if a := answers(t, connect(), healthRequest); a.status != http.StatusOK {
		t.Errorf("status %d", a.status)
	}
}
