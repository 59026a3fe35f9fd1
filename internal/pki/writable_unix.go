//go:build unix

package pki

import (
	"io/fs"
	"os"
)

const (
	groupWrites  = 0o020
	othersWrite  = 0o002
	ownNamesOnly = fs.ModeSticky // in such a folder nobody renames what is another's
)

// writableBy reports whether a file or folder has one of the permission bits.
// What is not there has none.
func writableBy(path string, bits fs.FileMode) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&bits != 0 && (!info.IsDir() || info.Mode()&ownNamesOnly == 0)
}
