package remote

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// scripted is a connection on which everything can be written, and whose
// answer is given.
type scripted struct {
	net.Conn
	answer io.Reader
}

func (s *scripted) Write(p []byte) (int, error)     { return len(p), nil }
func (s *scripted) Read(p []byte) (int, error)      { return s.answer.Read(p) }
func (s *scripted) SetReadDeadline(time.Time) error { return nil }

// FuzzHTTPAnswer reads any bytes as the answer to a request: headers, framing,
// events. What it takes for an answer is one, to this request, and no longer
// than the limit.
func FuzzHTTPAnswer(f *testing.F) {
	good := string(wire.AppendResult(nil, []byte("1"), toolResult(passes)))
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + good,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: ping\r\n\r\nevent: message\r\ndata: " + good + "\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found",
		"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	const limit = 4096
	f.Fuzz(func(t *testing.T, answer []byte) {
		c := newConn(&scripted{answer: bytes.NewReader(answer)})
		resp, err := post(c) //nolint:bodyclose // see transport.do
		if err != nil {
			return
		}
		m, err := readAnswer(resp, []byte("1"), limit)
		if err == nil && (string(m.ID) != "1" || len(m.Result) == 0 || len(m.Result) > limit) {
			t.Fatalf("taken for an answer: %+v", m)
		}
		if c.finish(resp) && c.br.Buffered() > 0 {
			t.Fatal("a connection is kept on which more has come")
		}
	})
}
