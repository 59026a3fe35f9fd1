//go:build unix

package remote

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// canLook says that readable tells the truth.
const canLook = true

// readable reports whether the socket has something to read: data, an end or an
// error. On a connection that waits for a request each of them means that the
// server is done with it.
func readable(raw syscall.RawConn) bool {
	var ready bool
	err := raw.Control(func(fd uintptr) {
		poll := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll[:], 0)
		ready = err == nil && n > 0
	})
	return err != nil || ready
}

// areReadable is readable for many sockets at once: one system call, during
// which none of them can be closed and its number be given to another.
func areReadable(raws []syscall.RawConn) []bool {
	out := make([]bool, len(raws))
	polls := make([]unix.PollFd, len(raws))
	var look func(i int)
	look = func(i int) {
		if i == len(raws) {
			_, err := unix.Poll(polls, 0)
			for i := range polls {
				out[i] = out[i] || err == nil && polls[i].Revents != 0
			}
			return
		}
		polls[i] = unix.PollFd{Fd: -1, Events: unix.POLLIN}
		if err := raws[i].Control(func(fd uintptr) { polls[i].Fd = int32(fd); look(i + 1) }); err != nil {
			out[i] = true // closed on our side
			look(i + 1)
		}
	}
	if len(raws) > 0 {
		look(0)
	}
	return out
}

// checkSocket refuses a Unix socket that somebody else could have put there:
// whoever owns it receives every payload.
func checkSocket(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("unix socket: %w", err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("unix socket: %s is not a socket", path)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("unix socket: cannot tell who owns %s", path)
	}
	if uid := os.Geteuid(); stat.Uid != 0 && int(stat.Uid) != uid {
		return fmt.Errorf("unix socket: %s belongs to user %d, neither to root nor to us (user %d)", path, stat.Uid, uid)
	}
	return nil
}
