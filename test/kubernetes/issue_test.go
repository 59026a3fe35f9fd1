package kubernetes

import (
	"crypto"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
)

// issued is what a Certificate's Secret holds once cert-manager has filled it.
type issued struct {
	cert    *x509.Certificate
	key     crypto.Signer
	certPEM []byte
	keyPEM  []byte
}

// issue does what cert-manager's controllers do, with cert-manager's own code:
// key, request, template, signature. A nil ca signs itself.
func issue(t *testing.T, c *certmanager.Certificate, ca *issued) *issued {
	t.Helper()
	key, err := pki.GeneratePrivateKeyForCertificate(c)
	if err != nil {
		t.Fatalf("certificate %s: %v", c.Name, err)
	}
	request, err := pki.GenerateCSR(c)
	if err != nil {
		t.Fatalf("certificate %s: %v", c.Name, err)
	}
	der, err := pki.EncodeCSR(request, key)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	ku, ekus, err := pki.KeyUsagesForCertificateOrCertificateRequest(c.Spec.Usages, c.Spec.IsCA)
	if err != nil {
		t.Fatal(err)
	}
	template, err := pki.CertificateTemplateFromCSR(csr,
		pki.CertificateTemplateOverrideDuration(c.Spec.Duration.Duration),
		pki.CertificateTemplateValidateAndOverrideBasicConstraints(c.Spec.IsCA, nil),
		pki.CertificateTemplateValidateAndOverrideKeyUsages(ku, ekus))
	if err != nil {
		t.Fatalf("certificate %s: %v", c.Name, err)
	}
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	certPEM, cert, err := pki.SignCertificate(template, parent, key.Public(), signer)
	if err != nil {
		t.Fatalf("certificate %s: %v", c.Name, err)
	}
	keyPEM, err := pki.EncodePrivateKey(key, c.Spec.PrivateKey.Encoding)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key, certPEM, keyPEM}
}

// issueAll issues the CA and the two leaves of the manifests.
func issueAll(t *testing.T) (ca, gateway, plugin *issued) {
	t.Helper()
	s, err := parse(files(t))
	if err != nil {
		t.Fatal(err)
	}
	ca = issue(t, find(s.certs, "mcp-ca"), nil)
	gateway = issue(t, find(s.certs, "mcp-gateway"), ca)
	plugin = issue(t, find(s.certs, "mcp-plugin-replacebadwordsplugin"), ca)
	return ca, gateway, plugin
}

func write(t *testing.T, path string, data []byte, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestIssuedCertificatesServeOnePurposeOnly(t *testing.T) {
	ca, gateway, plugin := issueAll(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	dir := t.TempDir()
	bundle := write(t, filepath.Join(dir, "ca.crt"), ca.certPEM, 0o644)
	for _, c := range []struct {
		name         string
		leaf         *issued
		good, bad    x509.ExtKeyUsage
		opens, fails string
	}{
		{"gateway", gateway, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth, "sslclient", "sslserver"},
		{"plugin", plugin, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth, "sslserver", "sslclient"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.leaf.cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{c.good}}); err != nil {
				t.Error(err)
			}
			if _, err := c.leaf.cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{c.bad}}); err == nil {
				t.Error("verifies for the other role too")
			}
			if c.leaf.cert.NotAfter.After(ca.cert.NotAfter) {
				t.Error("outlives its CA")
			}
			leaf := write(t, filepath.Join(dir, c.name+".crt"), c.leaf.certPEM, 0o644)
			if out, err := openssl(t, "verify", "-x509_strict", "-purpose", c.opens, "-CAfile", bundle, leaf); err != nil {
				t.Errorf("openssl: %v\n%s", err, out)
			}
			if out, err := openssl(t, "verify", "-x509_strict", "-purpose", c.fails, "-CAfile", bundle, leaf); err == nil {
				t.Errorf("openssl verifies for %s too: %s", c.fails, out)
			}
		})
	}
	if err := plugin.cert.VerifyHostname("replace-bad-words.sallyport.svc"); err != nil {
		t.Error(err)
	}
}

func openssl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := tool(t, "openssl")
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	return string(out), err
}

// tool returns the program's path; without it the test is skipped, or fails
// where REQUIRE_TOOLS=1.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("REQUIRE_TOOLS") == "1":
		t.Fatalf("%s is not installed and REQUIRE_TOOLS=1", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}
