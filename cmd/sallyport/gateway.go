package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-mcp/sallyport/internal/builtin"
	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/gateway"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/upstream"
)

// gatewayDefaultConfig is the gateway's file when nobody names one.
const gatewayDefaultConfig = "sallyport.yaml"

// drainTimeout is how long calls in flight may go on after SIGTERM.
const drainTimeout = 10 * time.Second

func newGateway(a *app) *cobra.Command {
	var file, listen string
	var requireTLS bool
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Serve upstream MCP servers as one, with plugins around each call",
		Long: `Serve the upstream MCP servers of a file as one MCP server at /mcp, and run its
plugins around every tool call, prompt and resource.

The file names upstreams as the widespread mcpServers JSON does, and holds a
plugin file's keys or names such a file. Clients need only the URL, for example
http://127.0.0.1:4444/mcp, and may speak MCP 2025-03-26 to 2026-07-28.

SIGTERM lets calls in flight finish (10 s) and exits 0.`,
		Example: `  sallyport gateway --config sallyport.yaml
  sallyport gateway --listen 127.0.0.1:4445 --log-format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags := map[string]string{}
			if cmd.Flags().Changed("listen") {
				flags["listen"] = listen
			}
			if cmd.Flags().Changed("require-tls") {
				flags["require-tls"] = strconv.FormatBool(requireTLS)
			}
			path := cmp.Or(file, os.Getenv("SALLYPORT_CONFIG"), gatewayDefaultConfig)
			return a.gateway(cmd.Context(), path, flags)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "gateway `file` (SALLYPORT_CONFIG, "+gatewayDefaultConfig+")")
	cmd.Flags().StringVar(&listen, "listen", "", "`address` of the MCP endpoint, instead of the file's")
	cmd.Flags().BoolVar(&requireTLS, "require-tls", false, "refuse a plaintext listener and http plugin URLs (PLUGINS_REQUIRE_TLS)")
	return cmd
}

// tuneGC lets the small heap of a process that relays grow to three times its
// size before it is collected, though not when there are many large calls at
// once, unless GOGC or GOMEMLIMIT say otherwise.
func tuneGC(maxPayload int64) bool {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return false
	}
	debug.SetGCPercent(300)
	debug.SetMemoryLimit(front.MemoryLimit(maxPayload))
	return true
}

// gateway reads the file, makes everything that it names, binds the listeners
// and serves until ctx ends.
func (a *app) gateway(ctx context.Context, path string, flags map[string]string) error {
	cfg, err := config.LoadGateway(path, config.Options{Kinds: builtin.Kinds(), Flags: flags})
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		a.log.Warn(w.Error())
	}
	if tuneGC(cfg.Client.Settings.MaxPayloadBytes) {
		go front.TrimMemory(ctx)
	}
	plugins, err := a.newGatewayPlugins(cfg.Client)
	if err != nil {
		return err
	}
	defer plugins.close(a.log)
	var g *gateway.Gateway
	upstreams, err := a.newUpstreams(cfg.Upstreams, func(name, method string) { g.Changed(name, method) })
	if err != nil {
		return err
	}
	gc := gateway.Config{
		Pipeline: plugins.pipe, MaxPayloadBytes: cfg.Client.Settings.MaxPayloadBytes,
		Naming:   gateway.Naming{Prefix: cfg.Prefix.V, Separator: cfg.Separator.V},
		Degraded: plugins.degraded, Plugins: plugins.learned,
	}
	for _, u := range upstreams {
		gc.Upstreams = append(gc.Upstreams, u)
	}
	if g, err = gateway.New(gc, &gateway.Options{Logger: a.log, Version: version}); err != nil {
		return err
	}
	main, probes, err := a.gatewayFronts(ctx, cfg, g)
	if err != nil {
		return errors.Join(err, g.Close())
	}
	err = a.runGateway(ctx, g, plugins, upstreams, cfg.Client.Settings.HealthCheckInterval, func() error {
		return front.Serve(ctx, main, probes, drainTimeout, g.Drain)
	})
	return errors.Join(err, g.Close())
}

// newUpstreams makes the clients of the upstreams. Nothing is started yet.
func (a *app) newUpstreams(entries []config.Upstream, changed func(name, method string)) ([]*upstream.Upstream, error) {
	var all []*upstream.Upstream
	for i := range entries {
		e := &entries[i]
		headers, env, err := e.Resolve()
		if err != nil {
			return nil, err
		}
		u, err := upstream.New(upstream.Config{
			Name: e.Name, URL: e.URL.V, Headers: headers, Command: e.Command.V, Args: e.Args, Env: env, Cwd: e.Cwd.V,
		}, &upstream.Options{
			Logger: a.log, ClientVersion: version, OnChange: func(method string) { changed(e.Name, method) },
		})
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

// gatewayFronts binds the listeners, so that an address that is taken is found
// before anything is started.
func (a *app) gatewayFronts(ctx context.Context, cfg *config.Gateway, g *gateway.Gateway) (main *front.Front, probes []*front.Front, err error) {
	var security *mtls.Server
	authenticated := false
	if cfg.TLS != nil {
		t, err := serverTLS(cfg.TLS)
		if err != nil {
			return nil, nil, err
		}
		if security, err = mtls.NewServer(t, front.DefaultLimits().TLS(a.log)); err != nil {
			return nil, nil, fmt.Errorf("listen.tls: %w", err)
		}
		authenticated = cfg.TLS.CertReqs.V == mtls.CertRequired
	}
	l, err := listenAt(ctx, "MCP", cfg.Listen)
	if err != nil {
		return nil, nil, err
	}
	if !front.IsLoopback(l.Addr()) && !authenticated {
		a.log.Warn("the MCP listener is reachable from other hosts and asks for no client certificate: anyone who reaches it may call",
			"addr", l.Addr().String(), "listen", cfg.Listen.Source.String())
	}
	attrs := []any{"addr", l.Addr().String(), "tls", security != nil, "upstreams", len(cfg.Upstreams), "plugins", len(cfg.Client.Plugins)}
	var ready func() error
	if security != nil {
		l, ready = security.Listen(l), security.Ready
	}
	main = front.New(l, front.Config{
		Handler: g.Handler(), Authenticated: authenticated, Hosts: cfg.AllowedHosts, Origins: cfg.AllowedOrigins, Logger: a.log,
	})
	if cfg.Admin.V != "" {
		al, err := listenAt(ctx, "operators", cfg.Admin)
		if err != nil {
			return nil, nil, errors.Join(err, main.Close())
		}
		if !front.IsLoopback(al.Addr()) {
			a.log.Warn("the operator's listener is plain HTTP and reachable from other hosts", "addr", al.Addr().String(), "admin", cfg.Admin.Source.String())
		}
		attrs = append(attrs, "admin", al.Addr().String())
		probes = append(probes, front.New(al, front.Config{Handler: g.Admin(ready), Hosts: cfg.AllowedHosts, Limits: front.ProbeLimits(), Logger: a.log}))
	}
	a.log.Info("listening", attrs...)
	return main, probes, nil
}

func listenAt(ctx context.Context, what string, address config.Value[string]) (net.Listener, error) {
	l, err := front.Listen(ctx, address.V)
	if err != nil {
		return nil, hint.Add(fmt.Errorf("listening for %s: %s (%s): %w", what, address.V, address.Source, err),
			"choose another address, or stop what listens there")
	}
	return l, nil
}

// runGateway keeps the upstreams while serve runs, and until the last call has
// ended.
func (a *app) runGateway(ctx context.Context, g *gateway.Gateway, plugins *gatewayPlugins, upstreams []*upstream.Upstream, interval time.Duration, serve func() error) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	for _, u := range upstreams {
		running.Go(func() { _ = u.Run(work) }) // always nil
	}
	running.Go(func() { g.Warm(work) })
	running.Go(func() { plugins.watch(work, interval, a.log) })
	err := serve()
	cancel()
	running.Wait()
	return err
}
