package mtls

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

func TestPluginIdentities(t *testing.T) {
	ca := pkitest.NewCA(t)
	for name, c := range map[string]struct {
		spec pkitest.Spec
		want []string // by SAN
		of   string   // by SAN or common name
	}{
		"the guide's":         {pkitest.PluginSpec("P"), []string{"P"}, "P"},
		"the gateway's":       {pkitest.GatewaySpec(), nil, ""},
		"bare name":           {pkitest.Spec{CN: "P", DNS: []string{"P", "localhost"}}, nil, ""},
		"prefix alone":        {pkitest.Spec{CN: "mcp-plugin-", DNS: []string{"mcp-plugin-"}}, nil, ""},
		"prefix inside":       {pkitest.Spec{DNS: []string{"x.mcp-plugin-P"}}, nil, ""},
		"prefix in capitals":  {pkitest.Spec{DNS: []string{"MCP-Plugin-P"}}, []string{"P"}, "P"},
		"common name":         {pkitest.Spec{CN: "Mcp-Plugin-P"}, nil, "P"},
		"any trust domain":    {pkitest.Spec{URIs: []string{"spiffe://other.example/plugin/P"}}, []string{"P"}, "P"},
		"deeper path":         {pkitest.Spec{URIs: []string{"spiffe://x/ns/a/plugin/P"}}, []string{"P"}, "P"},
		"escaped path":        {pkitest.Spec{URIs: []string{"spiffe://x/%70lugin/P"}}, []string{"P"}, "P"},
		"scheme in capitals":  {pkitest.Spec{URIs: []string{"SPIFFE://x/plugin/P"}}, []string{"P"}, "P"},
		"another scheme":      {pkitest.Spec{URIs: []string{"https://x/plugin/P"}}, nil, ""},
		"path without a name": {pkitest.Spec{URIs: []string{"spiffe://x/plugin/"}}, nil, ""},
		"two common names": {pkitest.Spec{Subject: &pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "mcp-plugin-P"},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "mcp-gateway-client"},
		}}}, nil, "P"},
	} {
		cert := ca.Leaf(t, c.spec).Cert
		if got := identities(cert); !slices.Equal(got, c.want) {
			t.Errorf("%s: identities %q, want %q", name, got, c.want)
		}
		if got := pluginOf(cert); got != c.of {
			t.Errorf("%s: plugin %q, want %q", name, got, c.of)
		}
	}
}

func TestSpeaksFor(t *testing.T) {
	ca := pkitest.NewCA(t)
	dns := ca.Leaf(t, pkitest.Spec{DNS: []string{"mcp-plugin-myplugin"}}).Cert
	uri := ca.Leaf(t, pkitest.Spec{URIs: []string{"spiffe://mcp.local/plugin/MyPlugin"}}).Cert
	for _, c := range []struct {
		what string
		got  bool
		want bool
	}{
		{"DNS names know no case", speaksFor(dns, "MyPlugin"), true},
		{"a URI does", speaksFor(uri, "myplugin"), false},
		{"the URI's own", speaksFor(uri, "MyPlugin"), true},
		{"a longer name", speaksFor(dns, "MyPlugin2"), false},
		{"a shorter name", speaksFor(dns, "My"), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", c.what, c.got)
		}
	}
}

func TestAllowListEntries(t *testing.T) {
	for entry, want := range map[string]string{
		"": "entry 1 is empty", "dns:": `"dns:" names nothing`, "uri:": `"uri:" names nothing`, "uri:%zz": "invalid URL escape",
	} {
		if _, err := parseAllowed([]string{entry}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", entry, err, want)
		}
	}
	if l, err := parseAllowed(nil); l != nil || err != nil {
		t.Errorf("nil: %v, %v", l, err)
	}
	// A nil list does not narrow; an empty one admits nobody.
	gateway := pkitest.NewCA(t).Gateway(t).Cert
	empty, _ := parseAllowed([]string{})
	if (*allowList)(nil).admits(gateway) != nil || empty.admits(gateway) == nil {
		t.Error("nil and empty are mixed up")
	}
	// A common name may hold a colon; an entry without dns: or uri: is one.
	l, err := parseAllowed([]string{"team:gateway"})
	if err != nil || l.admits(pkitest.NewCA(t).Leaf(t, pkitest.Spec{CN: "team:gateway"}).Cert) != nil {
		t.Errorf("common name with a colon: %v", err)
	}
	// A common name is no DNS name and the other way round.
	l, _ = parseAllowed([]string{"dns:only-cn", "only-dns"})
	if l.admits(pkitest.NewCA(t).Leaf(t, pkitest.Spec{CN: "only-cn", DNS: []string{"only-dns"}}).Cert) == nil {
		t.Error("names of different kinds match")
	}
}
