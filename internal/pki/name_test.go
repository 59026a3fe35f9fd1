package pki

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

func TestNames(t *testing.T) {
	for _, name := range []string{"A", "MyPlugin", "my-plugin_2.v1", "0", "gateway", "ca", "anything", strings.Repeat("x", 52)} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for fault, name := range map[string]string{
		"empty":                  "",
		"blank":                  " ",
		"blank inside":           "a b",
		"newline at the end":     "a\n",
		"newline inside":         "a\nb",
		"NUL":                    "a\x00b",
		"comma injects a name":   "bad,IP:1.2.3.4",
		"slash":                  "a/b",
		"leaves the folder":      "a/../../x",
		"dot dot":                "..",
		"dots inside":            "a..b",
		"dot first":              ".a",
		"dot last":               "a.",
		"dash first":             "-x",
		"dash last":              "x-",
		"underscore first":       "_x",
		"53 characters":          strings.Repeat("x", 53),
		"not ASCII":              "plügin",
		"Kelvin sign":            "\u212a",
		"localhost":              "localhost",
		"LocalHost":              "LocalHost",
		"the gateway's name":     "mcp-gateway-client",
		"a plugin's common name": "mcp-plugin-B",
		"the same in capitals":   "MCP-PLUGIN-B",
		"keyword":                "any",
		"IPv4":                   "127.0.0.1",
		"IPv6":                   "::1",
		"shell":                  "$(touch x)",
		"wildcard":               "*",
	} {
		err := CheckName(name)
		if err == nil {
			t.Errorf("%s: %q was accepted", fault, name)
		} else if len(hint.Of(err)) == 0 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: no hint, or more than a line: %v", fault, err)
		}
	}
}

func TestNamesOfAList(t *testing.T) {
	got := CheckNames([]string{"Foo", "bar", "foo", "bar", "a..b"})
	var text []string
	for _, bad := range got {
		text = append(text, bad.Err.Error())
	}
	want := []string{
		`plugin name "foo": it differs from "Foo" only in case`,
		`plugin name "bar": it is there twice`,
		`plugin name "a..b": ".." is not allowed`,
	}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
	if got[0].Index != 2 || got[0].Other != 0 || got[2].Other != -1 {
		t.Errorf("indices %+v", got)
	}
}

func TestSANs(t *testing.T) {
	got, err := ParseSANs([]string{"dns:a.example.com,ip:127.0.0.1", "ip:::1 uri:spiffe://x.y/z", "DNS:*.example.com", "ip:127.0.0.1", ""})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"dns:a.example.com", "dns:*.example.com", "ip:127.0.0.1", "ip:::1", "uri:spiffe://x.y/z"}
	if diff := cmp.Diff(want, got.Strings()); diff != "" {
		t.Error(diff)
	}
	for fault, item := range map[string]string{
		"no kind":             "example.com",
		"unknown kind":        "email:a@b.c",
		"empty DNS name":      "dns:",
		"IP address as DNS":   "dns:127.0.0.1",
		"empty label":         "dns:a..b",
		"long label":          "dns:" + strings.Repeat("x", 64),
		"wildcard of nothing": "dns:*",
		"wildcard of a TLD":   "dns:*.com",
		"wildcard inside":     "dns:a.*.com",
		"not ASCII":           "dns:ü.com",
		"DNS name with port":  "dns:a.com:80",
		"no address":          "ip:300.0.0.1",
		"network":             "ip:10.0.0.0/8",
		"zone":                "ip:fe80::1%eth0",
		"no scheme":           "uri:example.com/x",
		"no host":             "uri:urn:x",
		"user":                "uri:https://a@b/",
		"port":                "uri:https://a:8/",
		"no host name":        "uri:a://.0",
		"not ASCII in URI":    "uri:https://x/ü",
	} {
		if s, err := ParseSANs([]string{item}); err == nil {
			t.Errorf("%s: %q was read as %q", fault, item, s.Strings())
		}
	}
}
