//go:build unix

package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
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

func statOwner(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "?"
	}
	return fmt.Sprintf("%d %d", st.Uid, st.Gid)
}
