package gateway

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// toolGuard guards tools/call.
type toolGuard struct{}

func (toolGuard) hooks() (pre, post plugin.Hook) { return plugin.ToolPreInvoke, plugin.ToolPostInvoke }
func (toolGuard) member() string                 { return "name" }

func (toolGuard) find(ctx context.Context, c *catalog, name string) (*entry, error) {
	return c.find(ctx, tools, name)
}

func (toolGuard) payload(q *request) json.RawMessage {
	dst := append([]byte(`{"name":`), wire.Member(q.m.Params, "name")...)
	dst = append(append(dst, `,"args":`...), argsOf(q)...)
	dst = append(dst, `,"headers":`...)
	return append(appendHeaders(dst, shownHeaders(q.header)), '}')
}

func (toolGuard) params(j *job, payload json.RawMessage) (json.RawMessage, http.Header) {
	params, arguments := j.withArguments(j.named(), payload)
	headers := paramHeaders(wire.Member(payload, "headers"), j.former, j.entry.params, arguments)
	maps.Copy(headers, setByPlugins(wire.Member(j.first, "headers"), wire.Member(payload, "headers")))
	return params, headers
}

func (toolGuard) judge(ctx context.Context, j *job, result json.RawMessage) (json.RawMessage, *pipeline.Refusal) {
	return j.judge(ctx, plugin.ToolPostInvoke, "name", "result", result)
}

// violation is a result that says so: the model is to see it and go on.
func (toolGuard) violation(j *job, name string, v *plugin.Violation) []byte {
	dst := []byte(`{`)
	if j.q.era == wire.Modern {
		dst = append(dst, `"resultType":"complete",`...)
	}
	dst = append(dst, `"content":[{"type":"text","text":`...)
	dst = wire.AppendString(dst, violationText(v))
	dst = append(dst, `}],"isError":true,"_meta":{"`+metaViolation+`":{"code":`...)
	dst = wire.AppendString(dst, v.Code)
	dst = wire.AppendString(append(dst, `,"plugin":`...), name)
	dst = wire.AppendString(append(dst, `,"reason":`...), v.Reason)
	dst = append(append(dst, `,"details":`...), detailsOf(v.Details)...)
	return append(dst, "}}}"...)
}

// promptGuard guards prompts/get.
type promptGuard struct{}

func (promptGuard) hooks() (pre, post plugin.Hook) {
	return plugin.PromptPreFetch, plugin.PromptPostFetch
}
func (promptGuard) member() string { return "prompt_id" }

func (promptGuard) find(ctx context.Context, c *catalog, name string) (*entry, error) {
	return c.find(ctx, prompts, name)
}

func (promptGuard) payload(q *request) json.RawMessage {
	dst := append([]byte(`{"prompt_id":`), wire.Member(q.m.Params, "name")...)
	return append(append(append(dst, `,"args":`...), argsOf(q)...), '}')
}

func (promptGuard) params(j *job, payload json.RawMessage) (json.RawMessage, http.Header) {
	params, _ := j.withArguments(j.named(), payload)
	return params, nil
}

func (promptGuard) judge(ctx context.Context, j *job, result json.RawMessage) (json.RawMessage, *pipeline.Refusal) {
	return j.judge(ctx, plugin.PromptPostFetch, "prompt_id", "result", result)
}

func (promptGuard) violation(*job, string, *plugin.Violation) []byte { return nil }

// resourceGuard guards resources/read.
type resourceGuard struct{}

func (resourceGuard) hooks() (pre, post plugin.Hook) {
	return plugin.ResourcePreFetch, plugin.ResourcePostFetch
}
func (resourceGuard) member() string { return "uri" }

func (resourceGuard) find(ctx context.Context, c *catalog, uri string) (*entry, error) {
	return c.findResource(ctx, uri)
}

func (resourceGuard) payload(q *request) json.RawMessage {
	dst := append([]byte(`{"uri":`), wire.Member(q.m.Params, "uri")...)
	return append(dst, `,"metadata":{}}`...)
}

func (resourceGuard) params(j *job, _ json.RawMessage) (json.RawMessage, http.Header) {
	return j.named(), nil
}

// judge runs the post hook on each of the contents, in order. A result that has
// none goes to the plugins as a whole: it is an answer all the same.
func (resourceGuard) judge(ctx context.Context, j *job, result json.RawMessage) (json.RawMessage, *pipeline.Refusal) {
	contents := wire.Member(result, "contents")
	dst, changed, n := []byte{'['}, false, 0
	for content := range wire.Elements(contents) {
		left, refusal := j.judge(ctx, plugin.ResourcePostFetch, "uri", "content", content)
		if refusal != nil {
			return nil, refusal
		}
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, left...)
		changed = changed || string(left) != string(content)
		n++
	}
	switch {
	case n == 0:
		return j.judge(ctx, plugin.ResourcePostFetch, "uri", "content", result)
	case !changed:
		return result, nil
	}
	return wire.SetMember(nil, result, "contents", append(dst, ']')), nil
}

func (resourceGuard) violation(*job, string, *plugin.Violation) []byte { return nil }

// judge runs a post hook on value and returns what the plugins left of it.
func (j *job) judge(ctx context.Context, hook plugin.Hook, nameMember, member string, value json.RawMessage) (json.RawMessage, *pipeline.Refusal) {
	payload := make([]byte, 0, len(value)+len(j.entry.name)+64)
	payload = wire.AppendString(append(payload, `{"`+nameMember+`":`...), j.entry.name)
	payload = append(append(append(payload, `,"`+member+`":`...), value...), '}')
	out := j.g.pipe.Run(ctx, hook, payload, j.shared)
	j.heard(hook, out)
	if out.Refusal != nil {
		return nil, out.Refusal
	}
	return wire.Member(out.Payload, member), nil
}
