package config

import (
	"os"
	"strings"
	"testing"
)

// env is an environment of these variables and no other.
func env(pairs ...string) func(string) (string, bool) {
	vars := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		vars[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// writeHere puts text into a file of the working directory.
func writeHere(t *testing.T, name, text string) {
	t.Helper()
	writeFile(t, name, text)
}

func writeFile(t interface{ Fatal(...any) }, path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func lines(p Problems) string {
	var out []string
	for _, one := range p {
		line := one.Error() + "\n"
		if one.Warning {
			line = "warning: " + line
		}
		if one.Hint != "" {
			line += "  hint: " + one.Hint + "\n"
		}
		out = append(out, line)
	}
	return strings.Join(out, "")
}

func TestShippedFilesLoad(t *testing.T) {
	const dir = "../../plugins/"
	names, err := PluginNames(dir + "external/config.yaml")
	if err != nil || len(names) != 3 || names[1].Name != "MyPlugin" || names[1].Kind != External || names[1].Line != 11 {
		t.Errorf("PluginNames: %+v, %v", names, err)
	}
	s, err := LoadServer(dir+"test.mtls.yaml", Options{Env: env()})
	if err != nil {
		t.Fatal(err)
	}
	if s.TLS == nil || s.TLS.CertReqs.V != 2 || !s.Health || s.HealthPort.V != 9000 || len(s.Warnings) != 0 {
		t.Errorf("test.mtls.yaml: %+v", s)
	}
	if want := `{"words":[{"search":"crap","replace":"crud"},{"search":"crud","replace":"yikes"}]}`; string(s.Plugins[0].Config) != want {
		t.Errorf("config is %s", s.Plugins[0].Config)
	}
	if s, err := LoadServer(dir+"test.yaml", Options{Env: env()}); err != nil || s.TLS != nil || s.HTTPAsked || s.Health {
		t.Errorf("test.yaml: %+v, %v", s, err)
	}
	c, err := LoadClient(dir+"external/config-client.yaml", Options{Env: env()})
	if err != nil {
		t.Fatal(err)
	}
	if tls := c.Plugin("ReplaceBadWordsPlugin").MCP.TLS; !tls.Verify.V || tls.CheckHostname.V || tls.CABundle.V != "certs/mcp/gateway/ca.crt" {
		t.Errorf("config-client.yaml: %+v", tls)
	}
	if _, err := LoadClient(dir+"external/config-client-env.yaml", Options{Env: env()}); err == nil || !strings.Contains(err.Error(), "no ca_bundle") {
		t.Errorf("config-client-env.yaml without environment: %v", err)
	}
	if _, err := LoadClient(dir+"external/config-client-env.yaml", Options{Env: env("PLUGINS_CLIENT_MTLS_CA_BUNDLE", "ca.crt")}); err != nil {
		t.Error(err)
	}
	if _, err := LoadClient(dir+"external/config.yaml", Options{Env: env()}); err != nil {
		t.Error(err)
	}
}
