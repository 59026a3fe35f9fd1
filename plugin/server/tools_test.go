package server

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// serveFile serves the plugins of a file as the command does.
func serveFile(t *testing.T, text string, env map[string]string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	kinds := []plugin.Kind{{Name: "fake", Hooks: append(plugin.Hooks(), "custom_hook"), New: func(plugin.Config) (plugin.Plugin, error) {
		return &fakePlugin{plugin.Hooks(), passes}, nil
	}}}
	cfg, err := config.LoadServer(file, config.Options{Kinds: kinds, Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	log := &logLines{}
	entries, _, err := makeEntries(cfg, kinds, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	return start(t, nil, entries...)
}

const reported = `
plugins:
  - name: Full
    kind: fake
    description: d
    author: a
    namespace: n
    version: "1"
    hooks: [tool_pre_invoke, custom_hook]
    tags: [x]
    mode: sequential
    on_error: ignore
    priority: 7
    conditions: [{tools: [a, "b*"], tenant_ids: [t]}]
    applied_to: {tools: [{tool_name: a}]}
    config:
      limit: 9007199254740993
      from_env: "{{ env.PLACE }}"
      db: {password: hunter2, host: h, Api-Key: k}
      nested: [{client_secret: s, auth_token: t}]
  - name: Bare
    kind: fake
  - name: Closed
    kind: fake
    mode: audit
    expose_config: false
    config: {limit: 1}
  - name: Off
    kind: fake
    mode: disabled
  - name: Elsewhere
    kind: external
    mcp: {url: "http://127.0.0.1:9/mcp"}
`

const (
	full = `{"name":"Full","kind":"fake","description":"d","author":"a","namespace":"n","version":"1","hooks":["tool_pre_invoke","custom_hook"],"tags":["x"],` +
		`"mode":"enforce_ignore_error","priority":7,"conditions":[{"tenant_ids":["t"],"tools":["a","b*"]}],"applied_to":{"tools":[{"tool_name":"a"}]},` +
		`"config":{"limit":9007199254740993,"from_env":"***","db":{"password":"***","host":"h","Api-Key":"***"},"nested":[{"client_secret":"***","auth_token":"***"}]}}`
	closed = `"mode":"permissive","priority":100,"conditions":[]}`
)

// What the tools about configuration say: the fields, legacy modes, secrets and
// template values masked, config left out on request, mcp never, and neither
// disabled nor external plugins.
func TestRule_ReportedConfiguration(t *testing.T) {
	base := serveFile(t, reported, map[string]string{"PLACE": "geheim"})
	ask := func(name string) string {
		return string(callTool(t, base, "get_plugin_config", json.RawMessage(`{"name":`+string(wire.AppendString(nil, name))+`}`), false))
	}
	if diff := cmp.Diff(full, ask("Full")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"fULL": full, "Nobody": "{}", "": "{}", "Off": "{}", "Elsewhere": "{}"} {
		if got := ask(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := ask("Closed"); !strings.HasSuffix(got, closed) || strings.Contains(got, "config") {
		t.Errorf("expose_config: false: %s", got)
	}
	if got := ask("Bare"); !strings.Contains(got, `"mode":"enforce","priority":100,"conditions":[],"config":{}`) {
		t.Errorf("the defaults: %s", got)
	}

	a := post(t, base, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_plugin_configs","arguments":{}}}`)
	m, err := wire.Parse([]byte(a.body), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var texts, structured []string
	for block := range wire.Elements(wire.Member(m.Result, "content")) {
		text, _ := wire.String(wire.Member(block, "text"))
		texts = append(texts, text)
	}
	for one := range wire.Elements(wire.Member(wire.Member(m.Result, "structuredContent"), "result")) {
		structured = append(structured, string(one))
	}
	if want := []string{ask("Full"), ask("Bare"), ask("Closed")}; !cmp.Equal(want, texts) || !cmp.Equal(want, structured) {
		t.Errorf("get_plugin_configs: texts %q\nstructured %q", texts, structured)
	}
	for _, secret := range []string{"geheim", "hunter2", `"mcp"`} {
		if strings.Contains(a.body, secret) {
			t.Errorf("%s crosses the wire", secret)
		}
	}
}

// The tools as they are listed: all arguments required, and no outputSchema for
// what clients read as text.
func TestRule_ToolsAreListed(t *testing.T) {
	base := start(t, nil, entry(passes))
	m, err := wire.Parse([]byte(post(t, base, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`).body), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	required := map[string]string{}
	for tool := range wire.Elements(wire.Member(m.Result, "tools")) {
		name, _ := wire.String(wire.Member(tool, "name"))
		required[name] = string(wire.Member(wire.Member(tool, "inputSchema"), "required"))
		if wire.Member(tool, "outputSchema") != nil {
			t.Errorf("%s declares an outputSchema", name)
		}
	}
	want := map[string]string{
		"get_plugin_configs": "", "get_plugin_config": `["name"]`, "invoke_hook": `["hook_type","plugin_name","payload","context"]`,
	}
	if diff := cmp.Diff(want, required); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Each argument of invoke_hook is required, also as null.
func TestRule_AllArgumentsAreRequired(t *testing.T) {
	base := start(t, nil, entry(passes))
	all := map[string]string{"hook_type": `"tool_pre_invoke"`, "plugin_name": `"P"`, "payload": `{"name":"t"}`, "context": testContext}
	for missing := range all {
		for _, instead := range []string{"", "null", "1"} {
			var members []string
			for name, value := range all {
				if name == missing {
					value = instead
				}
				if value != "" {
					members = append(members, `"`+name+`":`+value)
				}
			}
			text := callTool(t, base, "invoke_hook", json.RawMessage("{"+strings.Join(members, ",")+"}"), true)
			if !strings.Contains(string(text), missing+" must be") {
				t.Errorf("without %s (%q): %s", missing, instead, text)
			}
		}
	}
}
