package pki

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// A Report is what Check found.
type Report struct {
	Status    Status    `json:"status"` // the worst of all
	CheckedAt time.Time `json:"checked_at"`

	// Certificates are the CA's, the gateway's and those of the plugins, as
	// far as they are here.
	Certificates []Certificate `json:"certificates"`

	// Problems are those of the tree as a whole.
	Problems []Problem `json:"problems,omitempty"`

	// Copies are the CA certificates of the tree, each with where it is.
	Copies []Copy `json:"-"`

	// CAKey says whether the CA's private key is here.
	CAKey bool `json:"-"`
}

// A Certificate is one of a Report. What cannot be read is empty.
type Certificate struct {
	Role Role   `json:"role"`
	Name string `json:"name,omitempty"` // the plugin's
	Path string `json:"path"`
	Details
	Status   Status    `json:"status"`
	Problems []Problem `json:"problems"`
}

// Details are what a certificate says of itself.
type Details struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Serial    string    `json:"serial"` // hexadecimal
	SANs      SANs      `json:"sans"`
	KeyType   KeyType   `json:"key_type"`
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	DaysLeft  int       `json:"days_left"` // whole days, negative when expired
}

// A Copy is one CA certificate in a ca.crt of the tree.
type Copy struct {
	Path   string
	SHA256 string // of the certificate, as openssl x509 -fingerprint prints it
}

func detailsOf(cert *x509.Certificate, now time.Time) Details {
	return Details{
		Subject:   dn(cert.RawSubject),
		Issuer:    dn(cert.RawIssuer),
		Serial:    fmt.Sprintf("%x", cert.SerialNumber),
		SANs:      sansOf(cert),
		KeyType:   keyTypeOf(cert.PublicKey),
		NotBefore: cert.NotBefore.UTC(),
		NotAfter:  cert.NotAfter.UTC(),
		DaysLeft:  daysLeft(cert, now),
	}
}

// daysLeft counts whole days, rounded down also below zero.
func daysLeft(cert *x509.Certificate, now time.Time) int {
	left := cert.NotAfter.Sub(now)
	n := int(left / (24 * time.Hour))
	if left < 0 && left%(24*time.Hour) != 0 {
		n--
	}
	return n
}

// Check looks at the tree and changes nothing. A certificate is due within
// days before its end or, when within is 0, in the last third of its life.
// An error means that the tree could not be listed.
func (t *Tree) Check(within int) (*Report, error) {
	now := t.instant()
	r := &Report{Status: StatusOK, CheckedAt: now, Certificates: []Certificate{}}
	all, err := t.folders()
	if err != nil {
		return nil, err
	}
	ca := t.read(t.ca())
	r.CAKey = ca.hasKey()
	for _, f := range all {
		s := t.read(f)
		if s.absent() {
			continue
		}
		found := t.problems(s, ca, now, within)
		if f.role == RoleCA && ca.cert != nil && !dueAt(ca.cert, now, within) {
			found = append(found, t.cutShort(all, ca, now, within)...)
		}
		r.add(s, found, now)
		if f.role == RoleCA {
			r.addCopies(f.certFile(), s.bundle)
		} else {
			r.addCopies(f.copyFile(), s.copied)
		}
	}
	if len(r.Certificates) == 0 {
		r.Status = StatusBroken
		r.Problems = append(r.Problems, Problem{
			Code: "no_certificates", Message: "there is no certificate here", Hint: t.command("all") + " makes them, --dir names another folder",
			path: t.dir, status: StatusBroken,
		})
	}
	return r, nil
}

// cutShort finds that the CA should be renewed because the next certificate
// of a leaf that is due would end before its time.
func (t *Tree) cutShort(all []folder, ca *state, now time.Time, within int) []Problem {
	for _, f := range all {
		s := t.read(f)
		if f.role == RoleCA || s.cert == nil || !dueAt(s.cert, now, within) || !now.Add(lifetime(s.cert)).After(ca.cert.NotAfter) {
			continue
		}
		return []Problem{{
			Code: "due", Message: "it should be renewed: the next certificate of the " + s.label() + ", which is due, would end with it, before its time",
			Hint: t.command("renew"), path: ca.certFile(), status: StatusDue,
		}}
	}
	return nil
}

func (r *Report) add(s *state, found []Problem, now time.Time) {
	c := Certificate{Role: s.role, Name: s.name, Path: s.certFile(), Status: StatusOK, Problems: []Problem{}}
	if s.cert != nil {
		c.Details = detailsOf(s.cert, now)
	}
	for _, p := range found {
		c.Status = c.Status.Worse(p.status)
		c.Problems = append(c.Problems, p)
	}
	r.Status = r.Status.Worse(c.Status)
	r.Certificates = append(r.Certificates, c)
}

func (r *Report) addCopies(path string, certs []*x509.Certificate) {
	for _, cert := range certs {
		r.Copies = append(r.Copies, Copy{path, fingerprint(cert)})
	}
}

// fingerprint prints the SHA-256 of a certificate as openssl does.
func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	text := strings.ToUpper(hex.EncodeToString(sum[:]))
	var b strings.Builder
	for i := 0; i < len(text); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(text[i : i+2])
	}
	return b.String()
}
