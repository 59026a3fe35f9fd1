package gateway

import (
	"context"
	"encoding/json"

	"github.com/sallyport-mcp/sallyport/internal/upstream"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// nothing is a completion that suggests nothing.
const nothing = `"completion":{"values":[],"hasMore":false}`

// complete forwards completion/complete by what it refers to. It has no hook of
// its own, and both what the client typed and what the upstream suggests are
// content: where a plugin judges the prompt or resource, nothing is asked and
// nothing suggested.
func (g *Gateway) complete(ctx context.Context, q *request) ([]byte, *wire.Error, error) {
	ref := wire.Member(q.m.Params, "ref")
	kind, _ := wire.String(wire.Member(ref, "type"))
	j := &job{g: g, q: q, shared: q.shared}
	j.record.start()
	var e end
	switch kind {
	case "ref/prompt":
		j.guard = promptGuard{}
		e = j.complete(ctx, ref, "name", g.findPrompt)
	case "ref/resource":
		j.guard = resourceGuard{}
		e = j.complete(ctx, ref, "uri", g.findTemplate)
	default:
		return nil, wire.Errorf(wire.CodeInvalidParams, "Invalid params: ref is neither a prompt's nor a resource's"), nil
	}
	if e.err == nil && ctx.Err() != nil {
		e = end{err: context.Cause(ctx)}
	}
	if e.err != nil {
		e.outcome = "cancelled"
	}
	j.record.log(ctx, j, e)
	return e.result, e.fault, e.err
}

func (g *Gateway) findPrompt(ctx context.Context, name string) (*entry, error) {
	return g.catalog.find(ctx, prompts, name)
}

// findTemplate resolves a reference, which is a template or a URI.
func (g *Gateway) findTemplate(ctx context.Context, uri string) (*entry, error) {
	g.catalog.refresh(ctx, templates, patient)
	if e := g.catalog.view(templates).byName[uri]; e != nil {
		return e, nil
	}
	return g.catalog.findResource(ctx, uri)
}

func (j *job) complete(ctx context.Context, ref json.RawMessage, member string, find func(context.Context, string) (*entry, error)) end {
	name, ok := wire.String(wire.Member(ref, member))
	if !ok {
		return end{fault: wire.Errorf(wire.CodeInvalidParams, "Invalid params: ref has no %s", member), outcome: "invalid"}
	}
	j.q.c.Name = name
	found, err := find(ctx, name)
	if err != nil {
		return j.unresolved(err)
	}
	j.direct(found)
	pre, post := j.guard.hooks()
	named := append(wire.AppendString([]byte(`{"`+j.guard.member()+`":`), name), '}')
	if j.g.pipe.Guards(ctx, pre, named, j.shared) || j.g.pipe.Guards(ctx, post, named, j.shared) {
		head := "{"
		if j.q.era == wire.Modern {
			head = `{"resultType":"complete",`
		}
		return end{result: []byte(head + nothing + "}"), outcome: "withheld: plugins judge it, and completions have no hook"}
	}
	params := j.q.m.Params
	if found.own != name {
		params = wire.SetMember(nil, params, "ref", wire.SetMember(nil, ref, member, wire.AppendString(nil, found.own)))
	}
	answer, err := found.source.Do(ctx, upstream.Call{Method: methodComplete, Params: params})
	switch {
	case err != nil:
		return j.upstreamFailed(found.source.Name(), err)
	case answer.Error != nil:
		return end{fault: answer.Error, outcome: "upstream's error"}
	}
	return j.bridged(answer.Result)
}
