package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// put writes files below dir, named by path, and their folders.
func put(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// What a renewal with a new key leaves when it stops: pair 1 is the old one,
// pair 2 the new one.
func TestReadPair(t *testing.T) {
	f := archive(t, "pairs")
	crt1, key1, crt2, key2 := f["1.crt"], f["1.key"], f["2.crt"], f["2.key"]
	for _, tt := range []struct {
		name  string
		files map[string][]byte
		want  string // the subject; empty: ErrMismatch
		next  bool
	}{
		{"matching", map[string][]byte{"s.crt": crt1, "s.key": key1}, "CN=pair-1", false},
		{"not matching", map[string][]byte{"s.crt": crt1, "s.key": key2}, "", false},
		{"new pair prepared", map[string][]byte{"s.crt": crt1, "s.key": key1, ".next/s.crt": crt2, ".next/s.key": key2}, "CN=pair-1", false},
		{"certificate renamed", map[string][]byte{"s.crt": crt2, "s.key": key1, ".next/s.crt": crt2, ".next/s.key": key2}, "CN=pair-2", true},
		{"key renamed", map[string][]byte{"s.crt": crt1, "s.key": key2, ".next/s.crt": crt2, ".next/s.key": key2}, "CN=pair-2", true},
		{"both renamed", map[string][]byte{"s.crt": crt2, "s.key": key2, ".next/s.crt": crt2, ".next/s.key": key2}, "CN=pair-2", false},
		{"new pair without key", map[string][]byte{"s.crt": crt2, "s.key": key1, ".next/s.crt": crt2}, "", false},
		{"new pair cut short", map[string][]byte{"s.crt": crt2, "s.key": key1, ".next/s.crt": crt2, ".next/s.key": key2[:90]}, "", false},
		{"new pair not matching", map[string][]byte{"s.crt": crt2, "s.key": key1, ".next/s.crt": crt1, ".next/s.key": key2}, "", false},
		{"new pair by other names", map[string][]byte{"s.crt": crt2, "s.key": key1, ".next/a.crt": crt2, ".next/a.key": key2}, "", false},
		{"chain", map[string][]byte{"s.crt": slices.Concat(crt1, crt2), "s.key": key1}, "CN=pair-1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, tt.files)
			p, err := ReadPair(filepath.Join(dir, "s.crt"), filepath.Join(dir, "s.key"), nil)
			if tt.want == "" {
				if !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), filepath.Join(dir, "s.key")) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := dir
			if tt.next {
				want = filepath.Join(dir, ".next")
			}
			if got := p.Chain[0].Subject.String(); got != tt.want || p.Next != tt.next ||
				p.CertFile != filepath.Join(want, "s.crt") || p.KeyFile != filepath.Join(want, "s.key") {
				t.Errorf("%s, next %v, read from %s and %s", got, p.Next, p.CertFile, p.KeyFile)
			}
			if cert := p.TLS(); len(cert.Certificate) != len(p.Chain) || cert.Leaf != p.Chain[0] || cert.PrivateKey != p.Key {
				t.Errorf("for TLS: %d certificates", len(cert.Certificate))
			}
		})
	}
}

// The file that the guide hands to curl holds both.
func TestReadPairFromOneFile(t *testing.T) {
	f := archive(t, "pairs")
	dir := t.TempDir()
	put(t, dir, map[string][]byte{"client.pem": slices.Concat(f["1.crt"], f["1.key"]), "client.crt": f["1.crt"], "client.key": f["1.key"]})
	pem := filepath.Join(dir, "client.pem")
	if _, err := ReadPair(pem, pem, nil); err != nil {
		t.Error(err)
	}
	if _, err := ReadPair(filepath.Join(dir, "client.crt"), pem, nil); err != nil {
		t.Error(err)
	}
	if _, err := ReadPair(pem, filepath.Join(dir, "client.key"), nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a key in the certificate file: %v", err)
	}
}

func TestReadErrorsNameTheFile(t *testing.T) {
	f := archive(t, "pairs")
	dir := t.TempDir()
	put(t, dir, map[string][]byte{"s.crt": f["1.crt"], "s.key": f["1.key"], "bad": []byte("hello")})
	t.Chdir(dir)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	pair := func(crt, key string) func() error {
		return func() error { _, err := ReadPair(crt, key, nil); return err }
	}
	for _, tt := range []struct {
		name string
		read func() error
		file string
		want error
	}{
		{"no certificates", func() error { _, err := ReadCertificates("absent"); return err }, "absent", fs.ErrNotExist},
		{"bad certificates", func() error { _, err := ReadCertificates("bad"); return err }, "bad", ErrDamaged},
		{"pair, no certificates", pair("absent", "s.key"), "absent", fs.ErrNotExist},
		{"pair, bad certificates", pair("bad", "s.key"), "bad", ErrDamaged},
		{"pair, no key", pair("s.crt", "absent"), "absent", fs.ErrNotExist},
		{"pair, bad key", pair("s.crt", "bad"), "bad", ErrDamaged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.read()
			var keyErr *KeyError
			if got, want := errors.As(err, &keyErr), strings.HasSuffix(tt.name, "key"); got != want {
				t.Errorf("%v: is a KeyError: %v", err, got)
			}
			if path := filepath.Join(dir, tt.file); !errors.Is(err, tt.want) || strings.Count(err.Error(), path) != 1 {
				t.Errorf("error %v, want %v about %s", err, tt.want, path)
			}
		})
	}
}

// Kubernetes replaces the files of a Secret by one rename of the ..data link.
// Read between the two files, it must not give a mixed pair.
func TestReadPairDuringKubernetesUpdate(t *testing.T) {
	f := archive(t, "pairs")
	dir := t.TempDir()
	put(t, dir, map[string][]byte{"..1/tls.crt": f["1.crt"], "..1/tls.key": f["1.key"], "..2/tls.crt": f["2.crt"], "..2/tls.key": f["2.key"]})
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "..data")
	link("..data/tls.crt", "tls.crt")
	link("..data/tls.key", "tls.key")
	crt, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	during(t, func(n int) error {
		tmp := filepath.Join(dir, "..data_tmp")
		return errors.Join(os.Symlink([]string{"..1", "..2"}[n%2], tmp), os.Rename(tmp, filepath.Join(dir, "..data")))
	}, func() error {
		_, err := ReadPair(crt, key, nil)
		return err
	})
	p, err := ReadPair(crt, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if dir, want := filepath.Dir(p.CertFile), filepath.Dir(p.KeyFile); dir != want || !strings.HasPrefix(filepath.Base(dir), "..") {
		t.Errorf("read from %s and %s", p.CertFile, p.KeyFile)
	}
}

// A renewal with a new key replaces two files one after the other.
func TestReadPairDuringRekey(t *testing.T) {
	f := archive(t, "pairs")
	dir := t.TempDir()
	put(t, dir, map[string][]byte{"s.crt": f["1.crt"], "s.key": f["1.key"]})
	crt, key, next := filepath.Join(dir, "s.crt"), filepath.Join(dir, "s.key"), filepath.Join(dir, NextDir)
	d := &Disk{}
	during(t, func(n int) error {
		newCrt, newKey := f["2.crt"], f["2.key"]
		if n%2 == 1 {
			newCrt, newKey = f["1.crt"], f["1.key"]
		}
		tmp, err := d.TempDir(next, 0o755)
		return errors.Join(err,
			d.WriteFile(filepath.Join(tmp, "s.crt"), newCrt, 0o644),
			d.WriteFile(filepath.Join(tmp, "s.key"), newKey, 0o600),
			d.Rename(tmp, next),
			d.WriteFile(crt, newCrt, 0o644),
			d.WriteFile(key, newKey, 0o600),
			d.RemoveAll(next))
	}, func() error {
		_, err := ReadPair(crt, key, nil)
		return err
	})
}

// during reads while changes are made, until there were enough of both.
func during(t *testing.T, change func(n int) error, read func() error) {
	t.Helper()
	const enough = 50
	changed := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(changed)
		for n := range enough {
			if err := change(n); err != nil {
				t.Errorf("change %d: %v", n, err)
				return
			}
		}
	})
	for n, done := 0, false; n < enough || !done; n++ {
		if err := read(); err != nil {
			t.Errorf("read %d: %v", n, err)
			break
		}
		select {
		case <-changed:
			done = true
		default:
		}
	}
	wg.Wait()
}
