package gateway

import (
	"cmp"
	"encoding/json"
	"net/http"
	"sync/atomic"

	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Degraded is a part that does not work at the moment.
type Degraded struct {
	Plugin   string `json:"plugin,omitempty"`
	Upstream string `json:"upstream,omitempty"`
	Reason   string `json:"reason"`
	Since    string `json:"since,omitempty"` // RFC 3339
}

// PluginState is how a plugin runs at the moment, where its server has settled
// what the gateway's file leaves open.
type PluginState struct {
	Plugin     string   `json:"plugin"`
	Mode       string   `json:"mode"`
	OnError    string   `json:"on_error,omitempty"` // absent: as the mode says
	Priority   int      `json:"priority"`
	Conditions int      `json:"conditions"`  // how many there are; 0 is always
	FromServer []string `json:"from_server"` // which of these the plugin server has said
}

// readiness is what /readyz goes by: parts that are down do not count, or one
// plugin server would drain every replica.
type readiness struct{ draining atomic.Bool }

// Drain makes /readyz say that the gateway goes.
func (g *Gateway) Drain() { g.ready.draining.Store(true) }

// Degraded lists what does not work at the moment.
func (g *Gateway) Degraded() []Degraded {
	all := []Degraded{}
	for _, s := range g.catalog.sources {
		state := s.State()
		err := state.Err
		for k := range kinds {
			if _, _, failed := s.shelves[k].state(); failed != nil {
				err = cmp.Or(err, failed)
			}
		}
		if err == nil {
			continue
		}
		d := Degraded{Upstream: s.Name(), Reason: err.Error()}
		if !state.Up && !state.Since.IsZero() {
			d.Since = state.Since.UTC().Format("2006-01-02T15:04:05Z07:00")
		}
		all = append(all, d)
	}
	if g.cfg.Degraded != nil {
		all = append(all, g.cfg.Degraded()...)
	}
	return all
}

func (g *Gateway) plugins() []PluginState {
	if g.cfg.Plugins == nil {
		return nil
	}
	return g.cfg.Plugins()
}

// admin is the operator's listener.
type admin struct {
	*Gateway
	listener func() error
}

func (a *admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/livez":
		front.Probe(w, r, http.StatusOK, `{"status":"alive"}`)
	case "/readyz":
		if a.ready.draining.Load() {
			front.Probe(w, r, http.StatusServiceUnavailable, `{"status":"not ready","reason":"shutting down"}`)
			return
		}
		if err := a.listener(); err != nil {
			front.Probe(w, r, http.StatusServiceUnavailable, string(wire.AppendString([]byte(`{"status":"not ready","reason":`), err.Error()))+"}")
			return
		}
		body, err := json.Marshal(struct {
			Status   string        `json:"status"`
			Degraded []Degraded    `json:"degraded"`
			Plugins  []PluginState `json:"plugins,omitempty"`
		}{"ready", a.Degraded(), a.plugins()})
		if err != nil { // strings always encode
			body = []byte(`{"status":"ready"}`)
		}
		front.Probe(w, r, http.StatusOK, string(body))
	default:
		front.Refuse(w, http.StatusNotFound, "there is nothing here but /livez and /readyz")
	}
}
