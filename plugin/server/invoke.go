package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// A plugin that does not return must not collect goroutines and payloads without
// end: with so many calls of one plugin under way, one more is refused.
const (
	maxLate    = 64   // calls that go on after their time is over
	maxRunning = 4096 // calls in all, those whose client has gone included
)

// served is one plugin at work.
type served struct {
	Entry
	config json.RawMessage // what get_plugin_config answers

	running atomic.Int64 // calls that have not returned
	late    atomic.Int64 // of these, calls whose time is over
}

func (p *served) has(hook plugin.Hook) bool { return slices.Contains(p.Hooks, hook) }

// The states of a call: whoever leaves running first decides what becomes of it.
const (
	callRunning int32 = iota
	callReturned
	callLate // its time is over, and it is counted
	callLeft // its client has gone
)

type call struct {
	state  atomic.Int32
	done   chan struct{}
	result *plugin.Result
	err    error
}

// invoke runs one hook in a goroutine of its own and waits for it until ctx or
// the plugin's time ends.
// payload and c must not be reused after an error: a call that is left
// behind may still read them.
func (p *served) invoke(ctx context.Context, log *slog.Logger, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	if err := p.crowded(log, hook); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	k := &call{done: make(chan struct{})}
	p.running.Add(1)
	go p.run(ctx, log, hook, payload, c, k)
	select {
	case <-k.done:
		return k.result, p.inTime(ctx, log, hook, k.err)
	case <-ctx.Done():
	}
	leave := callLeft
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		leave = callLate
		p.late.Add(1)
	}
	if k.state.CompareAndSwap(callRunning, leave) {
		return nil, p.inTime(ctx, log, hook, ctx.Err())
	}
	if leave == callLate {
		p.late.Add(-1)
	}
	<-k.done
	return k.result, p.inTime(ctx, log, hook, k.err)
}

// crowded refuses a call of a plugin whose earlier calls do not return.
func (p *served) crowded(log *slog.Logger, hook plugin.Hook) error {
	late, running := p.late.Load(), p.running.Load()
	if late < maxLate && running < maxRunning {
		return nil
	}
	log.Error("plugin refused: earlier calls have not returned", "plugin", p.Name, "hook", hook, "late", late, "running", running)
	return &plugin.Error{Message: fmt.Sprintf("%d earlier calls have not returned", running), Code: "timeout"}
}

// inTime is err, unless the call failed because its time was over.
func (p *served) inTime(ctx context.Context, log *slog.Logger, hook plugin.Hook, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	return p.tooLate(log, hook)
}

// tooLate is the error of a call whose time is over.
func (p *served) tooLate(log *slog.Logger, hook plugin.Hook) *plugin.Error {
	log.Error("plugin did not answer in time", "plugin", p.Name, "hook", hook, "timeout", p.Timeout)
	return &plugin.Error{Message: fmt.Sprintf("no answer within %s", p.Timeout.Round(time.Millisecond)), Code: "timeout"}
}

// run is the goroutine of one call.
func (p *served) run(ctx context.Context, log *slog.Logger, hook plugin.Hook, payload json.RawMessage, c *plugin.Context, k *call) {
	k.err = errPanic // unless it returns
	defer func() {
		if !k.state.CompareAndSwap(callRunning, callReturned) && k.state.Load() == callLate {
			p.late.Add(-1)
		}
		p.running.Add(-1)
		close(k.done)
	}()
	k.result, k.err = p.call(ctx, log, hook, payload, c)
}

// call invokes the plugin. A panic ends the call, not the process; so does a
// plugin that ends its goroutine, which call then cannot report.
func (p *served) call(ctx context.Context, log *slog.Logger, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (result *plugin.Result, err error) {
	returned := false
	defer func() {
		if fault := recover(); fault != nil || !returned {
			log.Error("plugin panicked", "plugin", p.Name, "hook", hook, "panic", fmt.Sprint(fault), "stack", logs.Stack())
			result, err = nil, errPanic
		}
	}()
	result, err = p.Plugin.Invoke(ctx, hook, payload, c)
	if result == nil && err == nil {
		err = errNothing
	}
	returned = true
	return result, err
}

var (
	errPanic   = errors.New("panic")
	errNothing = errors.New("neither a result nor an error")
)

// wireError makes of a plugin's failure what the other side may know: the text
// only if the plugin chose it.
func (p *served) wireError(err error) *plugin.Error {
	e := plugin.Error{}
	if chosen, ok := errors.AsType[*plugin.Error](err); ok {
		e = *chosen
	} else {
		e.Message = "the plugin failed; the log of its server says why"
	}
	if e.Plugin == "" {
		e.Plugin = p.Name
	}
	return &e
}

// appendFailure adds the error object of plugin protocol §6.
func appendFailure(dst []byte, e *plugin.Error) []byte {
	dst = append(dst, `{"message":`...)
	dst = wire.AppendString(dst, e.Message)
	dst = append(dst, `,"plugin_name":`...)
	dst = wire.AppendString(dst, e.Plugin)
	dst = append(dst, `,"code":`...)
	dst = wire.AppendString(dst, e.Code)
	dst = append(dst, `,"details":`...)
	if wire.Kind(e.Details) == '{' && wire.Check(e.Details) == nil {
		dst = append(dst, e.Details...)
	} else {
		dst = append(dst, "{}"...)
	}
	code := e.MCPCode
	if code == 0 {
		code = int(wire.CodeInternal)
	}
	return fmt.Appendf(dst, `,"mcp_error_code":%d}`, code)
}
