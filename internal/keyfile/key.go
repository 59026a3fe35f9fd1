package keyfile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// ParseKey returns the one private key of a PEM file: PKCS#8, also encrypted
// (PBES2), PKCS#1 or SEC1, also encrypted as OpenSSL once did (DEK-Info). Keys
// are RSA, ECDSA (P-256, P-384, P-521) or Ed25519: *rsa.PrivateKey,
// *ecdsa.PrivateKey or ed25519.PrivateKey. EC PARAMETERS and certificates in
// the file are passed over. The password is not used if the key is not
// encrypted; an empty one counts as none. Errors wrap ErrPassword,
// ErrNoPassword, ErrUnsupported, ErrCost, ErrDamaged or ErrTruncated, and
// never hold anything of the key or the password.
func ParseKey(pem, password []byte) (crypto.Signer, error) {
	return honest.parseKey(pem, password)
}

func (l limits) parseKey(pem, password []byte) (crypto.Signer, error) {
	found, err := blocks(pem)
	if err != nil {
		return nil, err
	}
	return l.key(found, password)
}

// key returns the private key among the blocks.
func (l limits) key(found []block, password []byte) (crypto.Signer, error) {
	var the *block
	for i, b := range found {
		switch {
		case b.Type == "EC PARAMETERS" || b.Type == "CERTIFICATE":
		case !isKey(b):
			return nil, fault(ErrUnsupported, "line %d: a private key is wanted, not %s", b.line, b.Type)
		case the != nil:
			return nil, fault(ErrUnsupported, "line %d: a second private key", b.line)
		default:
			the = &found[i]
		}
	}
	if the == nil {
		return nil, fault(ErrUnsupported, "there is no private key in it")
	}
	key, err := l.open(*the, password)
	return key, the.at(err)
}

// isKey reports whether a block holds a private key that open can read.
func isKey(b block) bool {
	switch b.Type {
	case "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		return true
	}
	return false
}

// open decrypts and parses one block.
func (l limits) open(b block, password []byte) (crypto.Signer, error) {
	der := b.Bytes
	legacy := b.Headers["DEK-Info"] != "" || b.Headers["Proc-Type"] != ""
	var err error
	switch {
	case legacy && (b.Type == "RSA PRIVATE KEY" || b.Type == "EC PRIVATE KEY"):
		der, err = decryptLegacy(b, password)
	case len(b.Headers) != 0:
		return nil, fault(ErrUnsupported, "PEM headers")
	case b.Type == "ENCRYPTED PRIVATE KEY":
		if err := whole(der); err != nil {
			return nil, err
		}
		der, err = l.decryptPKCS8(der, password)
	}
	if err != nil {
		return nil, err
	}
	if err := whole(der); err != nil {
		return nil, err
	}
	if len(der) > maxKey {
		return nil, fault(ErrUnsupported, "a key of %d bytes, limit %d", len(der), maxKey)
	}
	return parseDER(b.Type, der)
}

// parseDER parses a key that is not encrypted, or not any more.
func parseDER(kind string, der []byte) (crypto.Signer, error) {
	if err := supported(kind, der); err != nil {
		return nil, err
	}
	var key any
	var err error
	switch kind {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(der)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	default:
		key, err = x509.ParsePKCS8PrivateKey(der)
	}
	if err != nil {
		return nil, fault(ErrDamaged, "%w", err)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return nil, fault(ErrUnsupported, "an RSA key of %d bits", bits)
		}
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fault(ErrUnsupported, "a key of type %T", key)
}

// RSA keys outside of this cannot be used: crypto/rsa refuses smaller ones,
// crypto/tls the certificates of larger ones.
const (
	minRSA = 1024
	maxRSA = 8192
)

// maxKey is the size in bytes up to which a key is parsed: what an RSA key
// costs grows fast with its size. One of 8192 bits has 4,700.
const maxKey = 8 << 10

// supported names the algorithm or curve that this package does not know,
// which the errors of crypto/x509 do not all do.
func supported(kind string, der []byte) error {
	switch kind {
	case "RSA PRIVATE KEY":
		return nil
	case "EC PRIVATE KEY":
		return curveSupported(sec1Curve(der))
	}
	var inner, algorithm cryptobyte.String
	input := cryptobyte.String(der)
	var oid objectID
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !inner.SkipASN1(asn1.INTEGER) ||
		!inner.ReadASN1(&algorithm, asn1.SEQUENCE) || !oid.read(&algorithm) {
		return fault(ErrDamaged, "not a PKCS#8 private key")
	}
	switch oid.String() {
	case "1.2.840.113549.1.1.1", "1.3.101.112": // RSA, Ed25519
		return nil
	case "1.2.840.10045.2.1": // EC
		return curveSupported(algorithm)
	}
	return fault(ErrUnsupported, "the key algorithm %s", oid)
}

// sec1Curve returns the curve of an EC PRIVATE KEY, empty if it has none.
func sec1Curve(der []byte) cryptobyte.String {
	var inner, curve cryptobyte.String
	input := cryptobyte.String(der)
	tag := asn1.Tag(0).Constructed().ContextSpecific()
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !inner.SkipASN1(asn1.INTEGER) ||
		!inner.SkipASN1(asn1.OCTET_STRING) || !inner.ReadOptionalASN1(&curve, nil, tag) {
		return nil
	}
	return curve
}

func curveSupported(parameters cryptobyte.String) error {
	if parameters.PeekASN1Tag(asn1.SEQUENCE) {
		return hint.Add(fault(ErrUnsupported, "an elliptic curve given by its parameters, not by name"),
			"name the curve: openssl ec -param_enc named_curve -in KEY -out NEW")
	}
	var oid objectID
	if !oid.read(&parameters) {
		return nil // x509 says what is wrong
	}
	switch oid.String() {
	case "1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35": // P-256, P-384, P-521: what TLS has
		return nil
	}
	return fault(ErrUnsupported, "the elliptic curve %s", oid)
}

// KeyError is what errors about the file of a private key wrap, for
// [errors.As]: it tells them from those about its certificate.
type KeyError struct {
	Path string // absolute
	Err  error  // what is wrong; it wraps one of the errors of this package or an fs.PathError
}

// Error says what is wrong with which file.
func (e *KeyError) Error() string {
	return "reading the private key: " + about(e.Path, e.Err).Error()
}

// Unwrap returns Err.
func (e *KeyError) Unwrap() error { return e.Err }

func keyError(path string, err error) error {
	err = &KeyError{path, err}
	if errors.Is(err, ErrMode) {
		err = hint.Add(err, "chmod 600 "+path+"; in Kubernetes, mount the Secret with defaultMode: 0440 and give the pod an fsGroup")
	}
	return err
}

// CheckKeyMode returns an error that wraps ErrMode if the private key at path
// can be read, or written, by its group or by others. What root owns its group
// may read (0640 or 0440): only root chooses that group, and it is how
// Kubernetes hands a Secret to a pod. Without Unix permissions there is
// nothing to check.
func CheckKeyMode(path string) error {
	path = absolute(path)
	info, err := os.Stat(path)
	if err == nil {
		err = regular(path, info)
	}
	if err == nil {
		err = keyMode(info)
	}
	if err != nil {
		return keyError(path, err)
	}
	return nil
}

func keyMode(info fs.FileInfo) error {
	if !keyModeOK(info) {
		return fault(ErrMode, "its mode is %04o", info.Mode().Perm())
	}
	return nil
}
