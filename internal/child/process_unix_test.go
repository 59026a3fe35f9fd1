//go:build unix

package child

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoSignalAfterTheEnd: once a process has been reaped, its number may be
// that of another.
func TestNoSignalAfterTheEnd(t *testing.T) {
	s := New(Command{Name: "true"}, Options{Logger: slog.New(slog.DiscardHandler), Role: "server", Mask: func(s string) string { return s }, MaxMessageBytes: 1 << 10})
	p, err := s.launch()
	if err != nil {
		t.Fatal(err)
	}
	<-p.done
	p.signal(func(pid int) { t.Errorf("process %d was sent a signal after its end", pid) })
}

// TestAProgramThatOthersCanReplace is started, and said to be one: a script, the
// folder that it is in, the folder that it is run in.
func TestAProgramThatOthersCanReplace(t *testing.T) {
	for name, open := range map[string]func(script, dir string) error{
		"":       func(string, string) error { return nil },
		"script": func(script, _ string) error { return os.Chmod(script, 0o777) },
		"folder": func(script, _ string) error { return os.Chmod(filepath.Dir(script), 0o777) },
		"cwd":    func(_, dir string) error { return os.Chmod(dir, 0o777) },
		"tmp":    func(_, dir string) error { return os.Chmod(dir, 0o777|os.ModeSticky) },
	} {
		t.Run(name, func(t *testing.T) {
			script, dir := filepath.Join(t.TempDir(), "server.sh"), t.TempDir()
			if err := os.WriteFile(script, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, folder := range []string{filepath.Dir(script), dir} { // whatever the umask is
				if err := os.Chmod(folder, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := open(script, dir); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s := New(Command{Script: script, Dir: dir}, Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Role: "server", Mask: func(s string) string { return s }, MaxMessageBytes: 1 << 10})
			for range 2 {
				p, err := s.launch()
				if err != nil {
					t.Fatal(err)
				}
				<-p.done
			}
			want := 1
			if name == "" || name == "tmp" {
				want = 0
			}
			if n := strings.Count(log.String(), "can replace"); n != want {
				t.Errorf("%d warnings, want %d: %s", n, want, log.String())
			}
		})
	}
}
