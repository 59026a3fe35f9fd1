package front

import (
	"log"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
)

// Limits are those of one listener. A connection may cost about this much, and
// last this long, before it has said anything worth answering.
type Limits struct {
	Header time.Duration // to send a request's header
	Read   time.Duration // to send a whole request
	Write  time.Duration // to take the answer, after the handler's time
	Idle   time.Duration // between requests

	HeaderBytes int           // of one request's header
	Conns       int           // connections at a time
	First       time.Duration // a new connection is not closed for another one before
}

// DefaultLimits are those of an MCP listener.
func DefaultLimits() Limits {
	return Limits{
		Header: 10 * time.Second,
		Read:   30 * time.Second,
		Write:  30 * time.Second,
		Idle:   180 * time.Second, // longer than clients keep theirs, so that they close first

		HeaderBytes: 32 << 10,
		Conns:       1024,
		// While so many came that none of them may be closed yet, all others are
		// turned away: long enough for a client to say something, and no longer.
		First: 100 * time.Millisecond,
	}
}

// ProbeLimits are those of a listener for probes.
func ProbeLimits() Limits {
	l := DefaultLimits()
	l.Conns = 128
	return l
}

// TLS returns the options of a TLS listener under a front with these limits.
func (l Limits) TLS(logger *slog.Logger) *mtls.Options {
	return &mtls.Options{
		Logger: logger, MaxHandshakes: l.Conns,
		// Handshakes and refused connections count here too. Of those that came
		// through the front makes room, which it can only do when it sees one more.
		MaxConns: 3 * l.Conns,
	}
}

func newHTTPServer(h http.Handler, c *crowd, cfg Config) *http.Server {
	l := cfg.Limits
	srv := &http.Server{
		Handler:           c.requests(h),
		ConnState:         c.track,
		ConnContext:       c.withConn,
		ReadHeaderTimeout: l.Header,
		ReadTimeout:       l.Read,
		WriteTimeout:      l.Read + cfg.Answering + l.Write,
		IdleTimeout:       l.Idle,
		MaxHeaderBytes:    l.HeaderBytes,
		ErrorLog:          log.New(&lineLogger{cfg.Logger}, "", 0),
		Protocols:         new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true) // faster than HTTP/2 on this hop, and less to attack
	return srv
}

// lineLogger is the ErrorLog of an http.Server: what clients do wrong.
type lineLogger struct{ log *slog.Logger }

func (l *lineLogger) Write(line []byte) (int, error) {
	l.log.Debug("http", "error", strings.TrimSpace(string(line)))
	return len(line), nil
}
