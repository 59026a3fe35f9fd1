package mtls

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// pluginPrefix begins the DNS name and the common name of a plugin's
// certificate, as the guide makes them.
const pluginPrefix = "mcp-plugin-"

// pluginOfDNS returns the plugin that a DNS name (or a common name) of the
// form mcp-plugin-<Name> speaks for. DNS names know no case, so neither does
// the prefix.
func pluginOfDNS(name string) (string, bool) {
	if len(name) <= len(pluginPrefix) || !strings.EqualFold(name[:len(pluginPrefix)], pluginPrefix) {
		return "", false
	}
	return name[len(pluginPrefix):], true
}

// pluginOfURI returns the plugin that spiffe://<trust domain>/…/plugin/<Name>
// speaks for. The trust domain is not looked at: whom to believe is ca_bundle's
// business.
func pluginOfURI(u *url.URL) (string, bool) {
	if !strings.EqualFold(u.Scheme, "spiffe") {
		return "", false
	}
	const mark = "/plugin/"
	i := strings.LastIndex(u.Path, mark)
	if i < 0 || len(u.Path) == i+len(mark) {
		return "", false
	}
	return u.Path[i+len(mark):], true
}

// identities returns the plugins that the SANs speak for, each once. The bare
// name among the guide's SANs is no identity: nothing tells it from a host name.
func identities(cert *x509.Certificate) []string {
	var names []string
	add := func(name string, ok bool) {
		if ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, dns := range cert.DNSNames {
		add(pluginOfDNS(dns))
	}
	for _, u := range cert.URIs {
		add(pluginOfURI(u))
	}
	return names
}

// speaksFor reports whether a SAN of cert speaks for the plugin called name:
// the URI exactly, the DNS name as DNS names compare.
func speaksFor(cert *x509.Certificate, name string) bool {
	for _, u := range cert.URIs {
		if got, ok := pluginOfURI(u); ok && got == name {
			return true
		}
	}
	for _, dns := range cert.DNSNames {
		if got, ok := pluginOfDNS(dns); ok && strings.EqualFold(got, name) {
			return true
		}
	}
	return false
}

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// commonNames returns every common name: a subject may hold several, and
// Subject.CommonName is only the last.
func commonNames(cert *x509.Certificate) []string {
	var names []string
	for _, n := range cert.Subject.Names {
		if text, ok := n.Value.(string); ok && n.Type.Equal(oidCommonName) {
			names = append(names, text)
		}
	}
	return names
}

// pluginOf returns the plugin whose certificate this is by SAN or common
// name, "" for none.
func pluginOf(cert *x509.Certificate) string {
	if names := identities(cert); len(names) > 0 {
		return names[0]
	}
	for _, cn := range commonNames(cert) {
		if name, ok := pluginOfDNS(cn); ok {
			return name
		}
	}
	return ""
}

// allowList is ServerConfig.AllowedClients, parsed. A nil *allowList admits
// everybody whom the CAs vouch for.
type allowList struct {
	cns, dns, uris []string
}

func parseAllowed(entries []string) (*allowList, error) {
	if entries == nil {
		return nil, nil
	}
	list := &allowList{}
	for i, entry := range entries {
		kind, name, ok := strings.Cut(entry, ":")
		switch {
		case entry == "":
			return nil, fmt.Errorf("entry %d is empty", i+1)
		case ok && kind == "dns" && name != "":
			list.dns = append(list.dns, name)
		case ok && kind == "uri" && name != "":
			u, err := url.Parse(name)
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", i+1, err)
			}
			list.uris = append(list.uris, u.String()) // spelt as the SAN will be
		case ok && (kind == "dns" || kind == "uri"):
			return nil, fmt.Errorf("entry %d: %q names nothing", i+1, entry)
		default:
			list.cns = append(list.cns, entry)
		}
	}
	return list, nil
}

var errNotAllowed = errors.New("not in allowed_clients")

// admits returns nil when the list names the certificate. Common names and
// URIs compare exactly, DNS names as DNS names do.
func (l *allowList) admits(cert *x509.Certificate) error {
	if l == nil {
		return nil
	}
	for _, cn := range commonNames(cert) {
		if slices.Contains(l.cns, cn) {
			return nil
		}
	}
	for _, name := range cert.DNSNames {
		if slices.ContainsFunc(l.dns, func(s string) bool { return strings.EqualFold(s, name) }) {
			return nil
		}
	}
	for _, u := range cert.URIs {
		if slices.Contains(l.uris, u.String()) {
			return nil
		}
	}
	return errNotAllowed
}
