package server

import (
	"net/http"
	"sync/atomic"

	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// health answers the probes: /health for those who know ContextForge, /livez
// while the process is up, /readyz when it can do its work.
type health struct {
	// ready says why the server cannot work right now, "" when it can.
	ready func() string

	draining atomic.Bool
}

// ServeHTTP serves the health listener.
func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/health":
		h.serveHealth(w, r)
	case "/livez":
		front.Probe(w, r, http.StatusOK, `{"status":"alive"}`)
	case "/readyz":
		if reason := h.notReady(); reason != "" {
			front.Probe(w, r, http.StatusServiceUnavailable, string(wire.AppendString([]byte(`{"status":"not ready","reason":`), reason))+"}")
			return
		}
		front.Probe(w, r, http.StatusOK, `{"status":"ready"}`)
	default:
		front.Refuse(w, http.StatusNotFound, "there is nothing here but /health, /livez and /readyz")
	}
}

func (h *health) serveHealth(w http.ResponseWriter, r *http.Request) {
	front.Probe(w, r, http.StatusOK, `{"status":"healthy"}`)
}

func (h *health) notReady() string {
	if h.draining.Load() {
		return "shutting down"
	}
	if h.ready == nil {
		return ""
	}
	return h.ready()
}
