// Package pkitest makes throw-away certificate authorities and certificates
// for tests: right ones, and ones wrong in exactly one way. It writes no
// certificate that a running product would use; internal/pki does that.
//
// Everything is ECDSA P-256 unless asked otherwise, so that a test may make
// dozens.
package pkitest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CAOptions are what can be chosen for a CA. The zero value is a root as
// internal/pki makes it, valid from an hour ago for ten days.
type CAOptions struct {
	// CN is the common name; "" means MCP-Gateway-CA.
	CN string

	// Parent signs the CA; nil makes a root.
	Parent *CA

	// NotBefore and NotAfter bound its life; zero means an hour ago and ten days from now.
	NotBefore, NotAfter time.Time

	// KeyType is as in Spec.
	KeyType string

	// Edit, when set, has the last word on the template before it is signed.
	Edit func(*x509.Certificate)
}

// CA is a throw-away certificate authority.
type CA struct {
	Cert    *x509.Certificate
	Key     crypto.Signer
	CertPEM []byte // its own certificate alone: what belongs into a bundle
	KeyPEM  []byte

	chain []*x509.Certificate // from this CA up to, and without, the root
}

// NewCA makes a CA. Of o only the first is used.
func NewCA(t testing.TB, o ...CAOptions) *CA {
	t.Helper()
	var opt CAOptions
	if len(o) > 0 {
		opt = o[0]
	}
	spec := Spec{
		CN: opt.CN, NotBefore: opt.NotBefore, NotAfter: opt.NotAfter, KeyType: opt.KeyType,
		IsCA: true, SelfSigned: opt.Parent == nil, Edit: opt.Edit,
	}
	if spec.CN == "" {
		spec.CN = "MCP-Gateway-CA"
	}
	if spec.NotAfter.IsZero() {
		spec.NotAfter = time.Now().Add(10 * 24 * time.Hour)
	}
	leaf := opt.Parent.Leaf(t, spec)
	ca := &CA{Cert: leaf.Cert, Key: leaf.Key, CertPEM: certPEM(leaf.Cert), KeyPEM: leaf.KeyPEM}
	if opt.Parent != nil {
		ca.chain = append([]*x509.Certificate{ca.Cert}, opt.Parent.chain...)
	}
	return ca
}

// Pool returns a new pool that holds the CA alone.
func (c *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.Cert)
	return pool
}

// Write writes the CA's certificate to dir/ca.crt and returns that path.
func (c *CA) Write(t testing.TB, dir string) (bundle string) {
	t.Helper()
	return write(t, dir, "ca.crt", c.CertPEM, 0o644)
}

// Spec describes one certificate. Nothing is added to what it says except
// what each field documents, so that every field can be wrong.
type Spec struct {
	CN      string     // goes into the subject unless Subject is set
	Subject *pkix.Name // nil means CN=<CN>,O=MCPGateway
	DNS     []string
	IPs     []string
	URIs    []string

	// EKU is the extended key usage; empty leaves the extension out.
	EKU []x509.ExtKeyUsage

	// KeyUsage zero means digitalSignature, or for a CA keyCertSign and cRLSign.
	KeyUsage x509.KeyUsage

	// NotBefore and NotAfter bound its life; zero means an hour ago and a day from now.
	NotBefore, NotAfter time.Time

	// Serial nil means 128 random bits.
	Serial *big.Int

	// Version1 makes an X.509 v1 certificate: no extension at all.
	Version1 bool

	// SelfSigned signs with the certificate's own key instead of the CA's.
	SelfSigned bool

	// IsCA sets basicConstraints CA:TRUE.
	IsCA bool

	// Key, when set, is the certificate's key, and KeyType is not looked at.
	Key crypto.Signer

	// KeyType is ecdsa-p256 (also ""), ecdsa-p384, ed25519, rsa-1024, rsa-2048 or rsa-4096.
	KeyType string

	// Edit, when set, has the last word on the template before it is signed.
	Edit func(*x509.Certificate)
}

// GatewaySpec is a gateway's client certificate as internal/pki makes it.
func GatewaySpec() Spec {
	return Spec{
		CN:   "mcp-gateway-client",
		DNS:  []string{"mcp-gateway-client"},
		URIs: []string{"spiffe://mcp.local/gateway"},
		EKU:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// PluginSpec is the server certificate of the plugin called name as
// internal/pki makes it.
func PluginSpec(name string) Spec {
	return Spec{
		CN:   "mcp-plugin-" + name,
		DNS:  []string{name, "mcp-plugin-" + name, "localhost"},
		URIs: []string{"spiffe://mcp.local/plugin/" + name},
		EKU:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// Leaf is a certificate with its key.
type Leaf struct {
	Cert    *x509.Certificate
	Key     crypto.Signer
	CertPEM []byte // the certificate, then its intermediates without the root
	KeyPEM  []byte // PKCS#8

	chain []*x509.Certificate
}

// Gateway issues a gateway's client certificate.
func (c *CA) Gateway(t testing.TB) *Leaf {
	t.Helper()
	return c.Leaf(t, GatewaySpec())
}

// Plugin issues the server certificate of the plugin called name.
func (c *CA) Plugin(t testing.TB, name string) *Leaf {
	t.Helper()
	return c.Leaf(t, PluginSpec(name))
}

// Leaf issues what s describes. c may be nil when s.SelfSigned is set.
func (c *CA) Leaf(t testing.TB, s Spec) *Leaf {
	t.Helper()
	key := s.Key
	if key == nil {
		key = newKey(t, s.KeyType)
	}
	tmpl := s.template(t)
	parent, signer := tmpl, key
	var chain []*x509.Certificate
	if !s.SelfSigned {
		parent, signer, chain = c.Cert, c.Key, c.chain
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err == nil && s.Version1 {
		der, err = toVersion1(der, signer)
	}
	if err != nil {
		t.Fatalf("making the certificate %q: %v", s.CN, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("reading back the certificate %q: %v", s.CN, err)
	}
	return newLeaf(t, cert, key, chain)
}

func newLeaf(t testing.TB, cert *x509.Certificate, key crypto.Signer, chain []*x509.Certificate) *Leaf {
	t.Helper()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	l := &Leaf{
		Cert: cert, Key: key, chain: chain,
		CertPEM: certPEM(cert),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}
	for _, c := range chain {
		l.CertPEM = append(l.CertPEM, certPEM(c)...)
	}
	return l
}

// Write writes the pair to dir/name.crt (mode 644) and dir/name.key (600).
func (l *Leaf) Write(t testing.TB, dir, name string) (certFile, keyFile string) {
	t.Helper()
	return write(t, dir, name+".crt", l.CertPEM, 0o644), write(t, dir, name+".key", l.KeyPEM, 0o600)
}

// TLS returns the pair for a bare crypto/tls configuration.
func (l *Leaf) TLS() tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{l.Cert.Raw}, PrivateKey: l.Key, Leaf: l.Cert}
	for _, up := range l.chain {
		c.Certificate = append(c.Certificate, up.Raw)
	}
	return c
}

func (s Spec) template(t testing.TB) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: s.Serial, NotBefore: s.NotBefore, NotAfter: s.NotAfter,
		Subject:  guideName(s.CN),
		DNSNames: s.DNS, ExtKeyUsage: s.EKU, KeyUsage: s.KeyUsage,
		BasicConstraintsValid: true, IsCA: s.IsCA,
	}
	if s.Subject != nil {
		tmpl.Subject = *s.Subject
	}
	if s.Serial == nil {
		n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
		if err != nil {
			t.Fatal(err)
		}
		tmpl.SerialNumber = n.Add(n, big.NewInt(1))
	}
	if s.NotBefore.IsZero() {
		tmpl.NotBefore = time.Now().Add(-time.Hour)
	}
	if s.NotAfter.IsZero() {
		tmpl.NotAfter = time.Now().Add(24 * time.Hour)
	}
	switch {
	case s.KeyUsage != 0:
	case s.IsCA:
		tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	default:
		tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	}
	for _, text := range s.IPs {
		ip := net.ParseIP(text)
		if ip == nil {
			t.Fatalf("%q is not an IP address", text)
		}
		tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
	}
	for _, text := range s.URIs {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		tmpl.URIs = append(tmpl.URIs, u)
	}
	if s.Edit != nil {
		s.Edit(tmpl)
	}
	return tmpl
}

// guideName has its parts in the order in which the guide's openssl commands
// write them, which is not that of package pkix.
func guideName(cn string) pkix.Name {
	const organization = "MCPGateway"
	return pkix.Name{CommonName: cn, Organization: []string{organization}, ExtraNames: []pkix.AttributeTypeAndValue{
		{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: cn},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: organization},
	}}
}

func newKey(t testing.TB, keyType string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch keyType {
	case "", "ecdsa-p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa-p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "rsa-1024":
		// crypto/rsa refuses to make so short a key; a test that wants to see
		// one refused has to switch the check off, which go test allows here.
		t.Setenv("GODEBUG", "rsa1024min=0")
		key, err = rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // meant to be refused
	case "rsa-2048":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "rsa-4096":
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	default:
		err = fmt.Errorf("unknown key type %q", keyType)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func write(t testing.TB, dir, name string, data []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	return path
}
