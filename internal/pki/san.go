package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// SANs are the subject alternative names of one certificate, each kind in
// the order of the certificate. The zero value is none.
type SANs struct {
	DNS   []string
	IPs   []netip.Addr
	URIs  []string
	Email []string // never made here, but kept by a renewal
}

// ParseSANs reads names of the form dns:NAME, ip:ADDRESS and uri:URI, several
// of them in one item separated by commas or blanks.
func ParseSANs(items []string) (SANs, error) {
	var s SANs
	for _, item := range items {
		for _, word := range strings.FieldsFunc(item, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
			if err := s.parse(word); err != nil {
				return SANs{}, hint.Add(fmt.Errorf("subject alternative name %q: %w", word, err),
					"examples: dns:plugin.example.com ip:127.0.0.1 uri:spiffe://example.com/x")
			}
		}
	}
	return s, nil
}

func (s *SANs) parse(word string) error {
	kind, value, _ := strings.Cut(word, ":")
	switch strings.ToLower(kind) {
	case "dns":
		if err := checkDNS(value); err != nil {
			return err
		}
		s.add(SANs{DNS: []string{value}})
	case "ip":
		addr, err := netip.ParseAddr(value)
		if err != nil || addr.Zone() != "" {
			return errors.New("this is not an IP address")
		}
		s.add(SANs{IPs: []netip.Addr{addr.Unmap()}})
	case "uri":
		uri, err := parseURI(value)
		if err != nil {
			return err
		}
		s.add(SANs{URIs: []string{uri}})
	default:
		return errors.New("dns:, ip: or uri: has to stand before it")
	}
	return nil
}

// checkDNS accepts what a client can match: labels of letters, digits, '-' and
// '_', the first of them perhaps "*".
func checkDNS(name string) error {
	if _, err := netip.ParseAddr(name); err == nil {
		return errors.New("this is an IP address: write ip: before it")
	}
	if name == "" || len(name) > 253 {
		return errors.New("a DNS name has 1 to 253 characters")
	}
	labels := strings.Split(name, ".")
	for i, label := range labels {
		if label == "*" && i == 0 && len(labels) > 2 {
			continue
		}
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("each label of a DNS name has 1 to 63 characters and no '-' at its ends")
		}
		for _, c := range []byte(label) {
			if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", rune(c)) {
				return fmt.Errorf("the character %q is not allowed in a DNS name", c)
			}
		}
	}
	return nil
}

// parseURI returns the URI as it will stand in the certificate.
func parseURI(value string) (string, error) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Opaque != "" || u.User != nil || u.Fragment != "" {
		return "", errors.New("a URI needs a scheme and a host, as in spiffe://example.com/x")
	}
	for _, c := range []byte(value) {
		if c <= ' ' || c > '~' {
			return "", fmt.Errorf("the character %q is not allowed in a URI", c)
		}
	}
	if _, err := netip.ParseAddr(u.Host); err != nil {
		if err := checkDNS(u.Host); err != nil || strings.HasPrefix(u.Host, "*") {
			return "", fmt.Errorf("its host %q is no DNS name and no IP address", u.Host)
		}
	}
	return u.String(), nil
}

// add appends the names of other that are not there yet and reports whether
// there were any.
func (s *SANs) add(other SANs) bool {
	before := len(s.DNS) + len(s.IPs) + len(s.URIs) + len(s.Email)
	s.DNS = union(s.DNS, other.DNS, strings.EqualFold)
	s.IPs = union(s.IPs, other.IPs, func(a, b netip.Addr) bool { return a == b })
	same := func(a, b string) bool { return a == b }
	s.URIs = union(s.URIs, other.URIs, same)
	s.Email = union(s.Email, other.Email, same)
	return len(s.DNS)+len(s.IPs)+len(s.URIs)+len(s.Email) > before
}

// union never changes the memory that a has.
func union[T any](a, b []T, equal func(x, y T) bool) []T {
	a = slices.Clip(a)
	for _, y := range b {
		if !slices.ContainsFunc(a, func(x T) bool { return equal(x, y) }) {
			a = append(a, y)
		}
	}
	return a
}

func (s SANs) empty() bool { return !new(SANs).add(s) }

// Strings lists the names as dns:…, email:…, ip:…, uri:…
func (s SANs) Strings() []string {
	list := []string{}
	for _, name := range s.DNS {
		list = append(list, "dns:"+name)
	}
	for _, address := range s.Email {
		list = append(list, "email:"+address)
	}
	for _, ip := range s.IPs {
		list = append(list, "ip:"+ip.String())
	}
	for _, uri := range s.URIs {
		list = append(list, "uri:"+uri)
	}
	return list
}

// MarshalJSON gives the list of Strings.
func (s SANs) MarshalJSON() ([]byte, error) { return json.Marshal(s.Strings()) }

func sansOf(cert *x509.Certificate) SANs {
	s := SANs{DNS: cert.DNSNames, Email: cert.EmailAddresses}
	for _, ip := range cert.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			s.IPs = append(s.IPs, addr.Unmap())
		}
	}
	for _, u := range cert.URIs {
		s.URIs = append(s.URIs, u.String())
	}
	return s
}

// into puts the names into a template.
func (s SANs) into(template *x509.Certificate) error {
	template.DNSNames, template.EmailAddresses = s.DNS, s.Email
	for _, ip := range s.IPs {
		template.IPAddresses = append(template.IPAddresses, net.IP(bytes.Clone(ip.AsSlice())))
	}
	for _, uri := range s.URIs {
		u, err := url.Parse(uri)
		if err != nil {
			return fmt.Errorf("subject alternative name %q: %w", uri, err)
		}
		template.URIs = append(template.URIs, u)
	}
	return nil
}

// identities are the plugins and the gateway that a certificate with these
// names could answer for: "plugin A", "gateway".
func (s SANs) identities() []string {
	var ids []string
	for _, name := range s.DNS {
		name = strings.ToLower(name)
		if plugin, ok := strings.CutPrefix(name, pluginPrefix); ok {
			ids = append(ids, "plugin "+plugin)
		}
		if name == gatewayCN {
			ids = append(ids, "gateway")
		}
	}
	for _, uri := range s.URIs {
		u, err := url.Parse(uri)
		if err != nil || !strings.EqualFold(u.Scheme, "spiffe") {
			continue
		}
		if i := strings.LastIndex(u.Path, "/plugin/"); i >= 0 {
			ids = append(ids, "plugin "+strings.ToLower(u.Path[i+len("/plugin/"):]))
		} else if strings.HasSuffix(u.Path, "/gateway") {
			ids = append(ids, "gateway")
		}
	}
	return ids
}

// ErrIdentity says that an extra name would make a certificate stand for
// somebody else.
var ErrIdentity = errors.New("the extra subject alternative names would let it answer for the")

// checkExtra refuses names that would let the holder of f's certificate pass
// for another plugin or for the gateway.
func (s SANs) checkExtra(f folder) error {
	own := f.identity()
	for _, id := range s.identities() {
		if id != own {
			return hint.Add(fmt.Errorf("%s: %w %s", f.label(), ErrIdentity, id),
				"names that stand for a plugin or the gateway are put in by themselves; leave them out")
		}
	}
	return nil
}

// checkOwn refuses a certificate of f that names another plugin or the gateway:
// it got there from somewhere else, and reissued with f's key, or with a new
// one, it would let f pass for the other.
func (s SANs) checkOwn(f folder) error {
	own := f.identity()
	for _, id := range s.identities() {
		if id != own {
			return hint.Add(fmt.Errorf("its certificate is that of the %s", id),
				"find out how it came into "+f.dir+"; delete that folder and make the certificate again")
		}
	}
	return nil
}
