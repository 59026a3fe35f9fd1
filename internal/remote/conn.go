package remote

import (
	"bufio"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"time"
)

// blindIdle is how long a connection is kept where it cannot be seen whether
// the server has closed it.
const blindIdle = time.Second

// conn is one connection of a transport. It serves one request at a time.
type conn struct {
	net.Conn
	raw   syscall.RawConn // to look at the socket; nil when there is none
	in    boundedReader
	br    *bufio.Reader // reads in
	out   []byte        // of the last request, for its room
	since time.Time     // idle since then
}

func newConn(inner net.Conn) *conn {
	c := &conn{Conn: inner, in: boundedReader{r: inner}}
	c.br = bufio.NewReader(&c.in)
	socket := inner
	for {
		wrapper, ok := socket.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		socket = wrapper.NetConn()
	}
	if s, ok := socket.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn() // without it the connection is not kept for long
	}
	return c
}

// gone reports whether the server has closed c, or said something that nobody
// asked for, while it was idle.
func (c *conn) gone() bool {
	if c.raw == nil || !canLook {
		return time.Since(c.since) > blindIdle
	}
	return readable(c.raw)
}

// watch looks at idle connections. It keeps its room, and serves one at a time.
type watch struct {
	poller poller
	raws   []syscall.RawConn
}

// anyGone reports whether gone is true for any of conns.
func (w *watch) anyGone(conns []*conn) bool {
	w.raws = w.raws[:0]
	for _, c := range conns {
		if c.raw == nil || !canLook {
			if c.gone() {
				return true
			}
			continue
		}
		w.raws = append(w.raws, c.raw)
	}
	return len(w.raws) > 0 && slices.Contains(w.poller.readable(w.raws), true)
}

var errHeaders = badAnswerf("no HTTP answer: its headers are longer than %d bytes", maxHeaders)

// boundedReader reads r until nothing is left of its bound.
type boundedReader struct {
	r    io.Reader
	left int
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errHeaders
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// isAlert reports whether err is a TLS alert from the other side.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
