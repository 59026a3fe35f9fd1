package upstream

import (
	"bufio"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	levelStop  = slog.LevelWarn
	levelNoise = slog.LevelDebug

	// maxStderr is how much of one line of standard error is logged, and
	// stderrRate how many lines a second.
	maxStderr  = 2000
	stderrRate = 50
)

// environment is what a child gets: the few variables that every program may
// count on, as other MCP clients hand them on, and those of its entry. The rest
// of ours holds secrets that are none of its business.
func environment(extra map[string]string) []string {
	all := map[string]string{}
	for _, name := range []string{"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"} {
		if value, ok := os.LookupEnv(name); ok && !strings.HasPrefix(value, "()") { // no exported shell functions
			all[name] = value
		}
	}
	maps.Copy(all, extra)
	env := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env
}

// lookPath finds the program the way its own environment would.
func lookPath(cfg *Config) (string, error) {
	name := cfg.Command
	path, ok := cfg.Env["PATH"]
	switch {
	case strings.ContainsRune(name, filepath.Separator) && !filepath.IsAbs(name) && cfg.Cwd != "":
		return exec.LookPath(filepath.Join(cfg.Cwd, name))
	case strings.ContainsRune(name, filepath.Separator) || !ok:
		return exec.LookPath(name)
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue // a program of the working directory is not what was meant
		}
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}

// listen logs the standard error of the process.
func (p *process) listen() {
	r := bufio.NewReaderSize(p.stderr, maxStderr)
	var second time.Time
	lines, dropped := 0, 0
	for {
		line, more, err := r.ReadLine()
		if err != nil {
			return
		}
		text := plain(line)
		if more { // not within a word, of which the masked text could be half
			text = text[:max(0, strings.LastIndexByte(text, ' '))] + "…"
		}
		text = p.s.redact(text)
		for more && err == nil { // the rest of a long line
			_, more, err = r.ReadLine()
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		p.mu.Lock()
		p.last = clip(text)
		p.mu.Unlock()
		if now := time.Now(); now.Sub(second) >= time.Second {
			if dropped > 0 {
				p.s.u.log.Warn("upstream wrote more to standard error than is logged", "lines", dropped)
			}
			second, lines, dropped = now, 0, 0
		}
		if lines++; lines > stderrRate {
			dropped++
			continue
		}
		p.s.u.log.Info("upstream says", "stderr", text)
	}
}

// plain is a line without what a terminal would act on: control characters and
// the sequences that switch colours.
func plain(line []byte) string {
	var b strings.Builder
	for i := 0; i < len(line); {
		if line[i] == 0x1b && i+1 < len(line) && line[i+1] == '[' {
			for i += 2; i < len(line) && line[i] >= 0x20 && line[i] <= 0x3f; {
				i++
			}
			i++ // its final byte
			continue
		}
		r, size := utf8.DecodeRune(line[i:])
		if i += size; r == '\t' || !unicode.IsControl(r) {
			b.WriteRune(r)
		}
	}
	return b.String()
}
