package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/builtin"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// interopTools is where `make interop` installs ContextForge.
const interopTools = ".tools/interop"

//go:embed scripts/hook.py
var hookScript string

// piiText is a payload of the comparison.
type piiText struct {
	name    string
	payload json.RawMessage
}

func piiTexts() []piiText {
	const clean = "All work and no play makes Jack a dull boy. "
	const found = "A quite ordinary sentence of the year 2024 with john.doe@example.com and 123-45-6789 in it, and some more text around them. "
	var texts []piiText
	for _, size := range []int{1 << 10, 32 << 10} {
		for _, kind := range []struct{ name, text string }{{"nothing in it", clean}, {"much in it", found}} {
			payload, _ := json.Marshal(map[string]any{"name": "t", "result": map[string]any{
				"content": []any{map[string]string{"type": "text", "text": strings.Repeat(kind.text, size/len(kind.text)+1)[:size]}},
			}})
			texts = append(texts, piiText{fmt.Sprintf("%d KB, %s", size>>10, kind.name), payload})
		}
	}
	return texts
}

// piiFilter is one implementation under measurement. measure calls its hook with
// a payload for a while and gives the least time of one call.
type piiFilter struct {
	name    string
	measure func(ctx context.Context, payload json.RawMessage, d time.Duration) (time.Duration, error)
	close   func() error
}

// pii compares our pii_filter with ContextForge's, where `make interop` has
// installed it: one hook on the same payloads, each in its own process, without
// a server. They take turns.
func (s *settings) pii(ctx context.Context) error {
	filters := []*piiFilter{}
	ours, err := ourPII()
	if err != nil {
		return err
	}
	filters = append(filters, ours)
	defer func() {
		for _, f := range filters {
			_ = f.close()
		}
	}()
	fmt.Println("\npii_filter, tool_post_invoke: least time of a call")
	for _, peer := range []struct{ name, era, framework, module string }{
		{"ContextForge's, Python", "seed", "mcpgateway.plugins.framework", "plugins.pii_filter.pii_filter"},
		{"ContextForge's of today, Rust", "newest", "cpex.framework", "cpex_pii_filter.pii_filter"},
	} {
		f, err := s.pythonPII(ctx, peer.name, filepath.Join(interopTools, "contextforge-"+peer.era), peer.framework, peer.module)
		if err != nil {
			fmt.Printf("  %s is skipped: %v\n", peer.name, err)
			continue
		}
		filters = append(filters, f)
	}
	t := newTable("payload", "", "a call", "ours is faster by")
	defer t.flush()
	for _, text := range piiTexts() {
		least := make([]time.Duration, len(filters))
		for range s.rounds {
			for i, f := range filters {
				took, err := f.measure(ctx, text.payload, s.duration/4)
				if err != nil {
					return fmt.Errorf("%s: %w", f.name, err)
				}
				if least[i] == 0 || took < least[i] {
					least[i] = took
				}
			}
		}
		for i, f := range filters {
			ratio := ""
			if i > 0 {
				ratio = fmt.Sprintf("%.1f ×", float64(least[i])/float64(least[0]))
			}
			t.row(text.name, f.name, nanos(float64(least[i])), ratio)
		}
	}
	return nil
}

func ourPII() (*piiFilter, error) {
	for _, k := range builtin.Kinds() {
		if k.Name != "pii_filter" {
			continue
		}
		p, err := k.New(plugin.Config{Name: "Bench", Raw: json.RawMessage(`{}`), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		measure := func(ctx context.Context, payload json.RawMessage, d time.Duration) (least time.Duration, err error) {
			for end := time.Now().Add(d); least == 0 || time.Now().Before(end); {
				start := time.Now()
				if _, err := p.Invoke(ctx, plugin.ToolPostInvoke, payload, &plugin.Context{}); err != nil {
					return 0, err
				}
				if took := time.Since(start); least == 0 || took < least {
					least = took
				}
			}
			return least, nil
		}
		return &piiFilter{"ours", measure, func() error { return nil }}, nil
	}
	return nil, errors.New("there is no native pii_filter")
}

// pythonPII starts the script that calls a plugin of Python's.
func (s *settings) pythonPII(ctx context.Context, name, home, framework, module string) (*piiFilter, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return nil, err
	}
	python := filepath.Join(home, "venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		return nil, fmt.Errorf("it is not in %s, where make interop puts it", interopTools)
	}
	if err := s.write("hook.py", hookScript); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, python, filepath.Join(s.dir, "hook.py"), framework, module, "PIIFilterPlugin", string(plugin.ToolPostInvoke))
	cmd.Dir = s.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "PYTHONPATH=" + filepath.Join(home, "source"),
		"JWT_SECRET_KEY=" + strings.Repeat("j", 40), "AUTH_ENCRYPTION_SECRET=" + strings.Repeat("a", 40),
	}
	p, err := startPython(cmd)
	if err != nil {
		return nil, err
	}
	var ready struct{ Ready bool }
	if err := p.answer(&ready); err != nil {
		_ = p.close()
		return nil, fmt.Errorf("it does not start: %w", err)
	}
	return &piiFilter{name, p.measure, p.close}, nil
}

// pythonHook is hook.py at work: a line in JSON for each question and answer.
type pythonHook struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	said  strings.Builder // to standard error
}

func startPython(cmd *exec.Cmd) (*pythonHook, error) {
	p := &pythonHook{cmd: cmd}
	cmd.Stderr = &p.said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.lines = in, bufio.NewScanner(out)
	return p, cmd.Start()
}

// answer reads the next line in JSON; others are something that an import prints.
func (p *pythonHook) answer(v any) error {
	for p.lines.Scan() {
		if json.Unmarshal(p.lines.Bytes(), v) == nil {
			return nil
		}
	}
	return errors.Join(errors.New(lastLine([]byte(p.said.String()))), p.lines.Err())
}

func (p *pythonHook) measure(_ context.Context, payload json.RawMessage, d time.Duration) (time.Duration, error) {
	line, err := json.Marshal(map[string]any{"payload": payload, "seconds": d.Seconds()})
	if err != nil {
		return 0, err
	}
	if _, err := io.WriteString(p.in, string(line)+"\n"); err != nil {
		return 0, err
	}
	var took struct{ NS int64 }
	err = p.answer(&took)
	return time.Duration(took.NS), err
}

func (p *pythonHook) close() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }
