//go:build unix && !aix && !solaris

package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

const (
	openNonblock = syscall.O_NONBLOCK
	openNoFollow = syscall.O_NOFOLLOW
)

// keyModeOK reports whether only those whom a private key concerns can read
// it: its owner or, when root owns it, one group (which only root can choose).
func keyModeOK(info fs.FileInfo) bool {
	perm := info.Mode().Perm()
	if perm&0o077 == 0 {
		return true
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == 0 && perm&0o037 == 0
}

// inherit gives the empty file f the mode asked for and, as far as the process
// may, owner, group and group permission of the file at path, which f is to
// replace or to be like.
func inherit(f *os.File, path string, mode fs.FileMode) error {
	if old, err := os.Lstat(path); err == nil && old.Mode().IsRegular() {
		st, ok := old.Sys().(*syscall.Stat_t)
		if ok && f.Chown(int(st.Uid), int(st.Gid)) == nil && mode == 0o600 && keyModeOK(old) {
			mode = old.Mode().Perm()
		}
	}
	return f.Chmod(mode)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil // file systems that cannot sync a folder need no sync of it
	}
	return errors.Join(err, f.Close())
}

// flock takes the lock on f, or returns errLocked.
func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errLocked
		case errors.Is(err, syscall.EINTR):
		default:
			return os.NewSyscallError("flock", err)
		}
	}
}
