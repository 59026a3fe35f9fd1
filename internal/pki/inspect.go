package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/keyfile"
)

// An Inspection is what Inspect found in a file.
type Inspection struct {
	Path         string         `json:"path"` // absolute
	Status       Status         `json:"status"`
	CheckedAt    time.Time      `json:"checked_at"`
	Certificates []Inspected    `json:"certificates"`
	Keys         []InspectedKey `json:"keys"`
}

// An Inspected is one certificate of a file.
type Inspected struct {
	Details
	SHA256      string   `json:"sha256"`
	Version     int      `json:"version"`
	IsCA        bool     `json:"is_ca"`
	SelfIssued  bool     `json:"self_issued"`
	KeyUsage    []string `json:"key_usage"`
	ExtKeyUsage []string `json:"ext_key_usage"`
	Signature   string   `json:"signature"`
	Status      Status   `json:"status"`
}

// An InspectedKey is one private key of a file. Nothing of the key itself is
// in it.
type InspectedKey struct {
	KeyType   KeyType `json:"key_type,omitempty"` // empty when it could not be opened
	Encrypted bool    `json:"encrypted"`
	Matches   []int   `json:"matches"`           // indices of certificates of this file that it belongs to
	Problem   string  `json:"problem,omitempty"` // why it could not be opened, or that others can read it
	Hint      string  `json:"hint,omitempty"`
}

// Inspect says what is in a PEM file: certificates, a bundle, a private key or
// both. The password opens encrypted keys. A certificate is due as in Check.
func (t *Tree) Inspect(path string, within int) (*Inspection, error) {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("inspecting: %w", err)
	}
	if info.IsDir() {
		return nil, hint.Add(fmt.Errorf("inspecting %s: it is a folder", path), "name a file in it, or look at a whole tree: sallyport certs check --dir "+path)
	}
	data, err := keyfile.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("inspecting: %w", err)
	}
	r := &Inspection{Path: path, Status: StatusOK, CheckedAt: t.instant(), Certificates: []Inspected{}, Keys: []InspectedKey{}}
	var certs []*x509.Certificate
	certText, keyText := split(data)
	if len(certText) > 0 || len(keyText) == 0 {
		if certs, err = keyfile.ParseCertificates(certText); err != nil {
			return nil, fmt.Errorf("inspecting %s: %w", path, notPEM(data, err))
		}
	}
	for _, cert := range certs {
		c := inspected(cert, r.CheckedAt, within)
		r.Status = r.Status.Worse(c.Status)
		r.Certificates = append(r.Certificates, c)
	}
	if len(keyText) > 0 {
		r.addKey(t, keyText, certs)
	}
	return r, nil
}

// split parts a PEM file into its private keys and all else. Text that is no
// PEM stays with the latter, so that damage is seen.
func split(data []byte) (certs, keys []byte) {
	rest := data
	for {
		block, after := pem.Decode(rest)
		if block == nil {
			return append(certs, rest...), keys
		}
		text := rest[:len(rest)-len(after)]
		if bytes.Contains([]byte(block.Type), []byte("PRIVATE KEY")) || block.Type == "EC PARAMETERS" {
			keys = append(keys, pem.EncodeToMemory(block)...)
		} else {
			certs = append(certs, text...)
		}
		rest = after
		if len(bytes.TrimSpace(rest)) == 0 {
			return certs, keys
		}
	}
}

// notPEM adds what to do about a file in another form.
func notPEM(data []byte, err error) error {
	if errors.Is(err, keyfile.ErrUnsupported) || errors.Is(err, keyfile.ErrDamaged) {
		if _, derErr := x509.ParseCertificate(data); derErr == nil {
			return hint.Add(errors.New("it is a DER file, not PEM"), "openssl x509 -inform DER -in FILE -out FILE.pem")
		}
	}
	return err
}

func inspected(cert *x509.Certificate, now time.Time, within int) Inspected {
	c := Inspected{
		Details: detailsOf(cert, now), SHA256: fingerprint(cert), Version: cert.Version,
		IsCA: cert.BasicConstraintsValid && cert.IsCA, SelfIssued: bytes.Equal(cert.RawSubject, cert.RawIssuer),
		KeyUsage: keyUsages(cert), ExtKeyUsage: extKeyUsages(cert), Signature: cert.SignatureAlgorithm.String(), Status: StatusOK,
	}
	switch {
	case !now.Before(cert.NotAfter):
		c.Status = StatusExpired
	case now.Before(cert.NotBefore):
		c.Status = StatusBroken
	case dueAt(cert, now, within):
		c.Status = StatusDue
	}
	return c
}

func (r *Inspection) addKey(t *Tree, text []byte, certs []*x509.Certificate) {
	k := InspectedKey{Matches: []int{}}
	_, err := keyfile.ParseKey(text, nil)
	k.Encrypted = errors.Is(err, keyfile.ErrNoPassword)
	key, err := keyfile.ParseKey(text, t.password)
	switch {
	case err != nil && k.Encrypted && !errors.Is(err, keyfile.ErrDamaged):
		k.Problem, k.Hint = err.Error(), "give its password: --password-file, or SALLYPORT_KEY_PASSWORD"
	case err != nil:
		k.Problem = err.Error()
		r.Status = r.Status.Worse(StatusBroken)
	default:
		k.KeyType = keyTypeOf(key.Public())
		for i, cert := range certs {
			if samePublic(cert.PublicKey, key.Public()) {
				k.Matches = append(k.Matches, i)
			}
		}
	}
	if err := keyfile.CheckKeyMode(r.Path); err != nil {
		k.Problem, k.Hint = err.Error(), "chmod 600 "+r.Path
		r.Status = r.Status.Worse(StatusBroken)
	}
	r.Keys = append(r.Keys, k)
}

// keyUsages names the bits of a certificate's key usage.
func keyUsages(cert *x509.Certificate) []string {
	names := []string{"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"}
	list := []string{}
	for i, name := range names {
		if cert.KeyUsage&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return list
}

// extKeyUsages names a certificate's extended key usages, the unknown ones by
// their object identifier.
func extKeyUsages(cert *x509.Certificate) []string {
	list := []string{}
	for _, usage := range cert.ExtKeyUsage {
		list = append(list, usage.String())
	}
	for _, oid := range cert.UnknownExtKeyUsage {
		list = append(list, oid.String())
	}
	return list
}
