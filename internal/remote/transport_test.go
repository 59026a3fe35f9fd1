package remote

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// post makes a request on c and returns the answer, whose body is not closed.
func post(c *conn) (*http.Response, error) {
	return c.roundTrip([]byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: "), []byte("{}"))
}

// broken fails to write; what it reads is decided by a test.
type broken struct {
	net.Conn
	read func([]byte) (int, error)
}

func (b *broken) Write([]byte) (int, error)       { return 0, syscall.EPIPE }
func (b *broken) Read(p []byte) (int, error)      { return b.read(p) }
func (b *broken) SetReadDeadline(time.Time) error { return nil }

// late does not get its writes done in time.
type late struct{ broken }

func (l *late) Write([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// TestAWriteThatIsTooLateEndsTheCall: a server that does not read what it is sent
// must not hold the call up beyond its time.
func TestAWriteThatIsTooLateEndsTheCall(t *testing.T) {
	read := false
	c := newConn(&late{broken{read: func([]byte) (int, error) { read = true; return 0, io.EOF }}})
	_, err := post(c) //nolint:bodyclose // there is none
	if !errors.Is(err, os.ErrDeadlineExceeded) || read {
		t.Errorf("got %v, waited for a reason: %v", err, read)
	}
}

// TestAFailedWriteTellsWhy: a server that refuses says why, and closes; the
// write may fail before the reason was read.
func TestAFailedWriteTellsWhy(t *testing.T) {
	c := newConn(&broken{read: func([]byte) (int, error) {
		return 0, &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}
	}})
	if _, err := post(c); !isAlert(err) { //nolint:bodyclose // see transport.do
		t.Errorf("the error is %v, not the alert", err)
	}
	early := strings.NewReader("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	c = newConn(&broken{read: early.Read})
	if resp, err := post(c); err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge || c.finish(resp) { //nolint:bodyclose // see transport.do
		t.Errorf("the answer is %v, %v", resp, err)
	}
	c = newConn(&broken{read: func([]byte) (int, error) { return 0, io.EOF }})
	if _, err := post(c); !errors.Is(err, syscall.EPIPE) { //nolint:bodyclose // see transport.do
		t.Errorf("the error is %v, not that of the write", err)
	}
}

// TestAConnectionIsKeptOnlyWhenWhole gives answers after which a connection can
// or cannot be used again.
func TestAConnectionIsKeptOnlyWhenWhole(t *testing.T) {
	length := func(text string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(text), text) }
	tests := map[string]struct {
		answer string
		whole  bool
		ends   bool // the server closes after it
	}{
		"length":                {"HTTP/1.1 200 OK\r\n" + length("{}"), true, false},
		"chunked":               {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true, false},
		"after a 100":           {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + length("{}"), true, false},
		"no body":               {"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", true, false},
		"another protocol":      {"HTTP/1.1 101 Switching Protocols\r\n\r\n", false, false},
		"close":                 {"HTTP/1.1 200 OK\r\nConnection: close\r\n" + length("{}"), false, false},
		"HTTP/1.0":              {"HTTP/1.0 200 OK\r\n" + length("{}"), false, false},
		"until the end":         {"HTTP/1.1 200 OK\r\n\r\n{}", false, true},
		"something follows":     {"HTTP/1.1 200 OK\r\n" + length("{}") + "HTTP/1.1 200 OK\r\n", false, false},
		"cut short":             {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", false, true},
		"chunk cut short":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", false, true},
		"much more than wanted": {"HTTP/1.1 200 OK\r\n" + length(strings.Repeat(" ", 2*maxLeftover)), false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			defer far.Close()
			go func() {
				_, _ = http.ReadRequest(bufio.NewReader(far))
				_, _ = io.WriteString(far, tt.answer)
				if tt.ends {
					_ = far.Close()
				}
			}()
			c := newConn(near)
			resp, err := post(c) //nolint:bodyclose // see transport.do
			if err != nil {
				t.Fatal(err)
			}
			if got := c.finish(resp); got != tt.whole {
				t.Errorf("whole is %v, want %v", got, tt.whole)
			}
		})
	}
}

// TestHostileHeaders: neither endless headers nor endless interim answers use
// memory or time without bound.
func TestHostileHeaders(t *testing.T) {
	for name, tt := range map[string]struct{ repeat, text string }{
		"headers": {"X: " + strings.Repeat("x", 1000) + "\r\n", "headers are longer than 65536 bytes"},
		"a line":  {strings.Repeat("x", 1000), "headers are longer than 65536 bytes"},
		"interim": {"\r\nHTTP/1.1 103 Early Hints\r\n", "never ends to announce itself"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			done := make(chan struct{})
			go func() {
				defer close(done)
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				_, _ = c.Read(make([]byte, 4096))
				_, err = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n")
				for err == nil {
					_, err = io.WriteString(c, tt.repeat)
				}
			}()
			_, err = invoke(t, client(t, "http://"+l.Addr().String()), `{}`)
			wantKind(t, err, BadAnswer, tt.text)
			<-done // the connection was closed on it
		})
	}
}

// TestMaxConns: further calls wait for a connection, as long as they may.
func TestMaxConns(t *testing.T) {
	var now, most atomic.Int32
	f := &fake{}
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		f.ServeHTTP(w, r)
		now.Add(-1)
	}))
	p := client(t, srv.URL, func(c *Config, _ *Options) { c.MaxConns = 3 })
	for _, err := range parallel(t, p, 30) {
		if err != nil {
			t.Error(err)
		}
	}
	if n := most.Load(); n > 3 {
		t.Errorf("%d calls at a time", n)
	}

	var once sync.Once // on a busy machine the first may have given up before the second asks
	begun, release := make(chan struct{}), make(chan struct{})
	blocked := serve(t, &fake{invoke: func(json.RawMessage) string { once.Do(func() { close(begun) }); <-release; return passes }})
	p = client(t, blocked.URL, func(c *Config, _ *Options) { c.MaxConns, c.Timeout = 1, 200*time.Millisecond })
	first := make(chan error, 1)
	go func() { _, err := invoke(t, p, `{}`); first <- err }()
	<-begun
	_, err := invoke(t, p, `{}`)
	wantKind(t, err, Timeout, "no answer within 200ms")
	close(release)
	if err := <-first; err != nil {
		t.Log(err) // it had the same 200 ms
	}
}

// TestIdleConnectionsEnd uses the transport's clock in a bubble.
func TestIdleConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &transport{slots: make(chan struct{}, 2)}
		var closed atomic.Int32
		keep := func() {
			near, far := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far); closed.Add(1) }()
			tr.slots <- struct{}{}
			tr.put(newConn(near), true, false)
		}
		keep()
		time.Sleep(keepIdle / 2) //nolint:forbidigo // time of the bubble
		keep()
		time.Sleep(keepIdle/2 + time.Millisecond) //nolint:forbidigo // time of the bubble
		synctest.Wait()
		if n := closed.Load(); n != 1 {
			t.Errorf("%d connections closed, want the older one", n)
		}
		time.Sleep(keepIdle) //nolint:forbidigo // time of the bubble
		synctest.Wait()
		if n := closed.Load(); n != 2 {
			t.Errorf("%d connections closed, want both", n)
		}
		tr.close()
	})
}
