//go:build !unix

package remote

import (
	"errors"
	"syscall"
)

// readable is not known here: a closed connection is noticed by net/http.
func readable(syscall.RawConn) bool { return false }

// checkSocket refuses: who owns a socket cannot be told here.
func checkSocket(string) error {
	return errors.New("unix sockets are not supported on this system")
}
