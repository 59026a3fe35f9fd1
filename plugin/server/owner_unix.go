//go:build unix

package server

import (
	"os"
	"syscall"
)

// owner is the user whom a file belongs to; false where that cannot be told.
func owner(info os.FileInfo) (uid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
