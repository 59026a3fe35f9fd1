package mtls

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// pipes is a listener in memory, so that its time can be a bubble's.
type pipes struct {
	conns chan net.Conn
	errs  chan error
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), errs: make(chan error), done: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case err := <-p.errs:
		return nil, err
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// bubble is a server on pipes inside a synctest bubble.
type bubble struct {
	*running
	pipes *pipes
	ca    *pkitest.CA
}

func newBubble(t *testing.T, o Options) *bubble {
	t.Helper()
	ca := pkitest.NewCA(t)
	opt, r := newOptions(o)
	r.Server = newServer(&serverSnapshot{material: materialOf(ca.Plugin(t, "P"), ca), clientAuth: CertRequired}, opt.filled())
	b := &bubble{r, newPipes(), ca}
	serveEcho(t, r.Listen(b.pipes))
	return b
}

// connect makes an honest connection with a certificate valid for life, and
// proves that it is admitted.
func (b *bubble) connect(t *testing.T, life time.Duration) (*tls.Conn, error) {
	t.Helper()
	s := pkitest.GatewaySpec()
	s.NotAfter = time.Now().Add(life)
	leaf := b.ca.Leaf(t, s)
	c := tls.Client(b.pipes.dial(), &tls.Config{
		RootCAs: b.ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{leaf.TLS()},
	})
	if _, err := c.Write([]byte("x")); err != nil {
		return c, err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return c, err
}

func (b *bubble) mustConnect(t *testing.T, life time.Duration) *tls.Conn {
	t.Helper()
	c, err := b.connect(t, life)
	if err != nil {
		t.Fatalf("%v\n%s", err, b.log)
	}
	if i := b.next(t); i.Err != nil {
		t.Fatal(i.Err)
	}
	return c
}

// closed waits until the server closes c, and returns how long that took.
func closed(c net.Conn) time.Duration {
	start := time.Now()
	_, _ = io.Copy(io.Discard, c)
	c.Close()
	return time.Since(start)
}

func closeNow(c net.Conn) { c.Close() }

func TestHalfOpenHandshakeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{HandshakeTimeout: 7 * time.Second})
		silent := b.pipes.dial()
		if took := closed(silent); took != 7*time.Second {
			t.Errorf("closed after %v", took)
		}
		if i := b.next(t); !errors.Is(i.Err, errTooSlow) {
			t.Errorf("reason %v", i.Err)
		}
		// One byte at a time does not buy more time than silence.
		slow := b.pipes.dial()
		var wg sync.WaitGroup
		wg.Go(func() {
			for _, octet := range []byte{22, 3, 1, 1, 0, 1, 0, 0, 250} {
				if _, err := slow.Write([]byte{octet}); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		})
		if took := closed(slow); took != 7*time.Second {
			t.Errorf("slow-loris closed after %v", took)
		}
		wg.Wait()
		b.next(t)
		synctest.Wait()
		if n := b.Connections(); n != 0 {
			t.Errorf("%d connections are still counted", n)
		}
		if got := b.log.records(t, slog.LevelInfo, "refused"); len(got) != 2 {
			t.Errorf("want a line for each: %v", got)
		}
	})
}

// dialAndSay connects and sends what is not a handshake.
func (b *bubble) dialAndSay(t *testing.T, text string) net.Conn {
	t.Helper()
	c := b.pipes.dial()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// halfHello is a whole record that holds the begin of a ClientHello.
const halfHello = "\x16\x03\x01\x00\x04\x01\x00\x02\x00"

// What has not sent a whole record takes no slot, however many there are.
func TestSilenceTakesNoSlot(t *testing.T) {
	for _, said := range []string{"", "\x16", "\x16\x03\x01\x00", "\x16\x03\x01\x01\x00\x01\x00"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t, Options{MaxHandshakes: 1, HandshakeTimeout: 7 * time.Second})
			var all []net.Conn
			for range 20 {
				all = append(all, b.dialAndSay(t, said))
			}
			synctest.Wait()
			start := time.Now()
			closeNow(b.mustConnect(t, time.Hour))
			if took := time.Since(start); took != 0 {
				t.Errorf("after %q the honest one waited %v", said, took)
			}
			for _, c := range all {
				if closed(c); time.Since(start) != 7*time.Second {
					t.Errorf("after %q closed at %v", said, time.Since(start))
				}
				b.next(t)
			}
		})
	}
}

// When there is no room for one more, those that said nothing go at once, and
// those that stopped in the handshake after a second.
func TestFullServerDropsTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{MaxConns: 3, MaxHandshakes: 2})
		stalled := b.dialAndSay(t, halfHello)
		first, second := b.dialAndSay(t, ""), b.dialAndSay(t, "\x16")
		synctest.Wait()
		c := b.connectDropping(t, errSpared)
		defer closeNow(c)
		if took := closed(first); took != 0 {
			t.Errorf("the first lived %v longer", took)
		}
		again := b.connectDropping(t, errSpared)
		defer closeNow(again)
		if took := closed(second); took != 0 {
			t.Errorf("the second lived %v longer", took)
		}
		closeNow(b.pipes.dial()) // no room, and the handshake is too young
		if i := b.next(t); !errors.Is(i.Err, errTooMany) {
			t.Errorf("reason %v", i.Err)
		}
		<-time.After(evictAfter)
		last := b.connectDropping(t, errEvicted)
		defer closeNow(last)
		closeNow(stalled)
	})
}

// connectDropping connects, and expects another one to be dropped before.
func (b *bubble) connectDropping(t *testing.T, why error) *tls.Conn {
	t.Helper()
	c, err := b.connect(t, time.Hour)
	if err != nil {
		t.Fatalf("%v\n%s", err, b.log)
	}
	for range 2 { // the dropped one's goroutine may be the later
		if i := b.next(t); i.Err != nil && !errors.Is(i.Err, why) {
			t.Errorf("ended with %v, want %v", i.Err, why)
		}
	}
	return c
}

// A flood of refusals must not become one of lines.
func TestRefusalsDoNotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{})
		for range 3 {
			for range 200 {
				go closed(b.dialAndSay(t, "SSH-2"))
				b.next(t)
			}
			<-time.After(2 * time.Second)
		}
		lines := b.log.records(t, slog.LevelInfo, "refused a TLS")
		sums := b.log.records(t, slog.LevelInfo, "refused more TLS")
		if len(lines) != 3*maxRefusals || len(sums) != 3 {
			t.Fatalf("%d lines and %d sums", len(lines), len(sums))
		}
		if got := sums[0]["count"]; got != float64(200-maxRefusals) {
			t.Errorf("count %v", got)
		}
	})
}

func TestIdleHandshakesDoNotKeepOthersOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{MaxHandshakes: 2})
		first := b.dialAndSay(t, halfHello)
		synctest.Wait()
		second := b.dialAndSay(t, halfHello)
		synctest.Wait()
		defer first.Close()
		defer second.Close()
		start := time.Now()
		// Both slots are taken. The oldest gives way once it is a second old, not
		// before: when thousands reconnect at once, all are honest.
		c := b.connectDropping(t, errEvicted)
		defer closeNow(c)
		if took := time.Since(start); took != evictAfter {
			t.Errorf("the third connection waited %v", took)
		}
		if took := closed(first); took != 0 {
			t.Errorf("the first lived %v longer", took)
		}
		synctest.Wait()
		if n := b.Connections(); n != 2 {
			t.Errorf("%d connections, want the second, still in handshake, and the third", n)
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, Options{MaxConns: 1})
		c := b.mustConnect(t, time.Hour)
		if _, err := b.connect(t, time.Hour); err == nil {
			t.Error("one too many was admitted")
		}
		if i := b.next(t); !errors.Is(i.Err, errTooMany) {
			t.Errorf("reason %v", i.Err)
		}
		closeNow(c)
		synctest.Wait()
		closeNow(b.mustConnect(t, time.Hour))
	})
}

func TestCloseEndsHandshakesAndJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := pkitest.NewCA(t)
		opt, r := newOptions(Options{})
		s := newServer(&serverSnapshot{material: materialOf(ca.Plugin(t, "P"), ca), clientAuth: CertRequired}, opt.filled())
		p := newPipes()
		l := s.Listen(p)
		pending := p.dial()
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if n := s.Connections(); n != 0 { // before anything else runs
			t.Errorf("Close returned with %d connections in handshake", n)
		}
		if took := closed(pending); took != 0 {
			t.Errorf("the pending handshake took %v to end", took)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v", err)
		}
		if got := r.log.records(t, slog.LevelInfo, ""); len(got) != 0 {
			t.Errorf("leaving is no refusal: %v", got)
		}
		if err := l.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

// A connection that nobody accepts any more is closed too.
func TestCloseEndsWhatWasNotAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := pkitest.NewCA(t)
		opt, r := newOptions(Options{})
		s := newServer(&serverSnapshot{material: materialOf(ca.Plugin(t, "P"), ca)}, opt.filled())
		p := newPipes()
		l := s.Listen(p)
		c := tls.Client(p.dial(), &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"})
		if err := c.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.next(t)
		// The pipe is unbuffered: closing a TLS connection says goodbye first.
		go closed(c)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := s.Connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func TestAcceptErrorsReachTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := pkitest.NewCA(t)
		opt, _ := newOptions(Options{})
		s := newServer(&serverSnapshot{material: materialOf(ca.Plugin(t, "P"), ca)}, opt.filled())
		p := newPipes()
		l := s.Listen(p)
		defer l.Close()
		full := errors.New("too many open files")
		p.errs <- full
		if _, err := l.Accept(); !errors.Is(err, full) {
			t.Errorf("Accept: %v", err)
		}
		c := tls.Client(p.dial(), &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"})
		defer c.NetConn().Close()
		if err := c.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatalf("after the error: %v", err)
		}
		accepted.(*tls.Conn).NetConn().Close()
	})
}

func TestConnectionsEndInTime(t *testing.T) {
	for name, c := range map[string]struct {
		maxAge, life, want time.Duration
		reason             string
	}{
		"maximum age":             {time.Hour, 24 * time.Hour, time.Hour, "maximum age reached"},
		"age by default":          {0, 24 * time.Hour, time.Hour, "maximum age reached"},
		"certificate ends first":  {time.Hour, 30 * time.Minute, 30 * time.Minute, "the peer's certificate has expired, or its CA's"},
		"no maximum, certificate": {-1, 48 * time.Hour, 48 * time.Hour, "the peer's certificate has expired, or its CA's"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, Options{MaxAge: c.maxAge})
				var expired []string
				b.o.Trace.Expired = func(_, reason string) { expired = append(expired, reason) }
				conn := b.mustConnect(t, c.life)
				if took := closed(conn); took != c.want {
					t.Errorf("closed after %v, want %v", took, c.want)
				}
				synctest.Wait()
				if len(expired) != 1 || expired[0] != c.reason {
					t.Errorf("Trace.Expired: %q", expired)
				}
				if n := b.Connections(); n != 0 {
					t.Errorf("%d connections are left", n)
				}
			})
		})
	}
}

// Some time before it is cut, a connection is due to end between two requests.
func TestDueComesBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := pkitest.NewCA(t)
		opt, _ := newOptions(Options{MaxAge: time.Hour})
		s := newServer(&serverSnapshot{material: materialOf(ca.Plugin(t, "P"), ca)}, opt.filled())
		p := newPipes()
		l := s.Listen(p)
		defer l.Close()
		c := tls.Client(p.dial(), &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"})
		defer c.NetConn().Close()
		if err := c.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go closed(c)
		ctx := ConnContext(context.Background(), accepted)
		<-time.After(49 * time.Minute)
		if Due(ctx) {
			t.Error("due after 49 minutes of 60")
		}
		<-time.After(6 * time.Minute)
		if !Due(ctx) {
			t.Error("not due after 55 minutes of 60")
		}
		if Due(ConnContext(context.Background(), c.NetConn())) {
			t.Error("a connection that is not ours is due")
		}
		<-time.After(6 * time.Minute)
		if n := s.Connections(); n != 0 {
			t.Errorf("%d connections after an hour", n)
		}
	})
}

func TestPlainHTTPIsNamed(t *testing.T) {
	o, r := newOptions(Options{})
	ca := pkitest.NewCA(t)
	start(t, newServer(&serverSnapshot{material: materialOf(ca.Plugin(t, "P"), ca), clientAuth: CertRequired}, o.filled()), r)
	for _, c := range []struct {
		send, answer string
		reason       error
	}{
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n", errPlain},
		{"POST /mcp HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n", errPlain},
		{"SSH-2.0-OpenSSH_9.9\r\n", "", errNotTLS},
	} {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, c.send); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if c.answer == "" {
			answer = answer[:0] // a TLS alert, if anything
		}
		if !strings.HasPrefix(string(answer), c.answer) {
			t.Errorf("%q is answered %q", c.send, answer)
		}
		if i := r.next(t); !errors.Is(i.Err, c.reason) {
			t.Errorf("%q: reason %v, want %v", c.send, i.Err, c.reason)
		}
	}
}

// OpenSSL's clients refuse a server's certificate in TLS 1.3 with an alert
// that is not encrypted.
func TestOpenSSLsRefusalIsNamed(t *testing.T) {
	o, r := newOptions(Options{})
	ca := pkitest.NewCA(t)
	start(t, newServer(&serverSnapshot{material: materialOf(ca.Plugin(t, "P"), ca), clientAuth: CertRequired}, o.filled()), r)
	for _, pieces := range [][]string{
		{"\x15\x03\x03\x00\x02\x02\x30"},
		{"\x14\x03\x03\x00\x01\x01", "\x15\x03\x03", "\x00\x02\x02", "\x30"},
	} {
		raw, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		var seen HandshakeInfo
		c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error {
			for _, piece := range pieces {
				if _, err := io.WriteString(raw, piece); err != nil {
					return err
				}
			}
			seen = r.next(t) // before this client says anything of its own
			return errors.New("enough")
		}})
		_ = c.HandshakeContext(t.Context())
		raw.Close()
		want := `client answered "unknown certificate authority": it does not trust the CA of our certificate`
		if seen.Err == nil || seen.Err.Error() != want {
			t.Errorf("got  %v\nwant %s", seen.Err, want)
		}
	}
}

// A probe that looks whether the port is open is not worth a line.
func TestSilentProbeIsDebug(t *testing.T) {
	o, r := newOptions(Options{})
	ca := pkitest.NewCA(t)
	start(t, newServer(&serverSnapshot{material: materialOf(ca.Plugin(t, "P"), ca), clientAuth: CertRequired}, o.filled()), r)
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if i := r.next(t); !errors.Is(i.Err, errSilent) {
		t.Errorf("reason %v", i.Err)
	}
	if got := r.log.records(t, slog.LevelInfo, ""); len(got) != 0 {
		t.Errorf("at INFO: %v", got)
	}
}

// Refused connections wait for a moment, so that the client can read why. That
// must not keep others out, however many there are.
func TestRefusedConnectionsDoNotKeepOthersOut(t *testing.T) {
	o, r := newOptions(Options{MaxConns: maxLingering + 8})
	ca := pkitest.NewCA(t)
	start(t, newServer(&serverSnapshot{material: materialOf(ca.Plugin(t, "P"), ca), clientAuth: CertRequired}, o.filled()), r)
	for range maxLingering + 16 {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "SSH-2.0-OpenSSH_9.9\r\n"); err != nil {
			t.Fatal(err)
		}
		if i := r.next(t); !errors.Is(i.Err, errNotTLS) {
			t.Fatalf("reason %v", i.Err)
		}
	}
}
