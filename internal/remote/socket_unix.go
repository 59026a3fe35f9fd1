//go:build unix

package remote

import (
	"errors"
	"os"
	"syscall"
)

// fileOwner is the user whom a file belongs to.
func fileOwner(info os.FileInfo) (uid int, err error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, errors.New("unix socket: cannot tell who owns it")
	}
	return int(stat.Uid), nil
}
