package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/builtin"
	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// gatewayPlugins are the plugins of a gateway: those of its own kinds in this
// process, external ones behind their servers.
type gatewayPlugins struct {
	pipe    *pipeline.Pipeline
	entries []pipeline.Entry
	closers []io.Closer
	health  pluginHealth
}

// newGatewayPlugins makes the plugins of a file. It connects to nothing.
func (a *app) newGatewayPlugins(client *config.Client) (_ *gatewayPlugins, err error) {
	ps := &gatewayPlugins{}
	defer func() {
		if err != nil {
			ps.close(a.log)
		}
	}()
	for i := range client.Plugins {
		p := &client.Plugins[i]
		if !p.Enabled() {
			a.log.Info("plugin is disabled", "plugin", p.Name)
			continue
		}
		e, err := a.pipelineEntry(p, &client.Settings)
		if err != nil {
			return nil, fmt.Errorf("%s: plugin %s: %w", p.At(""), p.Name, err)
		}
		if c, ok := e.Plugin.(io.Closer); ok {
			ps.closers = append(ps.closers, c)
		}
		ps.entries = append(ps.entries, e)
	}
	ps.pipe, err = pipeline.New(ps.entries, a.pipelineOptions(&client.Settings))
	return ps, err
}

func (a *app) pipelineOptions(s *config.Settings) *pipeline.Options {
	return &pipeline.Options{
		Timeout: s.Timeout, FailOnPluginError: s.FailOnPluginError, MaxPayloadBytes: int(s.MaxPayloadBytes),
		SecretHeaders: s.SecretHeaders, ParallelWithinBand: s.ParallelWithinBand,
		OverrideAuthHeaders: s.OverrideAuthHeaders, Logger: a.log,
	}
}

// remoteConfig is what the client of an external plugin has to know but where it
// is.
func remoteConfig(p *config.Plugin, s *config.Settings) remote.Config {
	return remote.Config{Name: p.Name, Timeout: p.Timeout, Hooks: p.Hooks, HealthInterval: s.HealthCheckInterval, MaxPayload: s.MaxPayloadBytes}
}

func (a *app) pipelineEntry(p *config.Plugin, s *config.Settings) (pipeline.Entry, error) {
	mode, ok := pipeline.ParseMode(p.Mode)
	if !ok { // config has refused it
		return pipeline.Entry{}, fmt.Errorf("unknown mode %q", p.Mode)
	}
	e := pipeline.Entry{
		Name: p.Name, Priority: p.Priority, Timeout: p.Timeout, Hooks: p.Hooks, ExposeHeaders: p.ExposeHeaders,
		Mode: mode, OnError: pipeline.OnError(p.OnError),
		Learn: pipeline.Learn{Mode: !p.ModeSet, OnError: !p.OnErrorSet, Priority: !p.PrioritySet, Conditions: !p.ConditionsSet},
	}
	for _, c := range p.Conditions {
		e.Conditions = append(e.Conditions, pipeline.Condition(c))
	}
	var err error
	e.Plugin, err = a.newPlugin(p, s)
	return e, err
}

// newPlugin makes one plugin: a client where it is external, else the plugin
// itself.
func (a *app) newPlugin(p *config.Plugin, s *config.Settings) (plugin.Plugin, error) {
	if p.MCP == nil {
		kind, ok := config.FindKind(builtin.Kinds(), p.Kind)
		if !ok { // config has refused it
			return nil, fmt.Errorf("unknown kind %q", p.Kind)
		}
		made, err := kind.New(plugin.Config{Name: p.Name, Hooks: p.Hooks, Raw: p.Config, Logger: a.log.With("plugin", p.Name)})
		if fault, ok := errors.AsType[*plugin.ConfigError](err); ok {
			return nil, fmt.Errorf("%s: %w", p.At(fault.Path), err)
		}
		return made, err
	}
	target := remoteConfig(p, s)
	if err := a.reach(&target, p.MCP, nil); err != nil {
		return nil, err
	}
	return remote.New(target, &remote.Options{Logger: a.log, Version: version})
}

// afterLimit is how long plugins that run after the answer may go on when the
// gateway ends.
const afterLimit = 5 * time.Second

// close waits for what runs after answers, so long, and closes the plugins.
func (ps *gatewayPlugins) close(log *slog.Logger) {
	if ps.pipe != nil {
		ctx, cancel := context.WithTimeout(context.Background(), afterLimit)
		defer cancel()
		if err := ps.pipe.Close(ctx); err != nil {
			log.Warn(err.Error())
		}
	}
	var closing sync.WaitGroup // one that is a process may take its time
	for _, c := range ps.closers {
		closing.Go(func() { _ = c.Close() }) // nothing is left to lose
	}
	closing.Wait()
}
