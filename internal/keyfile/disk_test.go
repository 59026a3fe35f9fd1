package keyfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// record makes a Disk that notes each operation, with temporary names cut down
// to "NAME~".
func record(root string) (*Disk, *[]string) {
	ops := &[]string{}
	return &Disk{Step: func(op, path string) error {
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		dir, base := filepath.Split(rel)
		if name, ok := strings.CutPrefix(base, TempPrefix); ok {
			base = name[:strings.LastIndexByte(name, '-')] + "~"
		}
		*ops = append(*ops, op+" "+dir+base)
		return nil
	}}, ops
}

func TestDiskOrdersItsOperations(t *testing.T) {
	write := func(d *Disk, root string) error {
		return d.WriteFile(filepath.Join(root, "k"), []byte("x"), 0o600)
	}
	for _, tt := range []struct {
		name string
		do   func(d *Disk, root string) error
		want []string
	}{
		{"file", write, []string{"create k~", "chmod k~", "write k~", "sync k~", "rename k", "sync ."}},
		{"folders", func(d *Disk, root string) error {
			return d.Mkdir(filepath.Join(root, "a", "b"), 0o755)
		}, []string{"mkdir a", "sync .", "mkdir a/b", "sync a"}},
		{"folder in place", func(d *Disk, root string) error {
			tmp, err := d.TempDir(filepath.Join(root, "f"), 0o755)
			return errors.Join(err, d.Rename(tmp, filepath.Join(root, "f")))
		}, []string{"mkdir f~", "rename f", "sync ."}},
		{"folder over an empty one", func(d *Disk, root string) error {
			f := filepath.Join(root, "f")
			tmp, err := d.TempDir(f, 0o755)
			return errors.Join(err, os.Mkdir(f, 0o755), d.Rename(tmp, f))
		}, []string{"mkdir f~", "remove f", "rename f", "sync ."}},
		{"into another folder", func(d *Disk, root string) error {
			return errors.Join(os.Mkdir(filepath.Join(root, "a"), 0o755), os.WriteFile(filepath.Join(root, "k"), nil, 0o600),
				d.Rename(filepath.Join(root, "k"), filepath.Join(root, "a", "k")))
		}, []string{"rename a/k", "sync a", "sync ."}},
		{"folder gone", func(d *Disk, root string) error {
			f := filepath.Join(root, "f")
			return errors.Join(os.Mkdir(f, 0o755), os.WriteFile(filepath.Join(f, "x"), nil, 0o600), d.RemoveAll(f))
		}, []string{"rename f~", "sync .", "remove f~/x", "remove f~", "sync ."}},
		{"nothing gone", func(d *Disk, root string) error {
			return d.RemoveAll(filepath.Join(root, "f"))
		}, nil},
		{"leftovers", func(d *Disk, root string) error {
			return errors.Join(os.Mkdir(filepath.Join(root, TempPrefix+"d-1"), 0o755),
				os.WriteFile(filepath.Join(root, TempPrefix+"k-2"), nil, 0o600),
				os.WriteFile(filepath.Join(root, "k"), nil, 0o600),
				d.Sweep(root), d.Sweep(filepath.Join(root, "absent")))
		}, []string{"remove d~", "sync .", "remove k~", "sync ."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			d, ops := record(root)
			if err := tt.do(d, root); err != nil {
				t.Fatal(err)
			}
			got := []string(nil)
			for _, op := range *ops { // what is inside a temporary folder
				if i := strings.Index(op, TempPrefix); i >= 0 {
					name, rest, _ := strings.Cut(op[i+len(TempPrefix):], "/")
					op = op[:i] + name[:strings.LastIndexByte(name, '-')] + "~/" + rest
				}
				got = append(got, op)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A crash at any step of replacing a file leaves the old content or the new,
// and a run after it leaves nothing else.
func TestDiskCrashLeavesOldOrNew(t *testing.T) {
	crash := errors.New("crash")
	for n := 1; ; n++ {
		dir := t.TempDir()
		path := filepath.Join(dir, "server.key")
		if err := new(Disk).WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		steps, after, torn := 0, 0, ""
		d := &Disk{Step: func(op, path string) error {
			if steps++; steps == n {
				if op == OpWrite {
					torn = path
				}
				return crash
			}
			if steps > n {
				after++
			}
			return nil
		}}
		err := d.WriteFile(path, []byte("renewed"), 0o600)
		if steps < n {
			if err != nil || n != 7 {
				t.Fatalf("a write has %d steps, want 6; error %v", n-1, err)
			}
			return
		}
		if !errors.Is(err, crash) || after != 0 {
			t.Errorf("step %d: error %v, %d operations after the crash", n, err, after)
		}
		if err := d.RemoveAll(path); !errors.Is(err, crash) {
			t.Errorf("step %d: a dead disk removed a file: %v", n, err)
		}
		if got := read(t, path); got != "old" && got != "renewed" {
			t.Errorf("step %d: the file holds %q", n, got)
		}
		if torn != "" && read(t, torn) != "ren" {
			t.Errorf("the write that was stopped left %q", read(t, torn))
		}
		if err := new(Disk).Sweep(dir); err != nil {
			t.Fatal(err)
		}
		if names := list(t, dir); len(names) != 1 {
			t.Errorf("step %d: after a sweep there is %q", n, names)
		}
	}
}

func TestLockIsExclusive(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "certs", "mcp")
	unlock, err := new(Disk).Lock(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	impatient := errors.New("impatient")
	waits := 0
	d := &Disk{Waiting: func(string) { waits++; cancel(impatient) }}
	if _, err := d.Lock(ctx, tree); !errors.Is(err, impatient) {
		t.Fatalf("second lock: %v", err)
	}
	if waits != 1 {
		t.Errorf("Waiting was called %d times", waits)
	}
	d.Waiting = func(string) { unlock() }
	unlock2, err := d.Lock(t.Context(), tree)
	if err != nil {
		t.Fatalf("lock after the first was released: %v", err)
	}
	unlock2()
}

// Deleting the tree is the guide's way to start again; a run that waits for
// the lock meanwhile must not go on with a lock on a file that is gone.
func TestLockSurvivesDeletionOfTheTree(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "mcp")
	unlock, err := new(Disk).Lock(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	d := &Disk{Waiting: func(string) {
		if err := os.RemoveAll(tree); err != nil {
			t.Error(err)
		}
		unlock()
	}}
	unlock, err = d.Lock(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := (&Disk{Waiting: func(string) { cancel() }}).Lock(ctx, tree); !errors.Is(err, context.Canceled) {
		t.Errorf("a third run got the lock beside the second: %v", err)
	}
}

// Between opening the lock file and locking it, the tree can go.
func TestLockOnADeletedFileIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), lockName)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := acquire(f, path); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := acquire(f, path); !errors.Is(err, errLocked) {
		t.Errorf("deleted: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := acquire(f, path); !errors.Is(err, errLocked) {
		t.Errorf("made anew: %v", err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
