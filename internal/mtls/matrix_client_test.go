package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// before says how the session to resume came about.
type before int

const (
	sameTerms    before = iota // under the very terms of the cell: for what is accepted
	otherTime                  // when the certificate was valid
	otherTrust                 // when its CA was trusted
	optionalCert               // when no certificate was required
	goAlone                    // on a server with Go's chain verification and no identity check
	unverified                 // on a server that took any certificate unseen
)

const (
	gatewayName = "CN=mcp-gateway-client,O=MCPGateway"
	caName      = "CN=MCP-Gateway-CA,O=MCPGateway"
	badClient   = `server answered "bad certificate": it refused our certificate (%s, issued by ` + caName + `). ` +
		`Possible causes: it is not for clients (extended key usage); it is a plugin's or a CA's; ` +
		`it is not in the server's allowed_clients; the server demands peer_profile strict`
	outOfDate = `server answered "expired certificate": our certificate (` + gatewayName + `, issued by ` + caName + `), or its CA, ` +
		`is out of date by the server's clock (it is valid from {not_before short} to {not_after short})`
)

func bad(subject string) string { return replaceOne(badClient, "%s", subject) }

// clientCell is one certificate that a client shows, and what comes of it.
type clientCell struct {
	name    string
	show    func(t *testing.T, ca *pkitest.CA) *pkitest.Leaf // nil: none
	profile Profile
	allowed []string

	reason   string // the server's; "" accepts
	client   string // the client's error, in both versions unless client12 is set
	client12 string

	before  before
	resumes bool // the refused connection is itself a resumed one: only VerifyConnection stands in its way
	warns   bool // accepted with a warning
}

func wrongGateway(f pkitest.Fault) func(*testing.T, *pkitest.CA) *pkitest.Leaf {
	return func(t *testing.T, ca *pkitest.CA) *pkitest.Leaf { return ca.Wrong(t, pkitest.GatewaySpec(), f) }
}

func clientCells() []clientCell {
	plugin := func(edit func(*pkitest.Spec)) func(*testing.T, *pkitest.CA) *pkitest.Leaf {
		return func(t *testing.T, ca *pkitest.CA) *pkitest.Leaf {
			s := pkitest.PluginSpec("OtherPlugin")
			edit(&s)
			return ca.Leaf(t, s)
		}
	}
	right := func(t *testing.T, ca *pkitest.CA) *pkitest.Leaf { return ca.Gateway(t) }
	const notAPlugins = "certificate of plugin OtherPlugin: a plugin's certificate never counts as a gateway's"
	return []clientCell{
		{name: "the right one", show: right, resumes: true},
		{
			name: "no certificate", before: optionalCert,
			reason:   "client sent no certificate",
			client:   `server answered "certificate required": it requires a client certificate, and we sent none`,
			client12: `server answered "handshake failure": probably it requires a client certificate (TLS 1.2 does not say so), and we sent none`,
		},
		{
			name: "unknown CA", show: wrongGateway(pkitest.UnknownCA), before: otherTrust,
			reason: "certificate verify failed: unable to get local issuer certificate: ca_bundle holds a CA of the issuer's name, " + caName +
				", with another key: the CA was made anew, and one side still has files of the old one",
			client: `server answered "unknown certificate authority": it does not trust the CA of our certificate (` + gatewayName + `, issued by ` + caName + `)`,
		},
		{
			name: "unknown CA of another name", before: otherTrust,
			show: func(t *testing.T, _ *pkitest.CA) *pkitest.Leaf {
				return pkitest.NewCA(t, pkitest.CAOptions{CN: "stranger"}).Gateway(t)
			},
			reason: "certificate verify failed: unable to get local issuer certificate: issued by CN=stranger,O=MCPGateway; ca_bundle holds " + caName,
			client: `server answered "unknown certificate authority": it does not trust the CA of our certificate (` + gatewayName + `, issued by CN=stranger,O=MCPGateway)`,
		},
		{
			name: "expired", show: wrongGateway(pkitest.Expired), before: otherTime,
			reason: "certificate verify failed: certificate has expired: it was valid until {not_after}, and it is {now}",
			client: outOfDate,
		},
		{
			name: "not yet valid", show: wrongGateway(pkitest.NotYetValid), before: otherTime,
			reason: "certificate verify failed: certificate is not yet valid: it is valid from {not_before}, and it is {now}",
			client: outOfDate,
		},
		{
			name: "wrong EKU", show: wrongGateway(pkitest.WrongEKU), before: unverified,
			reason: "certificate verify failed: unsuitable certificate purpose: it allows 1.3.6.1.5.5.7.3.3, not clientAuth",
			client: bad(gatewayName),
		},
		{
			name: "plugin's server certificate", show: plugin(func(*pkitest.Spec) {}), before: unverified,
			reason: "certificate verify failed: unsuitable certificate purpose: it allows serverAuth, not clientAuth (it is plugin OtherPlugin's)",
			client: bad("CN=mcp-plugin-OtherPlugin,O=MCPGateway"),
		},
		{
			// As the reference makes them: nothing but the name tells it from a gateway's.
			name: "plugin's server certificate without EKU", show: plugin(func(s *pkitest.Spec) { s.EKU = nil }),
			before: goAlone, resumes: true, reason: notAPlugins, client: bad("CN=mcp-plugin-OtherPlugin,O=MCPGateway"),
		},
		{
			name: "plugin by DNS name alone", before: goAlone, resumes: true,
			show:   plugin(func(s *pkitest.Spec) { s.CN, s.EKU, s.URIs = "gateway", nil, nil }),
			reason: notAPlugins, client: bad("CN=gateway,O=MCPGateway"),
		},
		{
			name: "plugin by URI alone", before: goAlone, resumes: true,
			show:   plugin(func(s *pkitest.Spec) { s.CN, s.EKU, s.DNS = "gateway", nil, nil }),
			reason: notAPlugins, client: bad("CN=gateway,O=MCPGateway"),
		},
		{
			name: "plugin by common name alone", before: goAlone, resumes: true,
			show:   plugin(func(s *pkitest.Spec) { s.EKU, s.DNS, s.URIs = nil, nil, nil }),
			reason: notAPlugins, client: bad("CN=mcp-plugin-OtherPlugin,O=MCPGateway"),
		},
		{
			name: "self-signed", show: wrongGateway(pkitest.SelfSigned), before: unverified,
			reason: "certificate verify failed: self-signed certificate: " + gatewayName + " vouches for itself, and is not in ca_bundle",
			client: `server answered "unknown certificate authority": it does not trust the CA of our certificate (` + gatewayName + `, issued by ` + gatewayName + `)`,
		},
		{
			name: "CA as leaf", show: wrongGateway(pkitest.CAAsLeaf), before: goAlone, resumes: true,
			reason: "certificate verify failed: a CA's certificate is not one to connect with: " + caName,
			client: bad(caName),
		},
		{
			name: "CA:TRUE leaf", show: wrongGateway(pkitest.IsCA), before: goAlone, resumes: true,
			reason: "certificate verify failed: a CA's certificate is not one to connect with: " + gatewayName,
			client: bad(gatewayName),
		},
		{
			name: "name not in allowed_clients", show: right, before: goAlone, resumes: true,
			allowed: []string{"other-gateway", "dns:other", "uri:spiffe://mcp.local/other"},
			reason:  "not in allowed_clients", client: bad(gatewayName),
		},
		{
			name: "empty allowed_clients", show: right, before: goAlone, resumes: true,
			allowed: []string{}, reason: "not in allowed_clients", client: bad(gatewayName),
		},
		{name: "allowed by common name", show: right, allowed: []string{"mcp-gateway-client"}, resumes: true},
		{name: "allowed by DNS name", show: right, allowed: []string{"dns:MCP-gateway-client"}, resumes: true},
		{name: "allowed by URI", show: right, allowed: []string{"x", "uri:spiffe://mcp.local/gateway"}, resumes: true},
		{name: "v1 certificate, compat", show: wrongGateway(pkitest.Version1), resumes: true, warns: true},
		{name: "no EKU, compat", show: wrongGateway(pkitest.NoEKU), resumes: true, warns: true},
		{
			name: "v1 certificate, strict", show: wrongGateway(pkitest.Version1), profile: Strict, before: goAlone, resumes: true,
			reason: "certificate verify failed: peer_profile strict: " + gatewayName + ": it has no extended key usage (X.509 v1)",
			client: bad(gatewayName),
		},
	}
}

func TestServerRefusesClientCertificates(t *testing.T) {
	for _, m := range modes() {
		for _, cell := range clientCells() {
			t.Run(m.String()+"/"+cell.name, func(t *testing.T) {
				w := newWorld(t, m)
				terms := w.serverSnapshot(t)
				terms.profile = cell.profile
				var err error
				if terms.allowed, err = parseAllowed(cell.allowed); err != nil {
					t.Fatal(err)
				}
				var leaf *pkitest.Leaf
				var cert *x509.Certificate
				mine := w.clientSnapshot(t)
				mine.material = materialOf(nil, w.ca)
				if cell.show != nil {
					leaf = cell.show(t, w.ca)
					cert = leaf.Cert
					mine.material = materialOf(leaf, w.ca)
				}
				w.client.snap.Store(mine)
				if m.resumed {
					w.admitOnce(t, cell.before, terms, leaf)
				}
				w.server.store(terms)

				want := outcome{serverReason: cell.reason, clientError: cell.client, resumed: m.resumed && cell.resumes}
				if m.version == tls.VersionTLS12 {
					if cell.client12 != "" {
						want.clientError = cell.client12
					}
					if want.clientError != "" { // in TLS 1.2 the refusal comes while dialling
						want.clientError = "connect to SERVER: " + want.clientError
					}
				}
				if want.clientError != "" {
					want.kind = KindTLS
				}
				w.check(t, w.connect(t), want, cert)
				w.checkWarning(t, cell.warns, cert)
			})
		}
	}
}

// admitOnce makes the first connection, under terms that admit the leaf.
func (w *world) admitOnce(t *testing.T, b before, terms *serverSnapshot, leaf *pkitest.Leaf) {
	t.Helper()
	first := *terms
	now := w.clock.Now()
	switch b {
	case sameTerms:
		// as they are
	case otherTime:
		w.clock.set(leaf.Cert.NotBefore.Add(time.Minute))
		defer w.clock.set(now)
	case otherTrust:
		first.trust = newTrust(nil)
		first.trust.pool.AddCert(leaf.Cert) // the leaf itself: whatever its CA
		first.trust.bundle = []*x509.Certificate{leaf.Cert}
	case optionalCert:
		first.clientAuth = CertOptional
	case goAlone, unverified:
	}
	w.server.store(&first)
	if b == goAlone || b == unverified {
		lax := first.config.Clone()
		lax.VerifyConnection = nil
		if b == unverified {
			lax.ClientAuth = tls.RequireAnyClientCert
		}
		first.config = lax
		w.server.snap.Store(&first)
	}
	w.mustConnect(t)
}

// checkWarning: one warning for the certificate, whatever the number of
// connections (resumed modes made two).
func (w *world) checkWarning(t *testing.T, want bool, cert *x509.Certificate) {
	t.Helper()
	if want {
		if o := w.connect(t); o.serverReason != "" {
			t.Errorf("one connection later: %+v", o)
		}
	}
	got := w.server.log.records(t, slog.LevelWarn, "")
	switch {
	case !want && len(got) > 0:
		t.Errorf("warnings: %v", got)
	case want && len(got) != 1:
		t.Errorf("want one warning, got %v", got)
	case want && got[0]["serial"] != cert.SerialNumber.Text(16):
		t.Errorf("the warning does not name the certificate: %v", got[0])
	}
}
