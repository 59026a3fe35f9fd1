package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// errOwner is a Unix socket that somebody else could have put there: whoever
// serves it receives every payload, and gives every verdict.
var errOwner = errors.New("the socket is not to be trusted")

// dialUnix connects to the socket at path if it is ours or root's.
func dialUnix(ctx context.Context, d *net.Dialer, path string) (net.Conn, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("unix socket: %w", err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("unix socket: %s is not a socket", path)
	}
	uid, err := fileOwner(info)
	if err == nil {
		err = trusted(uid, fmt.Sprintf("unix socket: %s belongs to", path))
	}
	if err != nil {
		return nil, err
	}
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	// Between the look at the file and the connection another could have taken
	// its place, so the system is asked who really listens, where it can tell.
	uid, known, err := peerUser(conn)
	if err == nil && known {
		err = trusted(uid, fmt.Sprintf("unix socket: %s is served by", path))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// trusted lets root and ourselves pass. before begins the error.
func trusted(uid int, before string) error {
	ours := os.Geteuid()
	if uid == 0 || uid == ours {
		return nil
	}
	return hint.Add(fmt.Errorf("%s user %d, who is neither root nor us (user %d): %w", before, uid, ours, errOwner),
		"run the plugin server as the user who calls it, or as root")
}
