package keyfile

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // to read the keys there are
	"crypto/md5" //nolint:gosec // the only key derivation this format has
	"encoding/hex"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// decryptLegacy decrypts a PKCS#1 or SEC1 block that carries DEK-Info (RFC
// 1421 as OpenSSL understands it).
func decryptLegacy(b block, password []byte) ([]byte, error) {
	if b.Headers["Proc-Type"] != "4,ENCRYPTED" {
		return nil, fault(ErrUnsupported, "Proc-Type %.40q", b.Headers["Proc-Type"])
	}
	name, digits, _ := strings.Cut(b.Headers["DEK-Info"], ",")
	iv, err := hex.DecodeString(strings.TrimSpace(digits))
	if err != nil || len(iv) < 8 {
		return nil, fault(ErrDamaged, "its DEK-Info has no initialisation vector")
	}
	var scheme blockCipher
	switch name {
	case "AES-128-CBC":
		scheme = blockCipher{16, aes.NewCipher}
	case "AES-192-CBC":
		scheme = blockCipher{24, aes.NewCipher}
	case "AES-256-CBC":
		scheme = blockCipher{32, aes.NewCipher}
	case "DES-EDE3-CBC":
		scheme = blockCipher{24, des.NewTripleDESCipher}
	default:
		return nil, reencrypt(fault(ErrUnsupported, "encryption with %.40q", name))
	}
	return scheme.decrypt(b.Bytes, iv, password, func(n int) ([]byte, error) {
		return bytesToKey(password, iv[:8], n), nil
	})
}

// bytesToKey is OpenSSL's EVP_BytesToKey with MD5 and one round.
func bytesToKey(password, salt []byte, n int) []byte {
	var key, digest []byte
	for len(key) < n {
		h := md5.New() //nolint:gosec // as above
		h.Write(digest)
		h.Write(password)
		h.Write(salt)
		digest = h.Sum(nil)
		key = append(key, digest...)
	}
	return key[:n]
}

// blockCipher is a cipher in CBC mode.
type blockCipher struct {
	keyLength int // bytes
	new       func(key []byte) (cipher.Block, error)
}

// decrypt returns the key in data, without its padding. It asks derive for an
// encryption key last, when the cheap checks are done.
//
// CBC does not tell whether the password was right. A key does: each of the
// formats starts with a SEQUENCE that starts with a version number, which
// garbage does once in billions.
func (c blockCipher) decrypt(data, iv, password []byte, derive func(n int) ([]byte, error)) ([]byte, error) {
	if len(password) == 0 {
		return nil, ErrNoPassword
	}
	probe, err := c.new(make([]byte, c.keyLength))
	if err != nil {
		return nil, err
	}
	size := probe.BlockSize()
	switch {
	case len(iv) != size:
		return nil, fault(ErrDamaged, "an initialisation vector of %d bytes, not %d", len(iv), size)
	case len(data) == 0 || len(data)%size != 0:
		return nil, fault(ErrTruncated, "%d encrypted bytes are not whole blocks of %d", len(data), size)
	}
	key, err := derive(c.keyLength)
	if err != nil {
		return nil, err
	}
	b, err := c.new(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(b, iv).CryptBlocks(plain, data)
	return unpad(plain, size)
}

func unpad(plain []byte, size int) ([]byte, error) {
	n := derLength(plain)
	if n == 0 || !versioned(plain) {
		return nil, ErrPassword
	}
	pad := len(plain) - n
	switch {
	case pad < 1: // padding is at least one byte
		return nil, fault(ErrTruncated, "%d encrypted bytes of more than %d", len(plain), n)
	case pad > size:
		return nil, fault(ErrDamaged, "%d encrypted bytes too many", pad-size)
	}
	for _, b := range plain[n:] {
		if int(b) != pad {
			return nil, fault(ErrDamaged, "the padding of its encrypted part")
		}
	}
	return plain[:n], nil
}

// versioned reports whether a SEQUENCE starts with a small INTEGER.
func versioned(b []byte) bool {
	header := 2
	if b[1] >= 0x80 {
		header += int(b[1] & 0x7f)
	}
	return len(b) >= header+3 && b[header] == 0x02 && b[header+1] == 1 && b[header+2] <= 2
}

// reencrypt adds the way out of a scheme that is not known here.
func reencrypt(err error) error {
	return hint.Add(err, "encrypt the key anew: openssl pkey -in KEY | openssl pkcs8 -topk8 -v2 aes-256-cbc -out NEW")
}
