package keyfile

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var password = []byte("pass word")

// archive returns the files of testdata/name.txtar.
func archive(t testing.TB, name string) map[string][]byte {
	t.Helper()
	a, err := txtar.ParseFile("testdata/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range a.Files {
		files[f.Name] = f.Data
	}
	return files
}

// The forms of openssl are read also where openssl is not installed.
func TestReadsKeptKeys(t *testing.T) {
	keys := archive(t, "keys")
	if len(keys) != 42 {
		t.Errorf("%d keys", len(keys))
	}
	for name, data := range keys {
		t.Run(name, func(t *testing.T) {
			kind, _, _ := strings.Cut(name, " ")
			b, _ := pem.Decode(keys[kind+" plain pkcs8"])
			want, err := x509.ParsePKCS8PrivateKey(b.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseKey(data, password)
			if err != nil {
				t.Fatal(err)
			}
			if !same(got, want.(crypto.Signer)) {
				t.Error("another key")
			}
			if strings.Contains(name, "plain") {
				return
			}
			if _, err := ParseKey(data, nil); !errors.Is(err, ErrNoPassword) {
				t.Errorf("without password: %v", err)
			}
			if _, err := ParseKey(data, []byte("pass wore")); !errors.Is(err, ErrPassword) {
				t.Errorf("wrong password: %v", err)
			}
		})
	}
}

// What is not supported is named.
func TestNamesWhatIsUnsupported(t *testing.T) {
	for name, data := range archive(t, "unsupported") {
		t.Run(name, func(t *testing.T) {
			key, err := ParseKey(data, password)
			if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), name) {
				t.Errorf("key %v, error %v", key, err)
			}
		})
	}
}
