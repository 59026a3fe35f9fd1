//go:build unix

package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFilesThatAreNone: a start must fail with a word, not wait for ever.
func TestFilesThatAreNone(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(syscall.Mkfifo("fifo", 0o600), os.Symlink("/dev/zero", "endless")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"fifo": "it is not a file but a pipe", "endless": "it is not a file"} {
		for what, read := range map[string]func() error{
			"plugin file": func() error { _, err := LoadServer(path, Options{Env: env()}); return err },
			"secret":      func() error { _, err := NewSecret("@" + path).Resolve(); return err },
		} {
			done := make(chan error, 1)
			go func() { done <- read() }()
			select {
			case err := <-done:
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s of %s: %v, want %q", what, path, err, want)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s of %s waits", what, path)
			}
		}
	}
}

// TestInheritedPipes: bash's <(…) and /dev/stdin are pipes that somebody means.
func TestInheritedPipes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("geheim\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	secret := NewSecret(fmt.Sprintf("@/dev/fd/%d", r.Fd()))
	if got, err := secret.Resolve(); err != nil || string(got) != "geheim" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHugeSecret(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.WriteFile("huge", nil, 0o600), os.Truncate("huge", 1<<40)); err != nil {
		t.Fatal(err)
	}
	if _, err := NewSecret("@huge").Resolve(); err == nil || !strings.Contains(err.Error(), "over 65536 bytes: not a secret") {
		t.Errorf("error %v", err)
	}
}
