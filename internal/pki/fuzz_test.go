package pki

import (
	"crypto/ed25519"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fuzzLeaf signs a leaf and reads it back.
func fuzzLeaf(t *testing.T, f folder, sans SANs) *x509.Certificate {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	now := time.Now()
	subject, err := f.subject("")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := issueCA(key, subject, nil, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := issueLeaf(ca, key, key.Public(), leafSpec{role: f.role, subject: subject, sans: sans, notAfter: now.Add(time.Hour)}, now)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// FuzzSANs: names that are accepted are those that stand in the certificate,
// and none of them stands for somebody else.
func FuzzSANs(f *testing.F) {
	for _, seed := range []string{"dns:a.example.com", "ip:127.0.0.1,ip:::1", "uri:spiffe://x.y/z?q=%20", "dns:*.a.b", "dns:mcp-plugin-B", "uri:https://[::1]:8/ä", "ip:::ffff:1.2.3.4", "uri:A://00", "uri:a://.0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sans, err := ParseSANs([]string{text})
		a := New("t", nil).plugin("A")
		if err != nil || sans.checkExtra(a) != nil {
			return
		}
		all := a.sans("x.y")
		all.add(sans)
		leaf := fuzzLeaf(t, a, all)
		if diff := cmp.Diff(all.Strings(), sansOf(leaf).Strings()); diff != "" {
			t.Error(diff)
		}
		for _, id := range sansOf(leaf).identities() {
			if id != "plugin a" {
				t.Errorf("%q makes it stand for %q", text, id)
			}
		}
	})
}

// FuzzName: a name that is accepted is one folder and one subject.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"MyPlugin", "a.b", "a..b", "a/b", "x\n", "ALL", "any", "1.2.3.4", "0x7f.1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if CheckName(name) != nil {
			return
		}
		p := New("t", nil).plugin(name)
		if p.dir != filepath.Join("t", "plugins")+string(filepath.Separator)+name || strings.HasPrefix(name, ".") {
			t.Errorf("%q leads to %s", name, p.dir)
		}
		leaf := fuzzLeaf(t, p, p.sans("x.y"))
		if leaf.Subject.CommonName != "mcp-plugin-"+name || len(leaf.DNSNames) != 3 || len(leaf.URIs) != 1 {
			t.Errorf("%q: %s %q %v", name, leaf.Subject, leaf.DNSNames, leaf.URIs)
		}
	})
}

// FuzzTrustDomain: one that is accepted stands in the certificate.
func FuzzTrustDomain(f *testing.F) {
	for _, seed := range []string{"mcp.local", "..", "-", "a_b", "1.2.3.4", "A"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, domain string) {
		if CheckTrustDomain(domain) != nil {
			return
		}
		gateway := New("t", nil).gateway()
		leaf := fuzzLeaf(t, gateway, gateway.sans(domain))
		if got := leaf.URIs[0].String(); got != "spiffe://"+domain+"/gateway" {
			t.Errorf("%q: %s", domain, got)
		}
	})
}

// FuzzInspect: whatever is in a file, it is described or refused.
func FuzzInspect(f *testing.F) {
	dir := f.TempDir()
	tree := New(dir, nil)
	if err := tree.Gateway(f.Context(), quick); err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{tree.gateway().certFile(), tree.gateway().keyFile(), tree.gateway().pemFile()} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	path := filepath.Join(dir, "file")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := tree.Inspect(path, 0)
		if err == nil && len(got.Certificates)+len(got.Keys) == 0 {
			t.Error("neither an error nor anything found")
		}
	})
}
