package mtls

import (
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// peerOfLife is what a peer shows: a leaf of a CA, each with its own life, and
// perhaps a certificate that has nothing to do with them and has expired.
type peerOfLife struct {
	ca, leaf time.Duration
	stray    bool
}

func (p peerOfLife) make(t *testing.T, spec pkitest.Spec) (*pkitest.CA, tls.Certificate) {
	ca := pkitest.NewCA(t, pkitest.CAOptions{NotAfter: time.Now().Add(p.ca)})
	spec.NotAfter = time.Now().Add(p.leaf)
	shown := ca.Leaf(t, spec).TLS()
	if p.stray {
		old := pkitest.NewCA(t, pkitest.CAOptions{CN: "old", NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
		shown.Certificate = append(shown.Certificate, old.Cert.Raw)
	}
	return ca, shown
}

// A connection ends when nothing vouches for the peer any more, and not before:
// that the CA's certificate expires counts though no peer sends it, and what a
// peer sends beside its chain does not.
func TestAConnectionLastsAsLongAsItsChain(t *testing.T) {
	for name, c := range map[string]struct {
		peer peerOfLife
		want time.Duration
	}{
		"the leaf ends first":            {peerOfLife{5 * time.Hour, 3 * time.Hour, false}, 3 * time.Hour},
		"the CA ends first":              {peerOfLife{2 * time.Hour, 3 * time.Hour, false}, 2 * time.Hour},
		"an expired certificate beside":  {peerOfLife{5 * time.Hour, 3 * time.Hour, true}, 3 * time.Hour},
		"one beside, the CA ends first:": {peerOfLife{2 * time.Hour, 3 * time.Hour, true}, 2 * time.Hour},
	} {
		t.Run("client, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca, shown := c.peer.make(t, pkitest.GatewaySpec())
				opt, _ := newOptions(Options{MaxAge: -1})
				s := newServer(&serverSnapshot{material: materialOf(pkitest.NewCA(t).Plugin(t, "P"), ca), clientAuth: CertRequired}, opt.filled())
				p := newPipes()
				serveEcho(t, s.Listen(p))
				conn := tls.Client(p.dial(), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{shown}})
				if _, err := conn.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				if took := closed(conn); took != c.want {
					t.Errorf("the server closed it after %v, want %v", took, c.want)
				}
			})
		})
		t.Run("server, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca, shown := c.peer.make(t, pkitest.PluginSpec("MyPlugin"))
				p := newPipes()
				serveEcho(t, tls.NewListener(p, &tls.Config{Certificates: []tls.Certificate{shown}}))
				client := testClient(ca, nil, Options{})
				timed := &timedConn{Conn: p.dial()}
				conn := tls.Client(timed, client.config(client.snap.Load(), "localhost", "localhost:1", &timed.until))
				if err := conn.HandshakeContext(t.Context()); err != nil {
					t.Fatal(err)
				}
				timed.expire(conn, time.Now())
				if took := closed(conn); took != c.want {
					t.Errorf("the client closed it after %v, want %v", took, c.want)
				}
			})
		})
	}
}

// A client in Go calls an expired certificate "bad": the server's log says
// what is wrong with it.
func TestARefusedExpiredCertificateIsNamed(t *testing.T) {
	ca := pkitest.NewCA(t)
	now := newClock()
	o, r := newOptions(Options{Now: now.Now})
	r = start(t, newServer(&serverSnapshot{material: materialOf(ca.Plugin(t, "MyPlugin"), ca), clientAuth: CertRequired}, o.filled()), r)
	now.set(now.Now().Add(48 * time.Hour))
	if _, err := exchange(t.Context(), testClient(ca, ca.Gateway(t), Options{Now: now.Now}), r.addr); err == nil {
		t.Fatal("an expired certificate was accepted")
	}
	r.next(t)
	lines := r.log.records(t, slog.LevelInfo, "refused a TLS connection")
	if len(lines) != 1 || !strings.HasPrefix(lines[0]["reason"].(string), `client answered "bad certificate": own certificate has expired: it was valid until `) {
		t.Errorf("log: %v", lines)
	}
}

// The moment from which on nobody can connect is in the log, once.
func TestTheEndIsAnnounced(t *testing.T) {
	for name, c := range map[string]struct {
		peer peerOfLife
		want time.Duration
		says string
	}{
		"the certificate ends first": {peerOfLife{5 * time.Hour, 3 * time.Hour, false}, 3 * time.Hour, "own certificate has expired"},
		"the CA ends first":          {peerOfLife{2 * time.Hour, 3 * time.Hour, false}, 2 * time.Hour, "every CA in the bundle has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				spec := pkitest.PluginSpec("P")
				ca := pkitest.NewCA(t, pkitest.CAOptions{NotAfter: time.Now().Add(c.peer.ca)})
				spec.NotAfter = time.Now().Add(c.peer.leaf)
				opt, r := newOptions(Options{})
				s := newServer(&serverSnapshot{material: materialOf(ca.Leaf(t, spec), ca), clientAuth: CertRequired}, opt.filled())
				serveEcho(t, s.Listen(newPipes()))
				<-time.After(c.want)
				if got := r.log.records(t, slog.LevelError, ""); len(got) != 0 {
					t.Errorf("too early: %v", got)
				}
				<-time.After(10 * time.Hour)
				got := r.log.records(t, slog.LevelError, "no client can connect any more")
				if len(got) != 1 || !strings.HasPrefix(got[0]["reason"].(string), c.says) {
					t.Errorf("log: %s", r.log)
				}
			})
		})
	}
}
