//go:build !unix

package upstream

import "syscall"

// readable cannot look here: a connection that the server has closed is noticed
// when it fails.
func readable(syscall.RawConn) bool { return false }
