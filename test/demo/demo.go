package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// serverFile is what the plugin server serves. PORT is 0 at first, and at a
// restart the port that it got.
const serverFile = `plugins:
  - name: ReplaceBadWordsPlugin
    kind: plugins.regex_filter.search_replace.SearchReplacePlugin
    hooks: [tool_pre_invoke, tool_post_invoke]
    config:
      words:
        - {search: crap, replace: crud}
        - {search: crud, replace: yikes}
  - name: DenyListPlugin
    kind: plugins.deny_filter.deny.DenyListPlugin
    hooks: [tool_pre_invoke]
    config:
      words: [revolutionary]
server_settings:
  host: 127.0.0.1
  port: PORT
  tls:
    certfile: certs/mcp/plugins/ReplaceBadWordsPlugin/server.crt
    keyfile: certs/mcp/plugins/ReplaceBadWordsPlugin/server.key
    ca_bundle: certs/mcp/plugins/ReplaceBadWordsPlugin/ca.crt
    ssl_cert_reqs: 2
`

// clientFile is how the gateway reaches them. The second plugin lives on the
// first one's server, and says so: without that line ReplaceBadWordsPlugin's
// certificate could not answer for it.
const clientFile = `plugins:
  - name: ReplaceBadWordsPlugin
    kind: external
    mcp:
      proto: STREAMABLEHTTP
      url: https://localhost:PORT/mcp
      tls: {certfile: certs/mcp/gateway/client.crt, keyfile: certs/mcp/gateway/client.key, ca_bundle: certs/mcp/gateway/ca.crt}
  - name: DenyListPlugin
    kind: external
    mcp:
      proto: STREAMABLEHTTP
      url: https://localhost:PORT/mcp
      tls: {certfile: certs/mcp/gateway/client.crt, keyfile: certs/mcp/gateway/client.key, ca_bundle: certs/mcp/gateway/ca.crt, identity: ReplaceBadWordsPlugin}
`

// gatewayFile puts both in front of the notes server.
const gatewayFile = `listen: 127.0.0.1:0
plugins_file: client.yaml
upstreams:
  notes:
    url: http://UPSTREAM/mcp
`

// demo is one showing: a folder and the processes in it.
type demo struct {
	binary      string // of sallyport
	notesBinary string
	dir         string
	start       time.Time

	notes   *process // the MCP server that is guarded
	plugins *process // the plugin server
	gateway *process
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) write(name, text string, replacements ...string) error {
	return os.WriteFile(d.path(name), []byte(strings.NewReplacer(replacements...).Replace(text)), 0o600)
}

func heading(text string) { fmt.Printf("\n── %s\n", text) }

// command prepares a command in the demo's folder, with nothing of the caller's
// environment that could change what it shows.
func (d *demo) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = d.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.dir}
	return cmd
}

// certificates makes the demo's CA, the gateway's certificate and two plugins',
// and a second CA that nobody here trusts.
func (d *demo) certificates(ctx context.Context) error {
	heading("Certificates: a CA, the gateway's, and one per plugin")
	for _, args := range [][]string{
		{"certs", "gateway", "--profile", "modern"},
		{"certs", "plugin", "ReplaceBadWordsPlugin", "--profile", "modern"},
		{"certs", "plugin", "AnotherPlugin", "--profile", "modern"},
		{"certs", "gateway", "--profile", "modern", "--dir", "elsewhere"},
	} {
		fmt.Printf("$ sallyport %s\n", strings.Join(args, " "))
		if out, err := d.command(ctx, d.binary, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("sallyport %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// serve starts the three processes: what is guarded, the guardrails, and the
// gateway between them and the client.
func (d *demo) serve(ctx context.Context) (err error) {
	heading("An MCP server, a plugin server that demands client certificates, and the gateway")
	fmt.Println("$ notes -http 127.0.0.1:0")
	if d.notes, err = d.begin(ctx, d.command(ctx, d.notesBinary, "-http", "127.0.0.1:0")); err != nil {
		return err
	}
	fmt.Printf("  listening on %s\n", d.notes.addr)
	if err := d.servePlugins(ctx, "0"); err != nil {
		return err
	}
	port := d.plugins.port()
	if err := d.write("client.yaml", clientFile, "PORT", port); err != nil {
		return err
	}
	if err := d.write("sallyport.yaml", gatewayFile, "UPSTREAM", d.notes.addr); err != nil {
		return err
	}
	fmt.Println("$ sallyport gateway --config sallyport.yaml")
	if d.gateway, err = d.begin(ctx, d.command(ctx, d.binary, "gateway", "--config", "sallyport.yaml", "--verbose", "--log-format", "json")); err != nil {
		return err
	}
	fmt.Printf("  listening on %s\n", d.gateway.addr)
	return nil
}

// servePlugins starts the plugin server on a port.
func (d *demo) servePlugins(ctx context.Context, port string) (err error) {
	if err := d.write("plugins.yaml", serverFile, "PORT", port); err != nil {
		return err
	}
	fmt.Println("$ PLUGINS_CONFIG_PATH=plugins.yaml sallyport plugin-server")
	cmd := d.command(ctx, d.binary, "plugin-server", "--log-format", "json")
	cmd.Env = append(cmd.Env, "PLUGINS_CONFIG_PATH=plugins.yaml")
	if d.plugins, err = d.begin(ctx, cmd); err != nil {
		return err
	}
	fmt.Printf("  listening on %s (mutual TLS), health on http://%s\n", d.plugins.addr, d.plugins.health)
	return nil
}

// port is the port that the process listens on.
func (p *process) port() string {
	_, port, _ := net.SplitHostPort(p.addr)
	return port
}

// stop ends what runs, the gateway first, and reports what did not end well.
func (d *demo) stop() (failed error) {
	for _, p := range []*process{d.gateway, d.plugins, d.notes} {
		if p == nil {
			continue
		}
		if err := p.stop(); err != nil && failed == nil {
			failed = err
		}
	}
	return failed
}
