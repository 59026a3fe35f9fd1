//go:build unix

package keyfile

import (
	"fmt"
	"io/fs"
	"syscall"
)

func statOwner(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "?"
	}
	return fmt.Sprintf("%d %d", st.Uid, st.Gid)
}
