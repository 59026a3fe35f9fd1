package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// Second locks: crypto/tls stands before each of these, so a handshake cannot
// show that ours holds too.

func TestResumedChainsAreBuiltAnew(t *testing.T) {
	old, now := pkitest.NewCA(t), pkitest.NewCA(t)
	leaf := old.Gateway(t).Cert
	o := (*Options)(nil).filled()
	s := newServer(&serverSnapshot{material: materialOf(now.Plugin(t, "P"), now), clientAuth: CertRequired}, o)
	cs := tls.ConnectionState{
		DidResume: true, PeerCertificates: []*x509.Certificate{leaf},
		VerifiedChains: [][]*x509.Certificate{{leaf, old.Cert}}, // as the ticket remembers
	}
	if err := s.verifyClient(s.snap.Load(), cs); err == nil || !strings.Contains(err.Error(), "the CA was made anew") {
		t.Errorf("a chain to a CA that is no longer trusted: %v", err)
	}
}

func TestNoCertificateIsRefusedTwice(t *testing.T) {
	ca := pkitest.NewCA(t)
	o := (*Options)(nil).filled()
	s := newServer(&serverSnapshot{material: materialOf(ca.Plugin(t, "P"), ca), clientAuth: CertRequired}, o)
	if err := s.verifyClient(s.snap.Load(), tls.ConnectionState{}); err == nil {
		t.Error("required, not there, and accepted")
	}
	gateway := ca.Gateway(t).Cert
	if err := s.verifyClient(s.snap.Load(), tls.ConnectionState{PeerCertificates: []*x509.Certificate{gateway}}); err == nil {
		t.Error("a certificate without a verified chain was accepted")
	}
	c := testClient(ca, nil, Options{})
	if _, err := c.verifyServer(c.snap.Load(), tls.ConnectionState{}, "localhost", "localhost:1"); err == nil {
		t.Error("a server without certificate was accepted")
	}
}

func TestChainsFollowTheClockTheyAreGiven(t *testing.T) {
	ca := pkitest.NewCA(t)
	leaf := ca.Plugin(t, "MyPlugin").Cert
	trusted := newTrust([]*x509.Certificate{ca.Cert})
	for want, now := range map[string]time.Time{
		"": leaf.NotAfter, "not yet valid": leaf.NotBefore.Add(-time.Second), "has expired": leaf.NotAfter.Add(time.Second),
	} {
		_, err := trusted.chains([]*x509.Certificate{leaf}, serverRole, now)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("at %v: %v, want %q", now, err, want)
		}
	}
}

// A pool that is nil would be read as the system's roots.
func TestNoPoolTrustsNobody(t *testing.T) {
	leaf := pkitest.NewCA(t).Plugin(t, "MyPlugin").Cert
	if _, err := (&trust{}).chains([]*x509.Certificate{leaf}, serverRole, leaf.NotBefore); err == nil || err.Error() != "no CA bundle is loaded" {
		t.Errorf("no pool: %v", err)
	}
	o := (*Options)(nil).filled()
	for auth := CertNone; auth <= CertRequired; auth++ {
		snap := &serverSnapshot{material: materialOf(pkitest.NewCA(t).Plugin(t, "P")), clientAuth: auth}
		snap.trust = trust{}
		s := newServer(snap, o)
		if cfg := s.snap.Load().config; auth != CertNone && cfg.ClientCAs == nil {
			t.Errorf("ssl_cert_reqs %d: clients are verified by the system's roots", auth)
		}
	}
}

// What both roles' configurations must and must not hold.
func TestConfigurations(t *testing.T) {
	ca := pkitest.NewCA(t)
	o := (*Options)(nil).filled()
	s := newServer(&serverSnapshot{material: materialOf(ca.Plugin(t, "P"), ca), clientAuth: CertRequired}, o)
	c := testClient(ca, ca.Gateway(t), Options{})
	for name, cfg := range map[string]*tls.Config{
		"server": s.snap.Load().config, "client": c.config(c.snap.Load(), "localhost", "localhost:1", new(time.Time)),
	} {
		switch {
		case cfg.MinVersion != tls.VersionTLS12:
			t.Errorf("%s: MinVersion %x", name, cfg.MinVersion)
		case cfg.MaxVersion != 0:
			t.Errorf("%s: MaxVersion %x", name, cfg.MaxVersion)
		case cfg.CurvePreferences != nil:
			t.Errorf("%s: CurvePreferences are set", name)
		case !cfg.SessionTicketsDisabled:
			t.Errorf("%s: session tickets by default", name)
		case cfg.VerifyConnection == nil:
			t.Errorf("%s: no VerifyConnection", name)
		}
		for _, id := range cfg.CipherSuites {
			if text := tls.CipherSuiteName(id); !strings.HasPrefix(text, "TLS_ECDHE_") || !strings.Contains(text, "GCM") && !strings.Contains(text, "POLY1305") {
				t.Errorf("%s: suite %s", name, text)
			}
		}
		if len(cfg.CipherSuites) == 0 {
			t.Errorf("%s: Go's own suites, CBC among them", name)
		}
	}
}

// A stranger's certificate is not verified yet when it is logged.
func TestHostileCertificateTextIsTamed(t *testing.T) {
	ca := pkitest.NewCA(t)
	s := pkitest.Spec{CN: "a\x1b[2Jb\n\u202elevel=ERROR", URIs: []string{"spiffe://x/" + strings.Repeat("y", 5000)}}
	for range 100 {
		s.DNS = append(s.DNS, "n")
	}
	p := peerOf(ca.Leaf(t, s).Cert)
	if strings.ContainsAny(p.Subject, "\x1b\n\u202e") {
		t.Errorf("subject %q", p.Subject)
	}
	if len(p.SANs) != maxSANs+1 || p.SANs[maxSANs] != "and 81 more" {
		t.Errorf("%d SANs, the last %q", len(p.SANs), p.SANs[len(p.SANs)-1])
	}
	s.DNS = nil
	if p := peerOf(ca.Leaf(t, s).Cert); len(p.SANs[0]) > maxText+20 {
		t.Errorf("a SAN of %d bytes", len(p.SANs[0]))
	}
	if got := printableN("äöü", 3); got != "ä…" {
		t.Errorf("cut to %q", got)
	}
}

// Names read as the certs commands print them: in their own order.
func TestNamesKeepTheirOrder(t *testing.T) {
	var name pkix.Name
	for _, part := range []struct {
		oid   int
		value string
	}{{3, "mcp-plugin-P"}, {10, "MCPGateway"}, {11, "Plugins, all"}} {
		name.ExtraNames = append(name.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, part.oid}, Value: part.value})
	}
	spec := pkitest.PluginSpec("P")
	spec.Subject = &name
	p := peerOf(pkitest.NewCA(t).Leaf(t, spec).Cert)
	if p.Subject != `CN=mcp-plugin-P,O=MCPGateway,OU=Plugins\, all` || p.Issuer != "CN=MCP-Gateway-CA,O=MCPGateway" {
		t.Errorf("subject %s, issuer %s", p.Subject, p.Issuer)
	}
}
