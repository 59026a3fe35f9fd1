//go:build !unix

package remote

import "syscall"

// canLook says that readable tells nothing here.
const canLook = false

func readable(syscall.RawConn) bool { return false }

type poller struct{}

func (poller) readable([]syscall.RawConn) []bool { return nil }
