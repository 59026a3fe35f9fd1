package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The plugin in the path replaces one word by another, on the way in and on the
// way out. Nothing else of any answer may change.
const word, replacement = "crap", "yikes"

const pluginFile = `plugins:
  - name: ReplaceBadWordsPlugin
    kind: plugins.regex_filter.search_replace.SearchReplacePlugin
    hooks: [prompt_pre_fetch, prompt_post_fetch, tool_pre_invoke, tool_post_invoke]
    config:
      words:
        - {search: crap, replace: crud}
        - {search: crud, replace: yikes}
server_settings:
  host: 127.0.0.1
  port: 0
  tls:
    certfile: certs/mcp/plugins/ReplaceBadWordsPlugin/server.crt
    keyfile: certs/mcp/plugins/ReplaceBadWordsPlugin/server.key
    ca_bundle: certs/mcp/plugins/ReplaceBadWordsPlugin/ca.crt
    ssl_cert_reqs: 2
`

const clientFile = `plugins:
  - name: ReplaceBadWordsPlugin
    kind: external
    mcp:
      proto: STREAMABLEHTTP
      url: https://%s/mcp
      tls:
        certfile: certs/mcp/gateway/client.crt
        keyfile: certs/mcp/gateway/client.key
        ca_bundle: certs/mcp/gateway/ca.crt
        check_hostname: false # 127.0.0.1 is in no certificate
`

// lab is a temporary folder with certificates and what runs in it.
type lab struct {
	binary string
	dir    string
	tools  *tools
	plugin *process
	all    []*process
	ports  int // how many have been looked at for servers that cannot choose one
}

// newLab makes certificates and starts the plugin server.
func newLab(ctx context.Context, binary string, tools *tools) (_ *lab, err error) {
	if err := absolute(&binary); err != nil {
		return nil, err
	}
	l := &lab{binary: binary, tools: tools}
	if l.dir, err = os.MkdirTemp("", "sallyport-interop-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if err := l.write("plugins.yaml", pluginFile); err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"gateway"}, {"plugin", "ReplaceBadWordsPlugin"}} {
		if err := l.certs(ctx, append(args, "--profile", "modern")...); err != nil {
			return nil, err
		}
	}
	l.plugin, err = l.start(ctx, "the plugin server",
		l.command(ctx, l.binary, "plugin-server", "--config", "plugins.yaml", "--transport", "http", "--log-format", "json"))
	if err != nil {
		return nil, err
	}
	return l, l.write("client.yaml", fmt.Sprintf(clientFile, l.plugin.addr))
}

func (l *lab) write(name, text string) error {
	return os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600)
}

// command is one in the lab's folder, with nothing of the caller's environment
// that could change what is tried.
func (l *lab) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = l.dir
	cmd.Env = environment(l.dir)
	return cmd
}

// certs runs sallyport certs.
func (l *lab) certs(ctx context.Context, args ...string) error {
	cmd := l.command(ctx, l.binary, append([]string{"certs"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// start starts a process that close will stop.
func (l *lab) start(ctx context.Context, name string, cmd *exec.Cmd) (*process, error) {
	p, err := start(ctx, name, cmd)
	if err == nil {
		l.all = append(l.all, p)
	}
	return p, err
}

// end stops a process before its time.
func (l *lab) end(p *process) error {
	l.all = slices.DeleteFunc(l.all, func(q *process) bool { return q == p })
	return p.stop()
}

// close stops everything, last first, and removes the folder.
func (l *lab) close() (err error) {
	for len(l.all) > 0 {
		last := len(l.all) - 1
		err = errors.Join(err, l.all[last].stop())
		l.all = l.all[:last]
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}

// upstream is an entry of the gateway's file; JSON is YAML.
type upstream struct {
	Name    string   `json:"-"`
	URL     string   `json:"url,omitempty"`
	Command string   `json:"command,omitempty"`
	Args    []string `json:"args,omitempty"`
}

// Heads of a gateway's file: with the plugin in the path, and without.
const (
	unguarded = "listen: 127.0.0.1:0\n"
	guarded   = unguarded + "plugins_file: client.yaml\n"
)

// freePort finds a port that is free, with the one of the health server, and is
// given out once. Such ports are not those of clients, so that it stays free over
// a restart.
func (l *lab) freePort(ctx context.Context) (int, error) {
	var err error
	for range 50 {
		l.ports++
		port := 20000 + (os.Getpid()*50+l.ports)%10000
		if err = errors.Join(free(ctx, port), free(ctx, port+1000)); err == nil {
			return port, nil
		}
	}
	return 0, err
}

func free(ctx context.Context, port int) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	return listener.Close()
}

// gateway starts one in front of these upstreams and returns its URL.
func (l *lab) gateway(ctx context.Context, head string, upstreams ...upstream) (*process, string, error) {
	var b strings.Builder
	b.WriteString(head + "upstreams:\n")
	var names []string
	for _, u := range upstreams {
		entry, err := json.Marshal(u)
		if err != nil {
			return nil, "", err
		}
		fmt.Fprintf(&b, "  %s: %s\n", u.Name, entry)
		names = append(names, u.Name)
	}
	file := "gateway-" + strings.Join(names, "-") + ".yaml"
	if err := l.write(file, b.String()); err != nil {
		return nil, "", err
	}
	p, err := l.start(ctx, "the gateway", l.command(ctx, l.binary, "gateway", "--config", file, "--log-format", "json"))
	if err != nil {
		return nil, "", err
	}
	return p, "http://" + p.addr + "/mcp", nil
}

// everythingStdio is npm's server over stdio, as anybody would start it.
func (l *lab) everythingStdio() upstream {
	return upstream{Name: "stdio", Command: l.tools.node(), Args: []string{l.everythingMain(), "stdio"}}
}

func (l *lab) everythingMain() string { return l.tools.installed(npmEverything, "dist", "index.js") }

// everythingHTTP starts npm's server on a port of loopback.
func (l *lab) everythingHTTP(ctx context.Context) (upstream, error) {
	cmd := l.command(ctx, l.tools.node(), "--require", l.tools.script("loopback.cjs"), l.everythingMain(), "streamableHttp")
	cmd.Env = append(cmd.Env, "PORT=0")
	p, err := l.start(ctx, "server-everything", cmd)
	if err != nil {
		return upstream{}, err
	}
	return upstream{Name: "http", URL: "http://" + p.addr + "/mcp"}, nil
}

// notes builds and starts the server of examples/notes, which is on the
// official Go SDK and speaks 2026-07-28.
func (l *lab) notes(ctx context.Context) (upstream, error) {
	binary := filepath.Join(l.dir, "notes")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	build.Dir = filepath.Join("examples", "notes")
	if out, err := build.CombinedOutput(); err != nil {
		return upstream{}, fmt.Errorf("building examples/notes: %w\n%s", err, out)
	}
	p, err := l.start(ctx, "notes", l.command(ctx, binary, "-http", "127.0.0.1:0"))
	if err != nil {
		return upstream{}, err
	}
	return upstream{Name: "notes", URL: "http://" + p.addr + "/mcp"}, nil
}
