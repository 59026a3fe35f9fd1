package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pythonFile is the plugin server's own file. The second plugin shows what
// plugins have in common and what they have not; the third what the gateway takes
// over from here: it would refuse, and its condition is never met.
const pythonFile = `plugins:
  - name: Probe
    kind: contextforge_plugin.Probe
    hooks: [%s]
    mode: enforce
    priority: 10
    config: {record: %q, api_key: "interop", nothing: null}
  - name: Second
    kind: contextforge_plugin.Probe
    hooks: [tool_pre_invoke, tool_post_invoke]
    mode: enforce
    priority: 20
    config: {record: %q}
  - name: Third
    kind: contextforge_plugin.Probe
    hooks: [tool_pre_invoke, tool_post_invoke]
    mode: enforce
    priority: 5
    conditions: [{server_ids: [mirror], tools: [another]}, {server_ids: [another]}]
    config: {record: %q}
plugin_dirs: []
plugin_settings: {plugin_timeout: 30}
`

// probeHooks are the twelve and one of nobody's list.
const probeHooks = "tool_pre_invoke, tool_post_invoke, prompt_pre_fetch, prompt_post_fetch, resource_pre_fetch, resource_post_fetch, " +
	"http_pre_request, http_post_request, http_auth_resolve_user, http_auth_check_permission, agent_pre_invoke, agent_post_invoke, custom_lookup"

// The ways in which a server is reached, as the table calls them. All but mTLS
// are the runtime as released.
const (
	overHTTP, overTLS, overStdio, overUnix = "HTTP", "mTLS", "stdio", "Unix socket"
)

// transports are those that the line has.
func (c *contextForge) transports() []string {
	if c.era == seed {
		return []string{overHTTP, overTLS, overStdio}
	}
	return []string{overHTTP, overTLS, overStdio, overUnix}
}

// pythonServer is ContextForge's plugin server with our plugin on it.
type pythonServer struct {
	lab    *lab
	era    *contextForge
	over   string
	owner  string // whose certificate it has
	reqs   int    // its ssl_cert_reqs
	file   string
	record string // where the plugin writes down what it gets
	port   int
	socket string
	p      *process // nil while it does not run, or is the gateway's
}

// newPython prepares a server and takes a port for it. It does not start it.
func (l *lab) newPython(ctx context.Context, era *contextForge, over string) (*pythonServer, error) {
	port, err := l.freePort(ctx)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s-%d", era.era, port)
	s := &pythonServer{
		lab: l, era: era, over: over, owner: "Probe", reqs: 2, port: port, socket: filepath.Join(l.dir, name+".sock"),
		file: filepath.Join(l.dir, "python-"+name+".yaml"), record: filepath.Join(l.dir, "runs-"+name+".jsonl"),
	}
	return s, os.WriteFile(s.file, fmt.Appendf(nil, pythonFile, probeHooks, s.record, s.record, s.record), 0o600)
}

// addr is where it listens.
func (s *pythonServer) addr() string {
	if s.over == overUnix {
		return s.socket
	}
	return fmt.Sprintf("127.0.0.1:%d", s.port)
}

func (s *pythonServer) network() string {
	if s.over == overUnix {
		return "unix"
	}
	return "tcp"
}

func (s *pythonServer) url(addr string) string {
	if s.over == overTLS {
		return "https://" + addr + "/mcp"
	}
	return "http://" + addr + "/mcp"
}

// entry is a plugin of the gateway's file. The server may be reached at another
// address than its own; more are further keys.
func (s *pythonServer) entry(name, addr, more string) string {
	var mcp string
	switch s.over {
	case overHTTP:
		mcp = fmt.Sprintf("{proto: STREAMABLEHTTP, url: %q}", s.url(addr))
	case overUnix:
		mcp = fmt.Sprintf("{proto: STREAMABLEHTTP, url: http://localhost/mcp, uds: %q}", addr)
	case overStdio:
		mcp = fmt.Sprintf("{proto: STDIO, cmd: [%q, -m, %s], env: %s}", s.era.python, s.module(), inline(append(s.environ(), "PLUGINS_TRANSPORT=stdio")))
	case overTLS:
		// One certificate for both plugins; 127.0.0.1 is in none.
		mcp = fmt.Sprintf("{proto: STREAMABLEHTTP, url: %q, tls: {certfile: certs/mcp/gateway/client.crt, keyfile: certs/mcp/gateway/client.key, "+
			"ca_bundle: certs/mcp/gateway/ca.crt, check_hostname: false, identity: Probe}}", s.url(addr))
	}
	return fmt.Sprintf("  - name: %s\n    kind: external\n    mcp: %s\n%s", name, mcp, more)
}

// inline is an environment as YAML.
func inline(environ []string) string {
	var all []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		all = append(all, fmt.Sprintf("%s: %q", name, value))
	}
	return "{" + strings.Join(all, ", ") + "}"
}

func (s *pythonServer) module() string { return s.era.module + ".external.mcp.server.runtime" }

// environ is what the runtime needs on every transport.
func (s *pythonServer) environ() []string {
	secret := strings.Repeat("interop ", 5)
	return []string{"PYTHONPATH=" + s.lab.tools.scriptDir, "PLUGINS_CONFIG_PATH=" + s.file, "JWT_SECRET_KEY=" + secret, "AUTH_ENCRYPTION_SECRET=" + secret}
}

// start runs it until it listens. With TLS the runtime does not start, so that a
// script of ours mends it; on stdio it is the gateway that runs it.
func (s *pythonServer) start(ctx context.Context) error {
	if s.over == overStdio {
		return nil
	}
	args := []string{"-m", s.module()}
	if s.over == overTLS {
		args = []string{s.lab.tools.script("contextforge_tls.py"), s.module()}
	}
	cmd := s.lab.command(ctx, s.era.python, args...)
	cmd.Env = append(append(cmd.Env, s.environ()...), "PLUGINS_TRANSPORT=http", "PLUGINS_SERVER_HOST=127.0.0.1", "PLUGINS_SERVER_PORT="+strconv.Itoa(s.port))
	switch s.over {
	case overUnix:
		cmd.Env = append(cmd.Env, "PLUGINS_SERVER_UDS="+s.socket)
	case overTLS:
		pair := "certs/mcp/plugins/" + s.owner + "/"
		cmd.Env = append(cmd.Env, "PLUGINS_SERVER_SSL_ENABLED=true", "PLUGINS_SERVER_SSL_CERTFILE="+pair+"server.crt",
			"PLUGINS_SERVER_SSL_KEYFILE="+pair+"server.key", "PLUGINS_SERVER_SSL_CA_CERTS="+pair+"ca.crt",
			"PLUGINS_SERVER_SSL_CERT_REQS="+strconv.Itoa(s.reqs))
	}
	p, err := launch(cmd, "ContextForge's plugin server")
	if err != nil {
		return err
	}
	s.p = p
	if err := s.listening(ctx); err != nil {
		return errors.Join(fmt.Errorf("ContextForge's plugin server did not listen: %w\n%s", err, p.text()), s.kill())
	}
	return nil
}

// listening waits until connections are accepted. The log does not tell: with
// TLS the runtime turns it down before it listens.
func (s *pythonServer) listening(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, s.network(), s.addr())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-again.C:
		case <-s.p.rest:
			return errors.New("it has ended")
		case <-ctx.Done():
			return err
		}
	}
}

// kill ends it as a crash would.
func (s *pythonServer) kill() error {
	if s.p == nil {
		return nil
	}
	p := s.p
	s.p = nil
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.rest
	err := p.cmd.Wait()
	if state, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && state.Signaled() && state.Signal() == syscall.SIGKILL {
		return nil
	}
	return fmt.Errorf("%s had ended before: %w\n%s", p.name, err, p.text())
}

// ran is one run of a hook, as the plugin has written it down.
type ran struct {
	Plugin, Hook     string
	Payload, Context json.RawMessage
}

// runs are all of them since the first skip ones.
func (s *pythonServer) runs(skip int) ([]ran, error) {
	text, err := os.ReadFile(s.record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []ran
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		if skip--; skip >= 0 {
			continue
		}
		var r ran
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", s.record, err, clip(line))
		}
		all = append(all, r)
	}
	return all, nil
}

// await waits until the plugin has begun a run of this hook.
func (s *pythonServer) await(ctx context.Context, skip int, hook string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		all, err := s.runs(skip)
		if err != nil {
			return err
		}
		for _, r := range all {
			if r.Hook == hook {
				return nil
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for a run of %s: %w", hook, ctx.Err())
		}
	}
}
