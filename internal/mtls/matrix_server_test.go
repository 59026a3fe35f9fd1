package mtls

import (
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// serverCell is one certificate that a server shows, and what our client
// makes of it.
type serverCell struct {
	name string
	show func(t *testing.T, ca *pkitest.CA) *pkitest.Leaf

	host     string // server_name, or the address dialled; "" means localhost
	noHost   bool   // check_hostname: false
	identity string // "" means MyPlugin
	profile  Profile

	client string // the client's error after "connect to SERVER: "; "" accepts
	kind   Kind
	warns  bool
}

func wrongPlugin(f pkitest.Fault) func(*testing.T, *pkitest.CA) *pkitest.Leaf {
	return func(t *testing.T, ca *pkitest.CA) *pkitest.Leaf {
		return ca.Wrong(t, pkitest.PluginSpec("MyPlugin"), f)
	}
}

const (
	serverName  = "CN=mcp-plugin-MyPlugin,O=MCPGateway"
	allNames    = "dns:MyPlugin, dns:mcp-plugin-MyPlugin, dns:localhost, uri:spiffe://mcp.local/plugin/MyPlugin"
	dialledHost = "127.0.0.1"
)

func serverCells() []serverCell {
	issue := func(s pkitest.Spec) func(*testing.T, *pkitest.CA) *pkitest.Leaf {
		return func(t *testing.T, ca *pkitest.CA) *pkitest.Leaf { return ca.Leaf(t, s) }
	}
	right, other := issue(pkitest.PluginSpec("MyPlugin")), issue(pkitest.PluginSpec("OtherPlugin"))
	withIP := pkitest.PluginSpec("MyPlugin")
	withIP.IPs = []string{dialledHost}
	var both pkitest.Spec
	for _, name := range []string{"OtherPlugin", "MyPlugin"} {
		s := pkitest.PluginSpec(name)
		both.CN, both.EKU, both.DNS, both.URIs = s.CN, s.EKU, append(both.DNS, s.DNS...), append(both.URIs, s.URIs...)
	}
	plain := pkitest.PluginSpec("x") // a server of no plugin: MyPlugin is a host name only
	plain.CN, plain.DNS, plain.URIs = "mcp-plugin-MyPlugin", []string{"localhost", "MyPlugin"}, nil
	byURI := pkitest.PluginSpec("OtherPlugin")
	byURI.DNS = []string{"localhost", "MyPlugin"}
	const (
		mismatch = "certificate verify failed: identity mismatch, the certificate is that of plugin 'OtherPlugin', not of 'MyPlugin'"
		missing  = "certificate verify failed: identity missing, the certificate names no plugin, " +
			"so with check_hostname false nothing shows that it is 'MyPlugin'; it is valid for "
	)
	return []serverCell{
		{name: "the right one", show: right},
		{name: "the right one by address, check_hostname off", show: right, host: dialledHost, noHost: true},
		{name: "the right one among several", show: issue(both)},
		{
			name: "unknown CA", show: wrongPlugin(pkitest.UnknownCA), kind: KindTLS,
			client: "certificate verify failed: unable to get local issuer certificate: ca_bundle holds a CA of the issuer's name, " + caName +
				", with another key: the CA was made anew, and one side still has files of the old one",
		},
		{
			name: "expired", show: wrongPlugin(pkitest.Expired), kind: KindTLS,
			client: "certificate verify failed: certificate has expired: it was valid until {not_after}, and it is {now}",
		},
		{
			name: "not yet valid", show: wrongPlugin(pkitest.NotYetValid), kind: KindTLS,
			client: "certificate verify failed: certificate is not yet valid: it is valid from {not_before}, and it is {now}",
		},
		{
			name: "wrong EKU", show: wrongPlugin(pkitest.WrongEKU), kind: KindTLS,
			client: "certificate verify failed: unsuitable certificate purpose: it allows 1.3.6.1.5.5.7.3.3, not serverAuth",
		},
		{
			name: "gateway's client certificate", show: issue(pkitest.GatewaySpec()), kind: KindTLS,
			client: "certificate verify failed: unsuitable certificate purpose: it allows clientAuth, not serverAuth",
		},
		{name: "another plugin's, check_hostname on", show: other, kind: KindIdentity, client: mismatch},
		{name: "another plugin's, check_hostname off", show: other, noHost: true, kind: KindIdentity, client: mismatch},
		{name: "another plugin's by URI, MyPlugin as host name", show: issue(byURI), noHost: true, kind: KindIdentity, client: mismatch},
		{name: "another plugin's, named in identity", show: other, identity: "OtherPlugin"},
		{name: "another plugin's, identity any", show: other, identity: "any", noHost: true},
		{name: "no plugin's, check_hostname on", show: issue(plain)},
		{
			name: "no plugin's, check_hostname off", show: issue(plain), noHost: true, kind: KindIdentity,
			client: missing + "dns:localhost, dns:MyPlugin",
		},
		{
			name: "self-signed", show: wrongPlugin(pkitest.SelfSigned), kind: KindTLS,
			client: "certificate verify failed: self-signed certificate: " + serverName + " vouches for itself, and is not in ca_bundle",
		},
		{
			name: "CA as leaf", show: wrongPlugin(pkitest.CAAsLeaf), kind: KindTLS,
			client: "certificate verify failed: a CA's certificate is not one to connect with: " + caName,
		},
		{
			name: "CA:TRUE leaf", show: wrongPlugin(pkitest.IsCA), kind: KindTLS,
			client: "certificate verify failed: a CA's certificate is not one to connect with: " + serverName,
		},
		{
			name: "name mismatch", show: right, host: "x", kind: KindIdentity,
			client: "certificate verify failed: Hostname mismatch, certificate is not valid for 'x'; it is valid for " + allNames,
		},
		{
			name: "IP without SAN", show: right, host: dialledHost, kind: KindIdentity,
			client: "certificate verify failed: IP address mismatch, certificate is not valid for '127.0.0.1'; it is valid for " + allNames,
		},
		{name: "IP with SAN", show: issue(withIP), host: dialledHost},
		{
			name: "v1 certificate, compat", show: wrongPlugin(pkitest.Version1), kind: KindIdentity, warns: true,
			client: "certificate verify failed: Hostname mismatch, certificate is not valid for 'localhost'; " +
				"it is valid for nothing: it has no subject alternative name",
		},
		{
			name: "v1 certificate, compat, check_hostname off", show: wrongPlugin(pkitest.Version1), noHost: true, kind: KindIdentity, warns: true,
			client: missing + "nothing: it has no subject alternative name",
		},
		{name: "v1 certificate, compat, identity any", show: wrongPlugin(pkitest.Version1), noHost: true, identity: "any", warns: true},
		{name: "no EKU, compat", show: wrongPlugin(pkitest.NoEKU), warns: true},
		{
			name: "v1 certificate, strict", show: wrongPlugin(pkitest.Version1), noHost: true, identity: "any", profile: Strict, kind: KindTLS,
			client: "certificate verify failed: peer_profile strict: " + serverName + ": it has no extended key usage (X.509 v1)",
		},
	}
}

func TestClientRefusesServerCertificates(t *testing.T) {
	for _, m := range modes() {
		for _, cell := range serverCells() {
			t.Run(m.String()+"/"+cell.name, func(t *testing.T) {
				w := newWorld(t, m)
				leaf := cell.show(t, w.ca)
				shown := w.serverSnapshot(t)
				shown.material = materialOf(leaf, w.ca)
				w.server.store(shown)

				cfg := ClientConfig{
					Verify: true, CheckHostname: !cell.noHost, ServerName: cell.host,
					Plugin: "MyPlugin", Identity: cell.identity, Profile: cell.profile,
				}
				if cfg.ServerName == "" {
					cfg.ServerName = "localhost"
				}
				if cell.host == dialledHost {
					cfg.ServerName = "" // then it is the host that is dialled
				}
				terms := cfg.policy()
				terms.material = w.client.snap.Load().material
				log := &logBook{}
				w.client.warn.log = log.logger(slog.LevelDebug)

				if m.resumed {
					// The session to resume was made when nothing was verified: the
					// laxest of all. With Go's own verification off, Go resumes it too,
					// so that only our VerifyConnection stands in its way.
					lax := *terms
					lax.verify = false
					w.client.snap.Store(&lax)
					now := w.clock.Now()
					if now.After(leaf.Cert.NotAfter) { // Go keeps no session of an expired certificate
						w.clock.set(leaf.Cert.NotBefore)
					}
					w.mustConnect(t)
					w.clock.set(now)
				}
				w.client.snap.Store(terms)

				want := outcome{clientError: cell.client, kind: cell.kind, resumed: m.resumed && cell.name != "expired"}
				if cell.client != "" {
					want.clientError = "connect to SERVER: " + cell.client
					want.serverReason = `client answered "bad certificate": it refused our certificate (host name, identity, purpose or profile)`
					if validity(leaf.Cert, w.clock.Now()) != "" {
						want.serverReason = strings.Replace(cell.client, "certificate verify failed: ", `client answered "bad certificate": own `, 1)
					}
				}
				w.check(t, w.connect(t), want, leaf.Cert)
				if got := log.records(t, slog.LevelWarn, "certificate has no extended key usage"); (len(got) == 1) != cell.warns {
					t.Errorf("warnings: %v", got)
				}
			})
		}
	}
}

// verify: false is the one way to check nothing.
func TestVerifyFalseChecksNothing(t *testing.T) {
	for _, cell := range serverCells() {
		w := newWorld(t, mode{version: tls.VersionTLS13})
		shown := w.serverSnapshot(t)
		shown.material = materialOf(cell.show(t, w.ca), w.ca)
		w.server.store(shown)
		terms := *w.client.snap.Load()
		terms.verify = false
		w.client.snap.Store(&terms)
		w.check(t, w.connect(t), outcome{}, nil)
	}
}
