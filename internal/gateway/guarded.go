package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/upstream"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// guard is what differs between tools, prompts and resources in a guarded call.
type guard interface {
	// hooks are those before and after the upstream.
	hooks() (pre, post plugin.Hook)

	// find resolves the client's name or URI.
	find(ctx context.Context, c *catalog, name string) (*entry, error)

	// payload makes that of the pre hook.
	payload(q *request) json.RawMessage

	// member is where a payload has the name or URI.
	member() string

	// params makes those for the upstream, and headers, from the payload as the
	// plugins left it.
	params(j *job, payload json.RawMessage) (json.RawMessage, http.Header)

	// judge runs the post hook on a result and returns what is left of it.
	judge(ctx context.Context, j *job, result json.RawMessage) (json.RawMessage, *pipeline.Refusal)

	// violation is the answer to a refusal that names no code of its own: a
	// result, or nil for an error.
	violation(j *job, plugin string, v *plugin.Violation) []byte
}

// job is one guarded call.
type job struct {
	g      *Gateway
	q      *request
	guard  guard
	entry  *entry
	former []binding       // of tools that a plugin has changed the call from
	first  json.RawMessage // the pre hook's payload before any plugin saw it
	shared *pipeline.Request
	judged bool // plugins judge the result, so nothing may come before it
	record record

	retryMS int64 // the wait after which a plugin would have the tool called again
}

// end is how a call ends. Exactly one of result, fault and err is set.
type end struct {
	result  []byte
	fault   *wire.Error
	err     error  // the client has gone
	outcome string // for the log
}

// guarded runs one call through plugins and upstream, and logs it.
func (g *Gateway) guarded(ctx context.Context, q *request, kind guard) ([]byte, *wire.Error, error) {
	j := &job{g: g, q: q, guard: kind, shared: q.shared}
	j.record.start()
	e := j.run(ctx)
	if e.err == nil && ctx.Err() != nil {
		e = end{err: context.Cause(ctx)}
	}
	if e.err != nil {
		e.outcome = "cancelled"
	}
	j.record.log(ctx, j, e)
	return e.result, e.fault, e.err
}

func (j *job) run(ctx context.Context) end {
	if j.q.c.Name == "" {
		return end{fault: wire.Errorf(wire.CodeInvalidParams, "Invalid params: %s is missing", wireName(j.q)), outcome: "invalid"}
	}
	if args := j.q.c.Arguments; !wire.IsNull(args) && wire.Kind(args) != '{' {
		return end{fault: wire.Errorf(wire.CodeInvalidParams, "Invalid params: arguments is not an object"), outcome: "invalid"}
	}
	e, err := j.guard.find(ctx, j.g.catalog, j.q.c.Name)
	switch {
	case ctx.Err() != nil:
		return end{err: context.Cause(ctx)}
	case err != nil:
		return j.unresolved(err)
	}
	if j.q.era == wire.Modern {
		if fault := checkParams(j.q.header, e.params, j.q.c.Arguments); fault != nil {
			j.q.status = http.StatusBadRequest
			return end{fault: fault, outcome: "invalid"}
		}
	}
	j.direct(e)
	payload, stopped := j.before(ctx)
	if stopped != nil {
		return *stopped
	}
	for retries := 0; ; retries++ {
		e, again := j.ask(ctx, payload)
		if !again || retries == maxRetries || !j.pause(ctx) {
			return e
		}
	}
}

// ask sends the call to its upstream and judges what comes back. It reports
// whether a plugin would have the call made again.
func (j *job) ask(ctx context.Context, payload json.RawMessage) (e end, again bool) {
	answer, err := j.forward(ctx, payload)
	switch {
	case ctx.Err() != nil:
		return end{err: context.Cause(ctx)}, false
	case err != nil:
		return j.upstreamFailed(j.entry.source.Name(), err), false
	case answer.Error != nil:
		return end{fault: answer.Error, outcome: "upstream's error"}, false
	case wire.Kind(answer.Result) != '{':
		return j.upstreamFailed(j.entry.source.Name(), errors.New("the result is not an object")), false
	}
	j.retryMS = 0
	result, refusal := j.guard.judge(ctx, j, answer.Result)
	switch {
	case ctx.Err() != nil:
		return end{err: context.Cause(ctx)}, false
	case refusal != nil:
		return j.refused(refusal, false), false
	}
	return j.bridged(result), j.retryMS > 0 && j.q.m.Method == wire.MethodToolsCall
}

// A plugin may have a tool called again, as ContextForge's gateway does: so often,
// and after no longer a wait than this.
const (
	maxRetries = 3
	maxPause   = 30 * time.Second
)

// pause waits as long as a plugin asks; false says that the client has gone.
func (j *job) pause(ctx context.Context) bool {
	wait := maxPause
	if j.retryMS < maxPause.Milliseconds() {
		wait = time.Duration(j.retryMS) * time.Millisecond
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// heard keeps what the plugins of one hook said beside their verdicts.
func (j *job) heard(hook plugin.Hook, out *pipeline.Outcome) {
	j.record.add(hook, out)
	j.retryMS = max(j.retryMS, out.RetryDelayMS)
	if out.Refusal == nil {
		j.q.reply.setHeaders(out.HTTPHeaders)
	}
}

// direct makes e what the call goes to, at first and when a plugin changes it.
func (j *job) direct(e *entry) {
	if old := j.entry; old != nil {
		j.shared.FormerNames = append(j.shared.FormerNames, old.name, old.own)
		j.former = append(j.former, old.params...)
	}
	j.entry = e
	j.shared.OriginalName = e.own
	j.shared.Global.ServerID = e.source.Name()
	j.shared.Global.Metadata = plugin.Object{"original_name": wire.AppendString(nil, e.own)}
	if e.facts != nil {
		j.shared.Global.Metadata["tool"] = e.facts
	}
}

// before runs the pre hook until no plugin changes any more where the call goes.
func (j *job) before(ctx context.Context) (json.RawMessage, *end) {
	pre, _ := j.guard.hooks()
	j.first = j.guard.payload(j.q)
	if wire.Member(j.q.m.Params, "inputResponses") != nil && j.g.pipe.Guards(ctx, pre, j.first, j.shared) {
		return nil, &end{
			fault:   wire.Errorf(wire.CodeInvalidParams, "Invalid params: inputResponses would reach the upstream without a plugin having judged them"),
			outcome: "refused: inputResponses",
		}
	}
	out := j.g.pipe.Run(ctx, pre, j.first, j.shared)
	for {
		j.heard(pre, out)
		if ctx.Err() != nil {
			return nil, &end{err: context.Cause(ctx)}
		}
		if out.Refusal != nil {
			e := j.refused(out.Refusal, true)
			return nil, &e
		}
		name, ok := wire.String(wire.Member(out.Payload, j.guard.member()))
		if !ok || name == j.entry.name {
			return out.Payload, nil
		}
		e, err := j.guard.find(ctx, j.g.catalog, name)
		if err != nil {
			e := j.unresolved(err)
			e.outcome = "refused: changed to what is not there"
			return nil, &e
		}
		j.direct(e)
		out = j.g.pipe.Rest(ctx, pre, out.Payload, j.shared)
	}
}

// forward sends the call to its upstream.
func (j *job) forward(ctx context.Context, payload json.RawMessage) (*upstream.Answer, error) {
	_, post := j.guard.hooks()
	named := append(wire.AppendString([]byte(`{"`+j.guard.member()+`":`), j.entry.name), '}')
	j.judged = j.g.pipe.Guards(ctx, post, named, j.shared)
	params, headers := j.guard.params(j, payload)
	defer j.record.waited()()
	return j.entry.source.Do(ctx, upstream.Call{
		Method: j.q.m.Method, Params: params, Name: j.entry.own, Headers: headers, Notify: j.notify,
	})
}

// bridged makes an upstream's result one of the client's era.
func (j *job) bridged(result json.RawMessage) end {
	kind, _ := wire.String(wire.Member(result, "resultType"))
	e := end{result: result, outcome: "ok"}
	if string(wire.Member(result, "isError")) == "true" {
		e.outcome = "tool error"
	}
	if j.q.era == wire.Legacy {
		if kind != "" && kind != "complete" {
			return end{fault: wire.Errorf(wire.CodeInternal, "the upstream asks for more than this revision of the protocol can give"), outcome: "input required"}
		}
		return e
	}
	if kind == "" {
		e.result = wire.SetMember(nil, e.result, "resultType", []byte(`"complete"`))
	}
	if j.q.m.Method == wire.MethodResourcesRead {
		if wire.Member(result, "ttlMs") == nil {
			e.result = wire.SetMember(nil, e.result, "ttlMs", []byte("0"))
		}
		if len(j.record.verdicts) > 0 || wire.Member(result, "cacheScope") == nil {
			e.result = wire.SetMember(nil, e.result, "cacheScope", []byte(`"private"`))
		}
	}
	return e
}

// wireName is the member of params that has the name or URI.
func wireName(q *request) string {
	if q.m.Method == wire.MethodResourcesRead {
		return "uri"
	}
	return "name"
}

// named returns params with the name or URI that the upstream knows, in the
// client's bytes where that is the same.
func (j *job) named() json.RawMessage {
	if j.entry.own == j.q.c.Name {
		return j.q.m.Params
	}
	return wire.SetMember(nil, j.q.m.Params, wireName(j.q), wire.AppendString(nil, j.entry.own))
}

// withArguments puts a payload's args into params, if a plugin has changed them.
func (j *job) withArguments(params, payload json.RawMessage) (changed, arguments json.RawMessage) {
	before, after := wire.Member(j.first, "args"), wire.Member(payload, "args")
	if string(before) == string(after) {
		return params, j.q.c.Arguments
	}
	if wire.IsNull(after) {
		after = nil
	}
	return wire.SetMember(nil, params, "arguments", after), after
}

// argsOf is a request's arguments for a payload.
func argsOf(q *request) json.RawMessage {
	if q.c.Arguments == nil {
		return json.RawMessage("{}")
	}
	return q.c.Arguments
}
