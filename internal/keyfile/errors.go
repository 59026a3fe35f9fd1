package keyfile

import (
	"errors"
	"fmt"
)

// What can be wrong with a file of this package, for [errors.Is].
var (
	// ErrPassword says that a key does not decrypt. Damage to the first
	// encrypted bytes looks the same; damage further on is ErrDamaged.
	ErrPassword = errors.New("wrong password")
	// ErrNoPassword says that a key is encrypted and no password was given.
	ErrNoPassword = errors.New("it is encrypted and there is no password for it")
	// ErrUnsupported says that a file uses an algorithm or a form that this
	// package does not know; the text holds its object identifier or name.
	ErrUnsupported = errors.New("unsupported")
	// ErrCost says that a key asks for more work or memory to decrypt it than
	// an honest one would.
	ErrCost = errors.New("refused as too costly to decrypt")
	// ErrDamaged says that a file is not what its form demands.
	ErrDamaged = errors.New("damaged")
	// ErrTruncated says that the end of a file, or of a block in it, is missing.
	ErrTruncated = errors.New("truncated")
	// ErrMismatch says that a private key and a certificate do not belong
	// together.
	ErrMismatch = errors.New("the private key does not belong to the certificate")
	// ErrMode says that others than the owner may read a private key.
	ErrMode = errors.New("others can read it")
)

// fault is one of the errors above with what was found.
func fault(kind error, format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{kind}, args...)...)
}
