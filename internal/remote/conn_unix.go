//go:build unix

package remote

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// canLook says that readable tells the truth.
const canLook = true

// readable reports whether the socket has something to read: data, an end or an
// error. On a connection that waits for a request each of them means that the
// server is done with it.
func readable(raw syscall.RawConn) bool {
	var ready bool
	err := raw.Control(func(fd uintptr) {
		poll := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll[:], 0)
		ready = err == nil && n > 0
	})
	return err != nil || ready
}

// poller looks at many sockets with one system call. Its zero value is ready; it
// keeps its room, and serves one at a time.
type poller struct {
	raws  []syscall.RawConn
	polls []unix.PollFd
	out   []bool
	next  func(fd uintptr) // p.hold, bound once
}

// readable is readable for each of raws. What it returns is its own, until it is
// called again.
func (p *poller) readable(raws []syscall.RawConn) []bool {
	if p.next == nil {
		p.next = p.hold
	}
	p.raws, p.polls, p.out = raws, p.polls[:0], p.out[:0]
	p.step()
	for len(p.out) < len(raws) { // one that cannot be held was closed on our side
		p.out = append(p.out, true)
	}
	p.raws = nil
	return p.out
}

// step holds the next socket, and looks when all are held: while they are, none
// can be closed and its number be given to another.
func (p *poller) step() {
	for len(p.polls) < len(p.raws) {
		at := len(p.polls)
		if p.raws[at].Control(p.next) == nil || len(p.polls) > at {
			return
		}
		p.polls = append(p.polls, unix.PollFd{Fd: -1})
	}
	_, err := unix.Poll(p.polls, 0)
	for _, one := range p.polls {
		p.out = append(p.out, one.Fd < 0 || err == nil && one.Revents != 0)
	}
}

func (p *poller) hold(fd uintptr) {
	p.polls = append(p.polls, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	p.step()
}
