package keyfile

import (
	"crypto/x509"
	"fmt"
)

// ParseCertificates returns the certificates of a PEM file, in its order: at
// least one, and the file may hold nothing else. Text before a certificate is
// allowed. Errors wrap ErrUnsupported, ErrDamaged or ErrTruncated. Whether the
// certificates are valid is not looked at.
func ParseCertificates(pem []byte) ([]*x509.Certificate, error) {
	found, err := blocks(pem)
	if err != nil {
		return nil, err
	}
	return certificates(found, false)
}

// certificates returns the certificates among the blocks. Private keys beside
// them are an error unless mixed is set.
func certificates(found []block, mixed bool) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for _, b := range found {
		if b.Type != "CERTIFICATE" {
			if mixed && isKey(b) {
				continue
			}
			return nil, fault(ErrUnsupported, "line %d: only certificates are wanted, not %s", b.line, b.Type)
		}
		if len(b.Headers) != 0 {
			return nil, b.at(fault(ErrDamaged, "it has PEM headers"))
		}
		if err := whole(b.Bytes); err != nil {
			return nil, b.at(err)
		}
		cert, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, b.at(fault(ErrDamaged, "%w", err))
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fault(ErrUnsupported, "there is no certificate in it")
	}
	return certs, nil
}

// ReadCertificates is ParseCertificates of the file at path. Errors name the
// absolute path; one about a missing file wraps fs.ErrNotExist.
func ReadCertificates(path string) ([]*x509.Certificate, error) {
	path = absolute(path)
	data, err := readFile(path, nil)
	if err != nil {
		return nil, fmt.Errorf("reading certificates: %w", about(path, err))
	}
	certs, err := ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("reading certificates: %w", about(path, err))
	}
	return certs, nil
}
