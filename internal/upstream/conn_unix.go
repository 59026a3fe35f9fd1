//go:build unix

package upstream

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// readable reports whether the socket has something to read: data, an end or an
// error. On a connection that waits for a request each of them means that the
// server is done with it. It does not use RawConn.Read, which would wait for
// the read that net/http always has pending.
func readable(raw syscall.RawConn) bool {
	var ready bool
	err := raw.Control(func(fd uintptr) {
		poll := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll[:], 0)
		ready = err == nil && n > 0
	})
	return err != nil || ready
}
