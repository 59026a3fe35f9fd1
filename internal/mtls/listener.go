package mtls

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// evictAfter is how old a pending handshake must be before it has to give way
// to a new connection. An honest one is over by then.
const evictAfter = time.Second

// maxLingering bounds the refused connections that are given time to read why:
// many more would keep others out.
const maxLingering = 256

var (
	errEvicted  = errors.New("handshake did not end in a second while others waited: dropped")
	errClosing  = errors.New("server is closing")
	errTooSlow  = errors.New("no complete handshake in time")
	errTooMany  = errors.New("too many open connections")
	errPlain    = errors.New("client speaks plain HTTP to the TLS port")
	errNotTLS   = errors.New("client does not speak TLS")
	errPeerGone = errors.New("client went away in the handshake")
	errSilent   = errors.New("client connected and left without a word")
)

// listener hands out connections whose handshake has succeeded.
type listener struct {
	net.Listener // accepts raw connections; Addr is its own
	s            *Server

	ctx       context.Context // ends at Close
	cancel    context.CancelCauseFunc
	ready     chan accepted
	slots     chan struct{} // one per handshake under way
	lingering chan struct{} // one per refused connection that is still read from
	wg        sync.WaitGroup

	mu      sync.Mutex
	pending list.List // of *pendingHandshake, oldest first
}

type accepted struct {
	conn net.Conn
	err  error
}

type pendingHandshake struct {
	since  time.Time
	cancel context.CancelCauseFunc
}

// Listen returns a listener whose Accept returns *tls.Conn with the handshake
// done. Each handshake runs in a goroutine of its own, bounded in number and
// in time; a refused one is logged with the certificate that caused it. Close
// ends pending handshakes and waits for their goroutines; connections already
// handed out stay open. The listener takes ownership of inner.
func (s *Server) Listen(inner net.Listener) net.Listener {
	l := &listener{
		Listener: inner, s: s,
		ready: make(chan accepted), slots: make(chan struct{}, s.o.MaxHandshakes),
		lingering: make(chan struct{}, maxLingering),
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.wg.Go(l.loop)
	return l
}

// Accept returns the next connection, a *tls.Conn.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close stops accepting. It is safe to call twice.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.cancel(errClosing)
	l.wg.Wait()
	return err
}

func (l *listener) loop() {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			// The caller decides whether to go on (net/http waits and calls
			// Accept again when descriptors have run out); a closed listener ends.
			if !l.deliver(accepted{err: err}) || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		c, ok := l.s.track(raw)
		if !ok {
			l.s.refused(raw.RemoteAddr(), tls.ConnectionState{}, errTooMany, 0)
			raw.Close()
			continue
		}
		if !l.takeSlot() {
			_ = c.Close()
			return
		}
		ctx, cancel := context.WithCancelCause(l.ctx)
		l.mu.Lock()
		place := l.pending.PushBack(&pendingHandshake{time.Now(), cancel})
		l.mu.Unlock()
		l.wg.Go(func() {
			tc, err := l.handshake(ctx, c)
			cancel(nil)
			l.mu.Lock()
			l.pending.Remove(place)
			l.mu.Unlock()
			<-l.slots
			switch {
			case err != nil:
				l.linger(c, err) // without a slot: the refused must not keep others out
				_ = c.Close()
			case !l.deliver(accepted{conn: tc}):
				_ = tc.Close()
			}
		})
	}
}

// deliver gives a to Accept; false when the listener is closed.
func (l *listener) deliver(a accepted) bool {
	select {
	case l.ready <- a:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// takeSlot waits for a handshake slot, and makes one free by ending the oldest
// handshake once that has had its time. False when the listener is closed.
func (l *listener) takeSlot() bool {
	for {
		select {
		case l.slots <- struct{}{}:
			return true
		default:
		}
		timer := time.NewTimer(l.evictOldest())
		select {
		case l.slots <- struct{}{}:
			timer.Stop()
			return true
		case <-timer.C:
		case <-l.ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// evictOldest ends the oldest handshake if it is old enough, and returns how
// long to wait before trying again.
func (l *listener) evictOldest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.pending.Front()
	if oldest == nil {
		return evictAfter
	}
	p := oldest.Value.(*pendingHandshake)
	if left := evictAfter - time.Since(p.since); left > 0 {
		return left
	}
	p.cancel(errEvicted)
	// Its goroutine frees the slot in a moment; the next try is for the case
	// that it was about to succeed.
	l.pending.Remove(oldest)
	return evictAfter
}

// handshake returns an error, which has been logged, when the connection was
// refused.
func (l *listener) handshake(ctx context.Context, c *conn) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.s.o.HandshakeTimeout, errTooSlow)
	defer cancel()
	start := time.Now()
	tc := tls.Server(c, l.s.base)
	if err := tc.HandshakeContext(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		l.s.refused(c.RemoteAddr(), tc.ConnectionState(), c.explain(err), time.Since(start))
		return nil, err
	}
	cs := tc.ConnectionState()
	l.s.admitted(c.RemoteAddr(), cs, time.Since(start))
	c.expire(tc, cs)
	return tc, nil
}

// linger gives the client time to read the alert. Closing a socket that holds
// unread bytes (a TLS 1.3 client sends its first request before it learns of
// the refusal) resets the connection, and the alert is lost with it.
func (l *listener) linger(c *conn, err error) {
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) && looksLikeHTTP(plain) {
		_, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n"+
			"This port speaks TLS: use https://\n") // a courtesy: it may fail
	}
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	select {
	case l.lingering <- struct{}{}:
		defer func() { <-l.lingering }()
	default:
		return
	}
	const lingerTime, lingerBytes = 500 * time.Millisecond, 256 << 10
	defer context.AfterFunc(l.ctx, func() { _ = c.Close() })()
	c.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
}
