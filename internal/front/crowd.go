package front

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
)

// crowd bounds the connections of one http.Server. When it is full, a
// connection that waits gives way to the new one: first the oldest that has
// never sent a whole request, then the one that has been idle longest. So
// connections that send nothing, or a header or a body byte by byte, cannot keep
// others out. When all are at work the new one is closed.
type crowd struct {
	max   int
	first time.Duration // a connection that has not sent a request is spared so long
	log   *logs.Flood

	mu     sync.Mutex
	guests map[net.Conn]*guest
}

// maxLines is how many lines a second a listener writes of each thing that
// clients can cause.
const maxLines = 5

type guest struct {
	since   time.Time // when it came, last became idle or began a request
	served  bool      // it has sent a whole request at least once
	reading bool      // the header of a request is here, its body on the way
	working bool      // a handler works on a request that is here
}

func newCrowd(limit int, first time.Duration, logger *slog.Logger) *crowd {
	return &crowd{max: limit, first: first, log: logs.NewFlood(logger, maxLines, "too many connections: closed more"), guests: map[net.Conn]*guest{}}
}

// track is the ConnState hook of the http.Server.
func (c *crowd) track(conn net.Conn, state http.ConnState) {
	if spared := c.count(conn, state, time.Now()); spared != nil {
		cut(spared)
	}
}

// count does what track is for, except that it returns the connection that has
// to be closed: nothing that may wait is done under the lock.
func (c *crowd) count(conn net.Conn, state http.ConnState, now time.Time) (spared net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.guests[conn]
	switch state {
	case http.StateNew:
		if len(c.guests) >= c.max {
			if spared = c.makeRoom(now); spared == nil {
				c.log.Log(slog.LevelWarn, "too many connections: the new one is closed", slog.Int("limit", c.max), slog.String("peer", conn.RemoteAddr().String()))
				return conn
			}
		}
		c.guests[conn] = &guest{since: now}
	case http.StateActive, http.StateIdle:
		if g != nil {
			g.since, g.reading, g.working = now, false, false
		}
	case http.StateClosed, http.StateHijacked:
		delete(c.guests, conn)
	}
	return spared
}

// cut closes a connection without a word: the farewell of TLS would wait for
// seconds for a peer that does not read.
func cut(conn net.Conn) {
	if tc, ok := conn.(*tls.Conn); ok {
		conn = tc.NetConn()
	}
	conn.Close()
}

// makeRoom takes out the connection that can be spared best, nil when there is
// none.
func (c *crowd) makeRoom(now time.Time) net.Conn {
	var spared net.Conn
	var best *guest
	for conn, g := range c.guests {
		if g.working || ((!g.served || g.reading) && now.Sub(g.since) < c.first) {
			continue
		}
		if best == nil || (best.served && !g.served) || (best.served == g.served && g.since.Before(best.since)) {
			spared, best = conn, g
		}
	}
	if best == nil {
		return nil
	}
	c.log.Log(slog.LevelWarn, "too many connections: the one that has waited longest is closed", slog.Int("limit", c.max), slog.String("peer", spared.RemoteAddr().String()))
	delete(c.guests, spared)
	return spared
}

// closeWaiting begins to close the connections on which no request is at work
// or on its way, for a shutdown: http.Server would wait for new ones for
// seconds, and for each peer that does not read its farewell after the other.
// closed waits for them.
func (c *crowd) closeWaiting() (closed func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var wg sync.WaitGroup
	for conn, g := range c.guests {
		if !g.working && !g.reading {
			wg.Go(func() { conn.Close() })
		}
	}
	return wg.Wait
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

type seatKey struct{}

// seat is a connection's place in the crowd.
type seat struct {
	crowd *crowd
	conn  net.Conn
}

// withConn is the ConnContext hook: it lets a handler find its connection.
func (c *crowd) withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(mtls.ConnContext(ctx, conn), seatKey{}, seat{c, conn})
}

// requests marks the connection of each request: as at work when there is no
// body, else as reading until [arrived].
func (c *crowd) requests(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mark(r.Context(), r.ContentLength == 0)
		h.ServeHTTP(w, r)
	})
}

// arrived marks the connection of a request whose body has been read as at work
// until it is idle again.
func arrived(ctx context.Context) { mark(ctx, true) }

func mark(ctx context.Context, whole bool) {
	s, ok := ctx.Value(seatKey{}).(seat)
	if !ok {
		return
	}
	s.crowd.mu.Lock()
	defer s.crowd.mu.Unlock()
	if g := s.crowd.guests[s.conn]; g != nil {
		g.served, g.working, g.reading = g.served || whole, whole, !whole
	}
}
