package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strconv"
	"strings"
)

// KeyType names a kind of private key, as in --key-type.
type KeyType string

// The key types that can be made.
const (
	RSA2048   KeyType = "rsa-2048"
	RSA3072   KeyType = "rsa-3072"
	RSA4096   KeyType = "rsa-4096"
	ECDSAP256 KeyType = "ecdsa-p256"
	ECDSAP384 KeyType = "ecdsa-p384"
	Ed25519   KeyType = "ed25519"
)

// KeyTypes lists them, for help texts and errors.
func KeyTypes() []KeyType {
	return []KeyType{RSA2048, RSA3072, RSA4096, ECDSAP256, ECDSAP384, Ed25519}
}

// ParseKeyType finds a key type by its name.
func ParseKeyType(name string) (KeyType, error) {
	for _, k := range KeyTypes() {
		if string(k) == name {
			return k, nil
		}
	}
	return "", fmt.Errorf("%q is none of %q", name, KeyTypes())
}

// generate makes a key. RSA takes seconds and cannot be interrupted.
func (k KeyType) generate() (crypto.Signer, error) {
	switch k {
	case RSA2048, RSA3072, RSA4096:
		bits, err := strconv.Atoi(strings.TrimPrefix(string(k), "rsa-"))
		if err != nil {
			return nil, err
		}
		return rsa.GenerateKey(rand.Reader, bits)
	case ECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("keys of type %q cannot be made", k)
}

// keyTypeOf names the type of a public key, also of those that are not made
// here.
func keyTypeOf(public crypto.PublicKey) KeyType {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return KeyType("rsa-" + strconv.Itoa(key.N.BitLen()))
	case *ecdsa.PublicKey:
		return KeyType("ecdsa-" + strings.ToLower(strings.ReplaceAll(key.Curve.Params().Name, "-", "")))
	case ed25519.PublicKey:
		return Ed25519
	}
	return "unknown"
}

// samePublic reports whether two public keys are one.
func samePublic(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
