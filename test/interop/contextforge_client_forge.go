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
	"strings"
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
		{"all", "--config", "cf/gateway.yaml", "--dir", "cf/certs"},
		{"ca", "--dir", "cf/strange", "--profile", "modern"},
	} {
		if err := l.certs(ctx, args...); err != nil {
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
