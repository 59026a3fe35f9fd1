//go:build !unix

package pki

import "io/fs"

const (
	groupWrites = 0o020
	othersWrite = 0o002
)

// writableBy cannot tell here: who may write a file is not in its mode.
func writableBy(string, fs.FileMode) bool { return false }
