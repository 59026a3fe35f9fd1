package config

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/plugin"
)

const wholeGateway = `listen: {address: "127.0.0.1:4444", tls: {certfile: g.crt, keyfile: g.key, ca_bundle: ca.crt, allowed_clients: [alice]}}
plugins_file: plugins.yaml
upstreams:
  zeta:
    url: http://127.0.0.1:9101/mcp
    headers: {X-Team: "{{ env.TEAM }}", Authorization: "@bearer"}
  files:
    command: npx
    args: ["-y", "@modelcontextprotocol/server-filesystem", "/data"]
    env: {LOG: warn, KEY: "@@at"}
    cwd: /srv
  gone: {command: x, disabled: true}
naming: {prefix: on-conflict, separator: "-_"}
admin: {listen: "[::1]:4480"}
allowed_hosts: [mcp.example.com, "mcp.example.com:8443"]
allowed_origins: [https://app.example.com]
`

func TestLoadGateway(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "g.yaml", wholeGateway)
	writeHere(t, "bearer", "Bearer geheim\n")
	writeHere(t, "plugins.yaml", remotePlugin("url: https://h/mcp, tls: {certfile: c, keyfile: k, ca_bundle: a}")+
		"plugin_settings: {plugin_timeout: 2, max_payload_bytes: 5}\nserver_settings: {port: 1}\n")
	g, err := LoadGateway("g.yaml", Options{Env: env("TEAM", "blue"), Kinds: kinds(), Flags: map[string]string{"listen": ":4445"}})
	if err != nil {
		t.Fatal(err)
	}
	if g.Listen.V != ":4445" || g.Listen.Source.String() != "flag --listen" || g.TLS == nil || g.TLS.CertReqs.V != 2 || g.TLS.AllowedClients.V[0] != "alice" {
		t.Errorf("listen: %+v, %+v", g.Listen, g.TLS)
	}
	if got := g.TLS.Name("certfile"); got != "listen.tls.certfile (g.yaml:1:53)" {
		t.Errorf("certfile is called %s", got)
	}
	if p := g.Client.Plugin("P"); p == nil || p.MCP.TLS == nil || g.Client.Settings.MaxPayloadBytes != 5 || g.Client.File != "plugins.yaml" {
		t.Errorf("plugins: %+v", g.Client)
	}
	if g.Prefix.V != PrefixOnConflict || g.Separator.V != "-_" || g.Admin.V != "[::1]:4480" || len(g.AllowedHosts) != 2 || len(g.AllowedOrigins) != 1 || len(g.Warnings) != 0 {
		t.Errorf("%+v", g)
	}
	if len(g.Upstreams) != 2 || g.Upstreams[0].Name != "zeta" || g.Upstreams[1].Name != "files" {
		t.Fatalf("upstreams, in file order and without the disabled one: %+v", g.Upstreams)
	}
	headers, vars, err := g.Upstreams[0].Resolve()
	if diff := cmp.Diff(map[string]string{"X-Team": "blue", "Authorization": "Bearer geheim"}, headers); diff != "" || len(vars) != 0 || err != nil {
		t.Error(diff, vars, err)
	}
	files := g.Upstreams[1]
	_, vars, err = files.Resolve()
	if diff := cmp.Diff(map[string]string{"LOG": "warn", "KEY": "@at"}, vars); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if files.Command.V != "npx" || files.Args[1] != "@modelcontextprotocol/server-filesystem" || files.Cwd.V != "/srv" || files.Cwd.Source.Line != 11 {
		t.Errorf("%+v", files)
	}
}

// TestLoadGatewayDefaults: what holds when a file says nothing, and that a
// plugin file is a gateway's, too.
func TestLoadGatewayDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "p.yaml", onePlugin)
	g, err := LoadGateway("p.yaml", Options{Env: env(), Kinds: kinds()})
	if err != nil {
		t.Fatal(err)
	}
	if g.Listen.V != "127.0.0.1:4444" || !g.Listen.Source.IsDefault() || g.TLS != nil || g.Prefix.V != PrefixAuto || g.Separator.V != "__" || g.Admin.V != "" || g.Upstreams != nil {
		t.Errorf("%+v", g)
	}
	if len(g.Client.Plugins) != 1 || len(g.Warnings) != 1 || !strings.Contains(g.Warnings[0].Message, "no upstreams") {
		t.Errorf("%+v, %v", g.Client, g.Warnings)
	}
}

// TestPastedServers: entries as other clients write them.
func TestPastedServers(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "g.yaml", `{"mcpServers": {
  "time": {"type": "stdio", "command": "uvx", "args": ["mcp-server-time"], "env": {}, "disabled": false, "autoApprove": []},
  "remote": {"type": "http", "url": "https://h.example/mcp?key=geheim", "headers": {"X-Key": "${KEY}"}},
  "old": {"transport": "sse", "url": "https://h.example/sse", "disabled": true}
}}`)
	g, err := LoadGateway("g.yaml", Options{Env: env(), Kinds: kinds()})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Upstreams) != 2 || g.Upstreams[0].Command.V != "uvx" || g.Upstreams[1].URL.V != "https://h.example/mcp?key=geheim" {
		t.Errorf("%+v", g.Upstreams)
	}
	all := g.Warnings.Error()
	for _, want := range []string{"autoApprove has no effect", "${…}, which is no template", "sse: that transport of 2024 is not spoken (the entry is disabled)", "no plugins"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
	if strings.Contains(all, "geheim") {
		t.Errorf("a secret is shown in\n%s", all)
	}
}

// TestOtherReadingsOfAGatewayFile: call reads its plugins, certs their names,
// and a plugin server says what it is.
func TestOtherReadingsOfAGatewayFile(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "g.yaml", wholeGateway)
	writeHere(t, "inline.yaml", "listen: :1\n"+onePlugin)
	writeHere(t, "plugins.yaml", onePlugin)
	o := Options{Env: env("TEAM", "blue"), Kinds: kinds()}
	for _, file := range []string{"g.yaml", "inline.yaml"} {
		c, err := LoadClient(file, o)
		if err != nil || c.Plugin("P") == nil {
			t.Errorf("%s: LoadClient: %+v, %v", file, c, err)
		}
		if _, err := LoadServer(file, o); err == nil || !strings.Contains(err.Error(), "this is a gateway's file: listen") {
			t.Errorf("%s: LoadServer: %v", file, err)
		}
	}
	names, err := PluginNames("inline.yaml")
	if err != nil || !slices.EqualFunc(names, []string{"P"}, func(n Named, want string) bool { return n.Name == want }) {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := PluginNames("g.yaml"); err == nil || !strings.Contains(err.Error(), "g.yaml:2:15: the plugins of this gateway stand in a file of their own") {
		t.Error(err)
	}
}

// TestPluginsFileFaults: faults in the named file are reported at their place
// there, and a file that cannot be read at the place that names it.
func TestPluginsFileFaults(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "g.yaml", "plugins_file: p.yaml\nupstreams: {}\n")
	load := func() string {
		_, err := LoadGateway("g.yaml", Options{Env: env(), Kinds: kinds()})
		if err == nil {
			return ""
		}
		return err.Error()
	}
	if got := load(); !strings.HasPrefix(got, "g.yaml:1:15: plugins_file: reading the configuration file /") {
		t.Error(got)
	}
	for text, want := range map[string]string{
		"listen: :1\n": "g.yaml:1:15: plugins_file names a gateway's file: p.yaml has listen",
		"plugins: [{name: P, kind: search_replace, hooks: []}]\n":                               "p.yaml:1:43: plugins[0].hooks is empty",
		remotePlugin("url: 'http://h/mcp', tls: {}"):                                            "p.yaml:1:64",
		"plugins: [{name: P, kind: search_replace, hooks: [tool_pre]}]\nplugins_settings: {}\n": "p.yaml:2:1: unknown key",
	} {
		writeHere(t, "p.yaml", text)
		if got := load(); !strings.Contains(got, want) {
			t.Errorf("want %s in\n%s", want, got)
		}
	}
	writeHere(t, "p.yaml", onePlugin)
	if got := load(); got != "" {
		t.Error(got)
	}
}

// TestCheckJudgesPluginsOfAGateway: native kinds run in the gateway's process,
// so their config: is judged as a plugin server's.
func TestCheckJudgesPluginsOfAGateway(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "g.yaml", "plugins_file: p.yaml\n")
	writeHere(t, "p.yaml", "plugins:\n  - name: P\n    kind: search_replace\n    config: {words: [1]}\n")
	with := kinds()
	with[0].New = func(plugin.Config) (plugin.Plugin, error) {
		return nil, &plugin.ConfigError{Path: "words[0]", Message: "no word"}
	}
	r := Check("g.yaml", Options{Env: env(), Kinds: with})
	if len(r.Problems.Errors()) != 1 || !strings.HasPrefix(r.Problems.Errors()[0].Error(), "p.yaml:4:22: P: ") || r.Gateway != nil || r.Client != nil {
		t.Errorf("%v, %+v", r.Problems, r)
	}
	r = Check("g.yaml", Options{Env: env(), Kinds: kinds()})
	if r.Gateway == nil || r.Client == nil || r.Server != nil {
		t.Errorf("%+v", r)
	}
}

// Keys that would protect, left there with nothing in them, are no way to go
// without.
func TestGatewayKeysWithNothingInThem(t *testing.T) {
	t.Chdir(t.TempDir())
	for text, want := range map[string]string{
		"listen:\n  address: 127.0.0.1:1\n  tls:\n": "g.yaml:3:3: listen.tls is there with nothing in it",
		"plugins_file:\n": "g.yaml:1:1: plugins_file is null",
	} {
		writeHere(t, "g.yaml", text)
		if _, err := LoadGateway("g.yaml", Options{Env: env(), Kinds: kinds()}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s, got %v", want, err)
		}
	}
}

// TestGatewayRefusals are those that a text decides, each with the field, its
// source and the way out.
func TestGatewayRefusals(t *testing.T) {
	for _, test := range []struct {
		name  string
		text  string
		env   []string
		flags map[string]string
		want  []string
	}{
		{name: "1: TLS without a certificate", text: "listen: {tls: {ssl_cert_reqs: 0}}\n",
			want: []string{"g.yaml:1:10: listen.tls turns TLS on, and there is no certificate and no key", "set certfile and keyfile in listen.tls"}},
		{name: "1: a CA alone", text: "listen: {tls: {ca_bundle: ca.crt}}\n", want: []string{"only a CA (g.yaml:1:27)"}},
		{name: "1: an empty block", text: "listen: {tls: {ssl_cert_reqs: 0, certfile: ''}}\n", want: []string{"no certificate and no key"}},
		{name: "3: a certificate without its key", text: "listen: {tls: {certfile: c, ca_bundle: a}}\n",
			want: []string{"listen.tls.certfile names a certificate", "set listen.tls.keyfile too"}},
		{name: "3: a key without its certificate", text: "listen: {tls: {keyfile: c, ca_bundle: a}}\n", want: []string{"set listen.tls.certfile too"}},
		{name: "3: the plugin server's variables are not the gateway's", text: "listen: {tls: {certfile: c, ca_bundle: a}}\n", env: []string{"PLUGINS_SERVER_SSL_KEYFILE", "k"},
			want: []string{"listen.tls.keyfile is not set"}},
		{name: "6: a tls block with http", text: "listen: :1\n" + remotePlugin("url: 'http://h/mcp', tls: {}"), want: []string{"g.yaml:2:48", "plain http"}},
		{name: "6: in the other file", text: "plugins_file: plain.yaml\n", env: []string{"PLUGINS_CLIENT_MTLS_VERIFY", "1"}, want: []string{"plain.yaml:1:48: plugins[0].mcp.url is plain http"}},
		{name: "7: client certificates without a bundle", text: "listen: {tls: {certfile: c, keyfile: k}}\n",
			want: []string{"g.yaml:1:10: ssl_cert_reqs is 2 (default)", "set ca_bundle in listen.tls"}},
		{name: "7: optional ones", text: "listen: {tls: {certfile: c, keyfile: k, ssl_cert_reqs: 1}}\n", want: []string{"g.yaml:1:56: ssl_cert_reqs is 1"}},
		{name: "8: 3", text: "listen: {tls: {certfile: c, keyfile: k, ssl_cert_reqs: 3}}\n", want: []string{"listen.tls.ssl_cert_reqs: expected 0, 1 or 2"}},
		{name: "12: no verification, explicit host name check", text: "listen: :1\n" + remotePlugin("url: https://h/mcp, tls: {verify: false, check_hostname: true}"), want: []string{"set verify to true"}},
		{name: "14: nothing to verify with", text: "listen: :1\n" + remotePlugin("url: https://h/mcp"), want: []string{"no ca_bundle"}},
		{name: "require TLS: the listener", text: "listen: 127.0.0.1:1\n", env: []string{"PLUGINS_REQUIRE_TLS", "yes"},
			want: []string{"g.yaml:1:9: env PLUGINS_REQUIRE_TLS refuses a plain HTTP listener", "listen: {address: …, tls:"}},
		{name: "require TLS: the default listener", text: "upstreams: {}\n", flags: map[string]string{"require-tls": "true"}, want: []string{"g.yaml: --require-tls refuses"}},
		{name: "require TLS: a plugin's URL", text: "listen: {tls: {certfile: c, keyfile: k, ca_bundle: a}}\n" + remotePlugin("url: 'http://h/mcp', tls: none"), flags: map[string]string{"require-tls": "true"},
			want: []string{"plugins[0].mcp.url is plain http, and --require-tls refuses that"}},
		{name: "--listen", text: "listen: 127.0.0.1:1\n", flags: map[string]string{"listen": "4444"}, want: []string{`--listen: "4444" is no address to listen on`}},
		{name: "an address with a path", text: "listen: 127.0.0.1:1/mcp\n", want: []string{"no address to listen on"}},
		{name: "a host that is none", text: "listen: 'a b:1'\n", want: []string{"no host name or address before its port"}},
		{name: "one address twice", text: "listen: 127.0.0.1:1\nadmin: {listen: 127.0.0.1:1}\n", want: []string{"g.yaml:2:17: admin.listen is 127.0.0.1:1"}},
		{name: "a hidden value", text: "listen: '{{ env.WHERE }}'\n", env: []string{"WHERE", "geheim"}, want: []string{`listen: "***" is no address`}},
		{name: "a hidden header", text: "upstreams: {a: {url: 'http://h/mcp', headers: {X: '{{ env.WHERE }}'}}}\n", env: []string{"WHERE", "geheim\n"}, want: []string{"control characters"}},
		{name: "a variable that is not set", text: "upstreams: {a: {command: x, env: {KEY: '{{ env.NOT_SET }}'}}}\n", want: []string{"g.yaml:1:41: template {{ env.NOT_SET }}"}},
		{name: "a separator in a name", text: "upstreams: {a-b: {command: x}}\nnaming: {separator: '-'}\n", want: []string{`the name holds the separator "-"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			writeHere(t, "g.yaml", test.text)
			writeHere(t, "plain.yaml", remotePlugin("url: 'http://h/mcp'"))
			_, err := LoadGateway("g.yaml", Options{Env: env(test.env...), Kinds: kinds(), Flags: test.flags})
			found, ok := errors.AsType[Problems](err)
			if !ok || len(found) != 1 {
				t.Fatalf("want one problem, got %v", err)
			}
			text := err.Error() + "\n" + strings.Join(hint.Of(err), "\n")
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing in:\n%s", want, text)
				}
			}
			if strings.Contains(text, "geheim") {
				t.Errorf("a secret is shown in:\n%s", text)
			}
		})
	}
}

func TestShowGateway(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "g.yaml", strings.Replace(wholeGateway, "127.0.0.1:9101/mcp", "127.0.0.1:9101/mcp?key=geheim", 1)+"x-note: geheim\n")
	writeHere(t, "plugins.yaml", remotePlugin("url: https://h/mcp, tls: {certfile: c, keyfile: k, keyfile_password: geheim, ca_bundle: a}")+"server_settings: {host: geheim}\n")
	got := shown(t, "g.yaml", Options{Env: env("TEAM", "geheim"), Flags: map[string]string{"listen": ":4445"}})
	for _, want := range []string{
		"require_tls = false (default)",
		`listen.address = ":4445" (flag --listen)`,
		`listen.tls.certfile = "g.crt" (g.yaml:1:53)`,
		"listen.tls.ssl_cert_reqs = 2 (default)",
		`listen.tls.peer_profile = "compat" (default)`,
		`plugins_file = "plugins.yaml" (g.yaml:2:15)`,
		`upstreams.zeta.url = "http://127.0.0.1:9101/mcp?***" (g.yaml:5:10)`,
		`upstreams.zeta.headers.X-Team = "***" (g.yaml:6:23)`,
		`upstreams.zeta.headers.Authorization = "***" (g.yaml:6:56)`,
		`upstreams.files.env.LOG = "***" (g.yaml:10:16)`,
		`upstreams.files.args = ["-y","@modelcontextprotocol/server-filesystem","/data"] (g.yaml:9:11)`,
		`naming.prefix = "on-conflict" (g.yaml:13:18)`,
		`admin.listen = "[::1]:4480" (g.yaml:14:17)`,
		`plugins[0].name = "P" (plugins.yaml:1:18)`,
		"plugins[0].mcp.tls.verify = true (default)",
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "geheim") || strings.Contains(got, "server_settings") || strings.Contains(got, "zeta.timeout") || strings.Count(got, "require_tls") != 1 {
		t.Errorf("too much is shown in\n%s", got)
	}
	writeHere(t, "inline.yaml", "upstreams: {a: {command: x}}\n"+onePlugin)
	got = shown(t, "inline.yaml", Options{Env: env()})
	for _, want := range []string{`listen.address = "127.0.0.1:4444" (default)`, `naming.prefix = "auto" (default)`, `naming.separator = "__" (default)`, `plugins[0].mode = "enforce" (default)`, "upstreams.a.disabled = false (default)"} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
}

// TestResolveFaults: files of secrets are read late, and say whose they are.
func TestResolveFaults(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "two", "geheim\nX: y\n")
	writeHere(t, "g.yaml", "upstreams:\n  a: {command: x, env: {K: '@none'}}\n  b: {url: 'http://h/mcp', headers: {K: '@two'}}\n")
	g, err := LoadGateway("g.yaml", Options{Env: env()})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"upstream a: env: K (g.yaml:2:28): reading the secret's file /", "upstream b: headers: K (g.yaml:3:41): the value has control characters"} {
		_, _, err := g.Upstreams[i].Resolve()
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "geheim") || len(hint.Of(err)) == 0 {
			t.Errorf("%v, %v", err, hint.Of(err))
		}
	}
}

// TestTheShippedGatewayFile is the default of sallyport gateway, in the folder
// that it is shipped in.
func TestTheShippedGatewayFile(t *testing.T) {
	t.Chdir("../..")
	g, err := LoadGateway("sallyport.yaml", Options{Env: env(), Kinds: kinds()})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Warnings) != 0 || len(g.Upstreams) != 1 || len(g.Client.Plugins) == 0 || g.Admin.V == "" {
		t.Errorf("%+v, %v", g, g.Warnings)
	}
	if _, err := os.Stat(g.Upstreams[0].Cwd.V + "/main.go"); err != nil {
		t.Error(err)
	}
}
