package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const pluginName = "Bench"

// pluginFile is served by sallyport plugin-server. A deny list of one word is
// the least that a built-in plugin does.
const pluginFile = `plugins:
  - name: ` + pluginName + `
    kind: deny_filter
    config: {words: [zyzzyva]}
server_settings:
  host: 127.0.0.1
  port: 0
  tls:
    certfile: certs/mcp/plugins/` + pluginName + `/server.crt
    keyfile: certs/mcp/plugins/` + pluginName + `/server.key
    ca_bundle: certs/mcp/plugins/` + pluginName + `/ca.crt
`

// prepare makes the certificates.
func (s *settings) prepare(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(s.dir, "plugins.yaml"), []byte(pluginFile), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{{"certs", "gateway"}, {"certs", "plugin", pluginName}} {
		cmd := s.command(ctx, append(args, "--profile", "modern")...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	return nil
}

// command is a sallyport command in the temporary folder, with nothing of the
// caller's environment that could change what is measured.
func (s *settings) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}
	return cmd
}

func (s *settings) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir, "certs", "mcp"}, parts...)...)
}

// process is a server under measurement.
type process struct {
	cmd  *exec.Cmd
	addr string
	rest chan struct{} // closed when its output has ended
	peer bool          // somebody else's: how it ends is no concern of ours
}

// startOurs starts sallyport plugin-server.
func (s *settings) startOurs(ctx context.Context) (*process, error) {
	return s.startServer(ctx, "plugin-server", "--config", "plugins.yaml", "--transport", "http")
}

// startServer starts a sallyport command that listens.
func (s *settings) startServer(ctx context.Context, args ...string) (*process, error) {
	cmd := s.command(ctx, append(args, "--log-format", "json")...)
	return s.start(cmd, cmd.StderrPipe, func(line []byte) string {
		var record struct{ Msg, Addr string }
		if json.Unmarshal(line, &record) == nil && record.Msg == "listening" {
			return record.Addr
		}
		return ""
	})
}

// startSelf starts this program again as one of the servers of [serve]; without
// args it is given the plugin server's certificate.
func (s *settings) startSelf(ctx context.Context, kind string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if args == nil {
		args = []string{s.path("plugins", pluginName, "server.crt"), s.path("plugins", pluginName, "server.key"), s.path("plugins", pluginName, "ca.crt")}
	}
	cmd := exec.CommandContext(ctx, self, append([]string{serveMode, kind}, args...)...)
	cmd.Stderr = os.Stderr
	return s.start(cmd, cmd.StdoutPipe, func(line []byte) string {
		addr, _ := strings.CutPrefix(string(line), listening)
		return addr
	})
}

// start runs cmd until found recognizes the line that tells its address.
func (s *settings) start(cmd *exec.Cmd, output func() (io.ReadCloser, error), found func([]byte) string) (*process, error) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	out, err := output()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, rest: make(chan struct{})}
	s.started = append(s.started, p)
	lines := bufio.NewScanner(out)
	var said strings.Builder
	for p.addr == "" && lines.Scan() {
		said.Write(append(lines.Bytes(), '\n'))
		p.addr = found(lines.Bytes())
	}
	if p.addr == "" {
		return nil, errors.Join(fmt.Errorf("%s did not listen:\n%s", cmd, said.String()), cmd.Wait())
	}
	go func() {
		defer close(p.rest)
		_, _ = io.Copy(io.Discard, out) // a full pipe would stop it
	}()
	return p, nil
}

// killAll ends what a failed measurement has left running.
func (s *settings) killAll() {
	for _, p := range s.started {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	}
}

// stop ends the process and says what it cost.
func (p *process) stop() (*os.ProcessState, error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	<-p.rest
	err := p.cmd.Wait()
	if p.peer {
		err = nil
	}
	return p.cmd.ProcessState, err
}

// bareClient is what a careful hand would write with crypto/tls alone.
func (s *settings) bareClient() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(s.path("gateway", "client.crt"), s.path("gateway", "client.key"))
	if err != nil {
		return nil, err
	}
	roots, err := pool(s.path("gateway", "ca.crt"))
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: "localhost",
		MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
	}, nil
}

func pool(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
}

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
