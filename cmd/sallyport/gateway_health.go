package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/gateway"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/remote"
)

// downInterval is how often a plugin server that is down is tried again.
const downInterval = 5 * time.Second

// pluginHealth is what is wrong with external plugins, for the log and /readyz.
// No call depends on it: each finds out for itself whether its plugins are known.
type pluginHealth struct {
	mu   sync.Mutex
	down map[string]gateway.Degraded
}

// watch asks each plugin server for its plugin at once, so that what is wrong is
// said at the start and not with the first call, and then at intervals, until
// ctx ends.
func (ps *gatewayPlugins) watch(ctx context.Context, interval time.Duration, log *slog.Logger) {
	var running sync.WaitGroup
	for _, e := range ps.entries {
		if p, ok := e.Plugin.(*remote.Plugin); ok {
			running.Go(func() {
				ps.health.watch(ctx, e.Name, func(ctx context.Context) error {
					if err := ps.pipe.Refresh(ctx, e.Name); err != nil {
						return err
					}
					_, err := p.Describe(ctx) // also of one that is known, and may be down
					return err
				}, interval, log.With("plugin", e.Name))
			})
		}
	}
	running.Wait()
}

func (h *pluginHealth) watch(ctx context.Context, name string, ask func(context.Context) error, interval time.Duration, log *slog.Logger) {
	for {
		err := ask(ctx)
		if ctx.Err() != nil {
			return
		}
		h.note(name, err, log)
		next := interval
		if err != nil {
			next = min(interval, downInterval)
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// note keeps how a plugin is doing and logs when that has changed.
func (h *pluginHealth) note(name string, err error, log *slog.Logger) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was, down := h.down[name]
	switch {
	case err != nil && !down:
		log.Warn("plugin cannot be asked; as long as that is so its entry's mode decides about calls", "error", err.Error(), "hint", strings.Join(hint.Of(err), "; "))
		was.Since = time.Now().UTC().Format(time.RFC3339)
	case err == nil && down:
		log.Info("plugin can be asked again", "since", was.Since)
	}
	if err == nil {
		delete(h.down, name)
		return
	}
	if h.down == nil {
		h.down = map[string]gateway.Degraded{}
	}
	h.down[name] = gateway.Degraded{Plugin: name, Reason: err.Error(), Since: was.Since}
}

// degraded lists the plugins that cannot be asked, by name.
func (h *pluginHealth) degraded() []gateway.Degraded {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]gateway.Degraded, 0, len(h.down))
	for _, d := range h.down {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b gateway.Degraded) int { return cmp.Compare(a.Plugin, b.Plugin) })
	return all
}

// degraded adds those that a failure has disabled for good.
func (ps *gatewayPlugins) degraded() []gateway.Degraded {
	all := ps.health.degraded()
	for _, name := range ps.pipe.Off() {
		all = append(all, gateway.Degraded{Plugin: name, Reason: "disabled after a failure, as its on_error says; a restart enables it again"})
	}
	return all
}

// learned tells which plugins run as their servers say, where the file does not.
func (ps *gatewayPlugins) learned() (all []gateway.PluginState) {
	for _, e := range ps.pipe.Learned() {
		all = append(all, gateway.PluginState{
			Plugin: e.Name, Mode: string(e.Mode), OnError: string(e.OnError), Priority: e.Priority,
			Conditions: len(e.Conditions), FromServer: e.Learned,
		})
	}
	return all
}
