package server

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
)

// limits are those of every listener. A connection may cost about this much,
// and last this long, before it has said anything worth answering.
type limits struct {
	header time.Duration // to send a request's header
	read   time.Duration // to send a whole request
	write  time.Duration // to take the answer, after the plugin's time
	idle   time.Duration // between requests

	headerBytes int
	conns       int           // connections of the MCP listener
	healthConns int           // connections of the health listener
	first       time.Duration // a new connection is not closed for another one before
}

func defaultLimits() limits {
	return limits{
		header: 10 * time.Second,
		read:   30 * time.Second,
		write:  30 * time.Second,
		idle:   180 * time.Second, // longer than clients keep theirs, so that they close first

		headerBytes: 32 << 10,
		conns:       1024,
		healthConns: 128,
		first:       time.Second,
	}
}

// smallBody is the size up to which a body needs no budget.
const smallBody = 64 << 10

// bodyBudget bounds the memory of large bodies that are being read or worked
// on: many clients that send a large body slowly wait for each other instead
// of filling the memory.
type bodyBudget struct{ free *semaphore.Weighted }

func newBodyBudget(maxBody int64) *bodyBudget {
	return &bodyBudget{semaphore.NewWeighted(max(64<<20, 4*maxBody))}
}

// take waits until size bytes are free and returns what gives them back. The
// error is ctx's.
func (b *bodyBudget) take(ctx context.Context, size int64) (done func(), err error) {
	if size <= smallBody {
		return func() {}, nil
	}
	if err := b.free.Acquire(ctx, size); err != nil {
		return func() {}, err
	}
	return func() { b.free.Release(size) }, nil
}

// newHTTPServer makes a server with limits on everything. answering is the
// longest that a handler may take.
func newHTTPServer(h http.Handler, c *crowd, l limits, logger *slog.Logger, answering time.Duration) *http.Server {
	srv := &http.Server{
		Handler:           c.working(h),
		ConnState:         c.track,
		ConnContext:       withConn,
		ReadHeaderTimeout: l.header,
		ReadTimeout:       l.read,
		WriteTimeout:      l.read + answering + l.write,
		IdleTimeout:       l.idle,
		MaxHeaderBytes:    l.headerBytes,
		ErrorLog:          log.New(&lineLogger{logger}, "", 0),
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
