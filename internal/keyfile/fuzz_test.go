package keyfile

import (
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
)

// cheap lets the fuzzer spend its time on parsing.
var cheap = limits{iterations: 16, memory: 64, work: 64}

// known reports whether an error is one that callers can tell apart.
func known(err error) bool {
	for _, kind := range []error{ErrPassword, ErrNoPassword, ErrUnsupported, ErrCost, ErrDamaged, ErrTruncated} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// fuzzKey holds for whatever bytes: no panic, an error that says which kind it
// is, or a key that survives being written and read again.
func fuzzKey(t *testing.T, pem, password []byte) {
	t.Helper()
	key, err := cheap.parseKey(pem, password)
	if err != nil {
		if !known(err) || key != nil {
			t.Errorf("key %v, error %v", key, err)
		}
		return
	}
	out, err := MarshalKey(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseKey(out, nil); err != nil || !same(back, key) {
		t.Errorf("written and read again: %v", err)
	}
}

func FuzzParseKey(f *testing.F) {
	for _, name := range []string{"keys", "unsupported", "pairs"} {
		for _, data := range archive(f, name) {
			f.Add(data, password)
		}
	}
	f.Fuzz(fuzzKey)
}

// The same below base64, where the fuzzer gets further.
func FuzzParseKeyDER(f *testing.F) {
	kinds := []string{"PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"}
	for name, data := range archive(f, "keys") {
		b, _ := pem.Decode(data)
		if b.Headers["DEK-Info"] != "" || strings.Contains(name, "parameters") {
			continue
		}
		f.Add(byte(slices.Index(kinds, b.Type)), b.Bytes, password)
		if strings.HasSuffix(name, "plain pkcs8") {
			der, err := encrypt(b.Bytes, password, 1)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(1), der, password)
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, der, password []byte) {
		b := pem.Block{Type: kinds[int(kind)%len(kinds)], Bytes: der}
		fuzzKey(t, pem.EncodeToMemory(&b), password)
	})
}

func FuzzParseCertificates(f *testing.F) {
	for _, name := range []string{"keys", "pairs"} {
		for _, data := range archive(f, name) {
			f.Add(data)
		}
	}
	pairs := archive(f, "pairs")
	f.Add(slices.Concat(pairs["1.crt"], pairs["2.crt"]))
	f.Fuzz(func(t *testing.T, pem []byte) {
		certs, err := ParseCertificates(pem)
		if err != nil && (!known(err) || certs != nil) || err == nil && len(certs) == 0 {
			t.Errorf("%d certificates, error %v", len(certs), err)
		}
	})
}
