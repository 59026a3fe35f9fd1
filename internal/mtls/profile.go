package mtls

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

var (
	oidSAN              = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidNameConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidEKU              = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// strictAny returns nil when one of the verified chains has no defect, and
// else the first chain's first defect.
func strictAny(chains [][]*x509.Certificate) error {
	var first error
	for _, chain := range chains {
		err := strictDefect(chain)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		return errors.New("there is no verified chain")
	}
	return first
}

// strictDefect returns the first thing that peer_profile strict does not
// accept in a verified chain, leaf first and root last: what RFC 5280, and
// with it OpenSSL's -x509_strict and Python's VERIFY_X509_STRICT, demand and
// Go lets pass.
func strictDefect(chain []*x509.Certificate) error {
	root := len(chain) - 1
	for i, cert := range chain {
		defect := anyDefect(cert)
		if defect == "" && i == 0 {
			defect = leafDefect(cert)
		}
		if defect == "" && i > 0 {
			defect = caDefect(cert)
		}
		if defect == "" && i == root {
			defect = rootDefect(cert)
		}
		if defect == "" && i < root && len(cert.AuthorityKeyId) == 0 {
			defect = "it has no authority key identifier"
		}
		if defect != "" {
			return fmt.Errorf("%s: %s", nameText(cert.RawSubject), defect)
		}
	}
	return nil
}

func anyDefect(cert *x509.Certificate) string {
	switch {
	case cert.SerialNumber.Sign() <= 0:
		return "its serial number is not positive"
	case cert.SerialNumber.BitLen() >= 160:
		return "its serial number has 160 bits or more"
	case len(cert.Issuer.Names) == 0:
		return "its issuer is empty"
	}
	return ""
}

func leafDefect(cert *x509.Certificate) string {
	eku, hasEKU := extension(cert, oidEKU)
	_, hasNames := extension(cert, oidNameConstraints)
	san, hasSAN := extension(cert, oidSAN)
	emptySubject := len(cert.Subject.Names) == 0
	switch {
	case cert.IsCA:
		return "it is a CA"
	case cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return "its key usage allows signing certificates or revocation lists"
	case !hasEKU:
		return fmt.Sprintf("it has no extended key usage (X.509 v%d)", cert.Version)
	case eku.Critical:
		return "its extended key usage is critical"
	case slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny):
		return "its extended key usage is any"
	case hasNames:
		return "it has name constraints, which are for CAs"
	case emptySubject && !hasSAN:
		return "it has neither a subject nor a subject alternative name"
	case hasSAN && san.Critical != emptySubject:
		return "its subject alternative name must be critical exactly when the subject is empty"
	}
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < 2048 {
			return fmt.Sprintf("its RSA key has %d bits, under 2048", bits)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return "its key is neither RSA nor ECDSA nor Ed25519"
	}
	switch cert.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.MD5WithRSA, x509.MD2WithRSA:
		return "its signature is " + cert.SignatureAlgorithm.String()
	default:
		return ""
	}
}

func caDefect(cert *x509.Certificate) string {
	basic, hasBasic := extension(cert, oidBasicConstraints)
	names, hasNames := extension(cert, oidNameConstraints)
	switch {
	case !hasBasic || !cert.IsCA:
		return "it is no CA by its basic constraints"
	case !basic.Critical:
		return "its basic constraints are not critical"
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return "its key usage does not allow signing certificates"
	case len(cert.SubjectKeyId) == 0:
		return "it has no subject key identifier"
	case len(cert.Subject.Names) == 0:
		return "its subject is empty"
	case hasNames && !names.Critical:
		return "its name constraints are not critical"
	}
	return ""
}

func rootDefect(cert *x509.Certificate) string {
	_, hasEKU := extension(cert, oidEKU)
	switch {
	case hasEKU:
		return "it is a root with an extended key usage"
	case len(cert.AuthorityKeyId) > 0 && !slices.Equal(cert.AuthorityKeyId, cert.SubjectKeyId):
		return "it is a root whose authority key identifier is not its own"
	}
	return ""
}

func extension(cert *x509.Certificate, oid asn1.ObjectIdentifier) (pkix.Extension, bool) {
	i := slices.IndexFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oid) })
	if i < 0 {
		return pkix.Extension{}, false
	}
	return cert.Extensions[i], true
}
