package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// listenTCP binds host:port. field and env name the setting of the port in an
// error.
func listenTCP(ctx context.Context, what, host string, port config.Value[int], fix string) (net.Listener, error) {
	address := net.JoinHostPort(host, strconv.Itoa(port.V))
	l, err := front.Listen(ctx, address)
	if err != nil {
		return nil, hint.Add(fmt.Errorf("listening for %s: %s (port: %s): %w", what, address, port.Source, err), fix)
	}
	return l, nil
}

// listenUnix binds a Unix socket that only the owner can connect to. It is made
// in a folder that is closed to others and renamed to its place, so that at no
// time somebody else can reach it. A socket that nobody serves any more is
// replaced if it is ours; anything else at that path is an error.
func listenUnix(ctx context.Context, path string, log *slog.Logger) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) {
		return nil, fmt.Errorf("listening on the Unix socket %s: %w", path, err)
	}
	if err := checkStale(ctx, path); err != nil {
		return fail(err)
	}
	warnFolder(filepath.Dir(path), log)
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // an empty folder may stay behind
	temporary := filepath.Join(dir, "s")
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", temporary)
	if err != nil {
		if errors.Is(err, syscall.EINVAL) {
			err = hint.Add(errors.New("the path is too long for a socket"), "choose a path of at most 80 characters, or a relative one")
		}
		return fail(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it is not there any more
	if err := errors.Join(os.Chmod(temporary, 0o600), os.Rename(temporary, path)); err != nil {
		l.Close()
		return fail(err)
	}
	made, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return fail(err)
	}
	return &unixListener{Listener: l, path: path, made: made}, nil
}

// checkStale refuses a path that is taken: by a file that is no socket, or by a
// socket that is served.
func checkStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return hint.Add(errors.New("there is a file that is no socket"), "choose another path, or remove it")
	}
	if uid, known := owner(info); known && uid != os.Geteuid() {
		return hint.Add(fmt.Errorf("there is a socket of user %d, and we are user %d", uid, os.Geteuid()), "choose another path, or remove it")
	}
	d := net.Dialer{Timeout: 2 * time.Second}
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
		return hint.Add(errors.New("another process serves it"), "stop that one, or choose another path")
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil // left behind by a process that was killed
	}
	return err
}

// warnFolder says so when others can put a socket of their own in the place of
// ours. Our clients refuse that one; those in Python hand it every payload.
func warnFolder(dir string, log *slog.Logger) {
	info, err := os.Stat(dir)
	if err != nil {
		return // whoever makes the socket there will tell
	}
	uid, known := owner(info)
	switch writable := info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0; {
	case writable:
		log.Warn("other users can replace the Unix socket in this folder: take their right to write away, or set the sticky bit", "folder", dir, "mode", info.Mode().String())
	case known && uid != 0 && uid != os.Geteuid():
		log.Warn("the folder of the Unix socket is another user's, who can replace it", "folder", dir, "user", uid)
	}
}

// unixListener removes its socket when it is closed, unless another process has
// put its own there.
type unixListener struct {
	net.Listener
	path string
	made os.FileInfo
	once sync.Once
}

// Addr is where clients find the socket, not where it was made.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close removes the socket and ends Accept.
func (l *unixListener) Close() error {
	l.once.Do(func() {
		if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.made) {
			_ = os.Remove(l.path) // stale: the next start replaces it
		}
	})
	return l.Listener.Close()
}
