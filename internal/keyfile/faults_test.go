package keyfile

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// edit changes a PEM file.
type edit func(file string) string

// inDER edits the bytes of the first block.
func inDER(change func(der []byte) []byte) edit {
	return func(file string) string {
		b, _ := pem.Decode([]byte(file))
		b.Bytes = change(bytes.Clone(b.Bytes))
		return string(pem.EncodeToMemory(b))
	}
}

func replace(old, by string) edit {
	return func(file string) string { return strings.Replace(file, old, by, 1) }
}

func cut(from string) edit {
	return func(file string) string { return file[:strings.LastIndex(file, from)] }
}

func flip(i int) edit {
	return inDER(func(der []byte) []byte {
		der[(i+len(der))%len(der)] ^= 0x40
		return der
	})
}

// shorten leaves out the encrypted bytes data[from:to] of a PBES2 key and
// mends the lengths around them.
func shorten(from, to int) edit {
	return inDER(func(der []byte) []byte {
		var info struct {
			Scheme asn1.RawValue
			Data   []byte
		}
		if _, err := asn1.Unmarshal(der, &info); err != nil {
			panic(err)
		}
		n := len(info.Data)
		info.Data = slices.Delete(info.Data, (from+n)%n, (to+n-1)%n+1)
		der, err := asn1.Marshal(info)
		if err != nil {
			panic(err)
		}
		return der
	})
}

func TestKeyFaults(t *testing.T) {
	keys := archive(t, "keys")
	const (
		rsa       = "rsa plain pkcs1"
		ec        = "ec plain pkcs8"
		sec1      = "ec plain sec1"
		encrypted = "ec pbkdf2 aes-256-cbc SHA256"
		scrypt    = "ec scrypt aes-256-cbc"
		legacy    = "rsa dek-info aes256"
		tripleDES = "ec dek-info des3"
	)
	prefix := func(text string) edit { return func(file string) string { return text + file } }
	suffix := func(text string) edit { return func(file string) string { return file + text } }
	for _, tt := range []struct {
		name string
		key  string
		edit edit
		want error  // nil: fine after all
		text string // part of the error
	}{
		{"empty file", ec, func(string) string { return "" }, ErrTruncated, "empty"},
		{"blank file", ec, func(string) string { return "\r\n \n" }, ErrTruncated, "empty"},
		{"text only", ec, func(string) string { return "hello\n" }, ErrDamaged, "no PEM block"},
		{"DER", ec, func(file string) string {
			b, _ := pem.Decode([]byte(file))
			return string(b.Bytes)
		}, ErrUnsupported, "not PEM"},
		{"certificate only", ec, func(string) string { return string(archive(t, "pairs")["1.crt"]) }, ErrUnsupported, "no private key"},
		{"certificate and key", ec, prefix(string(archive(t, "pairs")["1.crt"])), nil, ""},
		{"END of another type", ec, replace("PRIVATE", "PUBLIC"), ErrDamaged, "line 5 is not -----END PUBLIC KEY-----"},
		{"public key", ec, func(file string) string { return strings.ReplaceAll(file, "PRIVATE", "PUBLIC") }, ErrUnsupported, "not PUBLIC KEY"},
		{"two keys", ec, suffix(string(keys[rsa])), ErrUnsupported, "second private key"},
		{"text before", ec, prefix("Bag Attributes\n    localKeyID: 01\n"), nil, ""},
		{"byte order mark", ec, prefix("\ufeff"), nil, ""},
		{"Windows line ends", legacy, func(file string) string { return strings.ReplaceAll(file, "\n", "\r\n") }, nil, ""},
		{"no line end at the end", legacy, func(file string) string { return strings.TrimSpace(file) }, nil, ""},
		{"text after", ec, suffix("# my key\n"), ErrDamaged, "line 6: text after"},
		{"END without BEGIN", ec, func(file string) string { return file[strings.Index(file, "\n")+1:] }, ErrDamaged, "line 4 is not -----BEGIN"},
		{"dashes missing", ec, replace("KEY-----\n", "KEY----\n"), ErrDamaged, "line 1 is not -----BEGIN"},
		{"cut in the base64", ec, func(file string) string { return file[:100] }, ErrTruncated, "has no end"},
		{"cut before the END line", ec, cut("-----END"), ErrTruncated, "has no end"},
		{"cut in the END line", ec, cut(" PRIVATE"), ErrTruncated, "within line 5"},
		{"cut in the last dashes", ec, cut("--"), ErrTruncated, "within line 5"},
		{"cut in a second BEGIN line", ec, suffix("-----BEGIN CERTI"), ErrTruncated, "within line 6"},
		{"next block begins early", ec, func(file string) string { return cut("-----END")(file) + file }, ErrTruncated, "line 5 begins"},
		{"line missing", rsa, func(file string) string {
			lines := strings.SplitAfter(file, "\n")
			return strings.Join(slices.Delete(lines, 5, 6), "")
		}, ErrTruncated, "bytes of"},
		{"line twice", rsa, func(file string) string {
			lines := strings.SplitAfter(file, "\n")
			return strings.Join(slices.Insert(lines, 5, lines[5]), "")
		}, ErrDamaged, "too many"},
		{"not base64", ec, func(file string) string { return file[:60] + "!" + file[61:] }, ErrDamaged, "not base64"},
		{"nothing between the lines", ec, func(string) string {
			return "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"
		}, ErrTruncated, "nothing between"},
		{"first byte", ec, flip(0), ErrDamaged, "not DER"},
		{"version", ec, flip(3), ErrDamaged, "not a PKCS#8"},
		{"inside PKCS#8", ec, flip(30), ErrDamaged, ""},
		{"inside PKCS#1", rsa, flip(600), ErrDamaged, "rsa"},
		{"inside SEC1", sec1, flip(5), ErrDamaged, ""},
		{"PKCS#1 called SEC1", rsa, func(file string) string { return strings.ReplaceAll(file, "RSA", "EC") }, ErrDamaged, ""},
		{"PKCS#8 called PKCS#1", ec, func(file string) string { return strings.ReplaceAll(file, " PRIVATE", " RSA PRIVATE") }, ErrDamaged, ""},
		{"huge key", ec, inDER(func(der []byte) []byte {
			der, _ = asn1.Marshal(asn1.RawValue{Class: 0, Tag: 16, IsCompound: true, Bytes: append(der, make([]byte, 9000)...)})
			return der
		}), ErrUnsupported, "limit 8192"},

		{"PBES2, cut", encrypted, func(file string) string { return file[:200] }, ErrTruncated, "has no end"},
		{"PBES2, line missing", encrypted, func(file string) string {
			lines := strings.SplitAfter(file, "\n")
			return strings.Join(slices.Delete(lines, 2, 3), "")
		}, ErrTruncated, "bytes of"},
		{"PBES2, encrypted part cut", encrypted, shorten(-7, 0), ErrTruncated, "whole blocks"},
		{"PBES2, encrypted part lacks its last block", encrypted, shorten(-16, 0), ErrTruncated, "encrypted bytes of"},
		{"PBES2, padding block missing", "ed25519 pbkdf2 aes-256-cbc SHA256", shorten(-16, 0), ErrTruncated, "48 encrypted bytes of more"},
		{"PBES2, encrypted part lacks much", encrypted, shorten(32, 0), ErrTruncated, "encrypted bytes of"},
		{"PBES2, nothing encrypted", encrypted, shorten(0, 0), ErrTruncated, "0 encrypted bytes"},
		{"PBES2, first block damaged", encrypted, flip(-144), ErrPassword, ""},
		{"PBES2, second block damaged", encrypted, flip(-120), ErrDamaged, ""},
		{"PBES2, last block damaged", encrypted, flip(-1), ErrDamaged, "padding"},
		{"PBES2, salt damaged", encrypted, flip(40), ErrPassword, ""},
		{"PBES2, frame damaged", encrypted, flip(4), ErrDamaged, "not an encrypted PKCS#8"},
		{"PBES2 called plain", encrypted, func(file string) string { return strings.ReplaceAll(file, "ENCRYPTED ", "") }, ErrDamaged, "not a PKCS#8"},
		{"plain called PBES2", ec, func(file string) string { return strings.ReplaceAll(file, "PRIVATE", "ENCRYPTED PRIVATE") }, ErrDamaged, "not an encrypted PKCS#8"},
		{"scrypt, last block damaged", scrypt, flip(-1), ErrDamaged, "padding"},

		{"DEK-Info, cut", legacy, func(file string) string { return file[:300] }, ErrTruncated, "has no end"},
		{"DEK-Info, encrypted part cut", legacy, inDER(func(der []byte) []byte { return der[:len(der)-3] }), ErrTruncated, "whole blocks"},
		{"DEK-Info, encrypted part lacks blocks", legacy, inDER(func(der []byte) []byte { return der[:len(der)-64] }), ErrTruncated, "encrypted bytes of"},
		{"DEK-Info, blocks too many", legacy, inDER(func(der []byte) []byte { return append(der, make([]byte, 64)...) }), ErrDamaged, "too many"},
		{"DEK-Info, first block damaged", legacy, flip(1), ErrPassword, ""},
		{"DEK-Info, middle damaged", legacy, flip(500), ErrDamaged, ""},
		{"DEK-Info, last block damaged", tripleDES, flip(-1), ErrDamaged, "padding"},
		{"DEK-Info, bad vector", legacy, replace("DEK-Info: AES-256-CBC,", "DEK-Info: AES-256-CBC,zz"), ErrDamaged, "initialisation vector"},
		{"DEK-Info, no vector", legacy, func(file string) string {
			i := strings.Index(file, "CBC,") + 3
			return file[:i] + file[i+33:]
		}, ErrDamaged, "initialisation vector"},
		{"DEK-Info, short vector", legacy, func(file string) string {
			i := strings.Index(file, "CBC,") + 4
			return file[:i] + file[i+16:]
		}, ErrDamaged, "8 bytes, not 16"},
		{"DEK-Info, no Proc-Type", legacy, replace("Proc-Type: 4,ENCRYPTED\n", ""), ErrUnsupported, "Proc-Type"},
		{"DEK-Info, no DEK-Info", legacy, func(file string) string {
			i, j := strings.Index(file, "DEK-Info"), strings.Index(file, "\n\n")
			return file[:i] + file[j+1:]
		}, ErrDamaged, "initialisation vector"},
		{"DEK-Info on PKCS#8", legacy, func(file string) string { return strings.ReplaceAll(file, "RSA ", "") }, ErrUnsupported, "PEM headers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := ParseKey([]byte(tt.edit(string(keys[tt.key]))), password)
			switch {
			case tt.want == nil:
				if err != nil || key == nil {
					t.Error(err)
				}
			case !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || key != nil:
				t.Errorf("error %v, want %v … %s", err, tt.want, tt.text)
			case strings.Contains(err.Error(), string(password)):
				t.Errorf("the error holds the password: %v", err)
			}
		})
	}
}

// Garbage may look like the start of a key: once in a few hundred wrong
// passwords for its first byte. No wrong password may be called damage.
func TestEveryWrongPasswordIsOne(t *testing.T) {
	key := archive(t, "keys")["ec dek-info aes128"]
	for n := range 5000 {
		if _, err := ParseKey(key, fmt.Appendf(nil, "wrong %d", n)); !errors.Is(err, ErrPassword) {
			t.Errorf("password %d: %v", n, err)
		}
	}
}

// costly is a PBES2 key with the given key derivation.
func costly(t *testing.T, oid asn1.ObjectIdentifier, parameters any) []byte {
	t.Helper()
	type algorithm struct {
		OID        asn1.ObjectIdentifier
		Parameters any
	}
	type pbes2 struct{ KDF, Cipher algorithm }
	info := struct {
		Scheme struct {
			OID        asn1.ObjectIdentifier
			Parameters pbes2
		}
		Data []byte
	}{Data: make([]byte, 64)}
	info.Scheme.OID = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	info.Scheme.Parameters.KDF = algorithm{oid, parameters}
	info.Scheme.Parameters.Cipher = algorithm{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, make([]byte, 16)}
	der, err := asn1.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der})
}

// A key file cannot make its reader work for long or take much memory. The
// honest rows end with a wrong password: the work was done.
func TestHostileCosts(t *testing.T) {
	n := func(x int64) *big.Int { return big.NewInt(x) }
	huge := new(big.Int).Lsh(n(1), 64)
	pbkdf2, scrypt := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	type iterations struct {
		Salt  []byte
		Count *big.Int
	}
	type iterationsAndLength struct {
		Salt          []byte
		Count, Length *big.Int
	}
	type scryptCost struct {
		Salt    []byte
		N, R, P *big.Int
	}
	salt := []byte("salt")
	for _, tt := range []struct {
		name       string
		oid        asn1.ObjectIdentifier
		parameters any
		want       error
	}{
		{"PBKDF2, honest", pbkdf2, iterations{salt, n(2048)}, ErrPassword},
		{"PBKDF2, no iterations", pbkdf2, iterations{salt, n(0)}, ErrDamaged},
		{"PBKDF2, negative", pbkdf2, iterations{salt, n(-1)}, ErrDamaged},
		{"PBKDF2, one over the limit", pbkdf2, iterations{salt, n(10_000_001)}, ErrCost},
		{"PBKDF2, two billion", pbkdf2, iterations{salt, n(1<<31 - 1)}, ErrCost},
		{"PBKDF2, more than a word holds", pbkdf2, iterations{salt, huge}, ErrCost},
		{"PBKDF2, length of the key", pbkdf2, iterationsAndLength{salt, n(1), n(32)}, ErrPassword},
		{"PBKDF2, another length", pbkdf2, iterationsAndLength{salt, n(1), n(1 << 40)}, ErrDamaged},
		{"scrypt, honest", scrypt, scryptCost{salt, n(16384), n(8), n(1)}, ErrPassword},
		{"scrypt, N not a power of two", scrypt, scryptCost{salt, n(1000), n(8), n(1)}, ErrDamaged},
		{"scrypt, N one", scrypt, scryptCost{salt, n(1), n(8), n(1)}, ErrDamaged},
		{"scrypt, r zero", scrypt, scryptCost{salt, n(16), n(0), n(1)}, ErrDamaged},
		{"scrypt, N", scrypt, scryptCost{salt, n(1 << 21), n(1), n(1)}, ErrCost},
		{"scrypt, N and r", scrypt, scryptCost{salt, n(1 << 14), n(1 << 7), n(1)}, ErrCost},
		{"scrypt, r", scrypt, scryptCost{salt, n(2), n(1 << 40), n(1)}, ErrCost},
		{"scrypt, p", scrypt, scryptCost{salt, n(2), n(1), n(1 << 40)}, ErrCost},
		{"scrypt, product overflows", scrypt, scryptCost{salt, n(1 << 32), n(1 << 31), n(2)}, ErrCost},
		{"scrypt, N more than a word holds", scrypt, scryptCost{salt, huge, n(8), n(1)}, ErrDamaged},
		{"scrypt, r more than a word holds", scrypt, scryptCost{salt, n(16), huge, n(1)}, ErrCost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ParseKey(costly(t, tt.oid, tt.parameters), password); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestCertificateFaults(t *testing.T) {
	pairs := archive(t, "pairs")
	for _, tt := range []struct {
		name string
		edit edit
		want error
		text string
	}{
		{"empty file", func(string) string { return "\n" }, ErrTruncated, "empty"},
		{"text only", func(string) string { return "hello\n" }, ErrDamaged, "no PEM block"},
		{"DER", func(file string) string {
			b, _ := pem.Decode([]byte(file))
			return string(b.Bytes)
		}, ErrUnsupported, "not PEM"},
		{"private key beside it", func(file string) string { return file + string(pairs["1.key"]) }, ErrUnsupported, "not PRIVATE KEY"},
		{"request", func(file string) string {
			return strings.ReplaceAll(file, "CERTIFICATE", "CERTIFICATE REQUEST")
		}, ErrUnsupported, "not CERTIFICATE REQUEST"},
		{"PEM headers", replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n"), ErrDamaged, "PEM headers"},
		{"text after", func(file string) string { return file + "and so on" }, ErrDamaged, "text after"},
		{"cut", func(file string) string { return file[:200] }, ErrTruncated, "has no end"},
		{"second one cut", func(file string) string { return file + file[:200] }, ErrTruncated, "has no end"},
		{"line missing", func(file string) string {
			lines := strings.SplitAfter(file, "\n")
			return strings.Join(slices.Delete(lines, 3, 4), "")
		}, ErrTruncated, "bytes of"},
		{"second one not base64", func(file string) string { return file + strings.Replace(file, "M", "?", 1) }, ErrDamaged, "not base64"},
		{"damaged", flip(4), ErrDamaged, "x509"},
		{"bytes after", inDER(func(der []byte) []byte { return append(der, 0) }), ErrDamaged, "too many"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			certs, err := ParseCertificates([]byte(tt.edit(string(pairs["1.crt"]))))
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || certs != nil {
				t.Errorf("%d certificates, error %v, want %v … %s", len(certs), err, tt.want, tt.text)
			}
		})
	}
}

func TestCertificatesKeepTheirOrder(t *testing.T) {
	pairs := archive(t, "pairs")
	certs, err := ParseCertificates([]byte("# pair 2\n" + string(pairs["2.crt"]) + "\n# pair 1\n" + string(pairs["1.crt"]) + "\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(certs) != 2 || certs[0].Subject.CommonName != "pair-2" || certs[1].Subject.CommonName != "pair-1" {
		t.Errorf("%d certificates", len(certs))
	}
}
