package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// guideFiles is the guide's tree for one plugin, in a folder.
func guideFiles(t *testing.T, ca *pkitest.CA) (server ServerConfig, client ClientConfig) {
	t.Helper()
	dir := t.TempDir()
	bundle := ca.Write(t, dir)
	serverCert, serverKey := ca.Plugin(t, "MyPlugin").Write(t, dir, "server")
	clientCert, clientKey := ca.Gateway(t).Write(t, dir, "client")
	return ServerConfig{CertFile: serverCert, KeyFile: serverKey, CABundle: bundle, ClientAuth: CertRequired},
		ClientConfig{CertFile: clientCert, KeyFile: clientKey, CABundle: bundle, Verify: true, Plugin: "MyPlugin"}
}

func TestGuideSetupConnects(t *testing.T) {
	serverCfg, clientCfg := guideFiles(t, pkitest.NewCA(t))
	for _, profile := range []Profile{Compat, Strict} {
		o, r := newOptions(Options{})
		serverCfg.Profile, clientCfg.Profile = profile, profile
		s, err := NewServer(serverCfg, o)
		if err != nil {
			t.Fatal(err)
		}
		start(t, s, r)
		clientLog := &logBook{}
		c, err := NewClient(clientCfg, &Options{Logger: clientLog.logger(slog.LevelDebug)})
		if err != nil {
			t.Fatal(err)
		}
		cs, err := exchange(t.Context(), c, r.addr)
		if err != nil {
			t.Fatalf("%s: %v\n%s", profile, err, r.log)
		}
		// CurvePreferences unset means the hybrid group is in use.
		if p := PeerInfo(cs); p.Version != "TLS 1.3" || p.Group != "X25519MLKEM768" || p.Resumed ||
			p.Subject != "CN=mcp-plugin-MyPlugin,O=MCPGateway" || !slices.Contains(p.SANs, "uri:spiffe://mcp.local/plugin/MyPlugin") {
			t.Errorf("%s: peer %v", profile, p)
		}
		if i := r.next(t); i.Err != nil || i.Peer.Subject != "CN=mcp-gateway-client,O=MCPGateway" {
			t.Errorf("%s: the server saw %v, %v", profile, i.Peer, i.Err)
		}
		for side, log := range map[string]*logBook{"server": r.log, "client": clientLog} {
			if warnings := log.records(t, slog.LevelWarn, ""); len(warnings) > 0 {
				t.Errorf("%s %s warns: %v", profile, side, warnings)
			}
			if n := len(log.records(t, slog.LevelDebug, "TLS handshake")); n != 1 {
				t.Errorf("%s %s logged %d handshakes at DEBUG:\n%s", profile, side, n, log)
			}
		}
		for _, want := range []string{"subject", "issuer", "sans", "serial", "not_before", "not_after", "tls", "cipher", "group", "resumed"} {
			peer := r.log.records(t, slog.LevelDebug, "TLS handshake")[0]["peer"].(map[string]any)
			if _, ok := peer[want]; !ok {
				t.Errorf("the handshake's log lacks %s: %v", want, peer)
			}
		}
	}
}

// A tree of the guide's reference: a CA without key usage, a v1 client
// certificate, a server certificate without EKU.
func TestReferencesTreeConnects(t *testing.T) {
	ca := pkitest.NewCA(t, pkitest.CAOptions{Edit: func(c *x509.Certificate) { c.KeyUsage = 0 }})
	dir := t.TempDir()
	bundle := ca.Write(t, dir)
	serverCert, serverKey := ca.Wrong(t, pkitest.PluginSpec("MyPlugin"), pkitest.NoEKU).Write(t, dir, "server")
	clientCert, clientKey := ca.Wrong(t, pkitest.GatewaySpec(), pkitest.Version1).Write(t, dir, "client")
	for _, profile := range []Profile{Compat, Strict} {
		o, r := newOptions(Options{})
		s, err := NewServer(ServerConfig{CertFile: serverCert, KeyFile: serverKey, CABundle: bundle, ClientAuth: CertRequired}, o)
		if err != nil {
			t.Fatal(err)
		}
		start(t, s, r)
		log := &logBook{}
		c, err := NewClient(ClientConfig{
			CertFile: clientCert, KeyFile: clientKey, CABundle: bundle, Verify: true, Plugin: "MyPlugin", Profile: profile,
		}, &Options{Logger: log.logger(slog.LevelInfo)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = exchange(t.Context(), c, r.addr)
		if profile == Strict {
			if err == nil || !strings.HasSuffix(err.Error(), "peer_profile strict: CN=mcp-plugin-MyPlugin,O=MCPGateway: it has no extended key usage (X.509 v3)") {
				t.Errorf("strict: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, r.log)
		}
		for side, got := range map[string][]map[string]any{
			"server": r.log.records(t, slog.LevelWarn, "certificate has no extended key usage (X.509 v1)"),
			"client": log.records(t, slog.LevelWarn, "certificate has no extended key usage (X.509 v3)"),
		} {
			if len(got) != 1 {
				t.Errorf("%s: want one warning, got %v", side, got)
			}
		}
	}
}

// A CA between root and leaves: the bundle holds the root alone, each side
// sends what lies between.
func TestIntermediatesComeFromThePeer(t *testing.T) {
	root := pkitest.NewCA(t)
	between := pkitest.NewCA(t, pkitest.CAOptions{CN: "between", Parent: root})
	serverCfg, clientCfg := guideFiles(t, between)
	bundle := root.Write(t, t.TempDir())
	serverCfg.CABundle, clientCfg.CABundle = bundle, bundle
	serverCfg.Profile, clientCfg.Profile = Strict, Strict
	o, r := newOptions(Options{})
	s, err := NewServer(serverCfg, o)
	if err != nil {
		t.Fatal(err)
	}
	start(t, s, r)
	c, err := NewClient(clientCfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exchange(t.Context(), c, r.addr); err != nil {
		t.Errorf("%v\n%s", err, r.log)
	}
	if got := r.log.records(t, slog.LevelWarn, ""); len(got) != 0 {
		t.Errorf("warnings: %v", got)
	}
	// Without it the root does not vouch for the leaf.
	snap := *c.snap.Load()
	alone := *snap.cert
	alone.Certificate = alone.Certificate[:1]
	snap.cert = &alone
	c.snap.Store(&snap)
	_, err = exchange(t.Context(), c, r.addr)
	if err == nil || !strings.Contains(err.Error(), "does not trust the CA") {
		t.Errorf("a chain with a gap: %v", err)
	}
}

func TestOldProtocolsAreRefused(t *testing.T) {
	ca := pkitest.NewCA(t)
	serverCfg, _ := guideFiles(t, ca)
	gateway := ca.Gateway(t)
	o, r := newOptions(Options{})
	s, err := NewServer(serverCfg, o)
	if err != nil {
		t.Fatal(err)
	}
	start(t, s, r)
	for name, c := range map[string]struct {
		cfg    *tls.Config
		reason string
	}{
		"TLS 1.1": {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "client offered only unsupported versions: [302 301]"},
		"CBC in TLS 1.2": {
			&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}},
			"no cipher suite supported by both client and server; client offered: [c023]",
		},
		"no forward secrecy": {
			&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
			"no cipher suite supported by both client and server; client offered: [9c]",
		},
	} {
		cfg := c.cfg.Clone()
		cfg.InsecureSkipVerify = true
		cfg.Certificates = []tls.Certificate{gateway.TLS()}
		if conn, err := tls.Dial("tcp", r.addr, cfg); err == nil {
			_ = conn.Close()
			t.Errorf("%s: accepted", name)
		}
		if i := r.next(t); i.Err == nil || !strings.Contains(i.Err.Error(), c.reason) {
			t.Errorf("%s: the server says %v", name, i.Err)
		}
	}
}
