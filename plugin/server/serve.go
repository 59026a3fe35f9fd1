package server

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/front"
)

// Serve answers MCP over HTTP on l until ctx ends, then lets calls in flight
// finish and returns nil. It takes ownership of l. Connections that l hands out
// are served as they are: for TLS they have done their handshake.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &health{}
	return s.serveAll(ctx, s.front(l, &face{s, h, true}, false), nil, h)
}

// front prepares the MCP listener. authenticated says that it requires a client
// certificate.
func (s *Server) front(l net.Listener, h http.Handler, authenticated bool) *front.Front {
	return front.New(l, front.Config{
		Handler: h, Authenticated: authenticated, Limits: s.limits, Answering: s.longest(), Logger: s.log,
	})
}

// probes prepares the health listener.
func (s *Server) probes(l net.Listener, h *health) *front.Front {
	return front.New(l, front.Config{Handler: h, Limits: front.ProbeLimits(), Logger: s.log})
}

// serveAll serves the MCP listener and, unless it is nil, the health listener,
// until ctx ends or one of them fails.
func (s *Server) serveAll(ctx context.Context, mcp, probes *front.Front, h *health) error {
	var others []*front.Front
	if probes != nil {
		others = append(others, probes)
	}
	// Seen on the health listener, which closes last.
	return front.Serve(ctx, mcp, others, s.o.DrainTimeout, func() { h.draining.Store(true) })
}

// longest is the longest time of a call.
func (s *Server) longest() time.Duration {
	var longest time.Duration
	for _, p := range s.plugins {
		longest = max(longest, p.Timeout)
	}
	return longest
}
