//go:build unix

package keyfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFilesThatAreNone puts in a file's place what would keep a reader waiting
// or fill its memory: a service account can do so in its folder of a tree that
// root renews.
func TestFilesThatAreNone(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"FIFO", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "it is not a file but a pipe"},
		{"link to a FIFO", func(path string) error {
			return errors.Join(syscall.Mkfifo(path+".fifo", 0o600), os.Symlink(path+".fifo", path))
		}, "it is not a file but a pipe"},
		{"endless device", func(path string) error { return os.Symlink("/dev/zero", path) }, "it is not a file but a device"},
		{"terminal", func(path string) error { return os.Symlink("/dev/tty", path) }, ""},
		{"folder", func(path string) error { return os.Mkdir(path, 0o700) }, "it is a folder"},
		{"huge", func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40))
		}, "larger than 4194304 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "server.crt")
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			for what, read := range map[string]func() error{
				"ReadFile":         func() error { _, err := ReadFile(path); return err },
				"ReadCertificates": func() error { _, err := ReadCertificates(path); return err },
				"ReadPair":         func() error { _, err := ReadPair(path, path, nil); return err },
				"CheckKeyMode": func() error {
					if tt.name == "huge" {
						return errors.New(tt.want + path) // it does not read
					}
					return CheckKeyMode(path)
				},
			} {
				done := make(chan error, 1)
				go func() { done <- read() }()
				select {
				case err := <-done:
					if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
						t.Errorf("%s: %v, want one with %q and the path", what, err, tt.want)
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("%s waits", what)
				}
			}
		})
	}
}

// What the caller was handed by whoever started it (<(decrypt key)) is no
// trap: it may be a pipe.
func TestPipesThatWereHandedOver(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	// The number of the descriptor; Fd would make it blocking, which a shell's is.
	data, err := ReadFile(filepath.Join("/dev/fd", fdName(t, r)))
	if err != nil || string(data) != "hello" {
		t.Errorf("got %q, %v", data, err)
	}
}

func fdName(t *testing.T, f *os.File) string {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Skip("no /dev/fd")
	}
	want, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if got, err := os.Stat(filepath.Join("/dev/fd", entry.Name())); err == nil && os.SameFile(got, want) {
			return entry.Name()
		}
	}
	t.Fatal("descriptor not found")
	return ""
}

// TestTheLockIsNoLink: a run by root must not make, or wait for, a file
// elsewhere.
func TestTheLockIsNoLink(t *testing.T) {
	dir := t.TempDir()
	elsewhere := filepath.Join(t.TempDir(), "made")
	if err := os.Symlink(elsewhere, filepath.Join(dir, lockName)); err != nil {
		t.Fatal(err)
	}
	unlock, err := new(Disk).Lock(t.Context(), dir)
	if err == nil {
		unlock()
		t.Fatal("locked through a link")
	}
	if !strings.Contains(err.Error(), filepath.Join(dir, lockName)) {
		t.Errorf("error does not name the link: %v", err)
	}
	if _, err := os.Lstat(elsewhere); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("made a file elsewhere: %v", err)
	}
}
