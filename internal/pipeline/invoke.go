package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// answered is what one Invoke gave back.
type answered struct {
	result *plugin.Result
	err    error
}

// invoke runs one plugin once and, if the mode lets it, puts its change into
// out.Payload. A plugin that panics or outlives its timeout has failed; it is
// left to end by itself.
func (p *Pipeline) invoke(ctx context.Context, e *Entry, hook plugin.Hook, out *Outcome, req *Request) (*plugin.Result, error) {
	shown, withheld, err := p.withhold(e, hook, out.Payload)
	if err != nil {
		return nil, err
	}
	c := req.contextFor(e.Name)
	done := make(chan answered, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				p.o.Logger.Error("plugin panicked", "plugin", e.Name, "hook", string(hook), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
				done <- answered{err: errors.New("the plugin panicked")}
			}
		}()
		result, err := e.Plugin.Invoke(ctx, hook, shown, c)
		done <- answered{result, err}
	}()
	var a answered
	select {
	case a = <-done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if a.err == nil && a.result == nil {
		a.err = errors.New("the plugin gave no result")
	}
	if a.err != nil {
		return nil, a.err
	}
	if err := p.apply(e, hook, out, shown, withheld, a.result); err != nil {
		return nil, err
	}
	req.keep(e.Name, c)
	return a.result, nil
}

// apply takes over a result's change and remarks.
func (p *Pipeline) apply(e *Entry, hook plugin.Hook, out *Outcome, shown json.RawMessage, withheld *withheld, r *plugin.Result) error {
	if string(r.ModifiedPayload) == "null" {
		r.ModifiedPayload = nil
	}
	if r.ModifiedPayload != nil {
		merged, dropped, err := splice(hook, shown, r.ModifiedPayload)
		if err != nil {
			return err
		}
		if len(dropped) > 0 {
			p.o.Logger.Warn("plugin changed fields that are not this hook's; dropped", "plugin", e.Name, "hook", string(hook), "fields", dropped)
		}
		if merged, err = withheld.putBack(merged); err != nil {
			return err
		}
		// A refusal's change never counts, an audit's neither.
		if e.Mode != Audit && (r.Continue || e.Mode == Permissive) {
			out.Payload = merged
		}
	}
	var remarks plugin.Object
	if len(r.Metadata) > 0 && string(r.Metadata) != "null" {
		if err := json.Unmarshal(r.Metadata, &remarks); err != nil {
			return fmt.Errorf("metadata is not an object: %w", err)
		}
	}
	if len(remarks) > 0 && out.Metadata == nil {
		out.Metadata = plugin.Object{}
	}
	maps.Copy(out.Metadata, remarks)
	return nil
}
