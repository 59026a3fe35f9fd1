package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// scriptPKI makes the folder that scripts find as $PKI: what `sallyport certs`
// makes, and what it never would. ca.crt is the CA; server (plugin P), gateway,
// and what is wrong in one way: expired, notyet, version1 (a client's), stranger
// (a client of another CA). Keys are beside, as NAME.key.
func scriptPKI(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ca := pkitest.NewCA(t)
	ca.Write(t, dir)
	server, gateway := pkitest.PluginSpec("P"), pkitest.GatewaySpec()
	for name, leaf := range map[string]*pkitest.Leaf{
		"server":   ca.Leaf(t, server),
		"gateway":  ca.Leaf(t, gateway),
		"expired":  ca.Wrong(t, server, pkitest.Expired),
		"notyet":   ca.Wrong(t, server, pkitest.NotYetValid),
		"version1": ca.Wrong(t, gateway, pkitest.Version1),
		"stranger": ca.Wrong(t, gateway, pkitest.UnknownCA),
	} {
		leaf.Write(t, dir, name)
		pair := append(append([]byte{}, leaf.CertPEM...), leaf.KeyPEM...)
		if err := os.WriteFile(filepath.Join(dir, name+".pem"), pair, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
