package mtls

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// A row is a fault; the text is what strict says about it.
func TestStrictDefects(t *testing.T) {
	caEdit := func(edit func(*x509.Certificate)) func(t *testing.T) []*x509.Certificate {
		return func(t *testing.T) []*x509.Certificate {
			ca := pkitest.NewCA(t, pkitest.CAOptions{Edit: edit})
			return []*x509.Certificate{ca.Gateway(t).Cert, ca.Cert}
		}
	}
	leafEdit := func(edit func(*pkitest.Spec)) func(t *testing.T) []*x509.Certificate {
		return func(t *testing.T) []*x509.Certificate {
			ca := pkitest.NewCA(t)
			s := pkitest.GatewaySpec()
			edit(&s)
			return []*x509.Certificate{ca.Leaf(t, s).Cert, ca.Cert}
		}
	}
	template := func(edit func(*x509.Certificate)) func(t *testing.T) []*x509.Certificate {
		return leafEdit(func(s *pkitest.Spec) { s.Edit = edit })
	}
	// parsed edits what was read: for what crypto/x509 does not write.
	parsed := func(i int, edit func(*x509.Certificate)) func(t *testing.T) []*x509.Certificate {
		return func(t *testing.T) []*x509.Certificate {
			chain := leafEdit(func(*pkitest.Spec) {})(t)
			edit(chain[i])
			return chain
		}
	}
	critical := func(oid asn1.ObjectIdentifier, to bool) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			for i := range c.Extensions {
				if c.Extensions[i].Id.Equal(oid) {
					c.Extensions[i].Critical = to
				}
			}
		}
	}
	noSubject := func(s *pkitest.Spec) { s.Subject = &pkix.Name{} }
	for name, c := range map[string]struct {
		chain func(*testing.T) []*x509.Certificate
		want  string // "" passes
	}{
		"as we make them":             {leafEdit(func(*pkitest.Spec) {}), ""},
		"ecdsa p-384":                 {leafEdit(func(s *pkitest.Spec) { s.KeyType = "ecdsa-p384" }), ""},
		"ed25519":                     {leafEdit(func(s *pkitest.Spec) { s.KeyType = "ed25519" }), ""},
		"rsa-2048":                    {leafEdit(func(s *pkitest.Spec) { s.KeyType = "rsa-2048" }), ""},
		"rsa-1024":                    {leafEdit(func(s *pkitest.Spec) { s.KeyType = "rsa-1024" }), "its RSA key has 1024 bits, under 2048"},
		"serial 0":                    {leafEdit(func(s *pkitest.Spec) { s.Serial = big.NewInt(0) }), "its serial number is not positive"},
		"serial of 159 bits":          {leafEdit(func(s *pkitest.Spec) { s.Serial = new(big.Int).Lsh(big.NewInt(1), 158) }), ""},
		"serial of 160 bits":          {leafEdit(func(s *pkitest.Spec) { s.Serial = new(big.Int).Lsh(big.NewInt(1), 159) }), "its serial number has 160 bits or more"},
		"CA's serial 0":               {caEdit(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(0) }), "its serial number is not positive"},
		"empty issuer":                {parsed(0, func(c *x509.Certificate) { c.Issuer = pkix.Name{} }), "its issuer is empty"},
		"leaf is a CA":                {leafEdit(func(s *pkitest.Spec) { s.IsCA = true }), "it is a CA"},
		"leaf with keyCertSign":       {leafEdit(func(s *pkitest.Spec) { s.KeyUsage = x509.KeyUsageCertSign }), "its key usage allows signing certificates or revocation lists"},
		"leaf with cRLSign":           {leafEdit(func(s *pkitest.Spec) { s.KeyUsage = x509.KeyUsageCRLSign }), "its key usage allows signing certificates or revocation lists"},
		"no EKU":                      {leafEdit(func(s *pkitest.Spec) { s.EKU = nil }), "it has no extended key usage (X.509 v3)"},
		"version 1":                   {leafEdit(func(s *pkitest.Spec) { s.Version1 = true }), "it has no extended key usage (X.509 v1)"},
		"any EKU":                     {leafEdit(func(s *pkitest.Spec) { s.EKU = append(s.EKU, x509.ExtKeyUsageAny) }), "its extended key usage is any"},
		"critical EKU":                {parsed(0, critical(oidEKU, true)), "its extended key usage is critical"},
		"leaf with name constraints":  {template(func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"x"} }), "it has name constraints, which are for CAs"},
		"empty subject, critical SAN": {leafEdit(noSubject), ""},
		"empty subject, plain SAN": {func(t *testing.T) []*x509.Certificate {
			c := leafEdit(noSubject)(t)
			critical(oidSAN, false)(c[0])
			return c
		}, "its subject alternative name must be critical exactly when the subject is empty"},
		"subject and critical SAN":     {parsed(0, critical(oidSAN, true)), "its subject alternative name must be critical exactly when the subject is empty"},
		"subject and no SAN":           {leafEdit(func(s *pkitest.Spec) { s.DNS, s.URIs = nil, nil }), ""},
		"neither subject nor SAN":      {leafEdit(func(s *pkitest.Spec) { noSubject(s); s.DNS, s.URIs = nil, nil }), "it has neither a subject nor a subject alternative name"},
		"SHA-1":                        {parsed(0, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }), "its signature is ECDSA-SHA1"},
		"strange key":                  {parsed(0, func(c *x509.Certificate) { c.PublicKey = "dsa" }), "its key is neither RSA nor ECDSA nor Ed25519"},
		"leaf without AKI":             {parsed(0, func(c *x509.Certificate) { c.AuthorityKeyId = nil }), "it has no authority key identifier"},
		"CA without basic constraints": {caEdit(func(c *x509.Certificate) { c.BasicConstraintsValid = false }), "it is no CA by its basic constraints"},
		"CA, constraints not critical": {parsed(1, critical(oidBasicConstraints, false)), "its basic constraints are not critical"},
		"CA without keyUsage":          {caEdit(func(c *x509.Certificate) { c.KeyUsage = 0 }), "its key usage does not allow signing certificates"},
		"CA without SKI":               {parsed(1, func(c *x509.Certificate) { c.SubjectKeyId = nil }), "it has no subject key identifier"},
		"CA without subject":           {parsed(1, func(c *x509.Certificate) { c.Subject = pkix.Name{} }), "its subject is empty"},
		"CA, name constraints":         {caEdit(func(c *x509.Certificate) { c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"x"}, true }), ""},
		"CA, name constraints lax":     {caEdit(func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"x"} }), "its name constraints are not critical"},
		"root with EKU":                {caEdit(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "it is a root with an extended key usage"},
		"root with its own AKI":        {parsed(1, func(c *x509.Certificate) { c.AuthorityKeyId = c.SubjectKeyId }), ""},
		"root with another's AKI":      {parsed(1, func(c *x509.Certificate) { c.AuthorityKeyId = []byte{1} }), "it is a root whose authority key identifier is not its own"},
	} {
		t.Run(name, func(t *testing.T) {
			err := strictDefect(c.chain(t))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.HasSuffix(err.Error(), ": "+c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestStrictIntermediates(t *testing.T) {
	root := pkitest.NewCA(t)
	inter := pkitest.NewCA(t, pkitest.CAOptions{
		CN: "between", Parent: root,
		// An intermediate, unlike a root, may have an EKU.
		Edit: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
	})
	chain := []*x509.Certificate{inter.Gateway(t).Cert, inter.Cert, root.Cert}
	if err := strictDefect(chain); err != nil {
		t.Errorf("a chain of three: %v", err)
	}
	inter.Cert.AuthorityKeyId = nil
	if err := strictDefect(chain); err == nil || !strings.Contains(err.Error(), "CN=between,O=MCPGateway: it has no authority key identifier") {
		t.Errorf("an intermediate without AKI: %v", err)
	}
}

func TestStrictTakesAnyGoodChain(t *testing.T) {
	good := func() []*x509.Certificate {
		ca := pkitest.NewCA(t)
		return []*x509.Certificate{ca.Gateway(t).Cert, ca.Cert}
	}
	bad := good()
	bad[1].SubjectKeyId = nil
	if err := strictAny([][]*x509.Certificate{bad, good()}); err != nil {
		t.Errorf("one chain passes, and yet: %v", err)
	}
	if err := strictAny([][]*x509.Certificate{bad}); err == nil {
		t.Error("the only chain is bad, and it passed")
	}
	if err := strictAny(nil); err == nil {
		t.Error("no chain at all passed")
	}
}
