package keyfile

import (
	"bytes"
	"crypto"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// openssl runs openssl with stdin and returns what it prints. Without openssl
// the test is skipped, or fails where REQUIRE_TOOLS is set.
func openssl(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("REQUIRE_TOOLS") == "1" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("openssl is not installed")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// plainKeys are made by openssl: name to PKCS#8 PEM.
func plainKeys(t *testing.T) map[string][]byte {
	t.Helper()
	return map[string][]byte{
		"rsa":     openssl(t, nil, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
		"p256":    openssl(t, nil, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
		"p384":    openssl(t, nil, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
		"p521":    openssl(t, nil, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"),
		"ed25519": openssl(t, nil, "genpkey", "-algorithm", "ED25519"),
	}
}

func same(a, b crypto.Signer) bool {
	k, ok := a.(interface{ Equal(crypto.PrivateKey) bool })
	return ok && k.Equal(b)
}

// Every form in which openssl writes a private key is read, and read right.
func TestReadsWhatOpenSSLWrites(t *testing.T) {
	encryptions := map[string][]string{}
	for _, cipher := range []string{"aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des-ede3-cbc"} {
		for _, hmac := range []string{"SHA1", "SHA224", "SHA256", "SHA384", "SHA512"} {
			encryptions[cipher+"/"+hmac] = []string{"-v2", cipher, "-v2prf", "hmacWith" + hmac}
		}
		encryptions[cipher+"/scrypt"] = []string{"-v2", cipher, "-scrypt", "-scrypt_N", "1024"}
	}
	for name, plain := range plainKeys(t) {
		want, err := ParseKey(plain, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		check := func(form string, pem []byte, encrypted bool) {
			t.Run(name+"/"+form, func(t *testing.T) {
				password := []byte("pass word")
				if encrypted {
					if _, err := ParseKey(pem, nil); !errors.Is(err, ErrNoPassword) {
						t.Errorf("without password: %v", err)
					}
					if _, err := ParseKey(pem, []byte("pass wore")); !errors.Is(err, ErrPassword) {
						t.Errorf("with a wrong password: %v", err)
					}
				}
				got, err := ParseKey(pem, password)
				if err != nil {
					t.Fatalf("%v in\n%s", err, pem)
				}
				if !same(got, want) {
					t.Error("another key")
				}
			})
		}
		for form, args := range encryptions {
			check("pkcs8/"+form, openssl(t, plain, append([]string{"pkcs8", "-topk8", "-passout", "pass:pass word"}, args...)...), true)
		}
		switch name {
		case "rsa":
			check("pkcs1", openssl(t, plain, "rsa", "-traditional"), false)
		case "ed25519":
			continue
		default:
			check("sec1", openssl(t, plain, "ec"), false)
			check("sec1 with parameters", append(openssl(t, nil, "ecparam", "-name", "prime256v1"), openssl(t, plain, "ec")...), false)
		}
		for _, cipher := range []string{"-aes128", "-aes192", "-aes256", "-des3"} {
			if name == "rsa" {
				check("dek-info"+cipher, openssl(t, plain, "rsa", "-traditional", cipher, "-passout", "pass:pass word"), true)
			} else {
				check("dek-info"+cipher, openssl(t, plain, "ec", cipher, "-passout", "pass:pass word"), true)
			}
		}
	}
}

// What MarshalKey writes is read by openssl, and by us.
func TestOpenSSLReadsWhatMarshalKeyWrites(t *testing.T) {
	for name, plain := range plainKeys(t) {
		for form, password := range map[string][]byte{"plain": nil, "encrypted": []byte("pass word")} {
			t.Run(name+"/"+form, func(t *testing.T) {
				if password != nil && name != "p256" && name != "ed25519" {
					t.Skip("600,000 iterations, and the key makes no difference to them")
				}
				want, err := ParseKey(plain, nil)
				if err != nil {
					t.Fatal(err)
				}
				pem, err := MarshalKey(want, password)
				if err != nil {
					t.Fatal(err)
				}
				if got := bytes.Contains(pem, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----")); got != (password != nil) {
					t.Errorf("encrypted %v", got)
				}
				got, err := ParseKey(pem, password)
				if err != nil || !same(got, want) {
					t.Errorf("read back: %v", err)
				}
				theirs := openssl(t, pem, "pkey", "-passin", "pass:pass word")
				if got, err := ParseKey(theirs, nil); err != nil || !same(got, want) {
					t.Errorf("openssl read it as\n%s%v", theirs, err)
				}
			})
		}
	}
}
