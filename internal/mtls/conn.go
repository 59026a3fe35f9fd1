package mtls

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a raw connection under a tls.Conn: it counts, and it ends in time.
type conn struct {
	net.Conn
	s    *Server
	once sync.Once

	read atomic.Bool // a byte has arrived
	tail [7]byte     // the last bytes that arrived; the reader's own

	head   []byte  // what hello has read ahead; the reader's own
	record [5]byte // head at first: a connection that says nothing costs no more

	mu    sync.Mutex
	timer *time.Timer
	soft  time.Time // zero: never
	gone  bool
}

// track takes raw in, or says that the server is full.
func (s *Server) track(raw net.Conn) (*conn, bool) {
	c := &conn{Conn: raw, s: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.o.MaxConns > 0 && len(s.conns) >= s.o.MaxConns {
		return nil, false
	}
	s.conns[c] = struct{}{}
	return c, true
}

// Read is that of the connection, after what hello read ahead.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		if c.head = c.head[n:]; len(c.head) == 0 {
			c.head = nil
		}
		return n, nil
	}
	return c.receive(p)
}

// receive notes that the peer has said something, and how it ended.
func (c *conn) receive(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.read.Load() {
		c.read.Store(true)
	}
	if n >= len(c.tail) {
		copy(c.tail[:], p[n-len(c.tail):n])
	} else {
		copy(c.tail[:], c.tail[n:])
		copy(c.tail[len(c.tail)-n:], p[:n])
	}
	return n, err
}

// maxHello bounds what hello reads ahead. A ClientHello has some 1,800 bytes;
// of a larger one the rest is read in the handshake.
const maxHello = 4 << 10

// hello waits until the client's first record is here, or enough to see that
// it is none. Until then there is nothing to be done about the connection, and
// it needs no handshake slot.
func (c *conn) hello(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	err := c.readHello()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

func (c *conn) readHello() error {
	const handshake = 22
	want := c.record[:]
	for have := 0; have < len(want); {
		n, err := c.receive(want[have:])
		have += n
		c.head = want[:have]
		if have > 0 && want[0] != handshake {
			return nil
		}
		if err != nil {
			return err
		}
		if length := int(want[len(c.record)-2])<<8 | int(want[len(c.record)-1]); have == len(c.record) && length <= maxHello {
			want = append(make([]byte, 0, have+length), want...)[:have+length]
		}
	}
	return nil
}

// plainAlert returns the alert that the peer sent last without encryption.
// OpenSSL does so in TLS 1.3 when it refuses the server's certificate, and Go,
// which expects it encrypted, calls it a bad record.
func (c *conn) plainAlert() string {
	// A record of type alert, any version, two bytes long: fatal, and which.
	// Encrypted alerts have another type, or another length.
	if c.tail[0] != 21 || c.tail[1] != 3 || c.tail[3] != 0 || c.tail[4] != 2 || c.tail[5] != 2 {
		return ""
	}
	return strings.TrimPrefix(tls.AlertError(c.tail[6]).Error(), "tls: ")
}

// Close forgets the connection.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		c.s.mu.Lock()
		delete(c.s.conns, c)
		c.s.mu.Unlock()
		c.mu.Lock()
		c.gone = true
		if c.timer != nil {
			c.timer.Stop()
		}
		c.mu.Unlock()
		err = c.Conn.Close()
	})
	return err
}

// softLead is how long before its end a connection should stop taking
// requests: a tenth of its life, at most five minutes, and at random up to
// twice that, so that connections made together do not all come back together.
func softLead(life time.Duration) time.Duration {
	lead := min(life/10, 5*time.Minute)
	if lead <= 0 {
		return 0
	}
	return lead + rand.N(lead) //nolint:gosec // spreads load, guards nothing
}

// expire ends tc, the TLS connection over c, when its time is over. Go never
// looks again at what admitted a live connection.
func (c *conn) expire(tc *tls.Conn, cs tls.ConnectionState) {
	now := c.s.o.Now()
	soft, hard, why := c.s.expiry(cs, now)
	if hard.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return
	}
	c.soft = soft
	c.timer = time.AfterFunc(hard.Sub(now), func() {
		remote := c.RemoteAddr().String()
		c.s.o.Logger.Debug("closed a connection", "remote", remote, "reason", why)
		if c.s.o.Trace.Expired != nil {
			c.s.o.Trace.Expired(remote, why)
		}
		_ = tc.Close()
	})
}

type dueKey struct{}

// ConnContext is for http.Server.ConnContext: it lets Due know the connection.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if tc, ok := c.(*tls.Conn); ok {
		if c, ok := tc.NetConn().(*conn); ok {
			return context.WithValue(ctx, dueKey{}, c)
		}
	}
	return ctx
}

// Due reports whether the connection of a request should end after this
// request, because it is old or the client's certificate is about to expire:
// the handler then answers with "Connection: close". A connection that is not
// ended so is cut some time later, and a request in flight with it.
func Due(ctx context.Context) bool {
	c, ok := ctx.Value(dueKey{}).(*conn)
	if !ok {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.soft.IsZero() && !c.s.o.Now().Before(c.soft)
}

// looksLikeHTTP reports whether what came instead of TLS is an HTTP request.
func looksLikeHTTP(e tls.RecordHeaderError) bool {
	switch string(e.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH", "CONNE", "PRI *":
		return true
	}
	return false
}

// explain turns crypto/tls's error of a failed handshake into the reason for
// the log.
func (c *conn) explain(err error) error {
	var record tls.RecordHeaderError
	var invalid *tls.CertificateVerificationError
	switch {
	case errors.As(err, &invalid):
		snap := c.s.snap.Load()
		certs := invalid.UnverifiedCertificates
		return &refusal{KindTLS, certs[0], snap.trust.explain(certs[0], clientRole, c.s.o.Now(), invalid.Err)}
	case strings.HasSuffix(err.Error(), "tls: client didn't provide a certificate"):
		return &refusal{kind: KindTLS, err: errNoCertificate}
	case errors.As(err, &record) && looksLikeHTTP(record):
		return errPlain
	case errors.As(err, &record):
		return errNotTLS
	case alertOf(err) != "":
		return c.s.clientRefused(alertOf(err))
	case strings.HasSuffix(err.Error(), "tls: bad record MAC") && c.plainAlert() != "":
		return c.s.clientRefused(c.plainAlert())
	case errors.Is(err, io.EOF) && !c.read.Load():
		return errSilent
	case errors.Is(err, io.EOF), isReset(err):
		return errPeerGone
	}
	return err
}

// refused logs a handshake that failed: one line at INFO, all at DEBUG.
func (s *Server) refused(remote net.Addr, cs tls.ConnectionState, err error, took time.Duration) {
	p := PeerInfo(cs)
	if r, ok := errors.AsType[*refusal](err); ok {
		q := peerOf(r.cert)
		q.Version, q.Cipher, q.Group, q.Resumed = p.Version, p.Cipher, p.Group, p.Resumed
		p = q
	}
	reason := printableN(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "local error: "), "tls: "), 4*maxText)
	ctx := context.Background()
	level := slog.LevelInfo
	if errors.Is(err, errClosing) || errors.Is(err, errSilent) {
		level = slog.LevelDebug // nobody was turned away: we leave, or a probe looked whether the port is open
	}
	attrs := append([]slog.Attr{slog.String("remote", remote.String()), slog.String("reason", reason)}, p.certAttrs()...)
	s.refusals.Log(level, "refused a TLS connection", attrs...)
	s.o.Logger.LogAttrs(ctx, slog.LevelDebug, "TLS handshake failed", slog.String("remote", remote.String()),
		slog.String("reason", reason), slog.Any("peer", p), slog.String("took", took.String()))
	s.o.Trace.handshake(HandshakeInfo{Remote: remote.String(), Peer: p, Duration: took, Err: err})
}

// admitted logs a handshake that succeeded, at DEBUG.
func (s *Server) admitted(remote net.Addr, cs tls.ConnectionState, took time.Duration) {
	p := PeerInfo(cs)
	s.o.Logger.LogAttrs(context.Background(), slog.LevelDebug, "TLS handshake",
		slog.String("remote", remote.String()), slog.Any("peer", p), slog.String("took", took.String()))
	s.o.Trace.handshake(HandshakeInfo{Remote: remote.String(), Peer: p, Duration: took})
}
