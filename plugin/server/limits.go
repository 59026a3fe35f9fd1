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

// Limits of every listener. A connection may cost about this much and last this
// long before it has said anything worth answering.
const (
	headerTimeout = 10 * time.Second  // to send a request's header
	readTimeout   = 30 * time.Second  // to send a whole request
	writeMargin   = 30 * time.Second  // to read the answer, after the plugin's time
	idleTimeout   = 180 * time.Second // between requests: longer than clients keep theirs, so that they close first
	maxHeader     = 32 << 10

	maxConns       = 1024 // connections of the MCP listener
	maxHealthConns = 128  // connections of the health listener
	graceForFirst  = time.Second

	smallBody = 64 << 10 // bodies up to this size need no budget
)

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
func newHTTPServer(h http.Handler, c *crowd, logger *slog.Logger, answering time.Duration) *http.Server {
	srv := &http.Server{
		Handler:           c.working(h),
		ConnState:         c.track,
		ConnContext:       withConn,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + answering + writeMargin,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
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
