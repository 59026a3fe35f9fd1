package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const pluginFile = `# What the plugin server serves.
plugins:
  - name: ReplaceBadWordsPlugin
    kind: plugins.regex_filter.search_replace.SearchReplacePlugin
    hooks: [prompt_pre_fetch, prompt_post_fetch, tool_pre_invoke, tool_post_invoke]
    config:
      words:
        - {search: crap, replace: crud}
        - {search: crud, replace: yikes}
  - name: DenyListPlugin
    kind: plugins.deny_filter.deny.DenyListPlugin
    hooks: [prompt_pre_fetch]
    config:
      words: [revolutionary]
server_settings:
  host: 127.0.0.1
  port: 0
  tls:
    certfile: certs/mcp/plugins/ReplaceBadWordsPlugin/server.crt
    keyfile: certs/mcp/plugins/ReplaceBadWordsPlugin/server.key
    ca_bundle: certs/mcp/plugins/ReplaceBadWordsPlugin/ca.crt
    ssl_cert_reqs: 2
`

// The second plugin lives on the first one's server, and says so: without
// that line ReplaceBadWordsPlugin's certificate could not answer for it.
const clientTemplate = `# How the gateway reaches them.
plugins:
  - name: ReplaceBadWordsPlugin
    kind: external
    mcp: {proto: STREAMABLEHTTP, url: "https://localhost:PORT/mcp", tls: {certfile: certs/mcp/gateway/client.crt, keyfile: certs/mcp/gateway/client.key, ca_bundle: certs/mcp/gateway/ca.crt}}
  - name: DenyListPlugin
    kind: external
    mcp: {proto: STREAMABLEHTTP, url: "https://localhost:PORT/mcp", tls: {certfile: certs/mcp/gateway/client.crt, keyfile: certs/mcp/gateway/client.key, ca_bundle: certs/mcp/gateway/ca.crt, identity: ReplaceBadWordsPlugin}}
`

// demo is one showing: a folder, the plugin server in it and its log.
type demo struct {
	binary string
	dir    string
	start  time.Time

	server *exec.Cmd
	exited chan error
	log    *logTail
	addr   string // of the plugin server
	health string // of its health listener
}

func (d *demo) pluginFile() string { return filepath.Join(d.dir, "plugins.yaml") }
func (d *demo) clientFile() string { return filepath.Join(d.dir, "client.yaml") }

func (d *demo) heading(text string) {
	fmt.Printf("\n── %s\n", text)
}

// command prepares a sallyport command in the demo's folder, with nothing of
// the caller's environment that could change what it shows.
func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Dir = d.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + d.dir}
	return cmd
}

// certificates makes the demo's CA, the gateway's certificate and three
// plugins', and a second CA that nobody here trusts.
func (d *demo) certificates(ctx context.Context) error {
	d.heading("Certificates: a CA, the gateway's, and one per plugin")
	if err := os.WriteFile(d.pluginFile(), []byte(pluginFile), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"certs", "gateway", "--profile", "modern"},
		{"certs", "plugin", "ReplaceBadWordsPlugin", "--profile", "modern"},
		{"certs", "plugin", "AnotherPlugin", "--profile", "modern"},
		{"certs", "gateway", "--profile", "modern", "--dir", "elsewhere"},
	} {
		fmt.Printf("$ sallyport %s\n", strings.Join(args, " "))
		if out, err := d.command(ctx, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("sallyport %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// serve starts the plugin server and waits until it listens.
func (d *demo) serve(ctx context.Context) error {
	d.heading("A plugin server in a process of its own, demanding client certificates")
	fmt.Println("$ PLUGINS_CONFIG_PATH=plugins.yaml sallyport plugin-server")
	cmd := d.command(ctx, "plugin-server", "--log-format", "json")
	cmd.Env = append(cmd.Env, "PLUGINS_CONFIG_PATH=plugins.yaml")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	d.server, d.exited, d.log = cmd, make(chan error, 1), newLogTail()
	go func() {
		d.log.follow(stderr)
		d.exited <- cmd.Wait()
	}()
	line, err := d.log.await(0, func(r record) bool { return r["msg"] == "listening" })
	if err != nil {
		return fmt.Errorf("the plugin server did not start: %w\n%s", err, d.log.text())
	}
	d.addr, d.health = line.get("addr"), line.get("health")
	fmt.Printf("  listening on %s (mTLS), health on http://%s\n", d.addr, d.health)

	_, port, _ := strings.Cut(d.addr, ":")
	return os.WriteFile(d.clientFile(), []byte(strings.ReplaceAll(clientTemplate, "PORT", port)), 0o600)
}

// stop ends the plugin server and reports when it did not end well.
func (d *demo) stop() error {
	if err := d.server.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := <-d.exited; err != nil {
		return fmt.Errorf("the plugin server ended badly: %w\n%s", err, d.log.text())
	}
	return nil
}

// record is one line of the plugin server's JSON log.
type record map[string]any

func (r record) get(key string) string {
	s, _ := r[key].(string)
	return s
}

// logTail keeps the log lines of the plugin server and lets a reader wait for
// one.
type logTail struct {
	mu    sync.Mutex
	lines []record
	raw   bytes.Buffer
	ended bool
	more  chan struct{} // closed and replaced at each change
}

func newLogTail() *logTail { return &logTail{more: make(chan struct{})} }

// follow reads r to its end.
func (l *logTail) follow(r io.Reader) {
	dec := json.NewDecoder(io.TeeReader(r, &lockedWriter{l}))
	for {
		var line record
		err := dec.Decode(&line)
		l.mu.Lock()
		if err == nil {
			l.lines = append(l.lines, line)
		} else {
			l.ended = true
		}
		close(l.more)
		l.more = make(chan struct{})
		l.mu.Unlock()
		if err != nil {
			io.Copy(&lockedWriter{l}, r) //nolint:errcheck // what is left is for the error message
			return
		}
	}
}

// position is where the next line will stand.
func (l *logTail) position() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// await returns the first line at or after from that ok accepts.
func (l *logTail) await(from int, ok func(record) bool) (record, error) {
	deadline := time.After(20 * time.Second)
	for {
		l.mu.Lock()
		for ; from < len(l.lines); from++ {
			if ok(l.lines[from]) {
				defer l.mu.Unlock()
				return l.lines[from], nil
			}
		}
		ended, more := l.ended, l.more
		l.mu.Unlock()
		if ended {
			return nil, errors.New("its log ended")
		}
		select {
		case <-more:
		case <-deadline:
			return nil, errors.New("its log did not say so within 20 s")
		}
	}
}

func (l *logTail) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.raw.String()
}

type lockedWriter struct{ l *logTail }

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	return w.l.raw.Write(p)
}
