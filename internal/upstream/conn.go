package upstream

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
)

// errStale is what a connection says instead of writing when nothing must leave
// on it any more: no byte of the request has left.
var errStale = errors.New("connection was closed by the server before a byte was sent")

// States of a conn. It is written to only when armed, and arming, writing and
// abandoning exclude each other: this is what proves that a request which is
// sent again was not sent before.
const (
	idle  int32 = iota // belongs to no request, or its request is done
	armed              // handed to a request of which no byte has left
	sent               // bytes of its request may have left
	spent              // nothing will be written on it again
)

// conn is one connection of the pool.
type conn struct {
	net.Conn
	raw   syscall.RawConn // to look at the socket; nil when there is none
	state atomic.Int32
}

func newConn(inner net.Conn) *conn {
	c := &conn{Conn: inner}
	socket := inner
	for {
		wrapper, ok := socket.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		socket = wrapper.NetConn()
	}
	if s, ok := socket.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn() // without it stale connections are noticed later
	}
	return c
}

// arm hands c to a request. A reused connection that the server has closed
// meanwhile is spent instead.
func (c *conn) arm(reused bool) {
	if reused && c.raw != nil && readable(c.raw) {
		c.state.Store(spent)
		return
	}
	c.state.Store(armed)
}

// abandon makes sure that nothing more leaves on c and reports whether nothing
// of its request has.
func (c *conn) abandon() bool {
	return c.state.CompareAndSwap(armed, spent) || c.state.Load() == spent
}

// Write sends b, unless c is spent.
func (c *conn) Write(b []byte) (int, error) {
	if !c.state.CompareAndSwap(armed, sent) && c.state.Load() != sent {
		return 0, errStale
	}
	return c.Conn.Write(b)
}
