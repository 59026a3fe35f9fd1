package config

import (
	"strings"
	"testing"
)

// TestStrayTLSVariables: what was meant as TLS and is no known variable must not
// leave a side in plain text, or unverified, in silence.
func TestStrayTLSVariables(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "plain.yaml", onePlugin)
	writeHere(t, "client.yaml", "plugins: [{name: P, kind: external, mcp: {proto: STREAMABLEHTTP, url: \"http://127.0.0.1:8000/mcp\"}}]\n")
	for _, tt := range []struct {
		name           string
		server, client string // the hint, or empty: no error on that side
	}{
		{"plugins_server_ssl_enabled", "did you mean PLUGINS_SERVER_SSL_ENABLED?", ""},
		{"PLUGINS_SERVER_TLS_ENABLED", "did you mean PLUGINS_SERVER_SSL_ENABLED?", ""},
		{"Plugins_Server_MTLS_Ca_Certs", "did you mean PLUGINS_SERVER_SSL_CA_CERTS?", ""},
		{"PLUGINS_SSL_ENABLED", "did you mean PLUGINS_SERVER_SSL_ENABLED?", "known are PLUGINS_CLIENT_MTLS_CERTFILE"},
		{"PLUGINS_TLS_CERTFILE", "did you mean PLUGINS_SERVER_SSL_CERTFILE?", "did you mean PLUGINS_CLIENT_MTLS_CERTFILE?"},
		{"plugins_client_mtls_verify", "", "did you mean PLUGINS_CLIENT_MTLS_VERIFY?"},
		{"PLUGINS_CLIENT_TLS_CA_BUNDLE", "", "did you mean PLUGINS_CLIENT_MTLS_CA_BUNDLE?"},
		{"PLUGINS_REQUIRE_TLSS", "known are PLUGINS_SERVER_HOST", "known are PLUGINS_CLIENT_MTLS_CERTFILE"},
		{"PLUGINS_REQUIRE_TLS", "", ""},
		{"PLUGINS_CONFIG_PATH", "", ""},
	} {
		value := "true"
		if tt.name == "PLUGINS_REQUIRE_TLS" {
			value = "false"
		}
		o := Options{Env: env(tt.name, value), Names: []string{tt.name}}
		_, serverErr := LoadServer("plain.yaml", o)
		_, clientErr := LoadClient("client.yaml", o)
		_, urlErr := LoadURL("http://127.0.0.1:8000/mcp", o)
		for side, c := range map[string]struct {
			err  error
			hint string
		}{"server": {serverErr, tt.server}, "client": {clientErr, tt.client}, "call --url": {urlErr, tt.client}} {
			if (c.err != nil) != (c.hint != "") {
				t.Errorf("%s, %s: %v, want an error: %v", tt.name, side, c.err, c.hint != "")
			}
			if c.err != nil && !strings.Contains(c.err.Error(), tt.name) {
				t.Errorf("%s, %s: not named in %v", tt.name, side, c.err)
			}
		}
		var said strings.Builder
		for _, problem := range Check("plain.yaml", o).Problems {
			said.WriteString(problem.Hint + "\n")
		}
		if !strings.Contains(said.String(), tt.server) {
			t.Errorf("%s: the server's hints are %q, want %q", tt.name, said.String(), tt.server)
		}
	}
}
