// Package gateway is the MCP endpoint: it speaks both eras to clients on one
// URL, offers what all upstreams have as one server, and runs the plugins
// around each tool call, prompt and resource.
//
// It relays. Of a request only the envelope is decoded, and name, uri and
// arguments; what goes on is the client's bytes with those replaced that a
// plugin or the naming has changed. A result is the upstream's bytes with what
// the plugins made of them. Ids, sessions and progress tokens are of one side
// and never cross.
//
// # Nothing gets past a guardrail
//
// Whatever an upstream says about a call reaches the client after the post hook
// or not at all:
//
//   - A result is held until every plugin has judged it; a refused one is
//     dropped whole.
//   - Notifications come before the result, so no plugin can have judged them.
//     Where a plugin judges the result of this call, progress passes as numbers,
//     without its message, and log messages are dropped. Where none does, both
//     pass as they are.
//   - completion/complete has no hook. Where a plugin judges that prompt or
//     resource the answer is an empty completion.
//   - inputResponses are content that no hook has: where a plugin judges the
//     call they are refused.
//   - Methods that are not served here are refused, never forwarded.
//   - A name or uri that a plugin changed is resolved again, and plugins whose
//     conditions it meets only now have their say.
//
// Two things are the upstream's own words: a JSON-RPC error, which passes as it
// is, and the lists, descriptions included, for which there are no hooks.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/upstream"
)

// Upstream is one upstream server; *upstream.Upstream is one.
type Upstream interface {
	// Name is its key in the gateway file.
	Name() string

	// Info asks it about itself; the answer is kept.
	Info(ctx context.Context) (*upstream.Info, error)

	// Do sends one request, once.
	Do(ctx context.Context, c upstream.Call) (*upstream.Answer, error)

	// State reports how it is doing.
	State() upstream.State
}

// Config is what a gateway is made of. It owns neither upstreams nor pipeline.
type Config struct {
	// Upstreams in the order of the file; their names differ.
	Upstreams []Upstream

	// Pipeline runs the plugins; nil has none.
	Pipeline *pipeline.Pipeline

	// Naming says what clients call the upstreams' tools and prompts.
	Naming Naming

	// MaxPayloadBytes is the pipeline's; a message may be 1 MiB larger. Zero
	// means 1,000,000.
	MaxPayloadBytes int64

	// Degraded tells what is wrong with the plugins, for /readyz; nil is nothing.
	Degraded func() []Degraded

	// Plugins tells which plugins run as their servers say, for /readyz; nil is
	// none.
	Plugins func() []PluginState
}

// Options are the rest. The zero value, and nil, are usable.
type Options struct {
	// Logger receives one line per call and what goes wrong; nil discards it.
	Logger *slog.Logger

	// Version is what we tell clients; empty means "dev".
	Version string
}

// Gateway serves MCP. It is for use by many goroutines at once; Close it after
// the last request.
type Gateway struct {
	cfg      Config
	log      *slog.Logger
	pipe     *pipeline.Pipeline
	catalog  *catalog
	sessions *sessions
	bodies   *front.Bodies
	outbox   *outbox
	hello    hello

	work   context.Context // of what no single request waits for; ends with Close
	end    context.CancelFunc
	flying sync.WaitGroup
	ready  readiness
}

// New makes a gateway. It asks the upstreams nothing yet.
func New(cfg Config, o *Options) (*Gateway, error) {
	if o == nil {
		o = &Options{}
	}
	g := &Gateway{cfg: cfg, log: o.Logger, pipe: cfg.Pipeline, sessions: newSessions(), hello: newHello(o.Version)}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.cfg.MaxPayloadBytes <= 0 {
		g.cfg.MaxPayloadBytes = 1_000_000
	}
	if g.pipe == nil {
		var err error
		if g.pipe, err = pipeline.New(nil, nil); err != nil {
			return nil, err
		}
	}
	g.bodies = front.NewBodies(g.maxBody())
	g.outbox = &outbox{limit: max(64<<20, 8*g.maxBody())}
	g.work, g.end = context.WithCancel(context.Background())
	names := map[string]bool{}
	for _, u := range cfg.Upstreams {
		if names[u.Name()] {
			return nil, fmt.Errorf("two upstreams are named %q", u.Name())
		}
		names[u.Name()] = true
	}
	var err error
	if g.catalog, err = newCatalog(g); err != nil {
		return nil, err
	}
	return g, nil
}

// maxBody bounds a whole message.
func (g *Gateway) maxBody() int64 { return g.cfg.MaxPayloadBytes + 1<<20 }

// Close ends what still runs for nobody, and waits for it.
func (g *Gateway) Close() error {
	g.end()
	g.flying.Wait()
	return nil
}

// Changed is told that an upstream says that one of its lists has changed, or,
// with an empty method, that it was started anew. It does not block.
func (g *Gateway) Changed(name, method string) { g.catalog.changed(name, method) }

// Warm asks all upstreams for their lists, so that the first client need not
// wait and what is wrong is said at the start. It returns when that is known, at
// the latest with ctx.
func (g *Gateway) Warm(ctx context.Context) {
	for k := range kinds {
		g.catalog.refresh(ctx, k, patient)
	}
}

// listLimit is how long an upstream may take to list what it has.
const listLimit = 15 * time.Second

// Handler serves /mcp and /health.
func (g *Gateway) Handler() http.Handler { return &endpoint{g} }

// Admin serves /livez and /readyz. listener says why no client can connect at
// the moment; nil means that any can.
func (g *Gateway) Admin(listener func() error) http.Handler {
	if listener == nil {
		listener = func() error { return nil }
	}
	return &admin{g, listener}
}
