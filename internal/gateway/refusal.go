package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/upstream"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// metaViolation is the member of a refused tool result's _meta.
const metaViolation = "io.github.sallyport-mcp/violation"

// What a client is told of a failure is one of a closed list: the causes of
// remote.Error and upstream.Error, and these for what fails in this process.
const (
	causeTimeout   = "timeout"
	causeBadAnswer = "bad answer"
)

// refused makes the client's answer of a refusal (plugin protocol §8). before
// says that nothing has been asked of the upstream.
func (j *job) refused(r *pipeline.Refusal, before bool) end {
	switch {
	case r.Violation != nil:
		return j.violated(r.Plugin, r.Violation)
	case r.Plugin == "": // the pipeline's own: the payload is too large, and its text has the sizes
		code := wire.CodeInternal
		if before {
			code = wire.CodeInvalidParams
		}
		return end{fault: wire.Errorf(code, "%s", r.Err), outcome: "refused: too large"}
	}
	j.g.log.Warn("a plugin failed and its mode refuses then", "plugin", r.Plugin, "error", r.Err.Error(),
		"hint", strings.Join(hint.Of(r.Err), "; "), "request_id", j.id())
	return end{fault: j.pluginError(r.Plugin, r.Err), outcome: "plugin failed"}
}

func (j *job) id() string { return j.shared.Global.RequestID }

func (j *job) violated(name string, v *plugin.Violation) end {
	e := end{outcome: "refused"}
	if v.MCPCode == nil || *v.MCPCode == 0 {
		if e.result = j.guard.violation(j, name, v); e.result != nil {
			return e
		}
	}
	e.fault = violationFault(name, v)
	return e
}

// violationFault is a violation as a JSON-RPC error.
func violationFault(name string, v *plugin.Violation) *wire.Error {
	data := wire.AppendString([]byte(`{"description":`), v.Description)
	data = append(append(data, `,"details":`...), detailsOf(v.Details)...)
	data = wire.AppendString(append(data, `,"plugin_error_code":`...), v.Code)
	data = append(wire.AppendString(append(data, `,"plugin_name":`...), name), '}')
	return &wire.Error{Code: codeOf(v), Message: violationText(v), Data: data}
}

func violationText(v *plugin.Violation) string {
	text := v.Description
	if text == "" {
		text = v.Reason
	}
	return "Plugin Violation: " + text
}

// codeOf is the JSON-RPC code of a violation. What MCP has reserved would mean
// something else to the client.
func codeOf(v *plugin.Violation) int64 {
	if v.MCPCode == nil || *v.MCPCode == 0 {
		return wire.CodeInvalidParams
	}
	code := int64(*v.MCPCode)
	if code <= -32000 && code >= -32099 {
		return wire.CodeInvalidParams
	}
	return code
}

// detailsOf is an object whatever a plugin in this process has put there.
func detailsOf(details json.RawMessage) json.RawMessage {
	if wire.Kind(details) != '{' || wire.Check(details) != nil {
		return json.RawMessage("{}")
	}
	return details
}

// pluginError is what the client is told of a plugin that failed closed: the
// plugin's own words if it chose any, else one word of what happened. Addresses,
// subjects and paths are in the log, under the same request id.
func (j *job) pluginError(name string, err error) *wire.Error {
	data := wire.AppendString([]byte(`{"plugin_name":`), name)
	message := ""
	if said, ok := errors.AsType[*plugin.Error](err); ok {
		message = said.Message
		data = wire.AppendString(append(data, `,"plugin_error_code":`...), said.Code)
		data = append(append(data, `,"details":`...), detailsOf(said.Details)...)
	} else {
		why := cause(err)
		message = name + ": " + why + " (request " + j.id() + ")"
		data = wire.AppendString(append(data, `,"cause":`...), why)
	}
	data = append(wire.AppendString(append(data, `,"request_id":`...), j.id()), '}')
	return &wire.Error{Code: wire.CodeInternal, Message: "Plugin Error: " + message, Data: data}
}

// cause is one of the closed list.
func cause(err error) string {
	var known interface {
		error
		Cause() string
	}
	var up *upstream.Error
	switch {
	case errors.As(err, &known):
		return known.Cause()
	case errors.As(err, &up):
		return string(up.Kind)
	case errors.Is(err, context.DeadlineExceeded):
		return causeTimeout
	}
	return causeBadAnswer
}

// upstreamFailed is the answer where an upstream gave none.
func (j *job) upstreamFailed(name string, err error) end {
	j.g.log.Warn("an upstream gave no answer", "upstream", name, "error", err.Error(),
		"hint", strings.Join(hint.Of(err), "; "), "request_id", j.id())
	why := cause(err)
	data := wire.AppendString([]byte(`{"upstream":`), name)
	data = wire.AppendString(append(data, `,"cause":`...), why)
	data = append(wire.AppendString(append(data, `,"request_id":`...), j.id()), '}')
	return end{fault: &wire.Error{
		Code: wire.CodeInternal, Message: "Upstream Error: " + name + ": " + why + " (request " + j.id() + ")", Data: data,
	}, outcome: "upstream failed"}
}

// unresolved is the answer where a name belongs to no upstream, as far as is known.
func (j *job) unresolved(err error) end {
	if fault, ok := errors.AsType[*wire.Error](err); ok {
		return end{fault: fault, outcome: "unknown"}
	}
	if d, ok := errors.AsType[*down](err); ok {
		return j.upstreamFailed(d.source.Name(), d.err)
	}
	return end{err: err}
}
