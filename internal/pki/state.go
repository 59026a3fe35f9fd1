package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"github.com/sallyport-mcp/sallyport/internal/keyfile"
)

// A state is what was found in a folder.
type state struct {
	folder

	bundle  []*x509.Certificate // the certificate file
	cert    *x509.Certificate   // the leaf or, in the CA's bundle, the one that ca.key signs for
	certErr error

	keyErr error // fs.ErrNotExist when the key is not here
	key    crypto.Signer
	open   []string // files with the private key that others can read

	copied  []*x509.Certificate // ca.crt, of a leaf
	copyErr error

	pending bool // the pair was taken from .next/
	pem     pemState
}

// pemState is what is known of client.pem.
type pemState int

const (
	pemNone pemState = iota // this folder needs none
	pemMissing
	pemStale // it holds another certificate than client.crt
	pemGood
)

// read looks at a folder. A pair that does not match is taken from .next/
// when there is one that does, as the servers do.
func (t *Tree) read(f folder) *state {
	s := t.readPair(f)
	if s.mixed() && exists(f.nextDir()) {
		if next := t.readPair(f.next()); next.usable() {
			next.folder, next.pending = f, true
			s = next
		}
	}
	if f.role == RoleCA {
		s.pickCA()
		return s
	}
	s.copied, s.copyErr = keyfile.ReadCertificates(f.copyFile())
	if f.role == RoleGateway {
		s.readPEM()
	}
	return s
}

func (t *Tree) readPair(f folder) *state {
	s := &state{folder: f}
	s.bundle, s.certErr = keyfile.ReadCertificates(f.certFile())
	if s.certErr == nil {
		s.cert = s.bundle[0]
	}
	data, err := keyfile.ReadFile(f.keyFile())
	if err != nil {
		s.keyErr = err
		return s
	}
	s.checkMode(f.keyFile())
	s.key, s.keyErr = keyfile.ParseKey(data, t.password)
	if s.keyErr != nil {
		s.keyErr = fmt.Errorf("%s: %w", f.keyFile(), s.keyErr)
	}
	return s
}

func (s *state) checkMode(path string) {
	if errors.Is(keyfile.CheckKeyMode(path), keyfile.ErrMode) {
		s.open = append(s.open, path)
	}
}

// pickCA finds the CA's certificate among those in its file.
func (s *state) pickCA() {
	if s.key == nil {
		return
	}
	for _, cert := range s.bundle {
		if samePublic(cert.PublicKey, s.key.Public()) {
			s.cert = cert
			return
		}
	}
}

func (s *state) hasCert() bool { return !errors.Is(s.certErr, fs.ErrNotExist) }
func (s *state) hasKey() bool  { return !errors.Is(s.keyErr, fs.ErrNotExist) }

// absent means that there is nothing to keep.
func (s *state) absent() bool { return !s.hasCert() && !s.hasKey() }

// encrypted means that the key needs a password that was not given, or
// another one: then nothing can be said about it.
func (s *state) encrypted() bool {
	return errors.Is(s.keyErr, keyfile.ErrNoPassword) || errors.Is(s.keyErr, keyfile.ErrPassword)
}

// mixed means that certificate and key are not a pair.
func (s *state) mixed() bool {
	return s.cert == nil || s.keyErr != nil && !s.encrypted() || s.mismatched()
}

func (s *state) mismatched() bool {
	return s.cert != nil && s.key != nil && !samePublic(s.cert.PublicKey, s.key.Public())
}

// usable means that both halves are here and, as far as can be seen, a pair.
func (s *state) usable() bool { return !s.mixed() }

// readPEM compares client.pem with client.crt. Only the certificate counts:
// the key may be in another form there.
func (s *state) readPEM() {
	path := s.pemFile()
	data, err := keyfile.ReadFile(path)
	if err != nil {
		s.pem = pemMissing
		return
	}
	s.checkMode(path)
	s.pem = pemStale
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			if s.cert != nil && bytes.Equal(block.Bytes, s.cert.Raw) {
				s.pem = pemGood
			}
			return
		}
	}
}

// copyState is how a leaf's ca.crt relates to the CA of the tree.
type copyState int

const (
	copyGood    copyState = iota
	copyMissing           // there is none
	copyStale             // an earlier certificate of the same CA
	copyOther             // another CA
	copyBad               // unreadable
	copyUnknown           // there is no CA here to compare with
)

func (s *state) copyState(ca *state) copyState {
	switch {
	case errors.Is(s.copyErr, fs.ErrNotExist):
		return copyMissing
	case s.copyErr != nil:
		return copyBad
	case ca.cert == nil:
		return copyUnknown
	}
	result := copyOther
	for _, cert := range s.copied {
		if cert.Equal(ca.cert) {
			return copyGood
		}
		if sameCA(cert, ca.cert) {
			result = copyStale
		}
	}
	return result
}

// sameCA reports whether two certificates stand for one CA: same key, same name.
func sameCA(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubject, b.RawSubject) && samePublic(a.PublicKey, b.PublicKey)
}

// refreshed is what a ca.crt that holds certs should hold now that the CA has
// another certificate. Other CAs in it, put there by hand, stay.
func refreshed(certs []*x509.Certificate, ca *x509.Certificate) []*x509.Certificate {
	var list []*x509.Certificate
	done := false
	for _, cert := range certs {
		switch {
		case !sameCA(cert, ca):
			list = append(list, cert)
		case !done:
			list, done = append(list, ca), true
		}
	}
	return list
}

// pemOf is the content of client.pem: certificate then key, as they are.
func pemOf(f folder) ([]byte, error) {
	cert, err := keyfile.ReadFile(f.certFile())
	if err != nil {
		return nil, err
	}
	key, err := keyfile.ReadFile(f.keyFile())
	if err != nil {
		return nil, err
	}
	return joinPEM(cert, key), nil
}

func joinPEM(cert, key []byte) []byte {
	if len(cert) > 0 && cert[len(cert)-1] != '\n' {
		cert = append(bytes.Clone(cert), '\n')
	}
	return append(bytes.Clone(cert), key...)
}

// isEncrypted reports whether the key at path needs a password. A key that is
// not there needs none.
func isEncrypted(path string) (bool, error) {
	data, err := keyfile.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = keyfile.ParseKey(data, nil)
	return errors.Is(err, keyfile.ErrNoPassword), nil
}
