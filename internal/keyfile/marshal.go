package keyfile

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
)

// The iterations of PBKDF2 with HMAC-SHA-256 in the keys that are written here:
// OWASP's figure.
const iterations = 600_000

// The structures of RFC 8018, as far as MarshalKey writes them. Its parameters
// are fixed, so the object identifiers are too.
type (
	algorithmID[P any] struct {
		OID        asn1.ObjectIdentifier
		Parameters P
	}
	pbkdf2Parameters struct {
		Salt       []byte
		Iterations int
		PRF        algorithmID[asn1.RawValue]
	}
	pbes2Parameters struct {
		KDF    algorithmID[pbkdf2Parameters]
		Cipher algorithmID[[]byte]
	}
	encryptedPrivateKey struct {
		Scheme algorithmID[pbes2Parameters]
		Data   []byte
	}
)

// MarshalKey returns key as a PKCS#8 PEM file: plain, or encrypted (PBES2:
// PBKDF2 with HMAC-SHA-256 and 600,000 iterations, AES-256-CBC) if the
// password is not empty. Key is one of the types that ParseKey returns. It is
// for the caller to keep the result from other eyes.
func MarshalKey(key crypto.Signer, password []byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	if len(password) == 0 {
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	}
	if der, err = encrypt(der, password, iterations); err != nil {
		return nil, fmt.Errorf("encrypting a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), nil
}

func encrypt(der, password []byte, iterations int) ([]byte, error) {
	random := make([]byte, 32)
	rand.Read(random) // never fails
	salt, iv := random[:16], random[16:]
	key, err := pbkdf2.Key(sha256.New, string(password), salt, iterations, 32)
	if err != nil {
		return nil, err
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(der)%aes.BlockSize
	data := append(bytes.Clone(der), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(b, iv).CryptBlocks(data, data)

	var info encryptedPrivateKey
	info.Data = data
	info.Scheme.OID = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	kdf := &info.Scheme.Parameters.KDF
	kdf.OID = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	kdf.Parameters.Salt, kdf.Parameters.Iterations = salt, iterations
	kdf.Parameters.PRF.OID = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	kdf.Parameters.PRF.Parameters = asn1.NullRawValue
	info.Scheme.Parameters.Cipher.OID = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	info.Scheme.Parameters.Cipher.Parameters = iv
	return asn1.Marshal(info)
}
