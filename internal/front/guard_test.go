package front

import (
	"net/http"
	"testing"
)

// Host is checked on loopback unless a client certificate has said who calls;
// Origin always. What browsers do not send is let through.
func TestGuard(t *testing.T) {
	for name, c := range map[string]struct {
		guard        guard
		host, origin string
		refused      bool
	}{
		"loopback, its address":          {guard{loopback: true}, "127.0.0.1:8000", "", false},
		"loopback, 127.0.0.9":            {guard{loopback: true}, "127.0.0.9", "", false},
		"loopback, IPv6":                 {guard{loopback: true}, "[::1]:8000", "", false},
		"loopback, IPv6 without port":    {guard{loopback: true}, "[::1]", "", false},
		"loopback, localhost":            {guard{loopback: true}, "localhost.", "", false},
		"loopback, a rebound name":       {guard{loopback: true}, "evil.example:8000", "", true},
		"loopback, a name that starts":   {guard{loopback: true}, "localhost.evil.example", "", true},
		"loopback, an address as a name": {guard{loopback: true}, "127.0.0.1.evil.example", "", true},
		"loopback, mutual TLS":           {guard{loopback: true, authenticated: true}, "mcp-plugin-x", "", false},
		"loopback, a local page":         {guard{loopback: true}, "localhost", "http://127.0.0.1:3000", false},
		"loopback, another page":         {guard{loopback: true}, "localhost", "https://evil.example", true},
		"loopback, a page of no origin":  {guard{loopback: true}, "localhost", "null", true},
		"mutual TLS, a page":             {guard{authenticated: true}, "x", "https://evil.example", true},
		"all interfaces, any name":       {guard{}, "plugin.example", "", false},
		"an allowed host":                {guard{loopback: true, hosts: []string{"mcp.example"}}, "MCP.example.:4444", "", false},
		"an allowed host with its port":  {guard{loopback: true, hosts: []string{"mcp.example:443"}}, "mcp.example:443", "", false},
		"an allowed host, another port":  {guard{loopback: true, hosts: []string{"mcp.example:443"}}, "mcp.example:80", "", true},
		"beside an allowed host":         {guard{loopback: true, hosts: []string{"mcp.example"}}, "x.mcp.example", "", true},
		"no host beside allowed ones":    {guard{loopback: true, hosts: []string{"mcp.example"}}, "", "", true},
		"an allowed origin":              {guard{origins: []string{"https://app.example/"}}, "x", "https://app.example", false},
		"an allowed origin by http":      {guard{origins: []string{"https://app.example"}}, "x", "http://app.example", true},
		"beside an allowed origin":       {guard{origins: []string{"https://app.example"}}, "x", "https://app.example.evil", true},
		"all interfaces, a local page":   {guard{}, "plugin.example", "http://localhost", true},
	} {
		r := &http.Request{Host: c.host, Header: http.Header{}, ProtoMajor: 1, ProtoMinor: 1}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if got := c.guard.foreign(r); (got != "") != c.refused {
			t.Errorf("%s: %q, refused wanted: %v", name, got, c.refused)
		}
	}
	old := &http.Request{Header: http.Header{}, ProtoMajor: 1, ProtoMinor: 0}
	if got := (&guard{loopback: true}).foreign(old); got != "" {
		t.Errorf("an HTTP/1.0 probe without Host: %q", got)
	}
}
