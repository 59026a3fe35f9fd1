package remote

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of the transport.
const (
	maxHeaders  = 64 << 10               // bytes of an answer's status line and headers
	maxInterim  = 5                      // answers of status 1xx before the real one
	maxLeftover = 64 << 10               // bytes read of an answer beyond what was wanted of it
	keepIdle    = 90 * time.Second       // an unused connection is closed after this
	streamEnd   = 50 * time.Millisecond  // how long the rest of an answer is waited for
	alertGrace  = 250 * time.Millisecond // how long a failed write waits for the reason
)

// transport sends HTTP/1.1 requests to one server over connections that are
// kept alive. It is ours, and not net/http's, for two reasons. A request that
// must not run twice needs a transport that never sends one again: this one
// writes on a connection only after having seen that the server has not closed
// it, and what fails after that is reported. And the goroutine that calls does
// all the work, which takes a third less time than handing it to two others.
// Answers are parsed by net/http.
//
// There is no proxy, no redirect, no compression and no cookie here.
type transport struct {
	dial  func(context.Context) (net.Conn, error)
	slots chan struct{} // as many as there may be connections; one is held while a request is under way

	mu     sync.Mutex
	idle   []*conn // the one used last at the end
	watch  watch
	sweep  *time.Timer
	closed bool
	open   int   // connections, idle and in use
	broken int64 // how often the server refused, reset or closed one, several at once counted once
}

var errClosed = errors.New("the client has been closed")

func newTransport(cfg *Config, u *url.URL, o *Options) *transport {
	dialer := &net.Dialer{Timeout: o.DialTimeout}
	addr, limit := dialAddr(u), o.DialTimeout
	t := &transport{slots: make(chan struct{}, cfg.MaxConns)}
	switch {
	case cfg.UDS != "":
		t.dial = func(ctx context.Context) (net.Conn, error) {
			return dialUnix(ctx, dialer, cfg.UDS)
		}
	case cfg.TLS != nil:
		t.dial = func(ctx context.Context) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			return cfg.TLS.Dial(ctx, "tcp", addr)
		}
	default:
		t.dial = func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) }
	}
	return t
}

func dialAddr(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// head is the beginning of a request, up to the length of its body.
func head(method string, u *url.URL, h http.Header) []byte {
	var b strings.Builder
	host := u.Host
	if zone := strings.IndexByte(host, '%'); zone >= 0 { // [fe80::1%eth0]: means something on this machine only
		host = host[:zone] + host[strings.IndexByte(host, ']'):]
	}
	b.WriteString(method + " " + u.RequestURI() + " HTTP/1.1\r\nHost: " + host + "\r\n")
	_ = h.Write(&b) // a strings.Builder does not fail
	b.WriteString("Content-Length: ")
	return []byte(b.String())
}

// do sends one request, once, and hands the answer to read. The answer is
// valid until read returns. An error of read comes back as it is.
func (t *transport) do(ctx context.Context, deadline time.Time, head, body []byte, read func(*http.Response) error) error {
	c, err := t.get(ctx, deadline)
	if err != nil {
		return err
	}
	whole, ours := false, false
	defer func() { t.put(c, whole, ours) }()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	stop := func() bool { return true }
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	}
	defer func() {
		stopped := stop()
		ours = !stopped || errors.Is(err, os.ErrDeadlineExceeded)
		whole = whole && stopped // else the deadline of the past may still be set
	}()
	resp, err := c.roundTrip(head, body) //nolint:bodyclose // closing would read it to its end, however far that is
	if err != nil {
		return err
	}
	err = read(resp)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		whole = c.finish(resp)
	}
	return err
}

// get returns a connection that the server has not closed. It waits when as
// many as may be are in use.
func (t *transport) get(ctx context.Context, deadline time.Time) (*conn, error) {
	select {
	case t.slots <- struct{}{}:
	default:
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		select {
		case t.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, context.DeadlineExceeded
		}
	}
	for {
		c, err := t.take()
		if err != nil {
			<-t.slots
			return nil, err
		}
		if c == nil {
			break
		}
		if !c.gone() {
			return c, nil
		}
		t.lost(1)
		_ = c.Close()
	}
	limited, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	inner, err := t.dial(limited)
	if err != nil {
		<-t.slots
		if ctx.Err() == nil { // else the caller gave up: that says nothing of the server
			t.lost(0)
		}
		return nil, err
	}
	t.mu.Lock()
	t.open++
	t.mu.Unlock()
	return newConn(inner), nil
}

// lost notes that the server refused a connection, or closed n of ours.
func (t *transport) lost(n int) {
	t.mu.Lock()
	t.open -= n
	t.broken++
	t.mu.Unlock()
}

// look reports how often the server has refused or closed a connection so far,
// idle ones included, and whether any is open: without one, nothing would show
// that the server has been replaced by another.
func (t *transport) look() (broken int64, open bool) {
	t.mu.Lock()
	dead := t.dead()
	if len(dead) > 0 {
		t.open -= len(dead)
		t.broken++
	}
	broken, open = t.broken, t.open > 0
	t.mu.Unlock()
	for _, c := range dead {
		_ = c.Close()
	}
	return broken, open
}

// dead takes the connections that the server has closed out of the idle ones.
// Only idle ones can be looked at, so this is done under the lock.
func (t *transport) dead() []*conn {
	if !t.watch.anyGone(t.idle) {
		return nil
	}
	var dead, alive []*conn
	for _, c := range t.idle {
		if c.gone() {
			dead = append(dead, c)
		} else {
			alive = append(alive, c)
		}
	}
	t.idle = alive
	return dead
}

// take returns the idle connection that was used last, nil when there is none.
func (t *transport) take() (*conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errClosed
	}
	last := len(t.idle) - 1
	if last < 0 {
		return nil, nil
	}
	c := t.idle[last]
	t.idle[last] = nil
	t.idle = t.idle[:last]
	return c, nil
}

// put gives c back, for another request if it is whole. If it is not, ours says
// that the fault is not the server's: the time was up, or the caller gave up.
func (t *transport) put(c *conn, whole, ours bool) {
	<-t.slots
	t.mu.Lock()
	if whole && !t.closed {
		c.since = time.Now()
		t.idle = append(t.idle, c)
		if t.sweep == nil {
			t.sweep = time.AfterFunc(keepIdle, t.expire)
		}
		t.mu.Unlock()
		return
	}
	t.open--
	if !whole && !ours {
		t.broken++
	}
	t.mu.Unlock()
	_ = c.Close()
}

// expire closes what has been idle for long.
func (t *transport) expire() {
	t.mu.Lock()
	n := 0
	for n < len(t.idle) && time.Since(t.idle[n].since) >= keepIdle {
		n++
	}
	old := slices.Clone(t.idle[:n])
	t.idle = slices.Delete(t.idle, 0, n)
	t.open -= n
	t.sweep = nil
	if len(t.idle) > 0 {
		t.sweep = time.AfterFunc(keepIdle-time.Since(t.idle[0].since), t.expire)
	}
	t.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
}

// close closes the idle connections now and those in use when they are given
// back.
func (t *transport) close() {
	t.mu.Lock()
	idle := t.idle
	t.idle, t.closed = nil, true
	if t.sweep != nil {
		t.sweep.Stop()
	}
	t.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}

// roundTrip sends one request and reads the answer up to its body.
func (c *conn) roundTrip(head, body []byte) (*http.Response, error) {
	c.out = append(c.out[:0], head...)
	c.out = strconv.AppendInt(c.out, int64(len(body)), 10)
	c.out = append(append(c.out, "\r\n\r\n"...), body...)
	_, err := c.Write(c.out)
	if cap(c.out) > maxLeftover {
		c.out = nil // not for ever
	}
	if err != nil {
		if err := c.reason(err); err != nil {
			return nil, err
		}
	}
	c.in.left = maxHeaders
	for range maxInterim {
		resp, err := http.ReadResponse(c.br, nil)
		switch {
		case err != nil && c.in.left <= 0:
			return nil, errHeaders
		case isMalformed(err):
			return nil, badAnswerf("no HTTP answer: %s", snippet([]byte(err.Error())))
		case err != nil:
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			c.in.left = math.MaxInt
			return resp, nil
		}
	}
	return nil, badAnswerf("no HTTP answer: it never ends to announce itself")
}

// isMalformed reports whether err is about what was read, not about reading.
func isMalformed(err error) bool {
	var network net.Error
	return err != nil && !errors.As(err, &network) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed)
}

// reason finds out why a write failed: a server that refuses our certificate,
// or the length of a body, says so and closes, and then whether write or read
// notices first is chance. It returns nil when there is an answer to read.
func (c *conn) reason(writeErr error) error {
	if errors.Is(writeErr, os.ErrDeadlineExceeded) {
		return writeErr // there is no time left to wait
	}
	if err := c.SetReadDeadline(time.Now().Add(alertGrace)); err != nil {
		return writeErr
	}
	c.in.left = maxHeaders
	if _, err := c.br.Peek(1); isAlert(err) {
		return err
	} else if err != nil {
		return writeErr
	}
	return nil
}

// finish reads what is left of resp, if it comes soon, and reports whether c can
// be used again.
func (c *conn) finish(resp *http.Response) bool {
	if resp.Close || resp.StatusCode == http.StatusSwitchingProtocols {
		return false
	}
	n, err := int64(0), error(nil)
	if resp.ContentLength >= 0 {
		_, err = resp.Body.Read(nil) // does not wait: usually all has been read
	}
	if err == nil {
		if c.SetReadDeadline(time.Now().Add(streamEnd)) != nil {
			return false
		}
		n, err = io.CopyN(io.Discard, resp.Body, maxLeftover)
	}
	return n < maxLeftover && errors.Is(err, io.EOF) && c.br.Buffered() == 0
}
