// Package zlint lets an independent linter judge the certificates that the
// command makes. It is a module of its own: the linter is nobody's dependency.
package zlint

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
)

// build makes the command that is judged.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "sallyport")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/sallyport")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// rfc is the lints that come from RFCs: those of browsers' root programs are
// not about a CA of one's own.
func rfc(t *testing.T) lint.Registry {
	t.Helper()
	registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{
		IncludeSources: lint.SourceList{lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC6960, lint.RFC6962, lint.RFC8813},
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(registry.Names()); n < 100 {
		t.Fatalf("only %d lints: the linter has changed", n)
	}
	return registry
}

// findings lists the lints that a certificate fails: any error, any warning.
func findings(t *testing.T, path string, registry lint.Registry) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("%s: no PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var found []string
	passed := 0
	for name, result := range zlint.LintCertificateEx(cert, registry).Results {
		switch result.Status {
		case lint.Pass:
			passed++
		case lint.Warn, lint.Error, lint.Fatal:
			found = append(found, name+": "+result.Details)
		default:
		}
	}
	if passed < 10 {
		t.Errorf("%s: only %d lints applied", path, passed)
	}
	return found
}

func TestEveryKeyTypeIsFreeOfFindings(t *testing.T) {
	bin, registry := build(t), rfc(t)
	for _, keyType := range []string{"rsa-2048", "rsa-3072", "rsa-4096", "ecdsa-p256", "ecdsa-p384", "ed25519"} {
		t.Run(keyType, func(t *testing.T) {
			dir := t.TempDir()
			run := func(args ...string) {
				t.Helper()
				cmd := exec.Command(bin, append([]string{"certs"}, args...)...)
				cmd.Dir = dir
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("certs %q: %v\n%s", args, err, out)
				}
			}
			run("gateway", "--key-type", keyType)
			run("plugin", "MyPlugin", "--key-type", keyType, "--san", "ip:127.0.0.1", "--san", "dns:plugin.example.com")
			for _, round := range []string{"new", "renewed"} {
				for _, path := range []string{"ca/ca.crt", "gateway/client.crt", "plugins/MyPlugin/server.crt"} {
					for _, finding := range findings(t, filepath.Join(dir, "certs/mcp", path), registry) {
						t.Errorf("%s, %s: %s", path, round, finding)
					}
				}
				run("renew", "--force")
			}
		})
	}
}

// A linter that finds nothing anywhere proves nothing: here is a defect.
func TestTheLinterFindsDefects(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("REQUIRE_TOOLS") == "1" {
			t.Fatal("openssl is not installed and REQUIRE_TOOLS=1")
		}
		t.Skip("openssl is not installed")
	}
	path := filepath.Join(t.TempDir(), "ca.crt")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", os.DevNull, "-out", path, "-days", "825",
		"-subj", "/CN=MCP-Gateway-CA/O=MCPGateway/OU=Plugins", "-addext", "basicConstraints=CA:TRUE").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if found := findings(t, path, rfc(t)); len(found) == 0 {
		t.Error("a CA whose basic constraints are not critical passed")
	}
}
