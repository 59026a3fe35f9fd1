package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Other gateways, by the names and versions that they are installed by.
const (
	vmcpModule     = "github.com/stacklok/toolhive/cmd/vmcp@v0.47.0"
	vmcpToolchain  = "go1.27.3"
	fastmcpVersion = "fastmcp==4.1.2"

	// installLimit is how long an installation may take, and peerStart how long
	// a peer until it listens.
	installLimit = 15 * time.Minute
	peerStart    = time.Minute
)

const fastmcpProgram = `import sys
from fastmcp.server.providers.proxy import FastMCPProxy, ProxyClient
FastMCPProxy(client_factory=lambda: ProxyClient(sys.argv[1]), name="bench").run(
    transport="http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False, log_level="warning")
`

const vmcpFile = `name: bench
groupRef: bench
incomingAuth: {type: anonymous}
outgoingAuth: {source: inline, default: {type: unauthenticated}}
aggregation: {conflictResolution: prefix, conflictResolutionConfig: {prefixFormat: "{workload}_"}}
backends:
  - {name: up, url: "http://%s/mcp", transport: streamable-http}
`

// peerRoutes starts the other gateways before the same upstream, without
// plugins. One that cannot be installed is left out, and that is said.
func (s *settings) peerRoutes(ctx context.Context, upstream string) ([]*route, error) {
	if err := os.MkdirAll(filepath.Join(".tools", "peers"), 0o750); err != nil {
		return nil, err
	}
	tools, err := filepath.Abs(filepath.Join(".tools", "peers"))
	if err != nil {
		return nil, err
	}
	var routes []*route
	for _, peer := range []struct {
		name, tool string
		start      func(ctx context.Context, tools, upstream, port string) (*exec.Cmd, error)
	}{
		{"ToolHive vmcp v0.47.0", "up_" + toolName, s.vmcp},
		{fastmcpVersion, toolName, s.fastmcp},
	} {
		port, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		cmd, err := peer.start(ctx, tools, upstream, port)
		if err != nil {
			fmt.Printf("%s is left out: %v\n", peer.name, err)
			continue
		}
		p, err := s.startPeer(ctx, cmd, port)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", peer.name, err)
		}
		routes = append(routes, &route{name: peer.name, server: p, call: toolCall("http://"+p.addr+"/mcp", peer.tool)})
	}
	return routes, nil
}

func (s *settings) vmcp(ctx context.Context, tools, upstream, port string) (*exec.Cmd, error) {
	if err := install(ctx, []string{"GOTOOLCHAIN=" + vmcpToolchain, "GOBIN=" + tools}, "go", "install", vmcpModule); err != nil {
		return nil, err
	}
	if err := s.write("vmcp.yaml", fmt.Sprintf(vmcpFile, upstream)); err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, filepath.Join(tools, "vmcp"), "serve", "--config", filepath.Join(s.dir, "vmcp.yaml"), "--port", port), nil
}

func (s *settings) fastmcp(ctx context.Context, tools, upstream, port string) (*exec.Cmd, error) {
	venv := filepath.Join(tools, "fastmcp")
	if err := install(ctx, nil, "python3", "-m", "venv", venv); err != nil {
		return nil, err
	}
	python := filepath.Join(venv, "bin", "python")
	if err := install(ctx, nil, python, "-m", "pip", "install", "--quiet", fastmcpVersion); err != nil {
		return nil, err
	}
	if err := s.write("proxy.py", fastmcpProgram); err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, python, filepath.Join(s.dir, "proxy.py"), "http://"+upstream+"/mcp", port), nil
}

func install(ctx context.Context, env []string, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, lastLine(out))
	}
	return nil
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// startPeer starts cmd and waits until it listens at port.
func (s *settings) startPeer(ctx context.Context, cmd *exec.Cmd, port string) (*process, error) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, addr: "127.0.0.1:" + port, rest: make(chan struct{}), peer: true}
	close(p.rest) // its output is not read
	s.started = append(s.started, p)
	ctx, cancel := context.WithTimeout(ctx, peerStart)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
		if err == nil {
			return p, conn.Close()
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			_, _ = p.stop()
			return nil, fmt.Errorf("it does not listen: %s", lastLine(said.Bytes()))
		}
	}
}

// freePort is one that nobody listens on now: a peer does not tell which one it
// has taken.
func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
