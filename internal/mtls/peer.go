package mtls

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Peer is what a handshake tells about the other side. Its texts come from
// certificates that may not have been verified: they are cut and freed of
// control characters, fit for a log and a terminal.
type Peer struct {
	// Subject and Issuer are distinguished names; empty when no certificate was shown.
	Subject, Issuer string

	// SANs are the alternative names: dns:…, ip:…, uri:…, email:….
	SANs []string

	// Serial is in lower-case hexadecimal.
	Serial string

	// Fingerprint is the SHA-256 of the certificate, in lower-case hexadecimal.
	Fingerprint string

	// NotBefore and NotAfter bound the certificate's life.
	NotBefore, NotAfter time.Time

	// Version ("TLS 1.3"), Cipher and Group are what was negotiated; empty when
	// the handshake did not come so far.
	Version, Cipher, Group string

	// Resumed says that the session was resumed.
	Resumed bool
}

// PeerInfo describes the peer of a connection.
func PeerInfo(cs tls.ConnectionState) Peer {
	var cert *x509.Certificate
	if len(cs.PeerCertificates) > 0 {
		cert = cs.PeerCertificates[0]
	}
	p := peerOf(cert)
	p.Resumed = cs.DidResume
	if cs.Version != 0 {
		p.Version = tls.VersionName(cs.Version)
	}
	if cs.CipherSuite != 0 {
		p.Cipher = tls.CipherSuiteName(cs.CipherSuite)
	}
	if cs.CurveID != 0 {
		p.Group = cs.CurveID.String()
	}
	return p
}

func peerOf(cert *x509.Certificate) Peer {
	if cert == nil {
		return Peer{}
	}
	return Peer{
		Subject: nameText(cert.RawSubject), Issuer: nameText(cert.RawIssuer), SANs: sans(cert),
		Serial: cert.SerialNumber.Text(16), Fingerprint: fingerprint(cert),
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter,
	}
}

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// LogValue makes the peer a group of attributes.
func (p Peer) LogValue() slog.Value {
	attrs := p.certAttrs()
	if p.Subject != "" || p.Serial != "" {
		attrs = append(attrs, slog.Time("not_before", p.NotBefore), slog.Time("not_after", p.NotAfter),
			slog.String("sha256", p.Fingerprint))
	}
	if p.Version != "" {
		attrs = append(attrs, slog.String("tls", p.Version))
	}
	if p.Cipher != "" {
		attrs = append(attrs, slog.String("cipher", p.Cipher), slog.String("group", p.Group), slog.Bool("resumed", p.Resumed))
	}
	return slog.GroupValue(attrs...)
}

// certAttrs is the short form that a refusal at INFO carries; nothing when no
// certificate was shown.
func (p Peer) certAttrs() []slog.Attr {
	if p.Subject == "" && p.Serial == "" {
		return nil
	}
	return []slog.Attr{
		slog.String("subject", p.Subject), slog.String("sans", strings.Join(p.SANs, ", ")),
		slog.String("issuer", p.Issuer), slog.String("serial", p.Serial),
	}
}

// String is the line that `call --verbose` prints.
func (p Peer) String() string {
	who := p.Subject
	if who == "" {
		who = "no certificate"
	}
	if len(p.SANs) > 0 {
		who += " (" + strings.Join(p.SANs, ", ") + ")"
	}
	resumed := ""
	if p.Resumed {
		resumed = ", resumed"
	}
	return fmt.Sprintf("%s, %s, %s, %s%s", who, p.Version, p.Cipher, p.Group, resumed)
}

// maxText and maxSANs bound what a stranger's certificate can put into a log line.
const (
	maxText = 256
	maxSANs = 20
)

// sans lists the alternative names, and says so when it leaves some out.
func sans(cert *x509.Certificate) []string {
	var all []string
	for _, n := range cert.DNSNames {
		all = append(all, "dns:"+printable(n))
	}
	for _, ip := range cert.IPAddresses {
		all = append(all, "ip:"+ip.String())
	}
	for _, u := range cert.URIs {
		all = append(all, "uri:"+printable(u.String()))
	}
	for _, n := range cert.EmailAddresses {
		all = append(all, "email:"+printable(n))
	}
	if n := len(all); n > maxSANs {
		all = append(all[:maxSANs:maxSANs], fmt.Sprintf("and %d more", n-maxSANs))
	}
	return all
}

func sanText(cert *x509.Certificate) string {
	if list := sans(cert); len(list) > 0 {
		return strings.Join(list, ", ")
	}
	return "nothing: it has no subject alternative name"
}

// nameText prints a distinguished name in its own order, as openssl and the
// certs commands do.
func nameText(raw []byte) string {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &seq); err != nil || len(rest) > 0 {
		return printable(hex.EncodeToString(raw)) // not of a certificate that was parsed
	}
	slices.Reverse(seq) // its String starts at the end
	return printable(seq.String())
}

// printable makes a stranger's text safe for a log line and a terminal.
func printable(s string) string { return printableN(s, maxText) }

func printableN(s string, limit int) string {
	if len(s) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	for _, r := range s {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			quoted := strconv.Quote(s)
			return quoted[1 : len(quoted)-1]
		}
	}
	return s
}
