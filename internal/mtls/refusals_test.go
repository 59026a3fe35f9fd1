package mtls

import (
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/keyfile"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// source names a field as the configuration would: with where it came from.
func source(field string) string { return "<" + field + ">" }

// refusalFiles are pairs and bundles, right and wrong, in one folder.
type refusalFiles struct {
	t   *testing.T
	dir string
	ca  *pkitest.CA
}

func newRefusalFiles(t *testing.T) *refusalFiles {
	return &refusalFiles{t, t.TempDir(), pkitest.NewCA(t)}
}

func (f *refusalFiles) put(name string, data []byte, mode os.FileMode) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, data, mode); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		f.t.Fatal(err)
	}
	return path
}

func (f *refusalFiles) leaf(l *pkitest.Leaf, name string) (certFile, keyFile string) {
	return l.Write(f.t, f.dir, name)
}

func (f *refusalFiles) server() ServerConfig {
	certFile, keyFile := f.leaf(f.ca.Plugin(f.t, "P"), "server")
	return ServerConfig{CertFile: certFile, KeyFile: keyFile, CABundle: f.ca.Write(f.t, f.dir), ClientAuth: CertRequired, Name: source}
}

func (f *refusalFiles) client() ClientConfig {
	certFile, keyFile := f.leaf(f.ca.Gateway(f.t), "client")
	return ClientConfig{CertFile: certFile, KeyFile: keyFile, CABundle: f.ca.Write(f.t, f.dir), Verify: true, Plugin: "P", Name: source}
}

// refusal is what a fault in the configuration must say. {dir} is the folder.
type wantRefusal struct {
	text string
	hint string // a part of one of the hints; "" wants none in particular
}

func (w wantRefusal) check(t *testing.T, f *refusalFiles, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	if got := strings.ReplaceAll(err.Error(), f.dir, "{dir}"); !strings.Contains(got, w.text) {
		t.Errorf("got  %s\nwant %s", got, w.text)
	}
	if hints := strings.Join(hint.Of(err), "\n"); !strings.Contains(hints, w.hint) {
		t.Errorf("hints %q, want %q", hints, w.hint)
	}
}

func TestServerRefusesToStart(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*refusalFiles, *ServerConfig)
		want  wantRefusal
	}{
		"1 neither certificate nor key": {
			func(_ *refusalFiles, c *ServerConfig) { c.CertFile, c.KeyFile, c.CABundle = "", "", "" },
			wantRefusal{"TLS is on, but neither <certfile> nor <keyfile> is set", "certs plugin"},
		},
		"2 a CA alone": {
			func(_ *refusalFiles, c *ServerConfig) { c.CertFile, c.KeyFile = "", "" },
			wantRefusal{"<ca_bundle> is set, but neither <certfile> nor <keyfile>", "certs plugin"},
		},
		"3 a certificate without key": {
			func(_ *refusalFiles, c *ServerConfig) { c.KeyFile = "" },
			wantRefusal{"<certfile> is set without <keyfile>", "certs plugin"},
		},
		"3 a key without certificate": {
			func(_ *refusalFiles, c *ServerConfig) { c.CertFile = "" },
			wantRefusal{"<keyfile> is set without <certfile>", "certs plugin"},
		},
		"7 required without a bundle": {
			func(_ *refusalFiles, c *ServerConfig) { c.CABundle = "" },
			wantRefusal{"<ssl_cert_reqs> is 2, but <ca_bundle> is not set", "ca.crt"},
		},
		"7 optional without a bundle": {
			func(_ *refusalFiles, c *ServerConfig) { c.CABundle, c.ClientAuth = "", CertOptional },
			wantRefusal{"<ssl_cert_reqs> is 1, but <ca_bundle> is not set", "ca.crt"},
		},
		"7 the system's roots for clients": {
			func(_ *refusalFiles, c *ServerConfig) { c.CABundle = "system" },
			wantRefusal{"<ca_bundle>: system is for clients: the system's roots cannot say which clients are yours", "ca.crt"},
		},
		"8 three": {
			func(_ *refusalFiles, c *ServerConfig) { c.ClientAuth = 3 },
			wantRefusal{"<ssl_cert_reqs>: 3 is none of 0, 1, 2", "2 requires"},
		},
		"8 minus one": {
			func(_ *refusalFiles, c *ServerConfig) { c.ClientAuth = -1 },
			wantRefusal{"<ssl_cert_reqs>: -1 is none of 0, 1, 2", "2 requires"},
		},
		"9 another's key": {
			func(f *refusalFiles, c *ServerConfig) { _, c.KeyFile = f.leaf(f.ca.Plugin(f.t, "P"), "other") },
			wantRefusal{"<certfile> and <keyfile>: certificate {dir}/server.crt and private key {dir}/other.key: the private key does not belong", "certs check"},
		},
		"9 wrong password": {
			func(f *refusalFiles, c *ServerConfig) {
				c.KeyFile, c.KeyPassword = f.encrypted(c.CertFile), []byte("wrong")
			},
			wantRefusal{"<keyfile_password>: reading the private key: {dir}/encrypted.key: the ENCRYPTED PRIVATE KEY of line 1: wrong password", ""},
		},
		"9 no password": {
			func(f *refusalFiles, c *ServerConfig) { c.KeyFile = f.encrypted(c.CertFile) },
			wantRefusal{"<keyfile_password>: reading the private key: {dir}/encrypted.key: the ENCRYPTED PRIVATE KEY of line 1: it is encrypted and there is no password", "set <keyfile_password>"},
		},
		"9 empty bundle": {
			func(f *refusalFiles, c *ServerConfig) { c.CABundle = f.put("empty.crt", nil, 0o644) },
			wantRefusal{"<ca_bundle>: reading certificates: {dir}/empty.crt", ""},
		},
		"9 a leaf as bundle": {
			func(_ *refusalFiles, c *ServerConfig) { c.CABundle = c.CertFile },
			wantRefusal{"<ca_bundle>: {dir}/server.crt: CN=mcp-plugin-P,O=MCPGateway is not a CA", "not those of servers"},
		},
		"9 a version 1 leaf as bundle": {
			func(f *refusalFiles, c *ServerConfig) {
				c.CABundle, _ = f.leaf(f.ca.Wrong(f.t, pkitest.GatewaySpec(), pkitest.Version1), "v1")
			},
			wantRefusal{"<ca_bundle>: {dir}/v1.crt: CN=mcp-gateway-client,O=MCPGateway is not a CA", "not those of servers"},
		},
		"9 no certificate file": {
			func(f *refusalFiles, c *ServerConfig) { c.CertFile = filepath.Join(f.dir, "none.crt") },
			wantRefusal{"<certfile>: reading certificates: open {dir}/none.crt: no such file", ""},
		},
		"9 no key file": {
			func(f *refusalFiles, c *ServerConfig) { c.KeyFile = filepath.Join(f.dir, "none.key") },
			wantRefusal{"<keyfile>: reading the private key: open {dir}/none.key: no such file", ""},
		},
		"9 no bundle file": {
			func(f *refusalFiles, c *ServerConfig) { c.CABundle = filepath.Join(f.dir, "none.crt") },
			wantRefusal{"<ca_bundle>: reading certificates: open {dir}/none.crt: no such file", ""},
		},
		"9 a gateway's certificate": {
			func(f *refusalFiles, c *ServerConfig) { c.CertFile, c.KeyFile = f.leaf(f.ca.Gateway(f.t), "gateway") },
			wantRefusal{"<certfile>: {dir}/gateway.crt: own certificate allows clientAuth, not serverAuth", "certs plugin"},
		},
		"10 a key that others can read": {
			func(f *refusalFiles, c *ServerConfig) { _ = os.Chmod(c.KeyFile, 0o644) },
			wantRefusal{"<keyfile>: reading the private key: {dir}/server.key: others can read it", "defaultMode: 0440"},
		},
		"11 expired": {
			func(f *refusalFiles, c *ServerConfig) {
				c.CertFile, c.KeyFile = f.leaf(f.ca.Wrong(f.t, pkitest.PluginSpec("P"), pkitest.Expired), "old")
			},
			wantRefusal{"<certfile>: {dir}/old.crt: own certificate has expired: it was valid until ", "certs renew"},
		},
		"11 not yet valid": {
			func(f *refusalFiles, c *ServerConfig) {
				c.CertFile, c.KeyFile = f.leaf(f.ca.Wrong(f.t, pkitest.PluginSpec("P"), pkitest.NotYetValid), "new")
			},
			wantRefusal{"<certfile>: {dir}/new.crt: own certificate is not yet valid: it is valid from ", "clock"},
		},
		"an unknown profile": {
			func(_ *refusalFiles, c *ServerConfig) { c.Profile = "lax" },
			wantRefusal{`<peer_profile>: "lax" is neither compat nor strict`, ""},
		},
		"a broken allow list": {
			func(_ *refusalFiles, c *ServerConfig) { c.AllowedClients = []string{"a", "dns:"} },
			wantRefusal{`<allowed_clients>: entry 2: "dns:" names nothing`, ""},
		},
		"an allow list that nobody is asked by": {
			func(_ *refusalFiles, c *ServerConfig) { c.AllowedClients, c.ClientAuth = []string{"a"}, CertNone },
			wantRefusal{"<allowed_clients> is set, but <ssl_cert_reqs> is 0", "ssl_cert_reqs to 2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newRefusalFiles(t)
			cfg := f.server()
			c.spoil(f, &cfg)
			_, err := NewServer(cfg, nil)
			c.want.check(t, f, err)
		})
	}
}

// encrypted writes the encrypted key of testdata, whose 1000 iterations a test
// can afford, and its certificate over certFile.
func (f *refusalFiles) encrypted(certFile string) string {
	f.t.Helper()
	pem, err := os.ReadFile("testdata/password-is-right.key")
	if err != nil {
		f.t.Fatal(err)
	}
	s := pkitest.PluginSpec("P")
	if s.Key, err = keyfile.ParseKey(pem, []byte("right")); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(certFile, f.ca.Leaf(f.t, s).CertPEM, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return f.put("encrypted.key", pem, 0o600)
}

func TestEncryptedKeyStarts(t *testing.T) {
	f := newRefusalFiles(t)
	cfg := f.server()
	cfg.KeyFile, cfg.KeyPassword = f.encrypted(cfg.CertFile), []byte("right")
	if _, err := NewServer(cfg, nil); err != nil {
		t.Error(err)
	}
}

func TestClientRefusesToStart(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*refusalFiles, *ClientConfig)
		want  wantRefusal
	}{
		"3 a certificate without key": {
			func(_ *refusalFiles, c *ClientConfig) { c.KeyFile = "" },
			wantRefusal{"<certfile> is set without <keyfile>", "certs gateway"},
		},
		"3 a key without certificate": {
			func(_ *refusalFiles, c *ClientConfig) { c.CertFile = "" },
			wantRefusal{"<keyfile> is set without <certfile>", "certs gateway"},
		},
		"9 a plugin's certificate": {
			func(f *refusalFiles, c *ClientConfig) {
				c.CertFile, c.KeyFile = f.leaf(f.ca.Plugin(f.t, "P"), "plugin")
			},
			wantRefusal{"<certfile>: {dir}/plugin.crt: own certificate allows serverAuth, not clientAuth", "certs gateway"},
		},
		"9 a leaf as bundle": {
			func(_ *refusalFiles, c *ClientConfig) { c.CABundle = c.CertFile },
			wantRefusal{"<ca_bundle>: {dir}/client.crt: CN=mcp-gateway-client,O=MCPGateway is not a CA", ""},
		},
		"9 no bundle file though nothing is verified": {
			func(f *refusalFiles, c *ClientConfig) { c.CABundle, c.Verify = filepath.Join(f.dir, "none.crt"), false },
			wantRefusal{"<ca_bundle>: reading certificates: open {dir}/none.crt: no such file", ""},
		},
		"10 a key that others can read": {
			func(_ *refusalFiles, c *ClientConfig) { _ = os.Chmod(c.KeyFile, 0o604) },
			wantRefusal{"<keyfile>: reading the private key: {dir}/client.key: others can read it", "chmod 600"},
		},
		"11 expired": {
			func(f *refusalFiles, c *ClientConfig) {
				c.CertFile, c.KeyFile = f.leaf(f.ca.Wrong(f.t, pkitest.GatewaySpec(), pkitest.Expired), "old")
			},
			wantRefusal{"<certfile>: {dir}/old.crt: own certificate has expired", "certs renew"},
		},
		"14 to be verified by nothing": {
			func(_ *refusalFiles, c *ClientConfig) { c.CABundle = "" },
			wantRefusal{"<ca_bundle> is not set: there is nothing to verify the plugin server by", "ca_bundle: system"},
		},
		"an unknown profile": {
			func(_ *refusalFiles, c *ClientConfig) { c.Profile = "lax" },
			wantRefusal{`<peer_profile>: "lax" is neither compat nor strict`, ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newRefusalFiles(t)
			cfg := f.client()
			c.spoil(f, &cfg)
			_, err := NewClient(cfg, nil)
			c.want.check(t, f, err)
		})
	}
}

func TestErrorsNameTheFieldItselfByDefault(t *testing.T) {
	_, err := NewServer(ServerConfig{CertFile: "x"}, nil)
	if err == nil || !strings.Contains(err.Error(), "certfile is set without keyfile") {
		t.Error(err)
	}
}

func TestKeyErrorsCanBeToldApart(t *testing.T) {
	f := newRefusalFiles(t)
	cfg := f.server()
	cfg.KeyFile = f.encrypted(cfg.CertFile)
	if _, err := NewServer(cfg, nil); !errors.Is(err, keyfile.ErrNoPassword) {
		t.Errorf("%v is not ErrNoPassword", err)
	}
}

// What does not stop a start is said once, at the start.
func TestWarningsAtStart(t *testing.T) {
	warn := func(run func(f *refusalFiles, o *Options) error) func(*testing.T) []string {
		return func(t *testing.T) []string {
			log := &logBook{}
			if err := run(newRefusalFiles(t), &Options{Logger: log.logger(slog.LevelDebug)}); err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, r := range log.records(t, slog.LevelWarn, "") {
				texts = append(texts, r["msg"].(string))
			}
			return texts
		}
	}
	server := func(edit func(*refusalFiles, *ServerConfig)) func(*testing.T) []string {
		return warn(func(f *refusalFiles, o *Options) error {
			cfg := f.server()
			edit(f, &cfg)
			_, err := NewServer(cfg, o)
			return err
		})
	}
	client := func(edit func(*refusalFiles, *ClientConfig)) func(*testing.T) []string {
		return warn(func(f *refusalFiles, o *Options) error {
			cfg := f.client()
			edit(f, &cfg)
			_, err := NewClient(cfg, o)
			return err
		})
	}
	for name, c := range map[string]struct {
		run  func(*testing.T) []string
		want string // of the one warning; "" wants none
	}{
		"nothing to say, server": {server(func(*refusalFiles, *ServerConfig) {}), ""},
		"nothing to say, client": {client(func(*refusalFiles, *ClientConfig) {}), ""},
		"0":                      {server(func(_ *refusalFiles, c *ServerConfig) { c.ClientAuth = CertNone }), "<ssl_cert_reqs> is 0: no client certificate is asked for, so anyone who reaches the port may call"},
		"1":                      {server(func(_ *refusalFiles, c *ServerConfig) { c.ClientAuth = CertOptional }), "<ssl_cert_reqs> is 1: a client without certificate is accepted, so anyone who reaches the port may call"},
		"empty allow list":       {server(func(_ *refusalFiles, c *ServerConfig) { c.AllowedClients = []string{} }), "<allowed_clients> is empty"},
		"own certificate of another CA": {server(func(f *refusalFiles, c *ServerConfig) {
			c.CABundle = pkitest.NewCA(f.t).Write(f.t, f.t.TempDir())
		}), "own certificate does not verify by own ca_bundle"},
		"own certificate against strict": {server(func(f *refusalFiles, c *ServerConfig) {
			c.Profile = Strict
			c.CertFile, c.KeyFile = f.leaf(f.ca.Wrong(f.t, pkitest.PluginSpec("P"), pkitest.NoEKU), "no-eku")
		}), "own certificate does not pass peer_profile strict"},
		"a CA out of date": {server(func(f *refusalFiles, c *ServerConfig) {
			old := pkitest.NewCA(f.t, pkitest.CAOptions{CN: "old", NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
			c.CABundle = f.put("two.crt", append(append([]byte{}, f.ca.CertPEM...), old.CertPEM...), 0o644)
		}), "<ca_bundle>: CA certificate CN=old,O=MCPGateway has expired"},
		"a CA that may not sign": {server(func(f *refusalFiles, c *ServerConfig) {
			mute := pkitest.NewCA(t, pkitest.CAOptions{CN: "mute", Edit: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }})
			c.CABundle = f.put("two.crt", append(append([]byte{}, f.ca.CertPEM...), mute.CertPEM...), 0o644)
		}), "<ca_bundle>: CA certificate CN=mute,O=MCPGateway may not sign certificates"},
		"verify off": {client(func(_ *refusalFiles, c *ClientConfig) { c.Verify = false }), "<verify> is false: nothing about the plugin server is checked"},
		"no certificate": {client(func(_ *refusalFiles, c *ClientConfig) { c.CertFile, c.KeyFile = "", "" }),
			"<certfile> is not set: no client certificate is offered"},
		"a server name that is not looked at": {client(func(_ *refusalFiles, c *ClientConfig) { c.ServerName = "x" }), "<server_name> is not verified"},
		"a plugin's certificate as a gateway's": {client(func(f *refusalFiles, c *ClientConfig) {
			c.CertFile, c.KeyFile = f.leaf(f.ca.Wrong(f.t, pkitest.PluginSpec("P"), pkitest.NoEKU), "plugin")
		}), "<certfile>: own certificate is a plugin's"},
		"a CA's certificate as one's own": {client(func(f *refusalFiles, c *ClientConfig) {
			c.CertFile, c.KeyFile = f.leaf(f.ca.Wrong(f.t, pkitest.GatewaySpec(), pkitest.IsCA), "ca-leaf")
		}), "<certfile>: own certificate is a CA's"},
		"the system's roots": {client(func(_ *refusalFiles, c *ClientConfig) { c.CABundle = "system" }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.run(t)
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestReadyFollowsTheClock(t *testing.T) {
	f := newRefusalFiles(t)
	c := newClock()
	s, err := NewServer(f.server(), &Options{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(); err != nil {
		t.Errorf("at start: %v", err)
	}
	start := c.Now()
	c.set(start.Add(48 * time.Hour))
	if err := s.Ready(); err == nil || !strings.HasPrefix(err.Error(), "own certificate has expired") {
		t.Errorf("after the leaf's end: %v", err)
	}
	// The leaf replaced by one that lives on, the CA's end counts.
	snap := *s.snap.Load()
	long := pkitest.PluginSpec("P")
	long.NotAfter = start.Add(9600 * time.Hour)
	snap.chain = []*x509.Certificate{f.ca.Leaf(t, long).Cert}
	s.snap.Store(&snap)
	c.set(start.Add(480 * time.Hour))
	if err := s.Ready(); err == nil || !strings.HasPrefix(err.Error(), "every CA in the bundle has expired") {
		t.Errorf("after the CA's end: %v", err)
	}
	// One CA that is still valid is enough: so it is while a CA is replaced.
	snap.trust = newTrust([]*x509.Certificate{f.ca.Cert, pkitest.NewCA(t, pkitest.CAOptions{NotAfter: start.Add(9600 * time.Hour)}).Cert})
	if err := s.Ready(); err != nil {
		t.Errorf("with a CA that is valid: %v", err)
	}
}
