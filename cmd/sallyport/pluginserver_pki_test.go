package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// scriptPKI makes the folder that scripts find as $PKI: what `sallyport certs`
// makes, and what it never would. ca.crt is the CA; server (plugin P), gateway,
// and what is wrong in one way: expired, notyet, version1 (a client's), stranger
// (a client of another CA). Keys are beside, as NAME.key; encrypted.key is the
// server's under the password open-sesame, in a form that costs no time.
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
	encryptKey(t, filepath.Join(dir, "server.key"), filepath.Join(dir, "encrypted.key"))
	return dir
}

// encryptKey writes the EC key of one file to another one, encrypted.
func encryptKey(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	//nolint:staticcheck // weak, which is the point: one that is not takes seconds under the race detector
	block, err = x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", der, []byte("open-sesame"), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}
