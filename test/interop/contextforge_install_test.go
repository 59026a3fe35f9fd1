package main

import (
	"archive/tar"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
)

// An archive is a stranger's: only the plain files of the folder that is asked
// for come out of it, and none of them beside the target.
func TestUnpack(t *testing.T) {
	pack := func(members ...tar.Header) string {
		path := filepath.Join(t.TempDir(), "a.tar.gz")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		z := gzip.NewWriter(file)
		w := tar.NewWriter(z)
		for _, m := range members {
			m.Mode = 0o644
			if m.Typeflag == tar.TypeReg {
				m.Size = 2
			}
			if err := w.WriteHeader(&m); err != nil {
				t.Fatal(err)
			}
			if m.Typeflag == tar.TypeReg {
				if _, err := w.Write([]byte("hi")); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, c := range []interface{ Close() error }{w, z, file} {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	into := filepath.Join(t.TempDir(), "into")
	outside := filepath.Join(filepath.Dir(into), "outside")
	if err := unpack(pack(
		tar.Header{Name: "x-1.0/plugins/a/b.py", Typeflag: tar.TypeReg},
		tar.Header{Name: "x-1.0/mcpgateway/c.py", Typeflag: tar.TypeReg},
		tar.Header{Name: "x-1.0/plugins/link", Linkname: "../..", Typeflag: tar.TypeSymlink},
	), into, "plugins"); err != nil {
		t.Fatal(err)
	}
	var found []string
	if err := filepath.WalkDir(into, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0] != filepath.Join(into, "plugins", "a", "b.py") {
		t.Errorf("unpacked %q", found)
	}
	if err := unpack(pack(tar.Header{Name: "x/plugins/../../outside", Typeflag: tar.TypeReg}), into, "plugins"); err == nil {
		t.Error("a name that leads out of the folder was accepted")
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("a file was written beside the folder")
	}
}

// A name of a part stands for it, and the beginning of names for all of them.
func TestChosen(t *testing.T) {
	if all, err := chosen(""); err != nil || len(all) != len(parts()) {
		t.Errorf("nothing is chosen: %d parts, %v", len(all), err)
	}
	if some, err := chosen("clients,everything"); err != nil || len(some) != 2 || some[0].name != "clients" {
		t.Errorf("%v, %v", some, err)
	}
	if some, err := chosen("contextforge"); err != nil || len(some) == 0 || some[0].name != "contextforge-config" {
		t.Errorf("%v, %v", some, err)
	}
	if _, err := chosen("context"); err == nil {
		t.Error("half a word is a part")
	}
}
