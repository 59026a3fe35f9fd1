package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// backdate lets a peer whose clock is slow accept a new certificate.
const backdate = 5 * time.Minute

// subject is that of a new certificate, in the order in which the guide's
// openssl commands write it.
func (f folder) subject(caCN string) ([]byte, error) {
	cn, unit := caCN, "Plugins"
	switch f.role {
	case RoleCA:
	case RoleGateway:
		cn, unit = gatewayCN, "Gateway"
	case RolePlugin:
		cn = pluginPrefix + f.name
	}
	var seq pkix.RDNSequence
	for _, attribute := range []struct {
		oid   asn1.ObjectIdentifier
		value string
	}{{oidCN, cn}, {oidO, "MCPGateway"}, {oidOU, unit}} {
		seq = append(seq, pkix.RelativeDistinguishedNameSET{{Type: attribute.oid, Value: attribute.value}})
	}
	return asn1.Marshal(seq)
}

var (
	oidCN = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidO  = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidOU = asn1.ObjectIdentifier{2, 5, 4, 11}

	oidSubjectKeyID     = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidAuthorityKeyID   = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// dn prints a distinguished name in its own order, as openssl does.
func dn(raw []byte) string {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &seq); err != nil || len(rest) > 0 {
		return fmt.Sprintf("%x", raw)
	}
	slices.Reverse(seq) // its String starts at the end
	return seq.String()
}

// newSerial returns 144 random bits: RFC 5280 allows 159.
func newSerial() (*big.Int, error) {
	b := make([]byte, 18)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	return new(big.Int).SetBytes(b), nil
}

// keyID is the key identifier of RFC 7093, method 1.
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(info.Key.Bytes)
	return sum[:20], nil
}

// issueCA makes the CA's certificate: a new one, or, when old is given, one
// that takes its place, so that whatever old has signed stays valid. The
// subject is raw, the key the CA's own.
func issueCA(key crypto.Signer, subject []byte, old *x509.Certificate, now, notAfter time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		RawSubject:            subject,
		NotBefore:             now.Add(-backdate),
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            1, // not 0: leaves room for a CA that bridges to the next key
	}
	if template.SubjectKeyId, err = keyID(key.Public()); err != nil {
		return nil, err
	}
	if old != nil {
		template.MaxPathLen, template.MaxPathLenZero = old.MaxPathLen, old.MaxPathLenZero
		if len(old.SubjectKeyId) > 0 {
			template.SubjectKeyId = old.SubjectKeyId
		}
		// Name constraints and whatever else its maker put in.
		for _, ext := range old.Extensions {
			if !slices.ContainsFunc([]asn1.ObjectIdentifier{oidSubjectKeyID, oidKeyUsage, oidBasicConstraints, oidAuthorityKeyID}, ext.Id.Equal) {
				template.ExtraExtensions = append(template.ExtraExtensions, ext)
			}
		}
	}
	return sign(template, template, key.Public(), key)
}

// A leafSpec is what a leaf's certificate is to say.
type leafSpec struct {
	role     Role
	subject  []byte // raw
	sans     SANs
	notAfter time.Time // an end that lies after the CA's is cut
}

// issueLeaf makes a leaf's certificate for the key public.
func issueLeaf(ca *x509.Certificate, caKey crypto.Signer, public crypto.PublicKey, s leafSpec, now time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		RawSubject:            s.subject,
		NotBefore:             now.Add(-backdate),
		NotAfter:              s.notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{s.role.eku()},
		BasicConstraintsValid: true,
	}
	if ca.NotAfter.Before(template.NotAfter) {
		template.NotAfter = ca.NotAfter
	}
	// RSA key exchange is what keyEncipherment allows: a server's part.
	if _, ok := public.(*rsa.PublicKey); ok && s.role == RolePlugin {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	if err := s.sans.into(template); err != nil {
		return nil, err
	}
	if template.SubjectKeyId, err = keyID(public); err != nil {
		return nil, err
	}
	if template.AuthorityKeyId, err = keyID(ca.PublicKey); err != nil { // for a CA without a key id
		return nil, err
	}
	return sign(template, ca, public, caKey)
}

// eku is the one extended key usage of a leaf.
func (r Role) eku() x509.ExtKeyUsage {
	if r == RoleGateway {
		return x509.ExtKeyUsageClientAuth
	}
	return x509.ExtKeyUsageServerAuth
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return x509.ParseCertificate(der)
}

// signedBy reports whether the first certificate of chain leads to one of the
// roots, whatever their dates: those are looked at apart.
func signedBy(chain, roots []*x509.Certificate) bool {
	for i, cert := range chain {
		for _, root := range roots {
			if bytes.Equal(cert.RawIssuer, root.RawSubject) && cert.CheckSignatureFrom(root) == nil {
				return true
			}
		}
		if i+1 == len(chain) || cert.CheckSignatureFrom(chain[i+1]) != nil {
			return false
		}
	}
	return false
}

func encodeCerts(certs ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, cert := range certs {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	return b.Bytes()
}

// lifetime is how long a certificate was valid when it was new.
func lifetime(cert *x509.Certificate) time.Duration {
	life := cert.NotAfter.Sub(cert.NotBefore)
	if life%(24*time.Hour) == backdate {
		life -= backdate
	}
	return life
}

var errNoCAKey = errors.New("the CA's private key is not here")
