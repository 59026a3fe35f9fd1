//go:build !unix

package remote

import (
	"errors"
	"syscall"
)

// canLook says that readable tells nothing here.
const canLook = false

func readable(syscall.RawConn) bool { return false }

type poller struct{}

func (poller) readable([]syscall.RawConn) []bool { return nil }

// checkSocket refuses: who owns a socket cannot be told here.
func checkSocket(string) error {
	return errors.New("unix sockets are not supported on this system")
}
