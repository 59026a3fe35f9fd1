package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// What ContextForge's clients call: the plugin of allhooks, once in each mode of
// either vocabulary, for the first line of clients knows only the old one.
const hooksFile = `plugins:
  - {name: All, kind: allhooks, version: 1.2.3, priority: 7, tags: [interop], config: {mark: marked}}
`

// gatewayFile names the plugin servers that need certificates.
const gatewayFile = `plugins:
  - {name: All, kind: external, mcp: {proto: STREAMABLEHTTP, url: "https://localhost:8000/mcp"}}
  - {name: Other, kind: external, mcp: {proto: STREAMABLEHTTP, url: "https://localhost:8001/mcp"}}
`

// reportedModes are the modes of a server's file and what a client makes of
// them, in the old vocabulary and in the new one.
var reportedModes = []struct{ mode, old, new string }{
	{"enforce", "enforce", "sequential"}, {"enforce_ignore_error", "enforce_ignore_error", "sequential"}, {"permissive", "permissive", "transform"},
	{"sequential", "enforce", "sequential"}, {"concurrent", "enforce", "sequential"}, {"transform", "permissive", "transform"},
	{"audit", "permissive", "transform"}, {"fire_and_forget", "permissive", "transform"},
}

const tlsSettings = `  tls:
    certfile: cf/certs/plugins/All/server.crt
    keyfile: cf/certs/plugins/All/server.key
    ca_bundle: cf/certs/plugins/All/ca.crt
    ssl_cert_reqs: 2
`

// forge is what the parts with ContextForge's clients have in common.
type forge struct {
	*lab
	allhooks                       string // the program
	plain, secure, socket, natives *process
}

// contextForgeClients puts ContextForge's plugin managers in front of our plugin
// servers: each of its lines, over every transport that it has.
func (l *lab) contextForgeClients(ctx context.Context, t *table) error {
	const peer = "plugin manager"
	eras := l.eras(t, peer)
	if len(eras) == 0 {
		return nil
	}
	f, err := l.newForge(ctx)
	if err != nil {
		return err
	}
	// Each line by itself is mostly waiting for Python to start.
	rows := make([][]row, len(eras))
	var running sync.WaitGroup
	for i, c := range eras {
		running.Go(func() { rows[i] = f.sessions(ctx, c) })
	}
	running.Wait()
	for i, c := range eras {
		for _, r := range rows[i] {
			if r.err != nil {
				t.fault(c.name()+" "+peer, c.version, r.transport, c.revision(), r.err)
				continue
			}
			t.add(c.name()+" "+peer, c.version, r.transport, c.revision(), r.seen)
		}
	}
	return nil
}

// revision is the one that the SDK of this line asks for.
func (c *contextForge) revision() string { return legacy }

// row is one line of the table, before it stands there.
type row struct {
	transport, seen string
	err             error
}

// newForge makes certificates and starts the servers that all lines call.
func (l *lab) newForge(ctx context.Context) (*forge, error) {
	f := &forge{lab: l, allhooks: filepath.Join(l.dir, "cf", "allhooks")}
	if err := os.MkdirAll(filepath.Dir(f.allhooks), 0o700); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", f.allhooks, "./test/interop/allhooks")
	if err := brief(build); err != nil {
		return nil, err
	}
	var modes strings.Builder
	for _, m := range reportedModes {
		fmt.Fprintf(&modes, "  - {name: In_%s, kind: allhooks, mode: %s, priority: 50}\n", m.mode, m.mode)
	}
	const http = "server_settings:\n  host: 127.0.0.1\n  port: 0\n"
	for name, text := range map[string]string{
		"cf/gateway.yaml": gatewayFile,
		"cf/plugins.yaml": hooksFile,
		"cf/plain.yaml":   hooksFile + modes.String() + http,
		"cf/tls.yaml":     hooksFile + http + tlsSettings,
		"cf/uds.yaml":     hooksFile + "server_settings:\n  uds: " + filepath.Join(l.dir, "cf", "server.sock") + "\n",
		"cf/natives.yaml": nativesFile + http + tlsSettings,
		// Their stdio clients start files: one line Python's only, later ones more.
		"cf/start.py":           fmt.Sprintf("import os\nos.execv(%q, [%q, '--config', 'cf/plugins.yaml'])\n", f.allhooks, f.allhooks),
		"cf/start.sh":           fmt.Sprintf("exec '%s' plugin-server --config cf/natives-stdio.yaml\n", l.binary),
		"cf/natives-stdio.yaml": nativesFile,
	} {
		if err := l.write(name, text); err != nil {
			return nil, err
		}
	}
	// The guide's own certificates, as its users have them; and a CA that nobody knows.
	for _, args := range [][]string{
		{"certs", "all", "--config", "cf/gateway.yaml", "--dir", "cf/certs"},
		{"certs", "ca", "--dir", "cf/strange", "--profile", "modern"},
	} {
		if err := brief(l.command(ctx, l.binary, args...)); err != nil {
			return nil, err
		}
	}
	return f, f.startServers(ctx)
}

func (f *forge) startServers(ctx context.Context) (err error) {
	for _, s := range []struct {
		into   **process
		binary string
		args   []string
	}{
		{&f.plain, f.allhooks, []string{"--config", "cf/plain.yaml"}},
		{&f.secure, f.allhooks, []string{"--config", "cf/tls.yaml"}},
		{&f.socket, f.allhooks, []string{"--config", "cf/uds.yaml"}},
		{&f.natives, f.binary, []string{"plugin-server", "--config", "cf/natives.yaml"}},
	} {
		args := append(s.args, "--transport", "http", "--log-format", "json")
		if *s.into, err = f.start(ctx, "plugin server "+s.args[len(s.args)-1], f.command(ctx, s.binary, args...)); err != nil {
			return err
		}
	}
	return nil
}

// session is one plugin manager: what its file says, what it calls and what has
// to come of it.
type session struct {
	era     *contextForge
	name    string         // of its file, and unique
	mcp     map[string]any // of every plugin
	plugins []string       // their names
	env     []string       // of the client
	steps   []hookStep
}

// run runs contextforge_client.py.
func (f *forge) run(ctx context.Context, s session) (*hookReport, error) {
	var entries []map[string]any
	for _, name := range s.plugins {
		entries = append(entries, map[string]any{"name": name, "kind": "external", "mcp": s.mcp})
	}
	file, err := json.Marshal(map[string]any{"plugins": entries, "plugin_dirs": []string{}, "plugin_settings": map[string]any{"plugin_timeout": 30, "fail_on_plugin_error": true}})
	if err != nil {
		return nil, err
	}
	path := filepath.Join("cf", s.era.era+"-"+s.name+".yaml")
	if err := f.write(path, string(file)); err != nil {
		return nil, err
	}
	task, err := json.Marshal(map[string]any{"module": s.era.module, "config": path, "steps": append([]hookStep{}, s.steps...)})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := f.command(ctx, s.era.python, f.tools.script("contextforge_client.py"), string(task))
	// The first line's stdio client starts "python", which is there in an
	// activated environment.
	cmd.Env = append(environment(f.dir), "PATH="+filepath.Dir(s.era.python)+string(filepath.ListSeparator)+os.Getenv("PATH"),
		"PLUGINS_SSRF_PROTECTION_ENABLED=false", "PYTHONWARNINGS=ignore")
	cmd.Env = append(cmd.Env, s.env...)
	report := &hookReport{}
	return report, output(cmd, report)
}

// through runs a session through a relay. url names the relay's address by %s.
func (f *forge) through(ctx context.Context, s session, url string, server *process) (_ *hookReport, r *relay, err error) {
	r, err = newRelay(ctx, "tcp", "", server.addr)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	_, port, _ := strings.Cut(r.addr, ":")
	mcp := map[string]any{"proto": "STREAMABLEHTTP", "url": fmt.Sprintf(url, port)}
	maps.Copy(mcp, s.mcp)
	s.mcp = mcp
	report, err := f.run(ctx, s)
	return report, r, err
}

// allSteps are all behaviours on all hooks.
func allSteps() []hookStep {
	var all []hookStep
	for _, h := range hookCases() {
		all = append(all, h.behaviours()...)
	}
	return all
}

// enoughConnections is what one plugin may open for some eighty calls. It is two
// or four, for some clients try a server before they use it; on a machine that is
// slow enough for a connection to be idle for seconds, some more.
const enoughConnections = 12

// verdict is the row of a session that went through a relay.
func verdict(transport string, s session, report *hookReport, r *relay, err error) row {
	if err == nil {
		err = report.check(s.steps)
	}
	if err == nil {
		err = knowsAll(report.Hooks)
	}
	seen := fmt.Sprintf("%d hooks; %d calls as expected", len(hookCases()), len(s.steps))
	if err == nil && r != nil {
		if n := r.connections(); n > enoughConnections {
			err = fmt.Errorf("%d connections for %d calls", n, len(s.steps))
		}
		seen += fmt.Sprintf(" over %d connections", r.connections())
	}
	return row{transport, seen, err}
}

// sessions are all that one line can do.
func (f *forge) sessions(ctx context.Context, c *contextForge) []row {
	rows := []row{f.overHTTP(ctx, c), f.modes(ctx, c), f.mutualByYAML(ctx, c), f.mutualByEnvironment(ctx, c), f.nativeKinds(ctx, c)}
	rows = append(rows, f.overStdio(ctx, c)...)
	if c.era != seed {
		rows = append(rows, f.overSocket(ctx, c))
	}
	return append(rows, f.refusals(ctx, c)...)
}

func (f *forge) overHTTP(ctx context.Context, c *contextForge) row {
	s := session{era: c, name: "plain", plugins: []string{"All"}, steps: allSteps()}
	report, r, err := f.through(ctx, s, "http://127.0.0.1:%s/mcp", f.plain)
	if err == nil {
		media := r.media()
		if streams := media["text/event-stream"]; streams > 0 || media["application/json"] < len(s.steps) {
			err = fmt.Errorf("answers by media type: %v", media)
		}
	}
	if err == nil && !slices.Equal(r.agreed(), []string{c.revision()}) {
		err = fmt.Errorf("agreed on revision %q", r.agreed())
	}
	if err == nil {
		err = contains(`{"version":"1.2.3","priority":7,"tags":["interop"],"config":{"mark":"marked"}}`, report.Plugins["All"])
	}
	got := verdict("HTTP", s, report, r, err)
	got.seen += ", all answers JSON"
	return got
}

// modes lets a client read plugins of all modes from the server.
func (f *forge) modes(ctx context.Context, c *contextForge) row {
	s := session{era: c, name: "modes"}
	for _, m := range reportedModes {
		s.plugins = append(s.plugins, "In_"+m.mode)
	}
	report, _, err := f.through(ctx, s, "http://127.0.0.1:%s/mcp", f.plain)
	if err == nil {
		err = report.check(nil)
	}
	for _, m := range reportedModes {
		want := m.new
		if c.era == seed {
			want = m.old
		}
		if err == nil {
			err = contains(fmt.Sprintf(`{"mode":%q,"priority":50}`, want), report.Plugins["In_"+m.mode])
		}
		if err != nil {
			err = fmt.Errorf("a plugin in mode %s: %w", m.mode, err)
			break
		}
	}
	return row{"HTTP", fmt.Sprintf("plugins in %d modes of both vocabularies accepted", len(reportedModes)), err}
}

// tls is the guide's tls: block with files of the lab. cert has no suffix.
func (f *forge) tls(cert, ca string, more map[string]any) map[string]any {
	block := map[string]any{"ca_bundle": filepath.Join(f.dir, "cf", ca)}
	if cert != "" {
		cert = filepath.Join(f.dir, "cf", cert)
		block["certfile"], block["keyfile"] = cert+".crt", cert+".key"
	}
	maps.Copy(block, more)
	return map[string]any{"tls": block}
}

func (f *forge) mutualByYAML(ctx context.Context, c *contextForge) row {
	s := session{era: c, name: "mtls", plugins: []string{"All"}, steps: allSteps(),
		mcp: f.tls("certs/gateway/client", "certs/gateway/ca.crt", map[string]any{"verify": true, "check_hostname": true})}
	report, r, err := f.through(ctx, s, "https://localhost:%s/mcp", f.secure)
	return verdict("mTLS by YAML", s, report, r, err)
}

func (f *forge) mutualByEnvironment(ctx context.Context, c *contextForge) row {
	certs := filepath.Join(f.dir, "cf", "certs", "gateway")
	s := session{era: c, name: "mtls-env", plugins: []string{"All"}, steps: allSteps(), env: []string{
		"PLUGINS_CLIENT_MTLS_CERTFILE=" + filepath.Join(certs, "client.crt"), "PLUGINS_CLIENT_MTLS_KEYFILE=" + filepath.Join(certs, "client.key"),
		"PLUGINS_CLIENT_MTLS_CA_BUNDLE=" + filepath.Join(certs, "ca.crt"), "PLUGINS_CLIENT_MTLS_VERIFY=true", "PLUGINS_CLIENT_MTLS_CHECK_HOSTNAME=false",
	}}
	report, r, err := f.through(ctx, s, "https://127.0.0.1:%s/mcp", f.secure)
	return verdict("mTLS by environment", s, report, r, err)
}

// overStdio lets the client start the plugin server, in each way that it has.
func (f *forge) overStdio(ctx context.Context, c *contextForge) []row {
	all := filepath.Join(f.dir, "cf", "start.py")
	ways := []struct {
		transport string
		mcp       map[string]any
	}{{"stdio (script .py)", map[string]any{"script": all}}}
	if c.era != seed {
		ways = append(ways, struct {
			transport string
			mcp       map[string]any
		}{"stdio (cmd, env, cwd)", map[string]any{"cmd": []string{f.allhooks}, "env": map[string]string{"PLUGINS_CONFIG_PATH": "plugins.yaml"}, "cwd": filepath.Join(f.dir, "cf")}})
	}
	var rows []row
	for i, way := range ways {
		s := session{era: c, name: fmt.Sprintf("stdio-%d", i), plugins: []string{"All"}, steps: allSteps(), mcp: way.mcp}
		s.mcp["proto"] = "STDIO"
		report, err := f.run(ctx, s)
		rows = append(rows, verdict(way.transport, s, report, nil, err))
	}
	if c.era != seed {
		s := session{era: c, name: "stdio-sh", plugins: nativeNames(), steps: nativeSteps(),
			mcp: map[string]any{"proto": "STDIO", "script": filepath.Join(f.dir, "cf", "start.sh")}}
		report, err := f.run(ctx, s)
		if err == nil {
			err = report.check(s.steps)
		}
		rows = append(rows, row{"stdio (script .sh)", fmt.Sprintf("%d native kinds, %d calls as expected", len(s.plugins), len(s.steps)), err})
	}
	return rows
}

func (f *forge) overSocket(ctx context.Context, c *contextForge) row {
	r, err := newRelay(ctx, "unix", filepath.Join(f.dir, "cf", c.era+".sock"), filepath.Join(f.dir, "cf", "server.sock"))
	if err != nil {
		return row{transport: "Unix socket", err: err}
	}
	s := session{era: c, name: "uds", plugins: []string{"All"}, steps: allSteps(),
		mcp: map[string]any{"proto": "STREAMABLEHTTP", "url": "http://localhost/mcp", "uds": r.addr}}
	report, err := f.run(ctx, s)
	err = errors.Join(err, r.close())
	return verdict("Unix socket", s, report, r, err)
}

// refusals are connections that must not come about. The clients' own error is
// the same for all of them, so that the server's log has to tell.
func (f *forge) refusals(ctx context.Context, c *contextForge) []row {
	all := []struct {
		name, what, cert, ca string
		says                 string // in the server's log, about this connection
	}{
		{"other", "another plugin's certificate", "certs/plugins/Other/server", "certs/gateway/ca.crt", "it is plugin Other's"},
		{"none", "a client without certificate", "", "certs/gateway/ca.crt", "refused a TLS connection"},
		// Python goes without saying why.
		{"unknown", "by the client, a server whose CA it does not know", "certs/gateway/client", "strange/ca/ca.crt", "refused a TLS connection"},
	}
	rows := make([]row, len(all))
	var running sync.WaitGroup
	for i, r := range all {
		running.Go(func() { // each is tried three times, with seconds between
			s := session{era: c, name: "refused-" + r.name, plugins: []string{"All"}, mcp: f.tls(r.cert, r.ca, map[string]any{"check_hostname": false})}
			rows[i] = row{"mTLS", "refused: " + r.what, f.refused(ctx, s, r.says)}
		})
	}
	running.Wait()
	return rows
}

func (f *forge) refused(ctx context.Context, s session, says string) error {
	report, r, err := f.through(ctx, s, "https://127.0.0.1:%s/mcp", f.secure)
	if err != nil {
		return err
	}
	if report.Failure == "" {
		return errors.New("the plugin manager has started")
	}
	if err := f.secure.writes(ctx, func(text string) bool { return strings.Contains(r.logged(text), says) }); err != nil {
		return fmt.Errorf("%s, and the server's log does not say %q but: %s", report.Failure, says, r.logged(f.secure.text()))
	}
	return nil
}
