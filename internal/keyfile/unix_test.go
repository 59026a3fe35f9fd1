//go:build unix

package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

func TestDiskModes(t *testing.T) {
	for _, tt := range []struct {
		name      string
		old, mode fs.FileMode // old 0: the file is new
		want      fs.FileMode
	}{
		{"new key", 0, 0o600, 0o600},
		{"new certificate", 0, 0o644, 0o644},
		{"key that everybody could read", 0o644, 0o600, 0o600},
		{"key that its owner could only read", 0o400, 0o600, 0o400},
		{"certificate over a narrower one", 0o600, 0o644, 0o644},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if tt.old != 0 {
				if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, tt.old)); err != nil {
					t.Fatal(err)
				}
			}
			d := &Disk{}
			d.Step = func(op, tmp string) error {
				if info, err := os.Stat(tmp); err == nil && info.Mode().IsRegular() && op == OpChmod && info.Mode().Perm()&0o077 != 0 {
					t.Errorf("created with mode %v", info.Mode())
				}
				return nil
			}
			if err := d.WriteFile(path, []byte("x"), tt.mode); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != tt.want {
				t.Errorf("mode %v, want %v", got, tt.want)
			}
		})
	}
}

// Root renews what a service account or a group reads.
func TestDiskKeepsTheOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	for _, tt := range []struct {
		name     string
		uid, gid int
		old      fs.FileMode
		want     fs.FileMode
	}{
		{"service account", 1234, 1234, 0o600, 0o600},
		{"group, owned by root", 0, 1234, 0o640, 0o640},
		{"group, owned by another", 1234, 1234, 0o640, 0o600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "server.key")
			err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, tt.uid, tt.gid), os.Chmod(path, tt.old))
			if err != nil {
				t.Fatal(err)
			}
			if err := new(Disk).WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("%d %d %v", tt.uid, tt.gid, tt.want)
			if got := statOwner(info) + " " + info.Mode().Perm().String(); got != want {
				t.Errorf("owner and mode %s, want %s", got, want)
			}
		})
	}
}

// Refusal 10 of the guide's notes.
func TestKeyModes(t *testing.T) {
	pairs := archive(t, "pairs")
	for _, tt := range []struct {
		name string
		uid  int
		mode fs.FileMode
		ok   bool
	}{
		{"owner only", 1234, 0o600, true},
		{"owner may read", 1234, 0o400, true},
		{"group of root", 0, 0o640, true},
		{"Kubernetes with fsGroup", 0, 0o440, true},
		{"group of somebody", 1234, 0o640, false},
		{"group of root may write", 0, 0o660, false},
		{"group may execute", 0, 0o650, false},
		{"everybody", 0, 0o644, false},
		{"Kubernetes by default", 0, 0o444, false},
		{"others only", 1234, 0o604, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "server.key")
			crt := filepath.Join(filepath.Dir(path), "server.crt")
			put(t, filepath.Dir(path), map[string][]byte{"server.key": pairs["1.key"], "server.crt": pairs["1.crt"]})
			if os.Getuid() == 0 {
				if err := os.Chown(path, tt.uid, -1); err != nil {
					t.Fatal(err)
				}
			} else if tt.uid == 0 {
				t.Skip("only root can make a file of root's")
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			_, pairErr := ReadPair(crt, path, nil)
			for call, err := range map[string]error{"CheckKeyMode": CheckKeyMode(path), "ReadPair": pairErr} {
				if got := !errors.Is(err, ErrMode); got != tt.ok {
					t.Errorf("%s: %v", call, err)
				}
				if tt.ok {
					continue
				}
				if want := fmt.Sprintf("%04o", tt.mode); !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v: does not name file and mode", call, err)
				}
				if hints := strings.Join(hint.Of(err), " "); !strings.Contains(hints, "chmod 600") || !strings.Contains(hints, "defaultMode: 0440") || !strings.Contains(hints, "fsGroup") {
					t.Errorf("%s: hint %q", call, hints)
				}
			}
		})
	}
}

func statOwner(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "?"
	}
	return fmt.Sprintf("%d %d", st.Uid, st.Gid)
}
