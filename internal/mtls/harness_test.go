package mtls

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// logBook keeps what was logged, one JSON object a record.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBook) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: level}))
}

// records returns what was logged at a level with a message that begins so.
func (b *logBook) records(t *testing.T, level slog.Level, prefix string) []map[string]any {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []map[string]any
	for line := range bytes.Lines(b.buf.Bytes()) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if r["level"] == level.String() && strings.HasPrefix(r["msg"].(string), prefix) {
			found = append(found, r)
		}
	}
	return found
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// clock is a settable time.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now().Truncate(time.Second)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// running is a Server that echoes, with its log.
type running struct {
	*Server
	addr  string
	log   *logBook
	shook chan HandshakeInfo
}

// start serves s on a port of its own until the test ends. o is what s was
// made with; its Logger and Trace are set by newOptions.
func start(t *testing.T, s *Server, r *running) *running {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.Server, r.addr = s, inner.Addr().String()
	serveEcho(t, s.Listen(inner))
	return r
}

// serveEcho answers every byte with itself until the test ends, and then
// waits for all its goroutines.
func serveEcho(t *testing.T, l net.Listener) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("closing the listener: %v", err)
		}
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// newOptions returns options that log to, and report handshakes on, the
// running that comes with them.
func newOptions(o Options) (*Options, *running) {
	r := &running{log: &logBook{}, shook: make(chan HandshakeInfo, 64)}
	o.Logger = r.log.logger(slog.LevelDebug)
	o.Trace = &Trace{Handshake: func(i HandshakeInfo) { r.shook <- i }}
	return &o, r
}

// next is the next handshake that ended on the server.
func (r *running) next(t *testing.T) HandshakeInfo {
	t.Helper()
	select {
	case i := <-r.shook:
		return i
	case <-time.After(20 * time.Second):
		t.Fatal("no handshake ended in 20 s")
		panic("unreachable")
	}
}

// materialOf is what NewServer or NewClient would have read, without their
// checks: so a test can hold certificates that they would refuse to use.
func materialOf(leaf *pkitest.Leaf, trusted ...*pkitest.CA) material {
	var m material
	if leaf != nil {
		c := leaf.TLS()
		m.cert = &c
		m.chain = append(m.chain, leaf.Cert)
	}
	m.trust = newTrust(nil)
	for _, ca := range trusted {
		m.trust.bundle = append(m.trust.bundle, ca.Cert)
		m.trust.pool.AddCert(ca.Cert)
	}
	return m
}

// exchange dials, sends a byte and reads it back: in TLS 1.3 only then is the
// client certificate accepted.
func exchange(ctx context.Context, c *Client, addr string) (tls.ConnectionState, error) {
	conn, err := c.Dial(ctx, "tcp", addr)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	tc := conn.(*tls.Conn)
	_, _ = tc.Write([]byte("x")) // a refusal may make it fail; the read knows why
	if _, err := io.ReadFull(tc, make([]byte, 1)); err != nil {
		return tc.ConnectionState(), c.Explain(err)
	}
	return tc.ConnectionState(), nil
}
