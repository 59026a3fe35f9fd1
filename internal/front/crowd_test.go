package front

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// A young connection does not give way, an older one that said nothing does.
func TestCrowdGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(1, time.Second, slog.New(slog.DiscardHandler))
		a, other := net.Pipe()
		b, another := net.Pipe()
		defer other.Close()
		defer another.Close()
		c.track(a, http.StateNew)
		c.track(b, http.StateNew) // a is too young to give way
		if _, err := b.Write(nil); err == nil {
			t.Error("the second connection was taken")
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // the bubble's clock
		c.track(b, http.StateNew)
		if _, err := a.Write(nil); err == nil {
			t.Error("the first connection did not give way")
		}
		a.Close()
		b.Close()
	})
}

// Thousands of connections a second that say nothing do not keep out a client
// that does, within the time of a round trip.
func TestFloodsOfSilenceKeepNobodyOut(t *testing.T) {
	const every, second = time.Second / 5000, 5000
	c := newCrowd(DefaultLimits().Conns, DefaultLimits().First, slog.New(slog.DiscardHandler))
	kept := map[net.Conn]time.Time{} // honest ones that have not sent their request yet
	now, in, out := time.Now(), 0, 0
	for n := range 2 * second {
		now = now.Add(every)
		conn, _ := net.Pipe()
		spared := c.count(conn, http.StateNew, now)
		if n%50 == 0 && n > second {
			if spared == conn {
				out++
			} else {
				kept[conn] = now
			}
		}
		if _, ok := kept[spared]; ok {
			delete(kept, spared)
			out++
		}
		for conn, since := range kept {
			if now.Sub(since) > 50*time.Millisecond {
				delete(kept, conn)
				in++
			}
		}
	}
	if in < 80 || out > 0 {
		t.Errorf("%d were served, %d turned away", in, out)
	}
}

// Thousands of new connections a second are not thousands of lines.
func TestCrowdDoesNotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := newCrowd(1, time.Hour, slog.New(slog.NewTextHandler(&out, nil)))
		for range 100 {
			a, b := net.Pipe()
			c.track(a, http.StateNew)
			a.Close()
			b.Close()
		}
		<-time.After(time.Second)
		synctest.Wait()
		if n := strings.Count(out.String(), "\n"); n != maxLines+1 || !strings.Contains(out.String(), "count=94") {
			t.Errorf("%d lines:\n%s", n, &out)
		}
	})
}

// unread is a TLS connection whose peer does not read after the handshake.
func unread(t *testing.T, config *tls.Config) net.Conn {
	t.Helper()
	a, b := net.Pipe()
	conn := tls.Server(a, config)
	shaken := make(chan error, 1)
	client := tls.Client(b, &tls.Config{InsecureSkipVerify: true}) // nobody is to be known here
	go func() { shaken <- client.Handshake() }()
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close(); _ = conn.Close() })
	return conn
}

// Closing a connection whose peer does not read takes TLS five seconds: nobody
// else waits for that, and at the end all wait together.
func TestCrowdDoesNotWaitForPeersThatDoNotRead(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{pkitest.NewCA(t).Gateway(t).TLS()}, SessionTicketsDisabled: true}
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(2, 0, slog.New(slog.DiscardHandler))
		start := time.Now()
		for range 3 {
			c.track(unread(t, config), http.StateNew)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("to make room took %s", took)
		}
		closed := c.closeWaiting()
		c.atWork()
		if took := time.Since(start); took > 0 {
			t.Errorf("others waited %s", took)
		}
		closed()
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("to close two took %s", took)
		}
	})
}

// serve serves h within limits until the test ends and returns the address.
func serve(t *testing.T, limits Limits, h http.Handler) string {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, New(l, Config{Handler: h, Limits: limits}), nil, 0, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// request sends text on a new connection.
func request(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// status reads an answer and gives its status, 0 when there is none.
func status(conn net.Conn) int {
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Connections whose bodies do not arrive give way, also those that have sent a
// whole request before; a request that has arrived stays.
func TestSlowBodiesGiveWay(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
	const post = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
	limits := DefaultLimits()
	limits.Conns, limits.First = 8, 0
	begun, arrived, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	b := NewBodies(1 << 20)
	addr := serve(t, limits, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			return
		}
		begun <- struct{}{}
		_, done, err := b.Read(w, r)
		defer done()
		if err == nil {
			arrived <- struct{}{}
			<-release
		}
	}))
	whole := request(t, addr, post+"{}")
	<-begun
	<-arrived
	for i := range 2 * limits.Conns {
		text := post + "{"
		if i%2 == 0 {
			conn := request(t, addr, get)
			if got := status(conn); got != http.StatusOK {
				t.Fatalf("connection %d: status %d", i, got)
			}
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
		} else {
			request(t, addr, text)
		}
		<-begun
	}
	if got := status(request(t, addr, get)); got != http.StatusOK {
		t.Errorf("status %d beside slow bodies", got)
	}
	close(release)
	if got := status(whole); got != http.StatusOK {
		t.Errorf("the request at work: status %d", got)
	}
}
