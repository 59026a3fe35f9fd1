package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// limited starts a server with limits that a test can reach.
func limited(t *testing.T, change func(*front.Limits), o *Options) (addr string) {
	t.Helper()
	s, err := New([]Entry{entry(passes)}, o)
	if err != nil {
		t.Fatal(err)
	}
	change(&s.limits)
	return strings.TrimPrefix(startServer(t, s), "http://")
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// answers sends text and reads one answer.
func answers(t *testing.T, conn net.Conn, text string) answer {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body), resp.Close}
}

// isClosed waits for the server to close the connection; what it says before
// does not matter.
func isClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, conn); err != nil {
		if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
			t.Fatal("the connection stays open")
		}
	}
}

const healthRequest = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

// A client that sends its header byte by byte is cut off when its time is over,
// not when it has finished.
func TestASlowHeaderIsCutOff(t *testing.T) {
	addr := limited(t, func(l *front.Limits) { l.Header = 50 * time.Millisecond }, nil)
	conn := dial(t, addr)
	if _, err := io.WriteString(conn, "GET /health HT"); err != nil {
		t.Fatal(err)
	}
	isClosed(t, conn)
}

func TestASlowBodyIsCutOff(t *testing.T) {
	addr := limited(t, func(l *front.Limits) { l.Read = 50 * time.Millisecond }, nil)
	conn := dial(t, addr)
	if _, err := io.WriteString(conn, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	isClosed(t, conn)
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	addr := limited(t, func(l *front.Limits) { l.Idle = 50 * time.Millisecond }, nil)
	conn := dial(t, addr)
	answers(t, conn, healthRequest)
	isClosed(t, conn)
}

// A header without end costs its limit, not its size: the server answers 431
// and closes while the client is still sending.
func TestAnEndlessHeaderIsRefused(t *testing.T) {
	addr := limited(t, func(*front.Limits) {}, nil)
	before := heapInUse()
	conn := dial(t, addr)
	sent := 0
	_, err := io.WriteString(conn, "GET /health HTTP/1.1\r\nX: ")
	chunk := strings.Repeat("x", 64<<10)
	for err == nil && sent < 1<<30 {
		var n int
		n, err = io.WriteString(conn, chunk)
		sent += n
	}
	if err == nil {
		t.Fatal("1 GB of header was taken")
	}
	if grown := int64(heapInUse()) - int64(before); grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes for a header of %d", grown, sent)
	}
	again := dial(t, addr)
	if resp := answers(t, again, "GET /health HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", 40<<10)+"\r\n\r\n"); resp.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d, want 431", resp.status)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// Connections that say nothing do not keep others out: the one that has waited
// longest gives way.
func TestSilentConnectionsGiveWay(t *testing.T) {
	log := &logLines{}
	addr := limited(t, func(l *front.Limits) { l.Conns, l.First = 3, 0 }, &Options{Logger: log.logger()})
	served := dial(t, addr)
	answers(t, served, healthRequest)
	for range 20 {
		if _, err := io.WriteString(dial(t, addr), "GET /he"); err != nil {
			t.Fatal(err)
		}
	}
	answers(t, dial(t, addr), healthRequest)
	if resp := answers(t, served, healthRequest); resp.status != http.StatusOK {
		t.Errorf("the connection that has served a request gave way before the silent ones: %d", resp.status)
	}
	if !strings.Contains(log.String(), "too many connections") {
		t.Errorf("log:\n%s", log)
	}
}

// Connections at work are not closed for a new one: that one is.
func TestWorkingConnectionsStay(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s, err := New([]Entry{entry(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		entered <- struct{}{}
		<-release
		return plugin.Continue(), nil
	})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.limits.Conns, s.limits.First = 1, 0
	base := startServer(t, s)
	got := make(chan answer)
	go func() { got <- post(t, base, hookMessage(`{}`, testContext)) }()
	<-entered
	isClosed(t, dial(t, strings.TrimPrefix(base, "http://")))
	close(release)
	if a := <-got; a.status != http.StatusOK {
		t.Errorf("status %d", a.status)
	}
}

func TestBodiesOverTheLimitAreRefused(t *testing.T) {
	addr := limited(t, func(*front.Limits) {}, &Options{MaxPayloadBytes: 1000})
	limit := 1000 + 1<<20
	head := "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct{ request, want string }{
		"said before": {fmt.Sprintf("%sContent-Length: %d\r\n\r\n", head, limit+1), fmt.Sprintf("message of %d bytes is larger than the limit of %d bytes", limit+1, limit)},
		"found on the way": {fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", head, limit+1, strings.Repeat(" ", limit+1)),
			fmt.Sprintf("message is larger than the limit of %d bytes", limit)},
	} {
		resp := answers(t, dial(t, addr), c.request)
		if resp.status != http.StatusRequestEntityTooLarge || !strings.Contains(resp.body, c.want) || !resp.closes {
			t.Errorf("%s: status %d, closes %v, body %s, want %s", name, resp.status, resp.closes, resp.body, c.want)
		}
	}
}

// 10,000 calls leave neither goroutines nor memory behind.
func TestManyCallsLeaveNothingBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("10,000 calls")
	}
	base := start(t, nil, entry(func(_ context.Context, _ plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
		_ = c.State.Set("seen", true)
		return &plugin.Result{Continue: true, ModifiedPayload: payload}, nil
	}))
	c := client(t)
	message := hookMessage(`{"name":"`+strings.Repeat("x", 1000)+`"}`, testContext)
	call := func() {
		resp, err := c.Post(base+"/mcp", wire.MediaJSON, strings.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d, error %v", resp.StatusCode, err)
		}
		resp.Body.Close()
	}
	for range 100 {
		call()
	}
	goroutines, heap := runtime.NumGoroutine(), heapInUse()
	for range 10_000 {
		call()
	}
	if n := runtime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if grown := int64(heapInUse()) - int64(heap); grown > 2<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
}

// What is said to be packed is not read as if it were not.
func TestPackedBodiesAreRefused(t *testing.T) {
	s, err := New([]Entry{entry(nil)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	base := startServer(t, s)
	for encoding, want := range map[string]int{"gzip": http.StatusUnsupportedMediaType, "identity": http.StatusOK} {
		a := post(t, base, `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Content-Encoding: "+encoding)
		if a.status != want {
			t.Errorf("%s: %d %s", encoding, a.status, a.body)
		}
	}
}
