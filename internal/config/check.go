package config

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// Report is what Check found.
type Report struct {
	Problems Problems // errors and warnings, in file order

	// Server and Client are the two readings of the file. One is nil when the
	// file is no such file, both are when there is an error.
	Server *Server
	Client *Client

	// Gateway is not nil when it is a gateway's file; then Client is the
	// gateway's and Server is nil.
	Gateway *Gateway
}

// Check reads the file at path as whatever it is: a plugin server's, a
// gateway's, or both. Of the files that the configuration names it opens that of
// plugins_file alone, but it has each native kind judge its config:.
func Check(path string, o Options) *Report {
	l := load(path, o)
	l.checking = true
	r := &Report{}
	if l.gatewayFile {
		r.Gateway = l.gateway()
		r.Client = r.Gateway.Client
		for i := range r.Client.Plugins {
			if p := &r.Client.Plugins[i]; p.Kind != External && p.Enabled() {
				l.pluginLoader().try(p)
			}
		}
		return r.with(l.problems())
	}
	asServer, asClient := l.uses()
	if asServer {
		r.Server = l.server()
		for i := range r.Server.Plugins {
			l.try(&r.Server.Plugins[i])
		}
	}
	if asClient {
		r.Client = l.client()
	}
	return r.with(l.problems())
}

// with completes r by the problems that were found.
func (r *Report) with(found Problems) *Report {
	r.Problems = found
	if len(found.Errors()) > 0 {
		r.Server, r.Client, r.Gateway = nil, nil, nil
	}
	return r
}

// uses says what the file can be: a gateway's when an entry is external, a
// plugin server's when one is not or there are server_settings.
func (l *loader) uses() (server, client bool) {
	server = l.root.get("server_settings") != nil
	for _, entry := range l.root.list("plugins") {
		if entry.str("kind") == External {
			client = true
		} else {
			server = true
		}
	}
	return server || !client, client
}

// try makes the plugin, to see whether its kind finds fault with its config:.
func (l *loader) try(p *Plugin) {
	k, known := FindKind(l.o.Kinds, p.Kind)
	if !known || k.New == nil {
		return
	}
	made, err := k.New(plugin.Config{Name: p.Name, Hooks: p.Hooks, Raw: p.Config, Logger: slog.New(remarks{l, p})})
	if err != nil {
		at, message := p.at, err.Error()
		if fault, ok := errors.AsType[*plugin.ConfigError](err); ok {
			at, message = p.At(fault.Path), fault.Error()
		}
		l.add(at, p.Name+": "+message, "")
		return
	}
	if c, ok := made.(io.Closer); ok {
		_ = c.Close() // it has served nothing
	}
}

// remarks takes what a kind logs while a plugin is made: its warnings are the
// file's, at the place that the attribute key names.
type remarks struct {
	l *loader
	p *Plugin
}

// Enabled implements [slog.Handler].
func (r remarks) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle implements [slog.Handler].
func (r remarks) Handle(_ context.Context, record slog.Record) error {
	at, message := r.p.At(""), record.Message
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "key" {
			path := a.Value.String()
			at, message = r.p.At(path), path+": "+message
		}
		return true
	})
	r.l.warn(at, r.p.Name+": "+message, "")
	return nil
}

// WithAttrs implements [slog.Handler].
func (r remarks) WithAttrs([]slog.Attr) slog.Handler { return r }

// WithGroup implements [slog.Handler].
func (r remarks) WithGroup(string) slog.Handler { return r }
