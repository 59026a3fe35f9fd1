package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Serve answers MCP over HTTP on l until ctx ends, then lets calls in flight
// finish and returns nil. It takes ownership of l. Connections that l hands out
// are served as they are: for TLS they have done their handshake.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &health{}
	return s.serveAll(ctx, &binding{
		Listener: l, handler: &front{s, h, true}, conns: s.limits.conns,
	}, nil, h)
}

// binding is one listener and what is served on it.
type binding struct {
	net.Listener
	handler       http.Handler
	authenticated bool // a client certificate is required
	conns         int  // at most

	srv   *http.Server
	crowd *crowd
}

func (b *binding) prepare(l limits, log *slog.Logger, answering time.Duration) {
	b.crowd = newCrowd(b.conns, l.first, log)
	guarded := &guard{Handler: b.handler, log: log, loopback: isLoopback(b.Addr()), authenticated: b.authenticated}
	b.srv = newHTTPServer(guarded, b.crowd, l, log, answering)
}

// serveAll serves the MCP listener and, unless it is nil, the health listener,
// until ctx ends or one of them fails.
func (s *Server) serveAll(ctx context.Context, mcp, probes *binding, h *health) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx)) // calls in flight outlive ctx
	defer cancel()
	bindings := []*binding{mcp}
	if probes != nil {
		bindings = append(bindings, probes)
	}
	ended := make(chan error, len(bindings))
	for _, b := range bindings {
		b.prepare(s.limits, s.log, s.longest())
		b.srv.BaseContext = func(net.Listener) context.Context { return work }
		go func() { ended <- b.srv.Serve(b.Listener) }()
	}
	var err error
	running := len(bindings)
	select {
	case <-ctx.Done():
	case err = <-ended:
		running--
	}
	h.draining.Store(true) // seen on the health listener, which closes last
	s.drain(mcp)
	if probes != nil {
		_ = probes.srv.Close() // whoever probes comes again
	}
	for ; running > 0; running-- {
		if e := <-ended; err == nil && !errors.Is(e, http.ErrServerClosed) {
			err = e
		}
	}
	return err
}

// drain waits for the requests at work, but not longer than is allowed.
func (s *Server) drain(b *binding) {
	start := time.Now()
	n := b.crowd.atWork()
	s.log.Info("shutting down", "calls", n)
	ctx, cancel := context.WithTimeout(context.Background(), s.o.DrainTimeout)
	defer cancel()
	b.crowd.closeWaiting()
	if err := b.srv.Shutdown(ctx); err != nil {
		s.log.Warn("shut down with calls in flight", "calls", b.crowd.atWork(), "waited", time.Since(start).Round(time.Millisecond))
		_ = b.srv.Close()
	}
}

// longest is the longest time of a call.
func (s *Server) longest() time.Duration {
	var longest time.Duration
	for _, p := range s.plugins {
		longest = max(longest, p.Timeout)
	}
	return longest
}

// isLoopback reports whether only this host can reach addr.
func isLoopback(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return false // reached by path: Host says nothing, and browsers do not come
	}
	return false
}
