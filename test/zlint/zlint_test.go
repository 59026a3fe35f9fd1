// Package zlint lints the certificates that sallyport makes with zlint, an
// oracle with an opinion on every sentence of the RFCs about certificates.
package zlint

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	stdx509 "crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
)

// rfcs are zlint's rules that come from RFCs. Those of browsers and of public
// certificate authorities do not concern a private CA.
func rfcs(t *testing.T) lint.Registry {
	t.Helper()
	var sources lint.SourceList
	for _, source := range lint.GlobalRegistry().Sources() {
		if strings.HasPrefix(string(source), "RFC") {
			sources = append(sources, source)
		}
	}
	for _, source := range []lint.LintSource{lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC8813} {
		if !slices.Contains(sources, source) {
			t.Fatalf("zlint has no rules of %s", source)
		}
	}
	registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: sources})
	if err != nil {
		t.Fatal(err)
	}
	return registry
}

// findings are the rules that a certificate breaks, with what they say. The
// second result is how many rules it keeps.
func findings(registry lint.Registry, cert *x509.Certificate) (broken []string, kept int) {
	for name, result := range zlint.LintCertificateEx(cert, registry).Results {
		switch result.Status {
		case lint.Pass:
			kept++
		case lint.Warn, lint.Error, lint.Fatal:
			broken = append(broken, strings.TrimSpace(fmt.Sprintf("%s: %s %s", result.Status, name, result.Details)))
		default: // does not apply, or a mere notice
		}
	}
	slices.Sort(broken)
	return broken, kept
}

// sallyport builds the command and returns its path.
func sallyport(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "sallyport")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/sallyport")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// certs runs sallyport certs on the tree in dir.
func certs(ctx context.Context, t *testing.T, bin, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, bin, append([]string{"certs", args[0], "--dir", filepath.Join(dir, "mcp")}, args[1:]...)...)
	cmd.Dir = dir
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "MCP_") && !strings.HasPrefix(setting, "SALLYPORT_") {
			cmd.Env = append(cmd.Env, setting)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

const onePlugin = `plugins:
  - {name: MyPlugin, kind: external, mcp: {proto: STREAMABLEHTTP, url: "https://127.0.0.1:8000/mcp"}}
`

// morePlugins has names that are hard on certificates: the longest one, which
// fills a DNS label, and others.
const morePlugins = onePlugin + `  - {name: A2345678901234567890123456789012345678901234567890-Z, kind: external, mcp: {proto: STREAMABLEHTTP, url: "https://127.0.0.1:8001/mcp"}}
  - {name: "9", kind: external, mcp: {proto: STREAMABLEHTTP, url: "https://127.0.0.1:8002/mcp"}}
  - {name: a.b, kind: external, mcp: {proto: STREAMABLEHTTP, url: "https://127.0.0.1:8003/mcp"}}
`

func TestIssuedCertificatesKeepTheRFCs(t *testing.T) {
	bin, registry := sallyport(t), rfcs(t)
	type run struct {
		name    string
		plugins string
		steps   [][]string
	}
	runs := []run{
		{"guide", onePlugin, [][]string{{"all"}}},
		{"modern", morePlugins, [][]string{{"all", "--profile", "modern"}}},
		{"more names", morePlugins, [][]string{{
			"all", "--profile", "modern", "--trust-domain", "example.org",
			"--san", "ip:127.0.0.1", "--san", "ip:::1", "--san", "dns:plugin.example.org", "--san", "uri:https://example.org/plugin",
		}}},
		{"after 2050", onePlugin, [][]string{{"all", "--key-type", "ecdsa-p256", "--days", "20000"}}},
		{"cut short by the CA", onePlugin, [][]string{{"all", "--profile", "modern", "--days", "90", "--ca-days", "30"}}},
		{"renewed", onePlugin, [][]string{{"all", "--profile", "modern"}, {"renew", "--force"}}},
		{"renewed RSA", onePlugin, [][]string{{"all", "--key-type", "rsa-2048"}, {"renew", "--force"}}},
		{"renewed with new keys", onePlugin, [][]string{{"all", "--profile", "modern"}, {"renew", "--force", "--rekey"}}},
	}
	for _, profile := range []string{"guide", "modern"} {
		for _, key := range []string{"ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096"} {
			runs = append(runs, run{profile + " " + key, onePlugin, [][]string{{"all", "--profile", profile, "--key-type", key}}})
		}
	}
	for _, run := range runs {
		t.Run(run.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			config := filepath.Join(dir, "config.yaml")
			if err := os.WriteFile(config, []byte(run.plugins), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, step := range run.steps {
				if step[0] == "all" {
					step = append(step, "--config", config)
				}
				certs(t.Context(), t, bin, dir, step...)
			}
			check(t, registry, filepath.Join(dir, "mcp"), strings.Count(run.plugins, "name:"))
		})
	}
}

// check lints each certificate of a tree and looks at what zlint, which sees
// one at a time, cannot.
func check(t *testing.T, registry lint.Registry, tree string, plugins int) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(tree, "plugins", "*", "server.crt"))
	if err != nil || len(paths) != plugins {
		t.Fatalf("%d plugin certificates, want %d; error %v", len(paths), plugins, err)
	}
	ca := parse(t, filepath.Join(tree, "ca", "ca.crt"))
	serials := map[string]string{}
	for _, path := range append(paths, filepath.Join(tree, "ca", "ca.crt"), filepath.Join(tree, "gateway", "client.crt")) {
		cert := parse(t, path)
		rel, err := filepath.Rel(tree, path)
		if err != nil {
			t.Fatal(err)
		}
		broken, kept := findings(registry, cert)
		if len(broken) != 0 || kept < 30 {
			t.Errorf("%s keeps %d rules and breaks %d:\n%s", rel, kept, len(broken), strings.Join(broken, "\n"))
		}
		if cert.NotAfter.After(ca.NotAfter) {
			t.Errorf("%s ends at %s, after its CA at %s", rel, cert.NotAfter, ca.NotAfter)
		}
		if n := cert.SerialNumber; n.Sign() <= 0 || n.BitLen() < 100 || n.BitLen() >= 160 {
			t.Errorf("%s has the serial %x", rel, n)
		}
		if other, ok := serials[cert.SerialNumber.String()]; ok {
			t.Errorf("%s and %s have one serial", rel, other)
		}
		serials[cert.SerialNumber.String()] = rel
	}
}

func parse(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(data)
	if block == nil || len(rest) != 0 {
		t.Fatalf("%s is not one PEM block", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return cert
}

// A lint that finds nothing proves nothing unless it can find something.
func TestTheRulesFindFaults(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &stdx509.Certificate{
		SerialNumber: big.NewInt(2),
		NotBefore:    time.Now(),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		KeyUsage:     stdx509.KeyUsageKeyEncipherment | stdx509.KeyUsageCertSign,
		ExtKeyUsage:  []stdx509.ExtKeyUsage{stdx509.ExtKeyUsageClientAuth},
		URIs:         []*url.URL{{Path: "/gateway"}},
	}
	der, err := stdx509.CreateCertificate(rand.Reader, template, template, key.Public(), key) //nolint:forbidigo // one that is wrong on purpose
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	broken, _ := findings(rfcs(t), cert)
	for _, rule := range []string{
		"error: e_ext_key_usage_cert_sign_without_ca",
		"error: e_ecdsa_allowed_ku",
		"error: e_ext_san_uri_relative",
		"error: e_issuer_field_empty",
		"warn: w_ext_subject_key_identifier_missing_sub_cert",
	} {
		if !slices.ContainsFunc(broken, func(s string) bool { return strings.HasPrefix(s, rule) }) {
			t.Errorf("%s is not among\n%s", rule, strings.Join(broken, "\n"))
		}
	}
}
