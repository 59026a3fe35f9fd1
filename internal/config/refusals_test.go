package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

const onePlugin = "plugins: [{name: P, kind: search_replace}]\n"

// tlsBlock is a server's complete tls section.
const tlsBlock = "server_settings:\n  tls: {certfile: s.crt, keyfile: s.key, ca_bundle: ca.crt}\n"

func remotePlugin(mcp string) string {
	return "plugins: [{name: P, kind: external, mcp: {" + mcp + "}}]\n"
}

// refusals are the numbered ones of the guide's "fail fast", and their kin. want
// are texts of the one error, its hint included: the field, its source, the fix.
var refusals = []struct {
	name   string
	client bool
	text   string
	env    []string
	flags  map[string]string
	want   []string
}{
	{name: "1: enabled without certificate", text: onePlugin, env: []string{"PLUGINS_SERVER_SSL_ENABLED", "true", "PLUGINS_SERVER_SSL_CERT_REQS", "0"},
		want: []string{"PLUGINS_SERVER_SSL_ENABLED=true turns TLS on", "no certificate and no key", "set certfile and keyfile", "PLUGINS_SERVER_SSL_CERTFILE"}},
	{name: "2: a CA and nothing else", text: onePlugin, env: []string{"PLUGINS_SERVER_SSL_ENABLED", "true", "PLUGINS_SERVER_SSL_CA_CERTS", "ca.crt"},
		want: []string{"only a CA (env PLUGINS_SERVER_SSL_CA_CERTS)", "set certfile"}},
	{name: "3: certificate without key in the environment", text: onePlugin + tlsBlock, env: []string{"PLUGINS_SERVER_SSL_CERTFILE", "x.crt"},
		want: []string{"env PLUGINS_SERVER_SSL_CERTFILE names a certificate", "PLUGINS_SERVER_SSL_KEYFILE is not set", "come from one source"}},
	{name: "3: key without certificate in the environment", text: onePlugin + tlsBlock, env: []string{"PLUGINS_SERVER_SSL_KEYFILE", "x.key"},
		want: []string{"env PLUGINS_SERVER_SSL_KEYFILE names a key", "set PLUGINS_SERVER_SSL_CERTFILE too"}},
	{name: "3: certificate without key in the file", text: onePlugin + "server_settings: {tls: {certfile: s.crt, ca_bundle: ca.crt}}\n",
		want: []string{"c.yaml:2:35", "server_settings.tls.certfile names a certificate", "set server_settings.tls.keyfile too"}},
	{name: "3: key without certificate in the file", text: onePlugin + "server_settings: {tls: {keyfile: s.key, ca_bundle: ca.crt}}\n",
		want: []string{"c.yaml:2:34", "server_settings.tls.keyfile names a key", "set server_settings.tls.certfile too"}},
	{name: "3: client certificate without key", client: true, text: remotePlugin("url: https://h/mcp, tls: {certfile: c.crt, ca_bundle: ca.crt}"),
		want: []string{"c.yaml:1:79", "plugins[0].mcp.tls.certfile names a certificate", "set plugins[0].mcp.tls.keyfile too"}},
	{name: "3: client key from the environment, certificate from the file", client: true, env: []string{"PLUGINS_CLIENT_MTLS_KEYFILE", "c.key"},
		text: remotePlugin("url: https://h/mcp, tls: {certfile: c.crt, keyfile: c.key, ca_bundle: ca.crt}"),
		want: []string{"env PLUGINS_CLIENT_MTLS_KEYFILE names a key", "set PLUGINS_CLIENT_MTLS_CERTFILE too"}},
	{name: "4: the checklist's line alone", text: onePlugin, env: []string{"PLUGINS_SERVER_SSL_CERT_REQS", "2"},
		want: []string{"PLUGINS_SERVER_SSL_CERT_REQS: set in the environment, and TLS is not on", "set PLUGINS_SERVER_SSL_ENABLED=true"}},
	{name: "4: files in the environment never switch TLS on", text: onePlugin, env: []string{"PLUGINS_SERVER_SSL_CERTFILE", "c", "PLUGINS_SERVER_SSL_KEYFILE", "k", "PLUGINS_SERVER_SSL_CA_CERTS", "ca"},
		want: []string{"PLUGINS_SERVER_SSL_CERTFILE, PLUGINS_SERVER_SSL_KEYFILE, PLUGINS_SERVER_SSL_CA_CERTS: set", "the server would speak plain HTTP"}},
	{name: "4: a password alone", text: onePlugin, env: []string{"PLUGINS_SERVER_SSL_KEYFILE_PASSWORD", "geheim"},
		want: []string{"PLUGINS_SERVER_SSL_KEYFILE_PASSWORD: set", "unset PLUGINS_SERVER_SSL_KEYFILE_PASSWORD"}},
	{name: "4: an empty _ENABLED is an unset one", text: onePlugin, env: []string{"PLUGINS_SERVER_SSL_ENABLED", "", "PLUGINS_SERVER_SSL_CERT_REQS", "2"},
		want: []string{"TLS is not on"}},
	{name: "4: on a Unix socket too", text: onePlugin + "server_settings: {uds: /tmp/s}\n", env: []string{"PLUGINS_SERVER_SSL_CERT_REQS", "2"},
		want: []string{"TLS is not on"}},
	{name: "5: an empty tls section", text: onePlugin + "server_settings: {tls: {ssl_cert_reqs: 0}}\n",
		want: []string{"c.yaml:2:19", "server_settings.tls turns TLS on", "no certificate"}},
	{name: "5: a tls section with nothing in it", text: onePlugin + "server_settings:\n  tls:\n    # certfile: s.crt\n",
		want: []string{"c.yaml:3:3", "server_settings.tls is there with nothing in it", "write certfile"}},
	{name: "a list of clients with nothing in it", text: onePlugin + strings.Replace(tlsBlock, "}", ", allowed_clients: }", 1),
		want: []string{"server_settings.tls.allowed_clients is null", "write a list"}},
	{name: "6: a tls block with nothing in it and http", client: true, text: remotePlugin("url: 'http://h/mcp', tls: "),
		want: []string{"plugins[0].mcp.tls is there with nothing in it", "say tls: none"}},
	{name: "6: a tls block with http", client: true, text: remotePlugin("url: 'http://h/mcp', tls: {ca_bundle: ca.crt}"),
		want: []string{"c.yaml:1:48", "plugins[0].mcp.tls (c.yaml:1:64) is set, and the URL is plain http", "tls: none"}},
	{name: "6: an empty tls block with http", client: true, text: remotePlugin("url: 'http://h/mcp', tls: {}"),
		want: []string{"and the URL is plain http"}},
	{name: "6: the client environment with http", client: true, text: remotePlugin("url: 'http://h/mcp'"), env: []string{"PLUGINS_CLIENT_MTLS_CHECK_HOSTNAME", "false"},
		want: []string{"plugins[0].mcp.url is plain http", "the environment asks for TLS (PLUGINS_CLIENT_MTLS_CHECK_HOSTNAME)", "tls: none"}},
	{name: "6: for a disabled entry too", client: true, text: "plugins: [{name: P, kind: external, mode: disabled, mcp: {url: 'http://h/mcp', tls: {}}}]\n",
		want: []string{"and the URL is plain http"}},
	{name: "7: required without a bundle", text: onePlugin + "server_settings: {tls: {certfile: c, keyfile: k, ssl_cert_reqs: 2}}\n",
		want: []string{"c.yaml:2:65", "ssl_cert_reqs is 2", "no CA bundle", "set ca_bundle"}},
	{name: "7: required by default without a bundle", text: onePlugin + "server_settings: {tls: {certfile: c, keyfile: k}}\n",
		want: []string{"ssl_cert_reqs is 2 (default)", "PLUGINS_SERVER_SSL_CA_CERTS"}},
	{name: "7: optional without a bundle", text: onePlugin + "server_settings: {tls: {certfile: c, keyfile: k}}\n", env: []string{"PLUGINS_SERVER_SSL_CERT_REQS", "1"},
		want: []string{"ssl_cert_reqs is 1 (env PLUGINS_SERVER_SSL_CERT_REQS)"}},
	{name: "8: 3 in the file", text: onePlugin + "server_settings: {tls: {certfile: c, keyfile: k, ca_bundle: a, ssl_cert_reqs: 3}}\n",
		want: []string{"c.yaml:2:79", "server_settings.tls.ssl_cert_reqs: expected 0, 1 or 2", `"3"`}},
	{name: "8: a word in the environment", text: onePlugin + tlsBlock, env: []string{"PLUGINS_SERVER_SSL_CERT_REQS", "required"},
		want: []string{"env PLUGINS_SERVER_SSL_CERT_REQS: expected 0, 1 or 2", `"required"`}},
	{name: "12: no verification, explicit host name check", client: true, text: remotePlugin("url: https://h/mcp, tls: {verify: false, check_hostname: true}"),
		want: []string{"plugins[0].mcp.tls.verify is false and plugins[0].mcp.tls.check_hostname is true", "set verify to true"}},
	{name: "12: from two sources", client: true, text: remotePlugin("url: https://h/mcp, tls: {check_hostname: true, ca_bundle: a}"), env: []string{"PLUGINS_CLIENT_MTLS_VERIFY", "0"},
		want: []string{"env PLUGINS_CLIENT_MTLS_VERIFY is false and plugins[0].mcp.tls.check_hostname is true"}},
	{name: "13: over 65535", text: onePlugin + tlsBlock, env: []string{"PLUGINS_SERVER_PORT", "64536"},
		want: []string{"the health port would be 65536", "port 64536 of env PLUGINS_SERVER_PORT", "PLUGINS_SERVER_HEALTH_PORT"}},
	{name: "13: the main port", text: onePlugin + tlsBlock, env: []string{"PLUGINS_SERVER_HEALTH_PORT", "8000"},
		want: []string{"the health port 8000 (env PLUGINS_SERVER_HEALTH_PORT) is the main port as well"}},
	{name: "14: nothing to verify with", client: true, text: remotePlugin("url: https://h/mcp"),
		want: []string{"c.yaml:1:48", "plugins[0].mcp.url is https and to be verified", "PLUGINS_CLIENT_MTLS_CA_BUNDLE", "system"}},
	{name: "require TLS: listener", text: onePlugin, env: []string{"PLUGINS_REQUIRE_TLS", "true", "PLUGINS_TRANSPORT", "HTTP"},
		want: []string{"env PLUGINS_REQUIRE_TLS refuses a plain HTTP listener", "server_settings.tls"}},
	{name: "require TLS: listener, switched off by environment", text: onePlugin + tlsBlock, env: []string{"PLUGINS_SERVER_SSL_ENABLED", "off"}, flags: map[string]string{"require-tls": "true"},
		want: []string{"--require-tls refuses a plain HTTP listener"}},
	{name: "require TLS: URL", client: true, text: remotePlugin("url: 'http://h/mcp', tls: none"), env: []string{"PLUGINS_REQUIRE_TLS", "true"},
		want: []string{"plugins[0].mcp.url is plain http, and env PLUGINS_REQUIRE_TLS refuses that"}},
	{name: "TLS and a Unix socket", text: onePlugin + tlsBlock, env: []string{"PLUGINS_SERVER_UDS", "/tmp/s"},
		want: []string{"env PLUGINS_SERVER_UDS: a Unix socket has no TLS"}},
	{name: "a port that is none", text: onePlugin, env: []string{"PLUGINS_SERVER_PORT", "http"},
		want: []string{"env PLUGINS_SERVER_PORT: expected a whole number from 0 to 65535", `"http"`}},
	{name: "a boolean that is none", text: onePlugin, env: []string{"PLUGINS_SERVER_SSL_ENABLED", "ja"},
		want: []string{"env PLUGINS_SERVER_SSL_ENABLED: expected true or false"}},
	{name: "a transport that is none", text: onePlugin, flags: map[string]string{"transport": "sse"},
		want: []string{"--transport: expected one of http, streamablehttp, stdio"}},
	{name: "a host with its port", text: onePlugin, env: []string{"PLUGINS_SERVER_HOST", "0.0.0.0:8000"},
		want: []string{`env PLUGINS_SERVER_HOST: "0.0.0.0:8000" is no host name or address`}},
}

func TestRefusals(t *testing.T) {
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			writeHere(t, "c.yaml", test.text)
			o := Options{Env: env(test.env...), Kinds: kinds(), Flags: test.flags}
			var err error
			if test.client {
				_, err = LoadClient("c.yaml", o)
			} else {
				_, err = LoadServer("c.yaml", o)
			}
			var found Problems
			if !errors.As(err, &found) || len(found) != 1 {
				t.Fatalf("want one problem, got %v", err)
			}
			text := err.Error() + "\n" + strings.Join(hint.Of(err), "\n")
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing in:\n%s", want, text)
				}
			}
			if strings.Contains(text, "geheim") {
				t.Errorf("a password is shown in:\n%s", text)
			}
		})
	}
}

// TestNotRefused are neighbours of the refusals that must load; want are texts
// of their warnings, in order.
func TestNotRefused(t *testing.T) {
	clientTLS := "url: https://h/mcp, tls: {certfile: c, keyfile: k, ca_bundle: a"
	for _, test := range []struct {
		name   string
		client bool
		text   string
		env    []string
		want   []string
	}{
		{name: "TLS switched off, loudly", text: onePlugin + tlsBlock, env: []string{"PLUGINS_SERVER_SSL_ENABLED", "false", "PLUGINS_SERVER_SSL_CERT_REQS", "2"},
			want: []string{"c.yaml:3:3: PLUGINS_SERVER_SSL_ENABLED=false turns off TLS"}},
		{name: "off, and nothing to turn off", text: onePlugin, env: []string{"PLUGINS_SERVER_SSL_ENABLED", "false", "PLUGINS_SERVER_SSL_CERTFILE", "c"}},
		{name: "weaker than the file's 2", text: onePlugin + tlsBlock, env: []string{"PLUGINS_SERVER_SSL_CERT_REQS", "0"},
			want: []string{"PLUGINS_SERVER_SSL_CERT_REQS=0 weakens server_settings.tls.ssl_cert_reqs, which is 2 in the file by default"}},
		{name: "stronger than the file's", text: onePlugin + "server_settings: {tls: {certfile: c, keyfile: k, ca_bundle: a, ssl_cert_reqs: 0}}\n", env: []string{"PLUGINS_SERVER_SSL_CERT_REQS", "2"}},
		{name: "no client certificates, no bundle", text: onePlugin + "server_settings: {tls: {certfile: c, keyfile: k, ssl_cert_reqs: 0}}\n"},
		{name: "stdio has no TLS to lack", text: onePlugin, env: []string{"PLUGINS_TRANSPORT", "stdio", "PLUGINS_SERVER_SSL_CERT_REQS", "2", "PLUGINS_REQUIRE_TLS", "true"},
			want: []string{"PLUGINS_SERVER_SSL_CERT_REQS: ignored, because the transport is stdio"}},
		{name: "required TLS exempts a Unix socket", text: onePlugin + "server_settings: {uds: /tmp/s}\n", env: []string{"PLUGINS_REQUIRE_TLS", "true"}},
		{name: "a high port with a health port of its own", text: onePlugin + tlsBlock, env: []string{"PLUGINS_SERVER_PORT", "65000", "PLUGINS_SERVER_HEALTH_PORT", "9000"}},
		{name: "a high port without TLS", text: onePlugin, env: []string{"PLUGINS_SERVER_PORT", "65000"}},
		{name: "verify off in the environment", client: true, text: remotePlugin(clientTLS + "}"), env: []string{"PLUGINS_CLIENT_MTLS_VERIFY", "no"},
			want: []string{"PLUGINS_CLIENT_MTLS_VERIFY=false weakens plugins[0].mcp.tls.verify, which is true in the file by default"}},
		{name: "check_hostname off in the environment", client: true, text: remotePlugin(clientTLS + ", check_hostname: true}"), env: []string{"PLUGINS_CLIENT_MTLS_CHECK_HOSTNAME", "false"},
			want: []string{"PLUGINS_CLIENT_MTLS_CHECK_HOSTNAME=false weakens plugins[0].mcp.tls.check_hostname, which is true in the file (c.yaml:1:"}},
		{name: "the guide's client environment", client: true, text: remotePlugin("url: https://127.0.0.1:8000/mcp"),
			env: []string{"PLUGINS_CLIENT_MTLS_CERTFILE", "c", "PLUGINS_CLIENT_MTLS_KEYFILE", "k", "PLUGINS_CLIENT_MTLS_CA_BUNDLE", "a", "PLUGINS_CLIENT_MTLS_VERIFY", "true", "PLUGINS_CLIENT_MTLS_CHECK_HOSTNAME", "false"}},
		{name: "verify off with check_hostname off", client: true, text: remotePlugin("url: https://h/mcp, tls: {verify: false, check_hostname: false}")},
		{name: "verify off, host name not spoken of", client: true, text: remotePlugin("url: https://h/mcp, tls: {verify: false}")},
		{name: "a disabled entry is not contacted", client: true, text: "plugins: [{name: P, kind: external, mode: disabled, mcp: {url: https://h/mcp}}]\n",
			want: []string{"(the entry is disabled)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			writeHere(t, "c.yaml", test.text)
			o := Options{Env: env(test.env...), Kinds: kinds()}
			var warnings Problems
			if test.client {
				c, err := LoadClient("c.yaml", o)
				if err != nil {
					t.Fatal(err)
				}
				warnings = c.Warnings
			} else {
				s, err := LoadServer("c.yaml", o)
				if err != nil {
					t.Fatal(err)
				}
				warnings = s.Warnings
			}
			if len(warnings) != len(test.want) {
				t.Fatalf("warnings: %v", warnings)
			}
			for i, want := range test.want {
				if got := warnings[i].Error(); !strings.Contains(got, want) {
					t.Errorf("%q is missing in %q", want, got)
				}
			}
		})
	}
}
