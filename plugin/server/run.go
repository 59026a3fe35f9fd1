package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// DefaultConfigPath is the plugin file when nobody names one.
const DefaultConfigPath = "resources/plugins/config.yaml"

// RunOptions is what [Run] is given.
type RunOptions struct {
	// Kinds are the kinds of plugin that the file may name.
	Kinds []plugin.Kind

	// ConfigPath is the plugin file; empty means PLUGINS_CONFIG_PATH, else
	// [DefaultConfigPath].
	ConfigPath string

	// Transport is http or stdio and beats PLUGINS_TRANSPORT; empty means that
	// nobody said.
	Transport string

	// RequireTLS refuses plaintext MCP listeners, or not, and beats
	// PLUGINS_REQUIRE_TLS; nil means that nobody said.
	RequireTLS *bool

	// Env looks up an environment variable; nil means os.LookupEnv.
	Env func(string) (string, bool)

	// Stdin and Stdout are used by the stdio transport; nil means the process's.
	Stdin  io.Reader
	Stdout io.Writer

	// Logger gets all log lines; nil logs nothing.
	Logger *slog.Logger

	// DrainTimeout is how long calls in flight may go on after the end of the
	// context; zero means 10 s.
	DrainTimeout time.Duration

	// Version is reported to clients; empty means "dev".
	Version string

	// OwnsProcess says that the process does nothing else. Then the garbage
	// collector is set for it, and memory given back after a peak, unless GOGC
	// or GOMEMLIMIT is set.
	OwnsProcess bool
}

// gcPercent lets the heap of a process that serves plugins grow to some 12 MB
// before it is collected, three times as far as by default: with so little
// alive, collecting costs a good part of the time in a hook call, and the
// process still idles in under 30 MB.
const gcPercent = 300

func (o *RunOptions) tuneGC() bool {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if value, ok := o.Env(name); ok && value != "" {
			return false
		}
	}
	debug.SetGCPercent(gcPercent)
	return true
}

// flags are the options that beat environment and file, as config knows them.
func (o *RunOptions) flags() map[string]string {
	flags := map[string]string{"transport": o.Transport}
	if o.RequireTLS != nil {
		flags["require-tls"] = strconv.FormatBool(*o.RequireTLS)
	}
	return flags
}

func (o *RunOptions) fill() {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.Stdin == nil {
		o.Stdin = os.Stdin
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.ConfigPath == "" {
		o.ConfigPath, _ = o.Env("PLUGINS_CONFIG_PATH")
	}
	if o.ConfigPath == "" {
		o.ConfigPath = DefaultConfigPath
	}
}

// Run serves the plugins of a file as file, environment and flags say, until
// ctx ends; then calls in flight may finish, and it returns nil. What is wrong
// with the configuration is an error before any connection is accepted: Run
// never serves with less protection than was asked for.
func Run(ctx context.Context, o RunOptions) error {
	env := o.Env // nil lets config find misspelt variables of the process, too
	o.fill()
	if o.OwnsProcess && o.tuneGC() {
		trimming, stop := context.WithCancel(ctx)
		defer stop()
		go front.TrimMemory(trimming)
	}
	cfg, err := config.LoadServer(o.ConfigPath, config.Options{Env: env, Kinds: o.Kinds, Flags: o.flags()})
	if err != nil {
		return err
	}
	log := o.Logger
	transport, why := chooseTransport(cfg, o.Stdin, o.Stdout)
	for _, warning := range cfg.Warnings {
		log.Warn(warning.Error())
	}
	entries, closeAll, err := makeEntries(cfg, o.Kinds, log)
	if err != nil {
		return err
	}
	var s *Server
	defer func() { closeAll(s) }()
	s, err = New(entries, &Options{
		Logger: log, MaxPayloadBytes: cfg.Settings.MaxPayloadBytes, DrainTimeout: o.DrainTimeout, Version: o.Version,
	})
	if err != nil {
		return err
	}
	log.Info("serving plugins over "+transport, "reason", why, "config", cfg.File, "plugins", len(cfg.Plugins))
	if transport == stdioTransport {
		return s.ServeStdio(ctx, o.Stdin, o.Stdout)
	}
	return s.runHTTP(ctx, cfg)
}

// runHTTP binds all listeners, so that a port that is taken is found before a
// connection is accepted, and serves.
func (s *Server) runHTTP(ctx context.Context, cfg *config.Server) error {
	if cfg.RequireTLS.V && cfg.TLS == nil && cfg.UDS.V == "" {
		return hint.Add(fmt.Errorf("require-tls (%s) refuses a plain HTTP listener, and TLS is off", cfg.RequireTLS.Source),
			"add server_settings.tls, or set PLUGINS_SERVER_SSL_ENABLED=true with certificate, key and CA")
	}
	security, err := s.security(cfg)
	if err != nil {
		return err
	}
	h := &health{}
	l, err := s.listen(ctx, cfg)
	if err != nil {
		return err
	}
	authenticated := false
	if security != nil {
		h.ready = security.ready
		l = security.Listen(l)
		authenticated = cfg.TLS.CertReqs.V == mtls.CertRequired
	}
	main := s.front(l, &face{s, h, security == nil}, authenticated)
	attrs := []any{"addr", main.Addr().String(), "tls", security != nil}
	var probes *front.Front
	if cfg.Health {
		hl, err := listenTCP(ctx, "health checks", cfg.HealthHost.V, cfg.HealthPort,
			"set PLUGINS_SERVER_HEALTH_PORT or server_settings.health.port")
		if err != nil {
			return errors.Join(err, main.Close())
		}
		probes = s.probes(hl, h)
		attrs = append(attrs, "health", hl.Addr().String())
	}
	s.warnExposed(cfg, main, authenticated, probes)
	s.log.Info("listening", attrs...)
	return s.serveAll(ctx, main, probes, h)
}

func (s *Server) listen(ctx context.Context, cfg *config.Server) (net.Listener, error) {
	if cfg.UDS.V != "" {
		return listenUnix(ctx, cfg.UDS.V, s.log)
	}
	return listenTCP(ctx, "MCP", cfg.Host.V, cfg.Port, "set PLUGINS_SERVER_PORT or server_settings.port")
}

// warnExposed says at each start who can reach what without being asked.
func (s *Server) warnExposed(cfg *config.Server, mcp *front.Front, authenticated bool, probes *front.Front) {
	if tcp, ok := mcp.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() && !authenticated {
		s.log.Warn("the MCP listener is reachable from other hosts and asks for no client certificate: anyone who reaches it may call",
			"addr", tcp.String(), "host", cfg.Host.Source.String())
	}
	if probes == nil {
		return
	}
	if tcp, ok := probes.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		s.log.Warn("the health listener is plain HTTP and reachable from other hosts; PLUGINS_SERVER_HEALTH_HOST=127.0.0.1 keeps it on this one",
			"addr", tcp.String(), "host", cfg.HealthHost.Source.String())
	}
}

// security is the TLS side of the MCP listener.
type security struct{ *mtls.Server }

// ready says why the server's own certificate cannot serve right now.
func (t *security) ready() string {
	if err := t.Ready(); err != nil {
		return err.Error()
	}
	return ""
}

// security reads certificate, key and trust; nil when TLS is off.
func (s *Server) security(cfg *config.Server) (*security, error) {
	t := cfg.TLS
	if t == nil {
		return nil, nil
	}
	password, err := t.KeyPassword.V.Resolve()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name("keyfile_password"), err)
	}
	m, err := mtls.NewServer(mtls.ServerConfig{
		CertFile: t.CertFile.V, KeyFile: t.KeyFile.V, KeyPassword: password, CABundle: t.CABundle.V,
		ClientAuth: t.CertReqs.V, AllowedClients: t.AllowedClients.V, Profile: mtls.Profile(t.PeerProfile.V), Name: t.Name,
	}, s.limits.TLS(s.log))
	if err != nil {
		return nil, err
	}
	return &security{m}, nil
}

// makeEntries makes the plugins of the file. closeAll closes those that can be
// closed.
func makeEntries(cfg *config.Server, kinds []plugin.Kind, log *slog.Logger) (entries []Entry, closeAll func(*Server), err error) {
	closeAll = func(s *Server) {
		for _, e := range entries {
			closePlugin(s, e, log)
		}
	}
	for i := range cfg.Plugins {
		p := &cfg.Plugins[i]
		made, err := makePlugin(p, kinds, log)
		if err != nil {
			closeAll(nil)
			return nil, nil, err
		}
		e := Entry{
			Name: p.Name, Kind: p.Kind, Description: p.Description, Author: p.Author, Version: p.Version, Namespace: p.Namespace,
			Tags: p.Tags, Mode: p.Mode, OnError: p.OnError, Priority: p.Priority, AppliedTo: p.AppliedTo,
			Conditions: conditions(p.Conditions), Timeout: p.Timeout, Plugin: made,
		}
		if len(p.Hooks) > 0 {
			e.Hooks = p.Hooks
		}
		if p.ExposeConfig {
			e.Config = p.Masked
		}
		entries = append(entries, e)
	}
	return entries, closeAll, nil
}

func makePlugin(p *config.Plugin, kinds []plugin.Kind, log *slog.Logger) (plugin.Plugin, error) {
	kind, ok := config.FindKind(kinds, p.Kind)
	if !ok { // config has refused it
		return nil, fmt.Errorf("plugin %s: unknown kind %q", p.Name, p.Kind)
	}
	made, err := kind.New(plugin.Config{Name: p.Name, Hooks: p.Hooks, Raw: p.Config, Logger: log.With("plugin", p.Name)})
	if fault, ok := errors.AsType[*plugin.ConfigError](err); ok {
		return nil, fmt.Errorf("%s: plugin %s: %w", p.At(fault.Path), p.Name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: plugin %s: %w", p.At(""), p.Name, err)
	}
	return made, nil
}

// closePlugin closes a plugin after its last call. One with a call that has not
// returned is left alone, as the contract promises.
func closePlugin(s *Server, e Entry, log *slog.Logger) {
	c, ok := e.Plugin.(io.Closer)
	if !ok {
		return
	}
	if s != nil {
		if n := s.stuck(e.Name); n > 0 {
			log.Warn("plugin not closed: calls have not returned", "plugin", e.Name, "calls", n)
			return
		}
	}
	if err := c.Close(); err != nil {
		log.Warn("closing plugin", "plugin", e.Name, "error", err)
	}
}

// conditions encodes what narrows an entry, as get_plugin_config reports it.
func conditions(all []config.Condition) json.RawMessage {
	if len(all) == 0 {
		return nil
	}
	var objects []map[string][]string
	for _, c := range all {
		object := map[string][]string{}
		for name, values := range map[string][]string{
			"server_ids": c.ServerIDs, "tenant_ids": c.TenantIDs, "tools": c.Tools, "prompts": c.Prompts,
			"resources": c.Resources, "agents": c.Agents, "user_patterns": c.UserPatterns, "content_types": c.ContentTypes,
		} {
			if len(values) > 0 {
				object[name] = values
			}
		}
		objects = append(objects, object)
	}
	raw, err := json.Marshal(objects)
	if err != nil { // strings always encode
		return nil
	}
	return raw
}
