package pki

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/keyfile"
)

// inspectCrashed says what is wrong with a tree as a plugin server or a gateway
// would find it at the moment now: each folder has to be absent, or complete
// and usable, also by the other side.
func inspectCrashed(tree *Tree, now time.Time) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	folders, err := tree.folders()
	if err != nil {
		return err
	}
	leaves := map[folder]*x509.Certificate{}
	pools := map[folder]*x509.CertPool{}
	for _, f := range folders {
		if !exists(f.dir) {
			continue
		}
		pair, err := keyfile.ReadPair(f.certFile(), f.keyFile(), nil)
		if err != nil {
			wrong("%s is half: %w", f.label(), err)
			continue
		}
		if f.role == RoleCA {
			continue
		}
		leaves[f] = pair.Chain[0]
		copied, err := keyfile.ReadCertificates(f.copyFile())
		if err != nil {
			wrong("%s: %w", f.label(), err)
			continue
		}
		pools[f] = x509.NewCertPool()
		for _, cert := range copied {
			pools[f].AddCert(cert)
		}
		if f.role == RoleGateway {
			if data, err := os.ReadFile(f.pemFile()); err != nil {
				wrong("client.pem: %w", err)
			} else if _, err := tls.X509KeyPair(data, data); err != nil {
				wrong("client.pem: %w", err)
			}
		}
	}
	for owner, pool := range pools {
		for f, leaf := range leaves {
			_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{f.role.eku()}})
			if err != nil {
				wrong("the ca.crt of the %s does not verify the certificate of the %s: %w", owner.label(), f.label(), err)
			}
		}
	}
	return errors.Join(append(errs, openKeys(tree.dir))...)
}

// openKeys finds private keys, under whatever name, that others could read.
func openKeys(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		secret := bytes.Contains(data, []byte("PRIVATE KEY")) || strings.HasSuffix(path, ".key") || strings.Contains(path, ".key-")
		if secret && info.Mode().Perm()&0o077 != 0 {
			return fmt.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
}

// leftovers finds what a run has not cleaned up.
func leftovers(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if name := filepath.Base(path); strings.HasPrefix(name, keyfile.TempPrefix) || name == keyfile.NextDir {
			return errors.Join(err, fmt.Errorf("left behind: %s", path))
		}
		return err
	})
}

// TestACrashAtAnyStepLeavesUsableFolders stops each command before each of its
// changes to the disk, looks at what is there, and runs it again.
func TestACrashAtAnyStepLeavesUsableFolders(t *testing.T) {
	start := time.Now().UTC().Truncate(time.Second)
	plugins := []string{"A", "B"}
	all := func(ctx context.Context, tree *Tree) error { return tree.All(ctx, quick, plugins) }
	for _, tt := range []struct {
		name   string
		before func(ctx context.Context, tree *Tree) error // what is there
		after  time.Duration                               // how much later the command runs
		run    func(ctx context.Context, tree *Tree) error
		steps  int  // at least: fewer would mean that nothing was tested
		lacks  bool // what is there lacks files, so a crash may leave it so
	}{
		{"certs all", nil, 0, all, 60, false},
		{"certs all with one plugin more", func(ctx context.Context, tree *Tree) error {
			return tree.All(ctx, quick, plugins[:1])
		}, 0, all, 15, false},
		{"certs all on a tree without derived files", func(ctx context.Context, tree *Tree) error {
			err := all(ctx, tree)
			return errors.Join(err, os.Remove(tree.gateway().pemFile()), os.Remove(tree.gateway().copyFile()))
		}, 0, all, 12, true},
		{"certs renew of all", all, 700 * 24 * time.Hour, func(ctx context.Context, tree *Tree) error {
			return tree.Renew(ctx, Renewal{})
		}, 40, false},
		{"certs renew --rekey of all", all, 700 * 24 * time.Hour, func(ctx context.Context, tree *Tree) error {
			return tree.Renew(ctx, Renewal{Rekey: true})
		}, 90, false},
		{"certs renew --force --rekey NAME", all, time.Hour, func(ctx context.Context, tree *Tree) error {
			return tree.Renew(ctx, Renewal{Force: true, Rekey: true, Names: []string{"A"}})
		}, 30, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			template := filepath.Join(t.TempDir(), "mcp")
			if tt.before != nil {
				if err := tt.before(t.Context(), New(template, nil)); err != nil {
					t.Fatal(err)
				}
			}
			now := start.Add(tt.after)
			clock := func() time.Time { return now }
			for n := 1; ; n++ {
				dir := filepath.Join(t.TempDir(), "mcp")
				if tt.before != nil {
					copyTree(t, template, dir)
				}
				steps, last := 0, ""
				crash := errors.New("crash")
				disk := &keyfile.Disk{Step: func(op, path string) error {
					if steps++; steps >= n {
						last = op + " " + path
						return crash
					}
					return nil
				}}
				err := tt.run(t.Context(), New(dir, &Options{Disk: disk, Now: clock}))
				if steps < n {
					if err != nil {
						t.Fatalf("without a crash: %v", err)
					}
					t.Logf("%d steps", n-1)
					if n <= tt.steps {
						t.Errorf("only %d steps", n-1)
					}
					return
				}
				at := fmt.Sprintf("stopped before step %d (%s): ", n, last)
				if !errors.Is(err, crash) {
					t.Errorf("%sthe run says %v", at, err)
				}
				if _, err := os.Stat(dir); err == nil && !tt.lacks {
					if err := inspectCrashed(New(dir, nil), now); err != nil {
						t.Errorf("%s%v", at, err)
					}
				}
				completes(t, at, New(dir, &Options{Now: clock}), tt.run)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// copyTree copies a folder with its modes, which os.CopyFS widens.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	for path, content := range snapshot(t, from) {
		target := filepath.Join(to, path)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		mode, data, isFile := strings.Cut(content, "\n")
		if !isFile {
			continue
		}
		perm := fs.FileMode(0o644)
		if mode == "-rw-------" {
			perm = 0o600
		}
		if err := os.WriteFile(target, []byte(data), perm); err != nil {
			t.Fatal(err)
		}
	}
}

// completes runs the command again: then everything is there and well.
func completes(t *testing.T, at string, tree *Tree, run func(ctx context.Context, tree *Tree) error) {
	t.Helper()
	if err := run(t.Context(), tree); err != nil {
		t.Errorf("%sthe second run: %v", at, err)
	}
	if err := errors.Join(inspectCrashed(tree, tree.now()), leftovers(tree.dir)); err != nil {
		t.Errorf("%safter the second run: %v", at, err)
	}
	report, err := tree.Check(0)
	if err != nil {
		t.Fatal(err)
	}
	if report.Status != StatusOK || len(report.Certificates) != 4 {
		t.Errorf("%safter the second run: %d certificates, status %s", at, len(report.Certificates), report.Status)
	}
	for _, c := range report.Certificates {
		if len(c.Problems) > 0 {
			t.Errorf("%safter the second run: %+v", at, c.Problems)
		}
	}
}

// TestRunsAtOnce lets several runs change one tree, while a reader looks.
func TestRunsAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mcp")
	var runs sync.WaitGroup
	errs := make(chan error, 12)
	for i := range 4 {
		runs.Go(func() {
			errs <- New(dir, nil).All(t.Context(), quick, []string{"A", "B", fmt.Sprintf("P%d", i)})
		})
		runs.Go(func() {
			tree := New(dir, nil)
			if err := tree.Gateway(t.Context(), quick); err != nil {
				errs <- err
				return
			}
			errs <- tree.Renew(t.Context(), Renewal{Force: true, Rekey: i%2 == 0})
		})
	}
	done := make(chan struct{})
	go func() { runs.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if _, err := os.Stat(filepath.Join(dir, "gateway")); err == nil {
			if _, err := keyfile.ReadPair(filepath.Join(dir, "gateway", "client.crt"), filepath.Join(dir, "gateway", "client.key"), nil); err != nil {
				t.Errorf("a reader found: %v", err)
				running = false
			}
		}
	}
	<-done
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	tree := New(dir, nil)
	if err := errors.Join(inspectCrashed(tree, time.Now()), leftovers(dir)); err != nil {
		t.Error(err)
	}
	if report, err := tree.Check(0); err != nil || report.Status != StatusOK || len(report.Certificates) != 8 {
		t.Errorf("%+v %v", report, err)
	}
}
