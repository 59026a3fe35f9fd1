package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// attempt is one plugin's run on one hook. It changes nothing that it is given,
// so that several may be under way at once.
type attempt struct {
	e       *Entry
	c       *plugin.Context
	result  *plugin.Result  // nil when err is not
	merged  json.RawMessage // the payload with the plugin's change, nil without one
	answer  json.RawMessage // what it answered where that is no payload
	remarks plugin.Object
	err     error
	unknown bool // err is why the plugin is not known
	tooBig  bool // err is about the payload, not the plugin
	took    time.Duration
}

// attempt runs one plugin if it has the hook; nil says that it has not. What is
// asked of the plugin, its hooks included, shares one time limit.
func (s *round) attempt(ctx context.Context, e *Entry, payload json.RawMessage) *attempt {
	ctx, cancel := e.limit(ctx, s.asked[e.index].took)
	defer cancel()
	start := time.Now()
	e, runs, err := s.learned(ctx, e)
	if err == nil && !runs {
		return nil
	}
	p, hook, req := s.p, s.hook, s.req
	a := &attempt{e: e, err: err, unknown: err != nil}
	if len(payload) > p.o.MaxPayloadBytes {
		a.tooBig, a.err = true, fmt.Errorf("the payload has %d bytes, over max_payload_bytes %d", len(payload), p.o.MaxPayloadBytes)
	}
	if a.err == nil {
		a.c = req.contextFor(e.Name)
		subject := s.subject
		if subject == nil { // after the answer
			subject = newSubject(hook, payload)
		}
		a.err = p.invoke(ctx, a, subject)
	}
	if a.err != nil {
		a.result = nil
	}
	a.took = time.Since(start)
	return a
}

// answered is what one Invoke gave back.
type answered struct {
	result *plugin.Result
	err    error
}

// invoke calls the plugin once.
func (p *Pipeline) invoke(ctx context.Context, a *attempt, s *subject) error {
	shown, withheld, err := p.withhold(a.e, s)
	if err != nil {
		return err
	}
	got := p.answer(ctx, a, s.hook, shown)
	if got.err == nil && got.result == nil {
		got.err = errors.New("the plugin gave no result")
	}
	if got.err != nil {
		return got.err
	}
	a.result = got.result
	return p.read(a, s.hook, s.payload, shown, withheld)
}

// answer calls the plugin. One that panics or outlives its timeout has failed; in
// this process it is left to end by itself. A peer's hands back the call by then,
// so it needs no goroutine of its own.
func (p *Pipeline) answer(ctx context.Context, a *attempt, hook plugin.Hook, shown json.RawMessage) answered {
	if a.e.peer != nil {
		return p.guarded(ctx, a, hook, shown)
	}
	done := make(chan answered, 1)
	go func() { done <- p.guarded(ctx, a, hook, shown) }()
	select {
	case got := <-done:
		return got
	case <-ctx.Done():
		return answered{err: context.Cause(ctx)}
	}
}

// guarded calls the plugin and makes an error of a panic.
func (p *Pipeline) guarded(ctx context.Context, a *attempt, hook plugin.Hook, shown json.RawMessage) (got answered) {
	defer func() {
		if r := recover(); r != nil {
			p.o.Logger.Error("plugin panicked", "plugin", a.e.Name, "hook", string(hook), "panic", fmt.Sprint(r), "stack", logs.Stack())
			got = answered{err: errors.New("the plugin panicked")}
		}
	}()
	result, err := a.e.Plugin.Invoke(ctx, hook, shown, a.c)
	return answered{result, err}
}

// read makes of a result what it would do to the request.
func (p *Pipeline) read(a *attempt, hook plugin.Hook, payload, shown json.RawMessage, withheld *withheld) (err error) {
	r := a.result
	if string(r.ModifiedPayload) == "null" {
		r.ModifiedPayload = nil
	}
	var dropped []string
	switch {
	case r.ModifiedPayload == nil:
	case !r.Continue && (a.e.Mode.mayRefuse() || hook == plugin.HTTPAuthResolveUser || hook == plugin.HTTPAuthCheckPermission):
		// A refusal's change never counts, so that one which cannot be read makes no
		// failure of it. ContextForge's first servers send the payload back with a
		// refusal, which is no answer of an HTTP hook, and no user.
	case hook == plugin.HTTPPreRequest:
		a.merged, dropped, err = p.mergeHeaders(a.e, payload, "headers", r.ModifiedPayload)
	case hook == plugin.HTTPPostRequest:
		a.merged, dropped, err = p.mergeHeaders(a.e, payload, "response_headers", r.ModifiedPayload)
	case hook == plugin.HTTPAuthResolveUser:
		a.answer, err = userOf(r.ModifiedPayload)
	case hook == plugin.HTTPAuthCheckPermission:
		a.answer, a.result, err = grantOf(r)
	default:
		if a.merged, dropped, err = splice(hook, shown, r.ModifiedPayload); err == nil {
			a.merged, err = withheld.putBack(a.merged)
		}
	}
	if err != nil && !r.Continue && (hook == plugin.HTTPPreRequest || hook == plugin.HTTPPostRequest) {
		a.merged, dropped, err = nil, nil, nil // the payload again
	}
	if err != nil {
		return err
	}
	if len(dropped) > 0 {
		p.o.Logger.Warn("plugin changed what is not its to change; dropped", "plugin", a.e.Name, "hook", string(hook), "fields", dropped)
	}
	if len(r.Metadata) > 0 && string(r.Metadata) != "null" {
		if err := json.Unmarshal(r.Metadata, &a.remarks); err != nil {
			return fmt.Errorf("metadata is not an object: %w", err)
		}
	}
	return nil
}

// take makes what one plugin said part of the outcome, and reports whether it
// answered with a payload. base is the payload that it was given.
func (s *round) take(ctx context.Context, a *attempt, base json.RawMessage) (changed bool) {
	e := a.e
	if a.tooBig {
		s.refuse(&Refusal{Err: a.err})
		return false
	}
	s.req.setRan(e.Name, s.hook)
	v := Verdict{Plugin: e.Name, Duration: a.took, Err: a.err}
	if a.err != nil {
		v.Said = s.failed(ctx, a)
		s.out.Verdicts = append(s.out.Verdicts, v)
		return false
	}
	s.req.keep(e.Name, a.c)
	if len(a.remarks) > 0 && s.out.Metadata == nil {
		s.out.Metadata = plugin.Object{}
	}
	maps.Copy(s.out.Metadata, a.remarks)
	s.wishes(a)
	v.Said = s.judged(a, base)
	s.out.Verdicts = append(s.out.Verdicts, v)
	return a.merged != nil
}

// wishes takes over what a plugin asks of the answer and of a retry, if its mode
// lets it have a say at all.
func (s *round) wishes(a *attempt) {
	if !a.e.Mode.judges() {
		return
	}
	for name, value := range a.result.HTTPHeaders {
		if s.out.HTTPHeaders == nil {
			s.out.HTTPHeaders = map[string]string{}
		}
		s.out.HTTPHeaders[textproto.CanonicalMIMEHeaderKey(name)] = value
	}
	if ms := a.result.RetryDelayMS; ms != nil {
		s.out.RetryDelayMS = max(s.out.RetryDelayMS, *ms)
	}
}

// judged decides about a plugin's verdict and change, and puts it into a word.
// A refusal's change never counts.
func (s *round) judged(a *attempt, base json.RawMessage) (said string) {
	e, log := a.e, s.p.o.Logger.With("plugin", a.e.Name, "hook", string(s.hook))
	changes := a.merged != nil || a.answer != nil
	said = "pass"
	if a.result.Continue && a.result.Violation != nil {
		// It passes, as in the reference: continue_processing alone decides.
		log.Warn("plugin reports a violation and lets the call go on: only continue_processing: false refuses", "code", a.result.Violation.Code)
	}
	switch {
	case !a.result.Continue && e.Mode.mayRefuse():
		s.refuse(&Refusal{Plugin: e.Name, Violation: violationOf(a.result)})
		return "refused"
	case !a.result.Continue:
		log.Warn("plugin would block; going on, as its mode says", "mode", string(e.Mode), "code", violationOf(a.result).Code)
		said = "would refuse"
	case changes && e.Mode.mayChange():
		said = "changed"
	case changes && s.hook != plugin.HTTPAuthCheckPermission:
		said = "would change"
		log.Info("plugin would change the payload; its mode does not let it", "mode", string(e.Mode))
	}
	if !changes || !e.Mode.mayChange() {
		return said
	}
	if err := s.adopt(a, base); err != nil {
		// Two guardrails disagree: whichever won, the other would be skipped.
		s.refuse(&Refusal{Plugin: e.Name, Err: err})
		return "refused"
	}
	return said
}

// failed decides about a plugin's failure and puts it into a word.
func (s *round) failed(ctx context.Context, a *attempt) (said string) {
	e, err := a.e, a.err
	log := s.p.o.Logger.With("plugin", e.Name, "hook", string(s.hook))
	switch action := s.p.onError(e); {
	case s.req.Lenient:
		log.Warn("plugin failed; what the client asks for waits for no plugin", "err", err)
	case action == Fail:
		s.refuse(&Refusal{Plugin: e.Name, Err: err})
		return "failed"
	case action == Disable && s.p.disable(ctx, a):
		return "failed, disabled"
	default:
		log.Warn("plugin failed; going on, as its entry says", "mode", string(e.Mode), "err", err)
	}
	return "failed, ignored"
}

// disable turns a plugin off after a failure of its own. A client that hangs up
// cannot, and a plugin that is not known yet has not failed.
func (p *Pipeline) disable(ctx context.Context, a *attempt) bool {
	if ctx.Err() != nil || a.unknown || a.tooBig {
		return false
	}
	if !a.e.off.Swap(true) {
		p.o.Logger.Error("plugin failed and does not run again, as its on_error says", "plugin", a.e.Name, "err", a.err)
	}
	return true
}

// Off lists the plugins that do not run any more because a failure has disabled
// them.
func (p *Pipeline) Off() (names []string) {
	for i := range p.entries {
		if p.entries[i].off.Load() {
			names = append(names, p.entries[i].Name)
		}
	}
	return names
}

// refuse ends the request, unless an earlier plugin has.
func (s *round) refuse(r *Refusal) {
	if s.out.Refusal == nil {
		s.out.Refusal = r
	}
}

// violationOf returns the result's violation, or one that says there was none.
func violationOf(r *plugin.Result) *plugin.Violation {
	if r.Violation != nil {
		return r.Violation
	}
	return &plugin.Violation{Reason: "Refused", Description: "The plugin refused the request without a reason"}
}
