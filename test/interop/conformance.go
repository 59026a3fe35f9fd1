package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const everythingServer = "github.com/modelcontextprotocol/go-sdk/conformance/everything-server"

// conformance runs the official suite against the Go SDK's everything-server:
// directly, through the gateway, and through the gateway with a plugin in the
// path that finds nothing to change. It reports; what fails is no error here.
func (l *lab) conformance(ctx context.Context, t *table) error {
	name, version := npmConformance, pinnedNPM()[npmConformance]
	if l.tools.noNPM != "" {
		t.skip(name, version, l.tools.noNPM)
		return nil
	}
	binary := filepath.Join(l.dir, "everything-server")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, everythingServer).CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", everythingServer, err, out)
	}
	for _, revision := range []string{legacy, modern} {
		u, err := l.everythingGo(ctx, binary, revision == modern)
		if err != nil {
			return err
		}
		_, bare, err := l.gateway(ctx, unguarded, u)
		if err != nil {
			return err
		}
		_, full, err := l.gateway(ctx, guarded, u)
		if err != nil {
			return err
		}
		for _, way := range []struct{ name, url string }{{"directly", u.URL}, {"gateway", bare}, {"gateway, plugin", full}} {
			s, err := l.suite(ctx, way.url, revision)
			if err != nil {
				return fmt.Errorf("%s %s: %w", name, way.name, err)
			}
			t.add(name, version, way.name, revision, s.String())
		}
	}
	return nil
}

// everythingGo starts the Go SDK's everything-server. It has sessions for the
// old revisions, and none for the new one.
func (l *lab) everythingGo(ctx context.Context, binary string, stateless bool) (upstream, error) {
	// It cannot say which port it was given, so it is given one that was free.
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return upstream{}, err
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return upstream{}, err
	}
	cmd := l.command(ctx, binary, "-http", addr, fmt.Sprintf("-stateless=%t", stateless))
	p, err := launch(cmd, "everything-server")
	if err != nil {
		return upstream{}, err
	}
	l.all = append(l.all, p)
	if err := answers(ctx, addr); err != nil {
		return upstream{}, fmt.Errorf("everything-server: %w\n%s", err, p.text())
	}
	return upstream{Name: "everything", URL: "http://" + addr + "/mcp"}, nil
}

// answers waits until something accepts connections at addr.
func answers(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// score is what the suite says at its end.
type score struct {
	total    string
	required int      // scenarios that count
	failing  []string // of them
}

func (s *score) String() string {
	failing := ""
	if len(s.failing) > 0 {
		failing = ": " + strings.Join(s.failing, " ")
	}
	return fmt.Sprintf("%s; %d of %d required scenarios fail%s", s.total, len(s.failing), s.required, failing)
}

// suite runs what a revision requires of a server.
func (l *lab) suite(ctx context.Context, url, revision string) (*score, error) {
	cmd := l.command(ctx, l.tools.node(), l.tools.installed("", ".bin", "conformance"), "server",
		"--url", url, "--requirements", revision, "--output-dir", filepath.Join(l.dir, "conformance"))
	out, err := cmd.CombinedOutput() // it ends with 1 when a required scenario fails
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	s, ok := scoreOf(string(out))
	if !ok {
		return nil, fmt.Errorf("no summary in its output: %w\n%s", err, out)
	}
	return s, nil
}

// scoreOf reads the summary: a line for each scenario, the total, then those that
// do not count.
func scoreOf(out string) (*score, bool) {
	_, summary, ok := strings.Cut(out, "=== SUMMARY ===")
	if !ok {
		return nil, false
	}
	s := &score{}
	counted, rest, ok := strings.Cut(summary, "Total: ")
	if !ok {
		return nil, false
	}
	s.total, rest, _ = strings.Cut(rest, "\n")
	var free []string
	for _, m := range regexp.MustCompile(`(?m)^\s*[✓✗]\s+(\S+) \(`).FindAllStringSubmatch(rest, -1) {
		free = append(free, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^\s*([✓✗])\s+(\S+): `).FindAllStringSubmatch(counted, -1) {
		if slices.Contains(free, m[2]) {
			continue
		}
		s.required++
		if m[1] == "✗" {
			s.failing = append(s.failing, m[2])
		}
	}
	return s, true
}
