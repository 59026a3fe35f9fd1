package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// Plugin checks a plugin in this process against the contract of
// [plugin.Plugin]. It does not close it. Run under the race detector it finds
// more.
func Plugin(ctx context.Context, p plugin.Plugin, o *Options) []Result {
	opts := o.filled()
	var results []Result
	r := report{results: &results}
	hooks := slices.Clone(p.Hooks())
	r.add("§2", "hooks are declared, each once", checkHooks(hooks, p.Hooks()))
	for _, hook := range hooks {
		h := &local{p: p, hook: hook, o: opts, report: r.about(hook)}
		h.run(ctx)
	}
	opts.unused(r, hooks)
	h := &local{p: p, hook: undeclared, o: opts, report: r}
	if got := h.invoke(ctx, []byte(`{}`), "undeclared"); got.err == nil {
		r.add("§6", "a hook that is not declared fails", failf("it gave a verdict"))
	} else {
		r.add("§6", "a hook that is not declared fails", got.orPanic(pass))
	}
	return results
}

// undeclared is a hook that no plugin has.
const undeclared plugin.Hook = "sallyport_conformance_undeclared"

func checkHooks(hooks, again []plugin.Hook) verdict {
	seen := map[plugin.Hook]bool{}
	for _, hook := range hooks {
		if seen[hook] || hook == "" {
			return failf("%q is there twice, or empty: %v", hook, hooks)
		}
		seen[hook] = true
	}
	switch {
	case len(hooks) == 0:
		return failf("there is none: the plugin guards nothing")
	case !slices.Equal(hooks, again):
		return failf("first %v, then %v", hooks, again)
	}
	return pass
}

// local is one hook of a plugin in this process.
type local struct {
	report
	p    plugin.Plugin
	hook plugin.Hook
	o    Options
}

// outcome is what one call came to.
type outcome struct {
	result *plugin.Result
	err    error
	c      *plugin.Context
	touch  bool // the payload was changed
}

var errPanicked = errors.New("panic")

// orPanic is v unless the call panicked.
func (o outcome) orPanic(v verdict) verdict {
	if errors.Is(o.err, errPanicked) {
		return failf("%v", o.err)
	}
	return v
}

// invoke makes one call with a payload and a context of its own.
func (h *local) invoke(ctx context.Context, payload []byte, id string) (out outcome) {
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	sent := bytes.Clone(payload)
	out.c = &plugin.Context{}
	if err := json.Unmarshal(contextOf(id), out.c); err != nil {
		out.err = err
		return out
	}
	defer func() {
		if fault := recover(); fault != nil {
			out.result, out.err = nil, fmt.Errorf("%w: %v\n%s", errPanicked, fault, logs.Stack())
		}
	}()
	out.result, out.err = h.p.Invoke(ctx, h.hook, sent, out.c)
	out.touch = !bytes.Equal(sent, payload)
	return out
}

func (h *local) run(ctx context.Context) {
	s := h.o.sample(h.report)
	base := h.invoke(ctx, []byte(s.full), "base")
	h.add("§4", ruleVerdict, base.verdict())
	touched := pass
	if base.touch {
		touched = failf("its bytes were changed in place")
	}
	h.add("§4", "the payload belongs to the caller", touched)
	if base.result != nil && base.err == nil {
		checkResult(h.report, s, base.result)
	}
	h.add("§3", ruleOptional, h.minimal(ctx, s, base))
	h.add("§5", ruleMetadata, checkGlobal(base.c, "base"))
	h.add("§5", ruleIsolated, h.concurrent(ctx, s))
	h.add("§7", "a hook returns soon after its context ends", h.cancelled(ctx, s))
}

// minimal calls with a payload that has the required fields only.
func (h *local) minimal(ctx context.Context, s sample, base outcome) verdict {
	if base.err != nil {
		return skipf("the plugin fails anyhow")
	}
	if got := h.invoke(ctx, []byte(s.minimal), "minimal"); got.err != nil {
		return failf("the plugin failed on %s: %v", s.minimal, got.err)
	}
	return pass
}

// verdict judges a call that should have an outcome.
func (o outcome) verdict() verdict {
	switch {
	case errors.Is(o.err, errPanicked):
		return failf("%v", o.err)
	case o.err != nil:
		return warnf("the plugin failed: %v", o.err)
	case o.result == nil:
		return failf("neither a result nor an error")
	}
	return pass
}

// checkGlobal looks for changes of what is not the plugin's.
func checkGlobal(c *plugin.Context, id string) verdict {
	var want plugin.Context
	if err := json.Unmarshal(contextOf(id), &want); err != nil {
		return failf("%v", err)
	}
	got, err := json.Marshal(c.GlobalContext.Metadata)
	before, err2 := json.Marshal(want.GlobalContext.Metadata)
	switch {
	case err != nil || err2 != nil:
		return failf("global metadata is no JSON any more: %v", err)
	case !bytes.Equal(got, before):
		return warnf("it was changed, which gateways ignore")
	case c.GlobalContext.RequestID != id:
		return warnf("the request id was changed, which gateways ignore")
	}
	return pass
}

// many is how many calls run at the same time.
const many = 8

// concurrent makes calls at the same time, and sees whose context is whose.
func (h *local) concurrent(ctx context.Context, s sample) verdict {
	outcomes := make([]outcome, many)
	var wg sync.WaitGroup
	for i := range outcomes {
		wg.Go(func() { outcomes[i] = h.invoke(ctx, []byte(s.full), fmt.Sprintf("call-%d", i)) })
	}
	wg.Wait()
	for i, o := range outcomes {
		if v := o.verdict(); v.status == Fail {
			return v
		}
		if id := fmt.Sprintf("call-%d", i); o.c.GlobalContext.RequestID != id {
			return failf("the context of %s became that of %s", id, o.c.GlobalContext.RequestID)
		}
		if own, ok := o.c.State[stateKey]; ok && string(own) != kept {
			return failf("state %s became %s", kept, own)
		}
		if raw := o.c.GlobalContext.State[stateKey]; raw != nil && wire.Check(raw) != nil {
			return failf("global state holds %s", clip(raw))
		}
	}
	return pass
}

// cancelled calls the hook for somebody who has gone.
func (h *local) cancelled(ctx context.Context, s sample) verdict {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	returned := make(chan outcome, 1)
	go func() { returned <- h.invoke(ctx, []byte(s.full), "cancelled") }()
	timer := time.NewTimer(h.o.Grace)
	defer timer.Stop()
	select {
	case o := <-returned:
		if errors.Is(o.err, errPanicked) {
			return failf("%v", o.err)
		}
		return pass
	case <-timer.C:
		return failf("it has not returned %s after the end of its context", h.o.Grace)
	}
}
