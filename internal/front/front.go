// Package front is one HTTP listener that strangers may reach: limits on
// everything that a client can send or hold, a guard against browsers that were
// led here, and an end that lets calls in flight finish. The plugin server and
// the gateway serve behind it.
//
// A [Front] is one listener with its handler; [Serve] runs one that does the
// work and others, for probes, that go last. [Bodies] reads request bodies
// within a budget; [Write], [Refuse] and [Probe] send the answers that both
// servers have in common.
package front

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
)

// Config is what is served on a listener, to whom and within which limits.
type Config struct {
	// Handler answers. A request's context has the connection's TLS state
	// (mtls.ConnContext).
	Handler http.Handler

	// Authenticated says that a client certificate is required. Then any Host
	// will do: it has been said who calls.
	Authenticated bool

	// Hosts are names, with or without a port, that a Host header may have on a
	// loopback listener beside loopback's own. On other listeners any may.
	Hosts []string

	// Origins are those whose pages may call, as scheme://host[:port].
	Origins []string

	// Limits of the listener; the zero value means [DefaultLimits].
	Limits Limits

	// Answering is the longest that Handler may take, sending not included. One
	// that may take longer has to set its write deadlines itself.
	Answering time.Duration

	// Logger gets what is refused; nil discards it.
	Logger *slog.Logger
}

// Front is one listener that is served.
type Front struct {
	l     net.Listener
	log   *slog.Logger
	srv   *http.Server
	crowd *crowd
}

// New prepares l and takes ownership of it. Connections that l hands out are
// served as they are: for TLS they have done their handshake.
func New(l net.Listener, cfg Config) *Front {
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Front{l: l, log: cfg.Logger, crowd: newCrowd(cfg.Limits.Conns, cfg.Limits.First, cfg.Logger)}
	guarded := &guard{
		Handler: ending{cfg.Handler}, log: logs.NewFlood(cfg.Logger, maxLines, "more requests refused"), loopback: IsLoopback(l.Addr()),
		authenticated: cfg.Authenticated, hosts: cfg.Hosts, origins: cfg.Origins,
	}
	f.srv = newHTTPServer(guarded, f.crowd, cfg)
	return f
}

// ending closes connections whose time is over, after the answer.
type ending struct{ http.Handler }

func (e ending) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if mtls.Due(r.Context()) {
		w.Header().Set("Connection", "close")
	}
	e.Handler.ServeHTTP(w, r)
}

// Addr is where the front listens.
func (f *Front) Addr() net.Addr { return f.l.Addr() }

// Close closes the listener and all connections, of a front that may never have
// been served.
func (f *Front) Close() error { return errors.Join(f.srv.Close(), ignoreClosed(f.l.Close())) }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Serve serves f and the probes until ctx ends or one of them fails. Then it
// calls draining, if that is not nil, lets requests of f at work finish within
// drain, and closes the probes last, so that they can still say that the server
// goes. The context of requests outlives ctx until then.
func Serve(ctx context.Context, f *Front, probes []*Front, drain time.Duration, draining func()) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	all := append([]*Front{f}, probes...)
	ended := make(chan error, len(all))
	for _, one := range all {
		one.srv.BaseContext = func(net.Listener) context.Context { return work }
		go func() { ended <- one.srv.Serve(one.l) }()
	}
	var err error
	running := len(all)
	select {
	case <-ctx.Done():
	case err = <-ended:
		running--
	}
	if draining != nil {
		draining()
	}
	f.drain(drain)
	for _, p := range probes {
		_ = p.srv.Close() // whoever probes comes again
	}
	for ; running > 0; running-- {
		if e := <-ended; err == nil && !errors.Is(e, http.ErrServerClosed) {
			err = e
		}
	}
	return err
}

// drain waits for the requests at work, but not longer than limit.
func (f *Front) drain(limit time.Duration) {
	start := time.Now()
	f.log.Info("shutting down", "calls", f.crowd.atWork())
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	closed := make(chan struct{})
	f.srv.RegisterOnShutdown(func() { // the listener is closed then: nobody new comes
		f.crowd.closeWaiting()()
		close(closed)
	})
	defer func() { <-closed }()
	if err := f.srv.Shutdown(ctx); err != nil {
		f.log.Warn("shut down with calls in flight", "calls", f.crowd.atWork(), "waited", time.Since(start).Round(time.Millisecond))
		_ = f.srv.Close()
	}
}

// IsLoopback reports whether only this host can reach addr. A Unix socket does
// not count: Host says nothing there, and browsers do not come.
func IsLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
