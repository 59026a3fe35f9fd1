package config

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

func resolvedSchema(t *testing.T) *jsonschema.Resolved {
	t.Helper()
	var s jsonschema.Schema
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	r, err := s.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// instance is a file as JSON, templates as they stand in it.
func instance(t *testing.T, path string) any {
	t.Helper()
	d := &decoder{document: readDocument(path, nil)}
	if d.top == nil {
		t.Fatal(d.problems())
	}
	raw, _ := d.freeform(&value{node: d.top}, "")
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, d.problems())
	}
	return v
}

func TestSchemaAcceptsWhatTheDecoderAccepts(t *testing.T) {
	schema := resolvedSchema(t)
	files := []string{"../../sallyport.yaml"}
	for _, pattern := range []string{"../../plugins/*.yaml", "../../plugins/external/*.yaml", "testdata/*.good.yml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) < 2 {
			t.Fatalf("%s: %d files, %v", pattern, len(found), err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		if strings.Contains(file, "names-without-environment") {
			continue // only its names are right
		}
		if err := schema.Validate(instance(t, file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestSchemaRefusesWhatTheDecoderRefuses(t *testing.T) {
	schema := resolvedSchema(t)
	for _, file := range []string{"gateway-listen", "gateway-upstreams", "gateway-unknown-keys", "unknown-keys", "plugins-null", "plugins-missing", "plugins-no-list", "list-document", "wrong-values"} {
		if err := schema.Validate(instance(t, "testdata/"+file+".bad.yml")); err == nil {
			t.Errorf("%s: accepted", file)
		}
	}
	for _, entry := range []string{
		`{"kind":"external"}`, `{"name":"P"}`, `{"name":"P","kind":"k","mode":"enforced"}`, `{"name":"P","kind":"k","priority":1.5}`,
		`{"name":"P","kind":"k","timeout":0}`, `{"name":"P","kind":"k","mcp":{"tls":"some"}}`, `{"name":"P","kind":"k","mcp":{"tls":{"verify":"ja"}}}`,
		`{"name":"P","kind":"k","hooks":"tool_pre_invoke"}`, `{"name":"P","kind":"k","config":[]}`, `{"name":"P","kind":"k","unix_socket":{}}`,
	} {
		var v any
		if err := json.Unmarshal([]byte(`{"plugins":[`+entry+`]}`), &v); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err == nil {
			t.Errorf("%s: accepted", entry)
		}
	}
}

// TestSchemaOfEachEntry: in the fixture one fault would hide that the schema
// knows no other.
func TestSchemaOfEachEntry(t *testing.T) {
	schema := resolvedSchema(t)
	for text, good := range map[string]bool{
		`{"listen":"127.0.0.1:1"}`: true, `{"listen":{"address":":1"}}`: true, `{"listen":{"tls":{"certfile":"c"}}}`: true, `{"listen":{"port":1}}`: false, `{"listen":[]}`: false,
		`{"upstreams":{"a":{"url":"u"}}}`: true, `{"upstreams":{"a":{"command":"c","args":"x"}}}`: false, `{"upstreams":[]}`: false, `{"upstreams":{"a":{"comand":"c"}}}`: false,
		`{"upstreams":{"a":{"command":"c","disabledTools":[]}}}`: false, `{"mcpServers":{"a":{"command":"c","autoApprove":[]}}}`: true,
		`{"naming":{"prefix":"no"}}`: false, `{"naming":{"prefix":"never"}}`: true, `{"admin":{}}`: true, `{"admin":{"port":1}}`: false,
		`{"listen":":1","server_settings":{}}`: false, `{"listen":":1","plugins":[{"name":"P","kind":"k"}],"plugin_settings":{"plugin_timeout":1}}`: true, `{"listen":":1","plugins":[{"name":"P"}]}`: false,
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestTables holds the tables to what the documentation promises of them.
func TestTables(t *testing.T) {
	want := map[string][]string{
		"":                {"plugins", "plugin_settings", "plugin_dirs", "server_settings"},
		"plugins":         {"name", "kind", "description", "author", "version", "namespace", "hooks", "tags", "mode", "on_error", "priority", "conditions", "applied_to", "config", "mcp", "timeout", "expose_headers", "expose_config"},
		"plugins.mcp":     {"proto", "url", "tls", "cmd", "env", "cwd", "script", "uds"},
		"plugins.mcp.tls": {"certfile", "keyfile", "keyfile_password", "ca_bundle", "verify", "check_hostname", "server_name", "identity", "peer_profile"},
		"server_settings": {"host", "port", "uds", "tls", "health"},
		"server_settings.tls": {"certfile", "keyfile", "keyfile_password", "ca_bundle", "ssl_cert_reqs",
			"allowed_clients", "peer_profile"},
		"server_settings.health": {"host", "port"},
		"gateway":                {"listen", "plugins_file", "plugins", "plugin_settings", "upstreams", "mcpServers", "naming", "admin", "allowed_hosts", "allowed_origins"},
		"gateway.listen":         {"address", "tls"},
		"gateway.listen.tls":     {"certfile", "keyfile", "keyfile_password", "ca_bundle", "ssl_cert_reqs", "allowed_clients"},
		"gateway.upstreams":      {"url", "headers", "command", "args", "env", "cwd"},
		"gateway.naming":         {"prefix", "separator"},
		"gateway.admin":          {"listen"},
		"plugin_settings":        {"plugin_timeout", "fail_on_plugin_error", "parallel_execution_within_band", "plugin_health_check_interval", "enable_plugin_api", "max_payload_bytes", "secret_headers", "plugins_can_override_auth_headers"},
	}
	got := map[string][]string{}
	var walk func(path string, s *shape)
	walk = func(path string, s *shape) {
		switch s.form {
		case formList, formOr, formShort, formMap:
			walk(path, s.elem)
		case formObject:
			for _, f := range s.fields {
				if f.doc == "" {
					t.Errorf("%s has no description", join(path, f.key))
				}
				got[path] = append(got[path], f.key)
				walk(join(path, f.key), f.shape)
			}
		default:
		}
	}
	walk("", fileShape)
	walk("gateway", gatewayShape)
	for path, keys := range want {
		for _, key := range keys {
			if !slices.Contains(got[path], key) {
				t.Errorf("%s: no key %s", orFile(path), key)
			}
		}
	}
}
