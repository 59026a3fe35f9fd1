package config

import (
	"strings"
	"testing"
)

// shown is what Show gives, one setting a line.
func shown(t *testing.T, path string, o Options) string {
	t.Helper()
	settings, err := Show(path, o)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, s := range settings {
		out.WriteString(s.Key + " = " + string(s.Value) + " (" + s.Source.String() + ")\n")
	}
	return out.String()
}

func TestShow(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "c.yaml", `plugins:
  - name: A
    kind: external
    mcp:
      url: https://h.example:8000/mcp
      tls: {certfile: c.crt, keyfile: c.key, keyfile_password: geheim, ca_bundle: "{{ env.BUNDLE }}"}
  - name: B
    kind: external
    timeout: 2
    mcp: {cmd: [run, it], env: {TOKEN: geheim}}
  - name: C
    kind: external
    mcp: {url: "http://h.example/mcp", tls: none}
  - name: D
    kind: search_replace
    config: {password: geheim, n: 1}
server_settings:
  tls: {certfile: s.crt, keyfile: s.key, ca_bundle: ca.crt}
plugin_settings: {plugin_timeout: 5}
x-note: geheim
`)
	got := shown(t, "c.yaml", Options{
		Env: env("BUNDLE", "geheim", "PLUGINS_CLIENT_MTLS_CHECK_HOSTNAME", "off", "PLUGINS_SERVER_SSL_ENABLED", "no", "PLUGINS_REQUIRE_TLS", "0"),
	})
	for _, want := range []string{
		"require_tls = false (env PLUGINS_REQUIRE_TLS)",
		`plugins[0].mcp.proto = "STREAMABLEHTTP" (default)`,
		`plugins[0].mcp.tls.keyfile_password = "***" (c.yaml:6:64)`,
		`plugins[0].mcp.tls.ca_bundle = "***" (c.yaml:6:83)`,
		"plugins[0].mcp.tls.verify = true (default)",
		"plugins[0].mcp.tls.check_hostname = false (env PLUGINS_CLIENT_MTLS_CHECK_HOSTNAME)",
		`plugins[0].mcp.tls.identity = "A" (default)`,
		"plugins[0].timeout = 5 (c.yaml:19:35)",
		"plugins[1].timeout = 2 (c.yaml:9:14)",
		`plugins[1].mcp.env = {"TOKEN":"***"} (c.yaml:10:32)`,
		`plugins[2].mcp.tls = "none" (c.yaml:13:45)`,
		`plugins[3].config = {"password":"***","n":1} (c.yaml:16:13)`,
		"plugins[3].priority = 100 (default)",
		`server_settings.tls = "off" (env PLUGINS_SERVER_SSL_ENABLED)`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(got, "geheim") || strings.Contains(got, "server_settings.tls.") {
		t.Errorf("what must not be shown:\n%s", got)
	}
	if t.Failed() {
		t.Log(got)
	}
	if got := shown(t, "c.yaml", Options{Env: env("BUNDLE", "b"), Flags: map[string]string{"transport": "http"}}); !strings.Contains(got, "transport = \"http\" (flag --transport)\n") ||
		!strings.Contains(got, "server_settings.health.port = 9000 (default)\n") {
		t.Error(got)
	}
}
