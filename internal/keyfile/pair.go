package keyfile

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// NextDir is the folder beside a certificate and its key in which a renewal
// with a new key keeps the new pair, under the same names, until both have
// been renamed into place.
const NextDir = ".next"

// attempts bounds how often ReadPair reads files that change while it reads.
const attempts = 5

// Pair is a certificate chain and the key of its first certificate.
type Pair struct {
	Chain []*x509.Certificate // as in the file, leaf first; never empty
	Key   crypto.Signer

	CertFile, KeyFile string // the files that were read, absolute
	Next              bool   // they are those of a NextDir
}

// TLS returns the pair as crypto/tls wants it.
func (p *Pair) TLS() tls.Certificate {
	cert := tls.Certificate{PrivateKey: p.Key, Leaf: p.Chain[0]}
	for _, c := range p.Chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert
}

// ReadPair reads a certificate (with its chain) and its private key. The two
// may be one file. Nobody but its owner may be able to read the key: see
// CheckKeyMode. Key and certificate have to belong together, else the error
// wraps ErrMismatch.
//
// A pair may be replaced while it is read. Where the folder has the ..data
// link of a Kubernetes volume, both files are read from the one folder that it
// points to. Where they were being renamed into place one after the other, the
// complete pair in NextDir is taken. Where they changed meanwhile, they are
// read again.
func ReadPair(certFile, keyFile string, password []byte) (*Pair, error) {
	certFile, keyFile = absolute(certFile), absolute(keyFile)
	var before *files
	var mismatch error
	for range attempts {
		f, err := readFiles(resolve(certFile, keyFile))
		if err != nil {
			return nil, err
		}
		if before != nil && f.same(before) {
			return nil, mismatch
		}
		p, err := f.pair(password)
		if !errors.Is(err, ErrMismatch) {
			return p, err
		}
		if next := readNext(certFile, keyFile, password); next != nil {
			return next, nil
		}
		before, mismatch = f, err
	}
	return nil, fmt.Errorf("%w (and the files keep changing)", mismatch)
}

// resolve leads the two names through the ..data link of their folder.
func resolve(certFile, keyFile string) (string, string) {
	dir := filepath.Dir(certFile)
	if filepath.Dir(keyFile) != dir {
		return certFile, keyFile
	}
	data, err := filepath.EvalSymlinks(filepath.Join(dir, "..data"))
	if err != nil {
		return certFile, keyFile
	}
	cert, key := filepath.Join(data, filepath.Base(certFile)), filepath.Join(data, filepath.Base(keyFile))
	for _, path := range []string{cert, key} {
		if _, err := os.Stat(path); err != nil {
			return certFile, keyFile
		}
	}
	return cert, key
}

// readNext returns the pair of NextDir if it is complete and matches.
func readNext(certFile, keyFile string, password []byte) *Pair {
	dir := filepath.Dir(certFile)
	if filepath.Dir(keyFile) != dir {
		return nil
	}
	next := filepath.Join(dir, NextDir)
	f, err := readFiles(filepath.Join(next, filepath.Base(certFile)), filepath.Join(next, filepath.Base(keyFile)))
	if err != nil {
		return nil
	}
	p, err := f.pair(password)
	if err != nil {
		return nil
	}
	p.Next = true
	return p
}

// files is the content of a certificate file and a key file.
type files struct {
	certFile, keyFile string
	cert, key         []byte
}

func readFiles(certFile, keyFile string) (*files, error) {
	cert, err := readFile(certFile, nil)
	if err != nil {
		return nil, fmt.Errorf("reading certificates: %w", about(certFile, err))
	}
	key, err := readFile(keyFile, keyMode)
	if err != nil {
		return nil, keyError(keyFile, err)
	}
	return &files{certFile, keyFile, cert, key}, nil
}

func (f *files) same(g *files) bool {
	return f.certFile == g.certFile && f.keyFile == g.keyFile && bytes.Equal(f.cert, g.cert) && bytes.Equal(f.key, g.key)
}

func (f *files) pair(password []byte) (*Pair, error) {
	found, err := blocks(f.cert)
	if err != nil {
		return nil, fmt.Errorf("reading certificates: %w", about(f.certFile, err))
	}
	chain, err := certificates(found, f.certFile == f.keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading certificates: %w", about(f.certFile, err))
	}
	key, err := ParseKey(f.key, password)
	if err != nil {
		return nil, keyError(f.keyFile, err)
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(chain[0].PublicKey) {
		return nil, fmt.Errorf("certificate %s and private key %s: %w", f.certFile, f.keyFile, ErrMismatch)
	}
	return &Pair{Chain: chain, Key: key, CertFile: f.certFile, KeyFile: f.keyFile}, nil
}
