package remote

import (
	"encoding/json"
	"strconv"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// Answer is what a plugin server said to one hook call. Its raw parts are the
// caller's.
type Answer struct {
	// Raw is the whole decoded object, as it stands on the wire.
	Raw json.RawMessage

	// Result is the plugin's verdict, nil when Error is set.
	Result *plugin.Result

	// Error is the plugin's own failure, nil when there is a Result.
	Error *plugin.Error

	context *contextChange // nil when the plugin sent none
}

// contextChange is the part of a returned context that the caller takes over.
type contextChange struct {
	state, metadata plugin.Object
	global          plugin.Object
	hasGlobal       bool
}

// apply replaces what the plugin may change (plugin protocol §5).
func (a *Answer) apply(c *plugin.Context) {
	if a.context == nil || c == nil {
		return
	}
	c.State, c.Metadata = a.context.state, a.context.metadata
	if a.context.hasGlobal {
		c.GlobalContext.State = a.context.global
	}
}

// toolTexts returns the text blocks of a tools/call result in their order.
func toolTexts(result json.RawMessage) (texts []json.RawMessage, isError bool, err error) {
	var content json.RawMessage
	for key, value := range wire.Members(result) {
		switch string(key) {
		case "content":
			content = value
		case "isError":
			if k := wire.Kind(value); k != 't' && k != 'f' && !wire.IsNull(value) {
				return nil, false, badAnswerf("isError is not true or false")
			}
			isError = string(value) == "true"
		case "resultType":
			if kind, ok := wire.String(value); !wire.IsNull(value) && (!ok || kind != "complete") {
				return nil, false, badAnswerf("result type %.100s, which a plugin server has no use for", value)
			}
		}
	}
	if wire.Kind(content) != '[' {
		return nil, false, badAnswerf("a tool result without content")
	}
	for block := range wire.Elements(content) {
		var kind, text json.RawMessage
		for key, value := range wire.Members(block) {
			switch string(key) {
			case "type":
				kind = value
			case "text":
				text = value
			}
		}
		if string(kind) != `"text"` {
			continue
		}
		unquoted, ok := wire.AppendText(make([]byte, 0, len(text)), text)
		if !ok {
			return nil, false, badAnswerf("a text block without text")
		}
		texts = append(texts, unquoted)
	}
	return texts, isError, nil
}

// toolError is the failure that a tool result with isError reports.
func toolError(texts []json.RawMessage) error {
	if len(texts) == 0 {
		return badAnswerf("the server reports an error without a text")
	}
	return badAnswerf("the server says: %s", snippet(texts[0]))
}

// decodeAnswer reads the tools/call result of invoke_hook. The answer must be
// that of plugin.
func decodeAnswer(result json.RawMessage, name string) (*Answer, error) {
	texts, isError, err := toolTexts(result)
	if err != nil {
		return nil, err
	}
	if isError {
		return nil, toolError(texts)
	}
	why := badAnswerf("no text with a result or an error")
	for _, text := range texts {
		// The text is another JSON document, read as strictly as the first.
		if err := wire.Check(text); err != nil {
			why = badAnswerf("the text is not JSON: %s", err)
			continue
		}
		a := &Answer{Raw: text}
		var owner, result, failure, context json.RawMessage
		for key, value := range wire.Members(text) {
			switch string(key) {
			case "plugin_name":
				owner = value
			case "result":
				result = value
			case "error":
				failure = value
			case "context":
				context = value
			}
		}
		if wire.IsNull(result) && wire.IsNull(failure) {
			continue
		}
		return a, a.decode(name, owner, result, failure, context)
	}
	return nil, why
}

// decode fills a from the members of its object.
func (a *Answer) decode(name string, owner, result, failure, context json.RawMessage) error {
	if got, ok := wire.String(owner); !ok || got != name {
		return badAnswerf("an answer of plugin %.100s", owner)
	}
	if !wire.IsNull(failure) {
		if !wire.IsNull(result) {
			return badAnswerf("both a result and an error")
		}
		var err error
		a.Error, err = decodeError(failure)
		return err
	}
	var err error
	if a.Result, err = decodeResult(result); err != nil {
		return err
	}
	a.context, err = decodeContext(context)
	return err
}

// decodeResult reads a result object. Nulls count as absent, unknown members
// are ignored, and the names may be in snake or camel case.
func decodeResult(raw json.RawMessage) (*plugin.Result, error) {
	if wire.Kind(raw) != '{' {
		return nil, badAnswerf("result is not an object")
	}
	r := &plugin.Result{}
	d := &decoder{in: "result"}
	verdict := false
	for key, value := range wire.Members(raw) {
		if wire.IsNull(value) {
			continue
		}
		switch string(key) {
		case "continue_processing", "continueProcessing":
			d.once(&verdict, key)
			r.Continue = d.boolean(key, value)
		case "modified_payload", "modifiedPayload":
			d.absent(r.ModifiedPayload == nil, key)
			r.ModifiedPayload = d.object(key, value)
		case "violation":
			r.Violation = d.violation(value)
		case "metadata":
			r.Metadata = d.object(key, value)
		case "http_headers", "httpHeaders":
			d.absent(r.HTTPHeaders == nil, key)
			r.HTTPHeaders = d.headers(key, value)
		case "retry_delay_ms", "retryDelayMs":
			d.absent(r.RetryDelayMS == nil, key)
			r.RetryDelayMS = d.integer(key, value)
		}
	}
	if d.err == nil && !verdict {
		// Neither yes nor no: to take it for yes would skip a guardrail.
		return nil, badAnswerf("result has no continue_processing")
	}
	return r, d.err
}

func (d *decoder) violation(raw json.RawMessage) *plugin.Violation {
	if wire.Kind(raw) != '{' {
		d.fail("violation is not an object")
		return nil
	}
	v := &plugin.Violation{}
	d.in = "violation"
	defer func() { d.in = "result" }()
	for key, value := range wire.Members(raw) {
		if wire.IsNull(value) {
			continue
		}
		switch string(key) {
		case "reason":
			v.Reason = d.text(key, value)
		case "description":
			v.Description = d.text(key, value)
		case "code":
			v.Code = d.text(key, value)
		case "details":
			v.Details = d.object(key, value)
		case "mcp_error_code", "mcpErrorCode":
			d.absent(v.MCPCode == nil, key)
			v.MCPCode = d.number(key, value)
		case "http_status_code", "httpStatusCode":
			d.absent(v.HTTPStatus == nil, key)
			v.HTTPStatus = d.number(key, value)
		case "http_headers", "httpHeaders":
			d.absent(v.HTTPHeaders == nil, key)
			v.HTTPHeaders = d.headers(key, value)
		}
	}
	return v
}

// decodeError reads a plugin's error object.
func decodeError(raw json.RawMessage) (*plugin.Error, error) {
	if wire.Kind(raw) != '{' {
		return nil, badAnswerf("error is not an object")
	}
	e := &plugin.Error{}
	d := &decoder{in: "error"}
	for key, value := range wire.Members(raw) {
		if wire.IsNull(value) {
			continue
		}
		switch string(key) {
		case "message":
			e.Message = d.text(key, value)
		case "plugin_name", "pluginName":
			e.Plugin = d.text(key, value)
		case "code":
			e.Code = d.text(key, value)
		case "details":
			e.Details = d.object(key, value)
		case "mcp_error_code", "mcpErrorCode":
			if n := d.number(key, value); n != nil {
				e.MCPCode = *n
			}
		}
	}
	return e, d.err
}

// decodeContext reads a returned context. Absent parts are empty: the server
// sends all or nothing. A context without global_context leaves that alone,
// for it is not this plugin's only.
func decodeContext(raw json.RawMessage) (*contextChange, error) {
	if wire.IsNull(raw) {
		return nil, nil
	}
	if wire.Kind(raw) != '{' {
		return nil, badAnswerf("context is not an object")
	}
	c := &contextChange{}
	d := &decoder{in: "context"}
	for key, value := range wire.Members(raw) {
		if wire.IsNull(value) {
			continue
		}
		switch string(key) {
		case "state":
			c.state = d.members(key, value)
		case "metadata":
			c.metadata = d.members(key, value)
		case "global_context", "globalContext":
			d.absent(!c.hasGlobal, key)
			c.hasGlobal = true
			if state := wire.Member(d.object(key, value), "state"); !wire.IsNull(state) {
				c.global = d.members([]byte("global_context.state"), state)
			}
		}
	}
	return c, d.err
}

// decoder reads members and keeps the first fault.
type decoder struct {
	in      string
	err     error
	anyWord bool // also one that is not of the list
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = badAnswerf(format, args...)
	}
}

func (d *decoder) once(seen *bool, key []byte) {
	d.absent(!*seen, key)
	*seen = true
}

// absent refuses a member that is there in both spellings: two readers could
// take different ones.
func (d *decoder) absent(ok bool, key []byte) {
	if !ok {
		d.fail("%s has %s in two spellings", d.in, key)
	}
}

func (d *decoder) boolean(key []byte, value json.RawMessage) bool {
	if k := wire.Kind(value); k != 't' && k != 'f' {
		d.fail("%s.%s is not true or false", d.in, key)
	}
	return string(value) == "true"
}

func (d *decoder) text(key []byte, value json.RawMessage) string {
	text, ok := wire.String(value)
	if !ok {
		d.fail("%s.%s is not a string", d.in, key)
	}
	return text
}

func (d *decoder) object(key []byte, value json.RawMessage) json.RawMessage {
	if wire.Kind(value) != '{' {
		d.fail("%s.%s is not an object", d.in, key)
		return nil
	}
	return value
}

func (d *decoder) members(key []byte, value json.RawMessage) plugin.Object {
	if d.object(key, value) == nil {
		return nil
	}
	var o plugin.Object // nil when empty
	for name, value := range wire.Members(value) {
		if o == nil {
			o = plugin.Object{}
		}
		o[string(name)] = value
	}
	return o
}

func (d *decoder) integer(key []byte, value json.RawMessage) *int64 {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		d.fail("%s.%s is not an integer", d.in, key)
		return nil
	}
	return &n
}

func (d *decoder) number(key []byte, value json.RawMessage) *int {
	n, err := strconv.Atoi(string(value))
	if err != nil {
		d.fail("%s.%s is not an integer", d.in, key)
		return nil
	}
	return &n
}

func (d *decoder) headers(key []byte, value json.RawMessage) map[string]string {
	if d.object(key, value) == nil {
		return nil
	}
	h := map[string]string{}
	for name, value := range wire.Members(value) {
		h[string(name)] = d.text(key, value)
	}
	return h
}
