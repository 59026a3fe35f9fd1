package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A setting as the property tests know it: what sets it where, and how to read
// it back.
type setting[T any] struct {
	yaml, env string
	values    []string // pairs are drawn from these
	def       string
	get       func(T) (string, Source)
}

func read[T any, V any](get func(T) Value[V]) func(T) (string, Source) {
	return func(t T) (string, Source) {
		v := get(t)
		return fmt.Sprint(v.V), v.Source
	}
}

// TestEnvironmentBeatsYAMLPerField draws, for each field of both sides, whether
// the file and the environment set it, and expects environment, file, default in
// this order, each field for itself, with the source to match.
func TestEnvironmentBeatsYAMLPerField(t *testing.T) {
	dir := t.TempDir()
	server := []setting[*Server]{
		{"host", "PLUGINS_SERVER_HOST", []string{"a.example", "::1", "10.0.0.1"}, "127.0.0.1", read(func(s *Server) Value[string] { return s.Host })},
		{"port", "PLUGINS_SERVER_PORT", []string{"1", "8443", "0"}, "8000", read(func(s *Server) Value[int] { return s.Port })},
		{"health.host", "PLUGINS_SERVER_HEALTH_HOST", []string{"b.example", "c.example"}, "", read(func(s *Server) Value[string] { return s.HealthHost })},
		{"health.port", "PLUGINS_SERVER_HEALTH_PORT", []string{"9100", "9200"}, "", read(func(s *Server) Value[int] { return s.HealthPort })},
		{"tls.ca_bundle", "PLUGINS_SERVER_SSL_CA_CERTS", []string{"ca1", "ca2"}, "", read(func(s *Server) Value[string] { return s.TLS.CABundle })},
		{"tls.ssl_cert_reqs", "PLUGINS_SERVER_SSL_CERT_REQS", []string{"0", "1", "2"}, "2", read(func(s *Server) Value[int] { return s.TLS.CertReqs })},
		{"tls.keyfile_password", "PLUGINS_SERVER_SSL_KEYFILE_PASSWORD", []string{"p1", "p2"}, "", read(func(s *Server) Value[string] {
			return Value[string]{s.TLS.KeyPassword.V.text, s.TLS.KeyPassword.Source}
		})},
	}
	rapid.Check(t, func(t *rapid.T) {
		yaml, vars, want := drawn(t, server)
		// What would be refused whatever the sources are.
		yaml["tls.certfile"], yaml["tls.keyfile"] = "s.crt", "s.key"
		if want["tls.ca_bundle"].value == "" {
			vars = append(vars, "PLUGINS_SERVER_SSL_CA_CERTS", "ca")
			want["tls.ca_bundle"] = expected{"ca", "env PLUGINS_SERVER_SSL_CA_CERTS"}
		}
		path := filepath.Join(dir, "server.yaml")
		writeFile(t, path, onePlugin+"server_settings:\n"+nested(yaml, "  "))
		s, err := LoadServer(path, Options{Env: env(vars...)})
		if err != nil {
			t.Fatal(err)
		}
		check(t, server, want, s, path)
	})
	client := []setting[*ClientTLS]{
		{"ca_bundle", "PLUGINS_CLIENT_MTLS_CA_BUNDLE", []string{"ca1", "ca2"}, "", read(func(c *ClientTLS) Value[string] { return c.CABundle })},
		{"verify", "PLUGINS_CLIENT_MTLS_VERIFY", []string{"true"}, "true", read(func(c *ClientTLS) Value[bool] { return c.Verify })},
		{"check_hostname", "PLUGINS_CLIENT_MTLS_CHECK_HOSTNAME", []string{"true", "false"}, "true", read(func(c *ClientTLS) Value[bool] { return c.CheckHostname })},
		{"keyfile_password", "PLUGINS_CLIENT_MTLS_KEYFILE_PASSWORD", []string{"p1", "p2"}, "", read(func(c *ClientTLS) Value[string] {
			return Value[string]{c.KeyPassword.V.text, c.KeyPassword.Source}
		})},
	}
	rapid.Check(t, func(t *rapid.T) {
		yaml, vars, want := drawn(t, client)
		if want["ca_bundle"].value == "" {
			yaml["ca_bundle"] = "ca"
			want["ca_bundle"] = expected{"ca", "file"}
		}
		path := filepath.Join(dir, "client.yaml")
		writeFile(t, path, "plugins:\n- name: P\n  kind: external\n  mcp:\n    url: https://h/mcp\n    tls:\n"+nested(yaml, "      "))
		c, err := LoadClient(path, Options{Env: env(vars...)})
		if err != nil {
			t.Fatal(err)
		}
		check(t, client, want, c.Plugins[0].MCP.TLS, path)
	})
}

type expected struct{ value, source string }

// drawn decides what sets each field.
func drawn[T any](t *rapid.T, settings []setting[T]) (yaml map[string]string, vars []string, want map[string]expected) {
	yaml, want = map[string]string{}, map[string]expected{}
	for _, s := range settings {
		want[s.yaml] = expected{s.def, "default"}
		if rapid.Bool().Draw(t, "file sets "+s.yaml) {
			v := rapid.SampledFrom(s.values).Draw(t, s.yaml)
			yaml[s.yaml] = v
			want[s.yaml] = expected{v, "file"}
		}
		switch rapid.IntRange(0, 2).Draw(t, "environment sets "+s.yaml) {
		case 0:
			v := rapid.SampledFrom(s.values).Draw(t, s.env)
			vars = append(vars, s.env, v)
			want[s.yaml] = expected{v, "env " + s.env}
		case 1:
			vars = append(vars, s.env, "") // empty is unset
		}
	}
	return yaml, vars, want
}

func check[T any](t *rapid.T, settings []setting[T], want map[string]expected, got T, path string) {
	for _, s := range settings {
		w := want[s.yaml]
		value, source := s.get(got)
		if w.source == "default" && w.value == "" {
			if !source.IsDefault() {
				t.Fatalf("%s: nobody set it, got %s from %s", s.yaml, value, source)
			}
			continue
		}
		if value != w.value {
			t.Fatalf("%s is %q (%s), want %q (%s)", s.yaml, value, source, w.value, w.source)
		}
		if w.source == "file" && source.File != path || w.source != "file" && source.String() != w.source {
			t.Fatalf("%s comes from %s, want %s", s.yaml, source, w.source)
		}
		if w.source == "file" {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			line := strings.Split(string(text), "\n")[source.Line-1]
			if rest := line[source.Column-1:]; rest != strconv.Quote(w.value) {
				t.Fatalf("%s: at %s stands %q, want %q", s.yaml, source, rest, w.value)
			}
		}
	}
}

// nested writes dotted keys as YAML objects, values quoted.
func nested(flat map[string]string, indent string) string {
	var out strings.Builder
	groups := map[string]map[string]string{}
	for key, v := range flat {
		group, rest, deep := strings.Cut(key, ".")
		if !deep {
			fmt.Fprintf(&out, "%s%s: %q\n", indent, key, v)
			continue
		}
		if groups[group] == nil {
			groups[group] = map[string]string{}
		}
		groups[group][rest] = v
	}
	for group, inner := range groups {
		fmt.Fprintf(&out, "%s%s:\n%s", indent, group, nested(inner, indent+"  "))
	}
	return out.String()
}

func TestCertificateAndKeyComeFromOneSource(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "c.yaml", onePlugin+tlsBlock)
	s, err := LoadServer("c.yaml", Options{Env: env("PLUGINS_SERVER_SSL_CERTFILE", "e.crt", "PLUGINS_SERVER_SSL_KEYFILE", "e.key")})
	if err != nil {
		t.Fatal(err)
	}
	if s.TLS.CertFile.V != "e.crt" || s.TLS.KeyFile.V != "e.key" || s.TLS.CABundle.V != "ca.crt" {
		t.Errorf("%+v", s.TLS)
	}
	// A flag's pair beats the environment's, whole.
	m, err := LoadURL("https://h/mcp", Options{
		Env:   env("PLUGINS_CLIENT_MTLS_CERTFILE", "e.crt", "PLUGINS_CLIENT_MTLS_KEYFILE", "e.key", "PLUGINS_CLIENT_MTLS_CA_BUNDLE", "ca"),
		Flags: map[string]string{"certfile": "f.crt", "keyfile": "f.key", "check-hostname": "false"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.TLS.CertFile.V != "f.crt" || m.TLS.KeyFile.V != "f.key" || m.TLS.CheckHostname.Source.String() != "flag --check-hostname" {
		t.Errorf("%+v", m.TLS)
	}
	_, err = LoadURL("https://h/mcp", Options{
		Env:   env("PLUGINS_CLIENT_MTLS_CERTFILE", "e.crt", "PLUGINS_CLIENT_MTLS_KEYFILE", "e.key", "PLUGINS_CLIENT_MTLS_CA_BUNDLE", "ca"),
		Flags: map[string]string{"certfile": "f.crt"},
	})
	if err == nil || !strings.Contains(err.Error(), "--certfile names a certificate and there is no key beside it: --keyfile is not set") {
		t.Errorf("a certificate by flag and a key by environment: %v", err)
	}
}

func TestLoadURL(t *testing.T) {
	for _, test := range []struct {
		url   string
		flags map[string]string
		env   []string
		want  string // of the error; empty is none
	}{
		{url: "http://localhost:8000/mcp"},
		{url: "https://localhost:8000/mcp", flags: map[string]string{"ca-bundle": "system"}},
		{url: "https://localhost:8000/mcp", flags: map[string]string{"verify": "false"}},
		{url: "https://localhost:8000/mcp", want: "--url is https and to be verified"},
		{url: "https://localhost:8000/mcp", flags: map[string]string{"verify": "false", "check-hostname": "true"}, want: "--verify is false and --check-hostname is true"},
		{url: "http://localhost:8000/mcp", flags: map[string]string{"ca-bundle": "ca"}, want: "--url is plain http, and TLS is asked for by --ca-bundle"},
		{url: "http://localhost:8000/mcp", env: []string{"PLUGINS_CLIENT_MTLS_VERIFY", "true"}, want: "asked for by PLUGINS_CLIENT_MTLS_VERIFY"},
		{url: "http://localhost:8000/mcp", flags: map[string]string{"require-tls": "true"}, want: "--require-tls refuses that"},
		{url: "localhost:8000", want: "--url is not an http or https URL"},
		{url: "http://%zz", want: "--url is not a URL"},
		{url: "https://u:geheim@localhost/", want: "holds a user name or password"},
	} {
		m, err := LoadURL(test.url, Options{Env: env(test.env...), Flags: test.flags})
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s %v: %v", test.url, test.flags, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "geheim")):
			t.Errorf("%s %v: got %v, want %q", test.url, test.flags, err, test.want)
		case err == nil && m.TLS != nil && !m.TLS.Verify.V && m.TLS.CheckHostname.V:
			t.Errorf("%s: a host name is checked without verification", test.url)
		case err == nil && (m.TLS != nil) != strings.HasPrefix(test.url, "https"):
			t.Errorf("%s: TLS is %v", test.url, m.TLS)
		}
	}
}

func TestTransport(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "plain.yaml", onePlugin)
	writeHere(t, "settings.yaml", onePlugin+"server_settings: {port: 0}\n")
	for _, test := range []struct {
		file  string
		env   []string
		flags map[string]string
		want  string
		asked bool
	}{
		{file: "plain.yaml"},
		{file: "plain.yaml", env: []string{"PLUGINS_TRANSPORT", "StreamableHTTP"}, want: "http"},
		{file: "plain.yaml", env: []string{"PLUGINS_TRANSPORT", "stdio"}, want: "stdio"},
		{file: "plain.yaml", env: []string{"PLUGINS_TRANSPORT", "stdio"}, flags: map[string]string{"transport": "http"}, want: "http"},
		{file: "plain.yaml", env: []string{"PLUGINS_SERVER_PORT", "8000"}, asked: true},
		{file: "plain.yaml", env: []string{"PLUGINS_SERVER_SSL_ENABLED", "false"}, asked: true},
		{file: "settings.yaml", asked: true},
	} {
		s, err := LoadServer(test.file, Options{Env: env(test.env...), Flags: test.flags})
		if err != nil {
			t.Fatal(err)
		}
		if s.Transport.V != test.want || s.HTTPAsked != test.asked {
			t.Errorf("%+v: transport %q, asked %v", test, s.Transport.V, s.HTTPAsked)
		}
	}
}

func TestHealthPortFollowsThePort(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "c.yaml", onePlugin+tlsBlock)
	for port, want := range map[string]int{"8000": 9000, "0": 0, "64535": 65535} {
		s, err := LoadServer("c.yaml", Options{Env: env("PLUGINS_SERVER_PORT", port, "PLUGINS_SERVER_HOST", "[::1]")})
		if err != nil {
			t.Fatal(err)
		}
		if !s.Health || s.HealthPort.V != want || s.HealthHost.V != "::1" {
			t.Errorf("port %s: health at %q, %d", port, s.HealthHost.V, s.HealthPort.V)
		}
	}
}

func TestMisspeltVariables(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "plain.yaml", onePlugin)
	writeHere(t, "client.yaml", remotePlugin("url: https://h/mcp, tls: {ca_bundle: a}"))
	vars := []string{"PLUGINS_SERVER_SSL_CERTREQS", "2", "PLUGINS_SERVER_PROT", "1", "PLUGINS_CLIENT_MTLS_CA", "b", "PLUGINS_SERVER_EMPTY", "", "OTHER", "x"}
	var names []string
	for i := 0; i < len(vars); i += 2 {
		names = append(names, vars[i])
	}
	o := Options{Env: env(vars...), Names: names}
	_, err := LoadServer("plain.yaml", o)
	if err == nil || !strings.Contains(err.Error(), "PLUGINS_SERVER_SSL_CERTREQS: set in the environment, and TLS is not on") {
		t.Errorf("a misspelt variable of the checklist: %v", err)
	}
	o.Env = env(append(vars, "PLUGINS_SERVER_SSL_ENABLED", "false")...)
	s, err := LoadServer("plain.yaml", o)
	if err != nil {
		t.Fatal(err)
	}
	want := "warning: plain.yaml: env PLUGINS_SERVER_PROT is set and is not known: it has no effect\n  hint: did you mean PLUGINS_SERVER_PORT?\n" +
		"warning: plain.yaml: env PLUGINS_SERVER_SSL_CERTREQS is set and is not known: it has no effect\n  hint: did you mean PLUGINS_SERVER_SSL_CERT_REQS?\n"
	if got := lines(s.Warnings); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	c, err := LoadClient("client.yaml", o)
	if err == nil || !strings.Contains(err.Error(), "PLUGINS_CLIENT_MTLS_CA is set and is not known") {
		t.Errorf("%v, %v", c, err)
	}
	t.Setenv("PLUGINS_SERVER_HOSTS", "x")
	if s, err := LoadServer("plain.yaml", Options{}); err != nil || len(s.Warnings) != 1 {
		t.Errorf("of the process: %v, %v", s, err)
	}
}
