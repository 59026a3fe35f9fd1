//go:build !unix || aix || solaris

package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// There is no such flag here, or nothing that would need it.
const (
	openNonblock = 0
	openNoFollow = 0
)

// keyModeOK cannot tell here: who may read a file is not in its mode.
func keyModeOK(fs.FileInfo) bool { return true }

func inherit(f *os.File, _ string, mode fs.FileMode) error { return f.Chmod(mode) }

func syncDir(string) error { return nil }

func flock(*os.File) error {
	return fmt.Errorf("no file locks on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
