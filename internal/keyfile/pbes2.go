package keyfile

import (
	"crypto/aes"
	"crypto/des" //nolint:gosec // to read the keys there are
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // as HMAC, to read the keys there are
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"fmt"
	"hash"
	"math"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/scrypt"
)

// limits bounds what a file can make its reader spend.
type limits struct {
	iterations uint64 // of PBKDF2
	memory     uint64 // of scrypt, in blocks of 128 bytes: N·r
	work       uint64 // of scrypt: N·r·p
}

// honest is what a key made by an honest tool stays under: OpenSSL takes 2,048
// iterations and 16·1024·8 scrypt blocks, password managers up to two million
// iterations. The limits come to a few seconds and 128 MiB.
var honest = limits{iterations: 10_000_000, memory: 1 << 20, work: 1 << 22}

// objectID is an object identifier.
type objectID struct{ asn1.ObjectIdentifier }

// String is its dotted form. A damaged file may hold one of any length.
func (o objectID) String() string {
	return fmt.Sprintf("%.80s", o.ObjectIdentifier.String())
}

func (o *objectID) read(s *cryptobyte.String) bool {
	return s.ReadASN1ObjectIdentifier(&o.ObjectIdentifier)
}

// algorithm reads an AlgorithmIdentifier.
func algorithm(s *cryptobyte.String) (oid string, parameters cryptobyte.String, ok bool) {
	var seq cryptobyte.String
	var id objectID
	ok = s.ReadASN1(&seq, tag.SEQUENCE) && id.read(&seq)
	return id.String(), seq, ok
}

// decryptPKCS8 returns the PKCS#8 key in an EncryptedPrivateKeyInfo.
func (l limits) decryptPKCS8(der, password []byte) ([]byte, error) {
	malformed := fault(ErrDamaged, "not an encrypted PKCS#8 private key")
	var info, schemes, data cryptobyte.String
	input := cryptobyte.String(der)
	if !input.ReadASN1(&info, tag.SEQUENCE) {
		return nil, malformed
	}
	oid, parameters, ok := algorithm(&info)
	if !ok || !info.ReadASN1(&data, tag.OCTET_STRING) || !info.Empty() {
		return nil, malformed
	}
	if oid != "1.2.840.113549.1.5.13" { // PBES2
		return nil, reencrypt(fault(ErrUnsupported, "the encryption scheme %s", oid))
	}
	if !parameters.ReadASN1(&schemes, tag.SEQUENCE) || !parameters.Empty() {
		return nil, malformed
	}
	kdf, kdfParameters, ok := algorithm(&schemes)
	if !ok {
		return nil, malformed
	}
	enc, encParameters, ok := algorithm(&schemes)
	if !ok || !schemes.Empty() {
		return nil, malformed
	}
	var c blockCipher
	switch enc {
	case "2.16.840.1.101.3.4.1.2":
		c = blockCipher{16, aes.NewCipher}
	case "2.16.840.1.101.3.4.1.22":
		c = blockCipher{24, aes.NewCipher}
	case "2.16.840.1.101.3.4.1.42":
		c = blockCipher{32, aes.NewCipher}
	case "1.2.840.113549.3.7":
		c = blockCipher{24, des.NewTripleDESCipher}
	default:
		return nil, reencrypt(fault(ErrUnsupported, "the cipher %s", enc))
	}
	var iv cryptobyte.String
	if !encParameters.ReadASN1(&iv, tag.OCTET_STRING) || !encParameters.Empty() {
		return nil, malformed
	}
	derive, err := l.derivation(kdf, kdfParameters, c.keyLength)
	if err != nil {
		return nil, err
	}
	return c.decrypt(data, iv, password, func(n int) ([]byte, error) { return derive(password, n) })
}

// deriver makes a key of n bytes from a password.
type deriver func(password []byte, n int) ([]byte, error)

// derivation reads the parameters of a key derivation function and refuses
// what would cost too much.
func (l limits) derivation(kdf string, parameters cryptobyte.String, keyLength int) (deriver, error) {
	var seq, salt cryptobyte.String
	switch kdf {
	case "1.2.840.113549.1.5.12", "1.3.6.1.4.1.11591.4.11": // PBKDF2, scrypt
	default:
		return nil, reencrypt(fault(ErrUnsupported, "the key derivation %s", kdf))
	}
	if !parameters.ReadASN1(&seq, tag.SEQUENCE) || !parameters.Empty() || !seq.ReadASN1(&salt, tag.OCTET_STRING) {
		return nil, fault(ErrDamaged, "the parameters of its key derivation")
	}
	if kdf == "1.2.840.113549.1.5.12" {
		return l.pbkdf2(seq, salt, keyLength)
	}
	return l.scrypt(seq, salt, keyLength)
}

func (l limits) pbkdf2(seq, salt cryptobyte.String, keyLength int) (deriver, error) {
	iterations, ok := count(&seq)
	if !ok || !lengthFits(&seq, keyLength) {
		return nil, fault(ErrDamaged, "the parameters of PBKDF2")
	}
	if iterations > l.iterations {
		return nil, fault(ErrCost, "PBKDF2 with %d iterations, limit %d", iterations, l.iterations)
	}
	hmac := "1.2.840.113549.2.7" // the default
	if !seq.Empty() {
		if hmac, _, ok = algorithm(&seq); !ok || !seq.Empty() {
			return nil, fault(ErrDamaged, "the parameters of PBKDF2")
		}
	}
	var h func() hash.Hash
	switch hmac {
	case "1.2.840.113549.2.7":
		h = sha1.New
	case "1.2.840.113549.2.8":
		h = sha256.New224
	case "1.2.840.113549.2.9":
		h = sha256.New
	case "1.2.840.113549.2.10":
		h = sha512.New384
	case "1.2.840.113549.2.11":
		h = sha512.New
	default:
		return nil, reencrypt(fault(ErrUnsupported, "PBKDF2 with the function %s", hmac))
	}
	return func(password []byte, n int) ([]byte, error) {
		return pbkdf2.Key(h, string(password), salt, int(iterations), n)
	}, nil
}

func (l limits) scrypt(seq, salt cryptobyte.String, keyLength int) (deriver, error) {
	cost, ok1 := count(&seq)
	size, ok2 := count(&seq)
	parallel, ok3 := count(&seq)
	if !ok1 || !ok2 || !ok3 || !lengthFits(&seq, keyLength) || !seq.Empty() || cost < 2 || cost&(cost-1) != 0 {
		return nil, fault(ErrDamaged, "the parameters of scrypt")
	}
	// In this order no product can overflow.
	if cost > l.memory || size > l.memory/cost || parallel > l.work/(cost*size) {
		return nil, fault(ErrCost, "scrypt with N %d, r %d, p %d", cost, size, parallel)
	}
	return func(password []byte, n int) ([]byte, error) {
		return scrypt.Key(password, salt, int(cost), int(size), int(parallel), n)
	}, nil
}

// count reads an INTEGER of at least 1. What does not fit is as good as the
// largest that does: over every limit.
func count(s *cryptobyte.String) (uint64, bool) {
	n := new(big.Int)
	if !s.ReadASN1Integer(n) || n.Sign() <= 0 {
		return 0, false
	}
	if !n.IsUint64() {
		return math.MaxUint64, true
	}
	return n.Uint64(), true
}

// lengthFits reads the optional length of the derived key, which has to be
// what the cipher takes.
func lengthFits(s *cryptobyte.String, keyLength int) bool {
	if !s.PeekASN1Tag(tag.INTEGER) {
		return true
	}
	n, ok := count(s)
	return ok && n == uint64(keyLength)
}
