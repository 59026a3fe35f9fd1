package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/keyfile"
)

// systemBundle as CABundle asks for the system's roots.
const systemBundle = "system"

// material is what was read from files: my certificate and whom I trust.
type material struct {
	cert  *tls.Certificate    // nil: none is configured
	chain []*x509.Certificate // cert's, leaf first
	trust trust               // its pool is nil when there is nobody to verify
}

// files says what to read; both configurations reduce to it.
type files struct {
	certFile, keyFile, bundle string
	password                  []byte
	name                      func(string) string
}

// readPair reads the own certificate and key, and checks what can be known
// before a peer sees them: they belong together, the key is nobody else's to
// read, the certificate is valid now and for this role.
func (m *material) readPair(f files, role x509.ExtKeyUsage, now time.Time) error {
	pair, err := keyfile.ReadPair(f.certFile, f.keyFile, f.password)
	if err != nil {
		return missing(f.blame(err))
	}
	c := pair.TLS()
	m.cert, m.chain = &c, pair.Chain
	leaf := pair.Chain[0]
	path, _ := filepath.Abs(pair.CertFile)
	if text := validity(leaf, now); text != "" {
		return hint.Add(fmt.Errorf("%s: %s: own %s", f.name("certfile"), path, text), validityHint(leaf, now))
	}
	if !allows(leaf, role) {
		err := fmt.Errorf("%s: %s: own certificate allows %s, not %s as its role here demands", f.name("certfile"), path, ekuText(leaf), ekuName(role))
		return hint.Add(err, roleHint(role))
	}
	return nil
}

// layout is where the path of a plugin's or the gateway's file shows, in the
// folders that the guide lays out, who it is for.
var layout = regexp.MustCompile(`/certs/mcp/(?:plugins/([\w.-]+)|gateway)/[^/]+$`)

// missing adds to the error of a file that is not there how to get one: the
// commonest first mistake.
func missing(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := "`sallyport certs all` makes the certificates that a plugin file needs"
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		if found := layout.FindStringSubmatch(filepath.ToSlash(file.Path)); found != nil {
			command := "gateway"
			if found[1] != "" {
				command = "plugin " + found[1]
			}
			text = "`sallyport certs " + command + "` makes it, and `sallyport certs all` all that a gateway's plugin file needs"
		}
	}
	return hint.Add(err, text+"; paths are relative to the working directory")
}

// blame puts before an error of ReadPair the field that it is about.
func (f files) blame(err error) error {
	password := f.name("keyfile_password")
	var keyErr *keyfile.KeyError
	switch {
	case errors.Is(err, keyfile.ErrMismatch):
		return hint.Add(fmt.Errorf("%s and %s: %w", f.name("certfile"), f.name("keyfile"), err),
			"take both from one folder that `sallyport certs` made; `sallyport certs check` finds pairs that do not match")
	case errors.Is(err, keyfile.ErrPassword):
		return fmt.Errorf("%s: %w", password, err)
	case errors.Is(err, keyfile.ErrNoPassword):
		return hint.Add(fmt.Errorf("%s: %w", password, err), "set "+password+" to the password, or to @/path/of/a/file that holds it")
	case errors.As(err, &keyErr):
		return fmt.Errorf("%s: %w", f.name("keyfile"), err)
	default:
		return fmt.Errorf("%s: %w", f.name("certfile"), err)
	}
}

func validityHint(leaf *x509.Certificate, now time.Time) string {
	if now.Before(leaf.NotBefore) {
		return "check this machine's clock"
	}
	return "renew it with `sallyport certs renew`, then start again"
}

func roleHint(role x509.ExtKeyUsage) string {
	if role == x509.ExtKeyUsageServerAuth {
		return "a plugin server needs a certificate for serverAuth: `sallyport certs plugin NAME` makes one"
	}
	return "a gateway needs a certificate for clientAuth: `sallyport certs gateway` makes one"
}

// readBundle reads the CAs that are trusted, and nothing but CAs: a leaf in
// the bundle is a mix-up that would otherwise show as "unknown authority" at
// each connection.
func (m *material) readBundle(f files) error {
	if f.bundle == systemBundle {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return fmt.Errorf("%s: reading the system's roots: %w", f.name("ca_bundle"), err)
		}
		m.trust = trust{pool: pool, name: f.name("ca_bundle")}
		return nil
	}
	certs, err := keyfile.ReadCertificates(f.bundle)
	if err != nil {
		return missing(fmt.Errorf("%s: %w", f.name("ca_bundle"), err))
	}
	for _, c := range certs {
		if !canBeCA(c) {
			path, _ := filepath.Abs(f.bundle)
			err := fmt.Errorf("%s: %s: %s is not a CA", f.name("ca_bundle"), path, nameText(c.RawSubject))
			return hint.Add(err, "the bundle holds the certificates of CAs (ca.crt), not those of servers or clients")
		}
	}
	m.trust = newTrust(certs)
	return nil
}

func newTrust(certs []*x509.Certificate) trust {
	t := trust{pool: x509.NewCertPool(), bundle: certs}
	for _, c := range certs {
		t.pool.AddCert(c)
	}
	return t
}

// canBeCA: a version 3 certificate says so; older ones cannot, and count when
// they are self-signed, as roots are.
func canBeCA(c *x509.Certificate) bool {
	if c.Version >= 3 {
		return c.BasicConstraintsValid && c.IsCA
	}
	return selfSigned(c)
}

// warnings are the things that do not stop a start but will be noticed later,
// by somebody else, with less at hand.
func (m *material) warnings(log *slog.Logger, f files, role x509.ExtKeyUsage, profile Profile, now time.Time) {
	for _, ca := range m.trust.bundle {
		if text := validity(ca, now); text != "" {
			log.Warn(f.name("ca_bundle")+": "+text, "path", f.bundle)
		}
		if ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0 {
			log.Warn(f.name("ca_bundle")+": CA certificate "+nameText(ca.RawSubject)+" may not sign certificates (key usage): it vouches for nobody", "path", f.bundle)
		}
	}
	if m.cert == nil {
		return
	}
	for _, c := range m.chain[1:] {
		if text := validity(c, now); text != "" {
			log.Warn(f.name("certfile")+": its chain: "+text, "path", f.certFile)
		}
	}
	leaf := m.chain[0]
	if leaf.IsCA {
		log.Warn(f.name("certfile")+": own certificate is a CA's: peers with a Sallyport refuse it", "path", f.certFile)
	}
	if name := pluginOf(leaf); name != "" && role == x509.ExtKeyUsageClientAuth {
		log.Warn(f.name("certfile")+": own certificate is a plugin's: plugin servers do not take it for a gateway's",
			"path", f.certFile, "plugin", name)
	}
	if m.trust.bundle == nil {
		return // no bundle, or the system's: nothing to compare with
	}
	// The other side usually trusts the same CA, so a certificate that the own
	// bundle does not vouch for is usually one that the other side will refuse.
	chains, err := m.trust.chains(m.chain, role, now)
	if err != nil {
		log.Warn("own certificate does not verify by own ca_bundle: fine with one CA for servers and another for clients, "+
			"otherwise the other side will refuse it", "path", f.certFile, "bundle", f.bundle, "reason", err.Error())
		return
	}
	if profile == Strict {
		if err := strictAny(chains); err != nil {
			log.Warn("own certificate does not pass peer_profile strict: a peer that demands the same refuses it",
				"path", f.certFile, "reason", err.Error())
		}
	}
}
