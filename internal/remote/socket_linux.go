package remote

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peerUser is the user of the process that listened on the socket that conn has
// been connected to.
func peerUser(conn net.Conn) (uid int, known bool, err error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var peer *unix.Ucred
	var optErr error
	if err := raw.Control(func(fd uintptr) { peer, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, false, err
	}
	if optErr != nil {
		return 0, false, fmt.Errorf("unix socket: asking who serves it: %w", optErr)
	}
	return int(peer.Uid), true, nil
}
