package mtls

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// verifyFailed begins every error about a peer's certificate, in the words of
// Python's ssl, which the guide's readers search for.
const verifyFailed = "certificate verify failed: "

// trust is who is believed: exactly the bundle, never the system as well.
type trust struct {
	pool   *x509.CertPool      // never nil where certificates are verified
	bundle []*x509.Certificate // nil when the system's roots were asked for
	name   string              // of the setting that asked for those
}

// chains verifies certs (leaf first) for a role. Intermediates come from the
// peer, roots from the bundle alone.
func (t *trust) chains(certs []*x509.Certificate, role x509.ExtKeyUsage, now time.Time) ([][]*x509.Certificate, error) {
	if t.pool == nil {
		return nil, errors.New("no CA bundle is loaded") // x509 would read nil as the system's roots
	}
	intermediates := x509.NewCertPool()
	for _, c := range certs[1:] {
		intermediates.AddCert(c)
	}
	chains, err := certs[0].Verify(x509.VerifyOptions{
		Roots: t.pool, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{role},
	})
	if err != nil {
		return nil, t.explain(certs[0], role, now, err)
	}
	return chains, nil
}

// lasts returns until when a peer is believed whose chains have been verified:
// as long as one of them holds, and a chain ends with the first certificate in
// it, that of the CA in the bundle included. What else the peer has sent does
// not count. Zero without a chain.
func lasts(chains [][]*x509.Certificate) time.Time {
	var last time.Time
	for _, chain := range chains {
		var end time.Time
		for _, c := range chain {
			if end.IsZero() || c.NotAfter.Before(end) {
				end = c.NotAfter
			}
		}
		if end.After(last) {
			last = end
		}
	}
	return last
}

const compareCAs = "compare the CA files of both sides: `sallyport certs check` prints the fingerprint of each ca.crt"

const renewThere = "renew it on the host that uses it (`sallyport certs renew`), or set the clock that is wrong"

// explain says what a failed verification means, with the facts that an
// operator needs to find the wrong file.
func (t *trust) explain(leaf *x509.Certificate, role x509.ExtKeyUsage, now time.Time, err error) error {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		cert := unknown.Cert
		if cert == nil {
			cert = leaf
		}
		advice := compareCAs
		if t.bundle == nil { // no file of ours to compare
			advice = "set " + t.name + " to the ca.crt of the CA that issued the server's certificate"
		}
		return hint.Add(errors.New(verifyFailed+t.whyUnknown(cert)), advice)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		cert := invalid.Cert
		if cert == nil {
			cert = leaf
		}
		return hint.Add(errors.New(verifyFailed+validity(cert, now)), renewThere)
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		text := fmt.Sprintf("unsuitable certificate purpose: it allows %s, not %s", ekuText(leaf), ekuName(role))
		if name := pluginOf(leaf); name != "" && role == x509.ExtKeyUsageClientAuth {
			text += fmt.Sprintf(" (it is plugin %s's)", printable(name))
		}
		return hint.Add(errors.New(verifyFailed+text), roleHint(role))
	case errors.As(err, &invalid) && invalid.Reason == x509.NotAuthorizedToSign:
		return fmt.Errorf(verifyFailed+"issued by %s, which is not a CA", nameText(leaf.RawIssuer))
	default:
		return fmt.Errorf(verifyFailed+"%s", printable(strings.TrimPrefix(err.Error(), "x509: ")))
	}
}

// validity says which side of its life a certificate is on; "" when it is
// valid.
func validity(cert *x509.Certificate, now time.Time) string {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	what := "certificate"
	if cert.IsCA {
		what = "CA certificate " + nameText(cert.RawSubject)
	}
	switch {
	case now.After(cert.NotAfter):
		return fmt.Sprintf("%s has expired: it was valid until %s, and it is %s", what, at(cert.NotAfter), at(now))
	case now.Before(cert.NotBefore):
		return fmt.Sprintf("%s is not yet valid: it is valid from %s, and it is %s", what, at(cert.NotBefore), at(now))
	}
	return ""
}

// whyUnknown says why the bundle does not vouch for cert: the leaf, or the
// last of the intermediates that lead on from it.
func (t *trust) whyUnknown(cert *x509.Certificate) string {
	issuer := nameText(cert.RawIssuer)
	var held []string
	for _, ca := range t.bundle {
		held = append(held, nameText(ca.RawSubject))
		if !bytes.Equal(ca.RawSubject, cert.RawIssuer) {
			continue
		}
		if _, ok := errors.AsType[x509.ConstraintViolationError](cert.CheckSignatureFrom(ca)); ok {
			return "unable to get local issuer certificate: " + issuer + " in ca_bundle may not sign certificates"
		}
		return "unable to get local issuer certificate: ca_bundle holds a CA of the issuer's name, " + issuer +
			", with another key: the CA was made anew, and one side still has files of the old one"
	}
	if selfSigned(cert) {
		return "self-signed certificate: " + issuer + " vouches for itself, and is not in ca_bundle"
	}
	if t.bundle == nil {
		return "unable to get local issuer certificate: the system's roots do not vouch for " + issuer
	}
	if len(held) > 5 {
		held = append(held[:5:5], fmt.Sprintf("and %d more", len(held)-5))
	}
	return fmt.Sprintf("unable to get local issuer certificate: issued by %s; ca_bundle holds %s", issuer, strings.Join(held, "; "))
}

func selfSigned(cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, cert.RawSubject) &&
		cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

func ekuName(u x509.ExtKeyUsage) string {
	switch u {
	case x509.ExtKeyUsageClientAuth:
		return "clientAuth"
	case x509.ExtKeyUsageServerAuth:
		return "serverAuth"
	case x509.ExtKeyUsageAny:
		return "any"
	default:
		return u.OID().String()
	}
}

func ekuText(cert *x509.Certificate) string {
	var names []string
	for _, u := range cert.ExtKeyUsage {
		names = append(names, ekuName(u))
	}
	for _, oid := range cert.UnknownExtKeyUsage {
		names = append(names, oid.String())
	}
	if len(names) == 0 {
		return "nothing through its issuers"
	}
	return strings.Join(names, ", ")
}

// hasEKU reports whether the certificate limits its use at all.
func hasEKU(cert *x509.Certificate) bool {
	return len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0
}

// allows reports whether the certificate may be used in a role. Without an
// EKU it may, as RFC 5280 has it and as the guide's reference relies on.
func allows(cert *x509.Certificate, role x509.ExtKeyUsage) bool {
	if !hasEKU(cert) {
		return true
	}
	for _, u := range cert.ExtKeyUsage {
		if u == role || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

// judge applies what holds for both roles to a leaf whose chains are
// verified: no CA as leaf, and the profile. It warns of what compat accepts.
func judge(chains [][]*x509.Certificate, profile Profile, warn func(cert *x509.Certificate, why string)) error {
	if len(chains) == 0 || len(chains[0]) == 0 {
		return errors.New(verifyFailed + "there is no verified chain")
	}
	leaf := chains[0][0]
	if leaf.IsCA {
		return errors.New(verifyFailed + "a CA's certificate is not one to connect with: " + nameText(leaf.RawSubject))
	}
	if profile == Strict {
		if err := strictAny(chains); err != nil {
			return hint.Add(fmt.Errorf(verifyFailed+"peer_profile strict: %w", err), "issue that certificate anew, or set peer_profile to compat")
		}
		return nil
	}
	if !hasEKU(leaf) {
		warn(leaf, fmt.Sprintf("certificate has no extended key usage (X.509 v%d), so it could serve in either role: "+
			"accepted because peer_profile is compat; issue it anew", leaf.Version))
	}
	return nil
}
