package gateway

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// requestID is ours for one call: plugins, clients and the log have it.
func requestID() string { return rand.Text() }

// record is what the log line of one call is made of.
type record struct {
	began    time.Time
	upstream time.Duration // waited for the upstream
	verdicts verdicts
}

func (r *record) start() { r.began = time.Now() }

// waited measures until the function that it returns is called.
func (r *record) waited() func() {
	began := time.Now()
	return func() { r.upstream += time.Since(began) }
}

func (r *record) add(hook plugin.Hook, out *pipeline.Outcome) {
	for _, v := range out.Verdicts {
		r.verdicts = append(r.verdicts, verdict{v.Plugin, string(hook), v.Said, v.Duration})
	}
}

// log writes the one line of the call.
func (r *record) log(ctx context.Context, j *job, e end) {
	if !j.g.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	server := ""
	if j.entry != nil {
		server = j.entry.source.Name()
	}
	attrs := []slog.Attr{
		slog.String("method", j.q.m.Method), slog.String("name", clip(j.q.c.Name)), slog.String("upstream", server),
		slog.Any("plugins", r.verdicts), slog.String("outcome", e.outcome),
		slog.Float64("ms", milliseconds(time.Since(r.began))), slog.Float64("upstream_ms", milliseconds(r.upstream)),
		slog.String("request_id", j.id()),
	}
	if e.fault != nil {
		attrs = append(attrs, slog.Int64("code", e.fault.Code))
	}
	if trace, ok := wire.String(wire.Member(j.q.c.Meta.Raw, "traceparent")); ok {
		attrs = append(attrs, slog.String("traceparent", clip(trace)))
	}
	j.g.log.LogAttrs(ctx, slog.LevelInfo, "call", attrs...)
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// verdict is one plugin's part in a call.
type verdict struct {
	plugin, hook, said string
	took               time.Duration
}

type verdicts []verdict

// MarshalJSON is for logs in JSON.
func (v verdicts) MarshalJSON() ([]byte, error) {
	type line struct {
		Plugin string  `json:"plugin"`
		Hook   string  `json:"hook"`
		Said   string  `json:"verdict"`
		MS     float64 `json:"ms"`
	}
	lines := make([]line, 0, len(v))
	for _, one := range v {
		lines = append(lines, line{one.plugin, one.hook, one.said, milliseconds(one.took)})
	}
	return json.Marshal(lines)
}

// MarshalText is for logs as text.
func (v verdicts) MarshalText() ([]byte, error) {
	var parts []string
	for _, one := range v {
		parts = append(parts, fmt.Sprintf("%s %s: %s %gms", one.plugin, one.hook, one.said, milliseconds(one.took)))
	}
	return []byte(strings.Join(parts, ", ")), nil
}
