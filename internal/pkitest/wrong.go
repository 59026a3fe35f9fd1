package pkitest

import (
	"crypto/x509"
	"testing"
	"time"
)

// Fault names one thing wrong with a certificate.
type Fault string

// The faults that Wrong knows.
const (
	UnknownCA   Fault = "unknown CA"    // signed by another CA of the same name
	Expired     Fault = "expired"       // since an hour
	NotYetValid Fault = "not yet valid" // for another hour
	WrongEKU    Fault = "wrong EKU"     // codeSigning alone
	NoEKU       Fault = "no EKU"
	SelfSigned  Fault = "self-signed"
	CAAsLeaf    Fault = "CA as leaf"   // the CA's own certificate and key
	IsCA        Fault = "CA:TRUE leaf" // signed by the CA, and itself one
	NoSAN       Fault = "no SAN"
	OtherName   Fault = "other name" // DNS:elsewhere.example alone
	Version1    Fault = "version 1"  // as the guide's reference makes the gateway's: no extensions
)

// Wrong issues what base describes with one fault; everything else is right.
func (c *CA) Wrong(t testing.TB, base Spec, f Fault) *Leaf {
	t.Helper()
	issuer, s := c, base
	switch f {
	case UnknownCA:
		issuer = NewCA(t, CAOptions{CN: c.Cert.Subject.CommonName})
	case Expired:
		s.NotBefore, s.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	case NotYetValid:
		s.NotBefore, s.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	case WrongEKU:
		s.EKU = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	case NoEKU:
		s.EKU = nil
	case SelfSigned:
		s.SelfSigned = true
	case CAAsLeaf:
		return newLeaf(t, c.Cert, c.Key, nil)
	case IsCA:
		s.IsCA = true
		s.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	case NoSAN:
		s.DNS, s.IPs, s.URIs = nil, nil, nil
	case OtherName:
		s.DNS, s.IPs, s.URIs = []string{"elsewhere.example"}, nil, nil
	case Version1:
		s.Version1 = true
	default:
		t.Fatalf("no such fault: %q", f)
	}
	return issuer.Leaf(t, s)
}
