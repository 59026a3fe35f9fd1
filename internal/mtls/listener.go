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

// evictAfter is how old a handshake must be before it has to give way to a new
// connection. An honest one is over by then.
const evictAfter = time.Second

// maxLingering bounds the refused connections that are given time to read why:
// many more would keep others out.
const maxLingering = 256

var (
	errSpared   = errors.New("client said nothing, and others came: dropped")
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

	unannounce func() bool // stops what announce waits for

	mu     sync.Mutex
	stages [stages]list.List // of *newcomer, longest there first
}

// The stages of a connection before it is handed out.
const (
	silent  = iota // it has not sent a whole record: it costs its memory only
	waiting        // for a slot
	shaking        // hands, with a slot
	stages
)

type accepted struct {
	conn net.Conn
	err  error
}

// newcomer is a connection that has not been handed out.
type newcomer struct {
	conn   *conn
	cancel context.CancelCauseFunc
	since  time.Time     // when it entered its stage
	stage  int           // guarded by listener.mu
	place  *list.Element // in the stage's list; nil when it was dropped or is through
}

// Listen returns a listener whose Accept returns *tls.Conn with the handshake
// done. Each runs in a goroutine of its own and is bounded in time; handshakes,
// which cost something, are bounded in number, connections that have said
// nothing only by the number of all. A refused one is logged with the certificate that caused it. Close
// ends pending handshakes and waits for their goroutines; connections already
// handed out stay open. The listener takes ownership of inner.
func (s *Server) Listen(inner net.Listener) net.Listener {
	l := &listener{
		Listener: inner, s: s,
		ready: make(chan accepted), slots: make(chan struct{}, s.o.MaxHandshakes),
		lingering: make(chan struct{}, maxLingering),
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.unannounce = s.announce()
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
	l.unannounce()
	l.wg.Wait()
	l.s.refusals.Flush()
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
		for !ok && l.makeRoom() {
			c, ok = l.s.track(raw)
		}
		if !ok {
			l.s.refused(raw.RemoteAddr(), tls.ConnectionState{}, errTooMany, 0)
			raw.Close()
			continue
		}
		ctx, cancel := context.WithCancelCause(l.ctx)
		n := &newcomer{conn: c, cancel: cancel}
		l.enter(n, silent)
		l.wg.Go(func() {
			tc, err := l.receive(ctx, n)
			cancel(nil)
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

// enter puts n into a stage; the stage named stages is the way out. Who was
// dropped enters nowhere: its context says so.
func (l *listener) enter(n *newcomer, stage int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n.place != nil {
		l.stages[n.stage].Remove(n.place)
	} else if !n.since.IsZero() {
		return
	}
	n.stage, n.since, n.place = stage, time.Now(), nil
	if stage < stages {
		n.place = l.stages[stage].PushBack(n)
	}
}

// drop ends the connection that has been longest in a stage if that is long
// enough, and otherwise returns how long to wait for it. False with zero means
// that there is none.
func (l *listener) drop(stage int, after time.Duration, cause error) (dropped bool, left time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.stages[stage].Front()
	if oldest == nil {
		return false, 0
	}
	n := oldest.Value.(*newcomer)
	if left := after - time.Since(n.since); left > 0 {
		return false, left
	}
	n.cancel(cause)
	l.stages[stage].Remove(oldest)
	n.place = nil
	// Now, not when its goroutine gets to it: its place is wanted. The
	// handshake ends by its context.
	_ = n.conn.Close()
	return true, 0
}

// makeRoom drops a connection for a new one: one that has said nothing at
// once, others when they have had their time.
func (l *listener) makeRoom() bool {
	if dropped, _ := l.drop(silent, 0, errSpared); dropped {
		return true
	}
	for _, stage := range []int{waiting, shaking} {
		if dropped, _ := l.drop(stage, evictAfter, errEvicted); dropped {
			return true
		}
	}
	return false
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
// handshake once that has had its time.
func (l *listener) takeSlot(ctx context.Context) error {
	for {
		select {
		case l.slots <- struct{}{}:
			return nil
		default:
		}
		_, again := l.drop(shaking, evictAfter, errEvicted)
		if again == 0 {
			// The goroutine of the one that was dropped frees the slot in a
			// moment; the next try is for the case that it was about to succeed.
			again = evictAfter
		}
		timer := time.NewTimer(again)
		select {
		case l.slots <- struct{}{}:
			timer.Stop()
			return nil
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// receive makes n a TLS connection. The error, when it is refused, has been
// logged.
func (l *listener) receive(ctx context.Context, n *newcomer) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.s.o.HandshakeTimeout, errTooSlow)
	defer cancel()
	start, c := time.Now(), n.conn
	tc := tls.Server(c, l.s.base)
	err := c.hello(ctx)
	if err == nil {
		l.enter(n, waiting)
		err = l.takeSlot(ctx)
	}
	if err == nil {
		l.enter(n, shaking)
		err = tc.HandshakeContext(ctx)
		<-l.slots
	}
	l.enter(n, stages)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
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
