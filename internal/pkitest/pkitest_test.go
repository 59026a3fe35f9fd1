package pkitest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// verify is plain Go verification, so that each certificate is known to be
// right, or wrong for the reason that its name says.
func verify(l *Leaf, root *CA, eku x509.ExtKeyUsage) error {
	inter := x509.NewCertPool()
	for _, c := range l.chain {
		inter.AddCert(c)
	}
	_, err := l.Cert.Verify(x509.VerifyOptions{
		Roots: root.Pool(), Intermediates: inter, KeyUsages: []x509.ExtKeyUsage{eku},
	})
	return err
}

func TestLeavesVerify(t *testing.T) {
	ca := NewCA(t)
	inter := NewCA(t, CAOptions{CN: "between", Parent: ca})
	for name, c := range map[string]struct {
		leaf *Leaf
		eku  x509.ExtKeyUsage
	}{
		"gateway":              {ca.Gateway(t), x509.ExtKeyUsageClientAuth},
		"plugin":               {ca.Plugin(t, "P"), x509.ExtKeyUsageServerAuth},
		"through intermediate": {inter.Plugin(t, "P"), x509.ExtKeyUsageServerAuth},
		"p384":                 {ca.Leaf(t, Spec{CN: "x", KeyType: "ecdsa-p384"}), x509.ExtKeyUsageAny},
		"rsa":                  {ca.Leaf(t, Spec{CN: "x", KeyType: "rsa-2048"}), x509.ExtKeyUsageAny},
		"ed25519":              {ca.Leaf(t, Spec{CN: "x", KeyType: "ed25519"}), x509.ExtKeyUsageAny},
		"short rsa":            {ca.Leaf(t, Spec{CN: "x", KeyType: "rsa-1024"}), x509.ExtKeyUsageAny},
	} {
		if err := verify(c.leaf, ca, c.eku); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVersion1IsVersion1(t *testing.T) {
	for _, keyType := range []string{"ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048"} {
		ca := NewCA(t, CAOptions{KeyType: keyType})
		l := ca.Wrong(t, GatewaySpec(), Version1)
		if l.Cert.Version != 1 || len(l.Cert.Extensions) != 0 {
			t.Errorf("%s: version %d with %d extensions", keyType, l.Cert.Version, len(l.Cert.Extensions))
		}
		if err := verify(l, ca, x509.ExtKeyUsageClientAuth); err != nil {
			t.Errorf("%s: its signature or content is wrong: %v", keyType, err)
		}
	}
}

func TestWrongCertificatesAreWrongAsNamed(t *testing.T) {
	ca := NewCA(t)
	reason := func(want x509.InvalidReason) func(error) bool {
		return func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == want
		}
	}
	unknown := func(err error) bool {
		var e x509.UnknownAuthorityError
		return errors.As(err, &e)
	}
	none := func(err error) bool { return err == nil }
	for fault, ok := range map[Fault]func(error) bool{
		UnknownCA: unknown, SelfSigned: unknown,
		Expired: reason(x509.Expired), NotYetValid: reason(x509.Expired), WrongEKU: reason(x509.IncompatibleUsage),
		NoEKU: none, CAAsLeaf: none, IsCA: none, NoSAN: none, OtherName: none, Version1: none,
	} {
		if err := verify(ca.Wrong(t, GatewaySpec(), fault), ca, x509.ExtKeyUsageClientAuth); !ok(err) {
			t.Errorf("%s: Go says %v", fault, err)
		}
	}
}

func TestWrittenPairLoads(t *testing.T) {
	dir := t.TempDir()
	ca := NewCA(t)
	certFile, keyFile := ca.Gateway(t).Write(t, dir, "client")
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(keyFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info.Mode(), err)
	}
	if got, want := ca.Write(t, dir), filepath.Join(dir, "ca.crt"); got != want {
		t.Errorf("bundle %s, want %s", got, want)
	}
}
