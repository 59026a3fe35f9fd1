package front

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
)

// crowd bounds the connections of one http.Server. When it is full, a
// connection that waits gives way to the new one: first the oldest that has
// never sent a whole request, then the one that has been idle longest. So
// connections that send nothing, or a header byte by byte, cannot keep others
// out. When all are at work the new one is closed.
type crowd struct {
	max   int
	first time.Duration // a connection that has not sent a request is spared so long
	log   *slog.Logger

	mu     sync.Mutex
	guests map[net.Conn]*guest
}

type guest struct {
	since   time.Time // when it came, last became idle or began a request
	served  bool      // it has sent a whole header at least once
	working bool      // a handler runs for it
}

func newCrowd(limit int, first time.Duration, logger *slog.Logger) *crowd {
	return &crowd{max: limit, first: first, log: logger, guests: map[net.Conn]*guest{}}
}

// track is the ConnState hook of the http.Server.
func (c *crowd) track(conn net.Conn, state http.ConnState) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.guests[conn]
	switch state {
	case http.StateNew:
		if len(c.guests) >= c.max && !c.makeRoom(now) {
			c.log.Warn("too many connections: the new one is closed", "limit", c.max, "peer", conn.RemoteAddr())
			conn.Close()
			return
		}
		c.guests[conn] = &guest{since: now}
	case http.StateActive, http.StateIdle:
		if g != nil {
			g.since, g.working = now, false
		}
	case http.StateClosed, http.StateHijacked:
		delete(c.guests, conn)
	}
}

// makeRoom closes the connection that can be spared best.
func (c *crowd) makeRoom(now time.Time) bool {
	var spared net.Conn
	var best *guest
	for conn, g := range c.guests {
		if g.working || (!g.served && now.Sub(g.since) < c.first) {
			continue
		}
		if best == nil || (best.served && !g.served) || (best.served == g.served && g.since.Before(best.since)) {
			spared, best = conn, g
		}
	}
	if best == nil {
		return false
	}
	c.log.Warn("too many connections: the one that has waited longest is closed", "limit", c.max, "peer", spared.RemoteAddr())
	delete(c.guests, spared)
	spared.Close()
	return true
}

// closeWaiting closes the connections on which no request is at work, for a
// shutdown: http.Server would wait for new ones for seconds.
func (c *crowd) closeWaiting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn, g := range c.guests {
		if !g.working {
			conn.Close()
		}
	}
}

// atWork counts the requests at work.
func (c *crowd) atWork() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.guests {
		if g.working {
			n++
		}
	}
	return n
}

type connKey struct{}

// withConn is the ConnContext hook: it lets a handler find its connection.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(mtls.ConnContext(ctx, conn), connKey{}, conn)
}

// working marks the connection of each request as at work until it is idle
// again.
func (c *crowd) working(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, ok := r.Context().Value(connKey{}).(net.Conn); ok {
			c.mu.Lock()
			if g := c.guests[conn]; g != nil {
				g.served, g.working = true, true
			}
			c.mu.Unlock()
		}
		h.ServeHTTP(w, r)
	})
}
