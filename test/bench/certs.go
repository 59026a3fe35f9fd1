package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// certPlugins is how many plugins get a certificate.
const certPlugins = 10

// certificates compares `certs all`, in the guide's profile, with the openssl
// commands that the guide's make targets run.
func (s *settings) certificates(ctx context.Context) error {
	dir := filepath.Join(s.dir, "guide")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	var config strings.Builder
	config.WriteString("plugins:\n")
	for i := range certPlugins {
		fmt.Fprintf(&config, "  - {name: Plugin%d, kind: external, mcp: {proto: STREAMABLEHTTP, url: http://127.0.0.1:%d/mcp}}\n", i, 8000+i)
	}
	if err := os.WriteFile(filepath.Join(dir, "plugins.yaml"), []byte(config.String()), 0o600); err != nil {
		return err
	}
	fmt.Printf("\ncertificates of a CA, a gateway and %d plugins, RSA 4096 as in the guide; how long a prime takes to find is luck\n", certPlugins)
	t := newTable("", "CPU", "wall")
	defer t.flush()
	var cost expense
	if err := cost.run(s.command(ctx, "certs", "all", "--config", "guide/plugins.yaml", "--dir", "guide/ours")); err != nil {
		return err
	}
	t.row("sallyport certs all", seconds(cost.cpu), seconds(cost.wall))
	if _, err := exec.LookPath("openssl"); err != nil {
		t.row("openssl", "skipped: openssl is not installed", "")
		return nil
	}
	cost = expense{}
	if err := opensslTree(ctx, &cost, filepath.Join(dir, "openssl")); err != nil {
		return err
	}
	t.row("the guide's openssl commands", seconds(cost.cpu), seconds(cost.wall))
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// expense sums up what commands cost.
type expense struct{ cpu, wall time.Duration }

func (e *expense) run(cmd *exec.Cmd) error {
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	e.wall += time.Since(start)
	e.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return nil
}

// opensslTree makes what `make certs-mcp-all` makes, by the same commands.
func opensslTree(ctx context.Context, cost *expense, dir string) error {
	openssl := func(args string) error {
		cmd := exec.CommandContext(ctx, "openssl", strings.Fields(args)...)
		cmd.Dir = dir
		return cost.run(cmd)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := openssl("genrsa -out ca.key 4096"); err != nil {
		return err
	}
	if err := openssl("req -new -x509 -key ca.key -out ca.crt -days 825 -subj /CN=MCP-Gateway-CA/O=MCPGateway/OU=Plugins"); err != nil {
		return err
	}
	leaf := func(name, subject, extensions string) error {
		for _, args := range []string{
			"genrsa -out " + name + ".key 4096",
			"req -new -key " + name + ".key -out " + name + ".csr -subj " + subject,
			"x509 -req -in " + name + ".csr -CA ca.crt -CAkey ca.key -CAcreateserial -out " + name + ".crt -days 825 -sha256" + extensions,
		} {
			if err := openssl(args); err != nil {
				return err
			}
		}
		return nil
	}
	if err := leaf("client", "/CN=mcp-gateway-client/O=MCPGateway/OU=Gateway", ""); err != nil {
		return err
	}
	for i := range certPlugins {
		name := fmt.Sprintf("Plugin%d", i)
		sans := "subjectAltName=DNS:" + name + ",DNS:mcp-plugin-" + name + ",DNS:localhost\n"
		if err := os.WriteFile(filepath.Join(dir, name+".ext"), []byte(sans), 0o600); err != nil {
			return err
		}
		if err := leaf(name, "/CN=mcp-plugin-"+name+"/O=MCPGateway/OU=Plugins", " -extfile "+name+".ext"); err != nil {
			return err
		}
	}
	return nil
}
