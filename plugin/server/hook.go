package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// hookCall is the arguments of invoke_hook.
type hookCall struct {
	hook, plugin     string
	payload, context json.RawMessage
}

// readHookCall reads the arguments. The error lists all that is missing: it
// goes to a person who wrote the call by hand.
func readHookCall(arguments json.RawMessage) (c hookCall, err error) {
	var hookOK, pluginOK bool
	for key, value := range wire.Members(arguments) {
		switch string(key) {
		case "hook_type":
			c.hook, hookOK = wire.String(value)
		case "plugin_name":
			c.plugin, pluginOK = wire.String(value)
		case "payload":
			c.payload = value
		case "context":
			c.context = value
		}
	}
	if hookOK && pluginOK && wire.Kind(c.payload) == '{' && wire.Kind(c.context) == '{' {
		return c, nil
	}
	var missing []string
	for _, arg := range []struct {
		name, want string
		ok         bool
	}{
		{"hook_type", "a string", hookOK},
		{"plugin_name", "a string", pluginOK},
		{"payload", "an object", wire.Kind(c.payload) == '{'},
		{"context", "an object", wire.Kind(c.context) == '{'},
	} {
		if !arg.ok {
			missing = append(missing, fmt.Sprintf("%s must be %s", arg.name, arg.want))
		}
	}
	return c, errors.New("invalid arguments for invoke_hook: " + strings.Join(missing, ", "))
}

// invokeHook runs a hook call and adds the answer's object to dst: a verdict,
// or the error of plugin protocol §6. The error is ctx's, or errTaken: nobody
// waits for an answer any more.
func (s *Server) invokeHook(ctx context.Context, c hookCall, t *turn, dst []byte) ([]byte, error) {
	dst = append(dst, `{"plugin_name":`...)
	dst = wire.AppendString(dst, c.plugin)
	start := len(dst)
	p, hook := s.find(c.plugin), plugin.Hook(c.hook)
	fail := func(e *plugin.Error) ([]byte, error) {
		dst = append(dst[:start], `,"error":`...)
		return append(appendFailure(dst, e), '}'), nil
	}
	if p == nil || !p.has(hook) {
		return fail(&plugin.Error{
			// The text is ContextForge's, both spaces included.
			Message: fmt.Sprintf("Unable to find %s for plugin %s.  Make sure the plugin is registered.", c.hook, c.plugin),
			Plugin:  c.plugin,
		})
	}
	if size := int64(len(c.payload)); size > s.o.MaxPayloadBytes {
		return fail(&plugin.Error{
			Message: fmt.Sprintf("payload of %d bytes is larger than max_payload_bytes (%d)", size, s.o.MaxPayloadBytes),
			Plugin:  p.Name,
		})
	}
	pc, err := readContext(c.context)
	if err != nil {
		return fail(&plugin.Error{Message: err.Error(), Plugin: p.Name})
	}
	var result *plugin.Result
	if t != nil {
		result, err = t.invoke(ctx, p, s.log, hook, c.payload, &pc.Context)
	} else {
		result, err = p.invoke(ctx, s.log, hook, c.payload, &pc.Context)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if errors.Is(err, errTaken) {
		return nil, err
	}
	if err == nil {
		dst, err = appendVerdict(dst, result, pc)
	}
	if err == nil {
		err = s.checkSize(dst)
	}
	if err != nil {
		s.logFailure(p, hook, pc.GlobalContext.RequestID, err)
		return fail(p.wireError(err))
	}
	if s.log.Enabled(ctx, slog.LevelDebug) {
		s.log.DebugContext(ctx, "hook", "plugin", p.Name, "hook", c.hook, "request_id", pc.GlobalContext.RequestID,
			"continue", result.Continue, "changed", !wire.IsNull(result.ModifiedPayload))
	}
	return append(dst, '}'), nil
}

// answerFrame is what the message around an answer's text may take, the
// request's id included.
const answerFrame = 4 << 10

// checkSize refuses an answer that clients would not read to its end, with the
// reason: gateways take 8 MiB, or more where payloads may be larger.
func (s *Server) checkSize(text []byte) error {
	limit := max(8<<20, 4*s.o.MaxPayloadBytes) - answerFrame
	if 2*int64(len(text)) < limit { // nothing takes more than twice its bytes as a JSON string
		return nil
	}
	size := len(text)
	for _, c := range text {
		if c == '"' || c == '\\' || c < ' ' {
			size++
		}
	}
	if int64(size) <= limit {
		return nil
	}
	return &plugin.Error{Message: fmt.Sprintf("its answer of %d bytes is larger than the limit of %d bytes", size, limit)}
}

func (s *Server) logFailure(p *served, hook plugin.Hook, request string, err error) {
	if errors.Is(err, errPanic) {
		return // logged with its stack where it happened
	}
	s.log.Error("plugin failed", "plugin", p.Name, "hook", hook, "request_id", request, "error", err)
}

// received is a call's context with the bytes of what a plugin may not change.
type received struct {
	plugin.Context
	global [len(globalNames)]json.RawMessage // by globalNames; nil when absent
}

// globalNames are the members of global_context that go back as they came.
var globalNames = [...]string{"request_id", "user", "tenant_id", "server_id", "metadata"}

// readContext reads the context of plugin protocol §5; null means absent. The
// objects that a plugin may change are never nil.
func readContext(raw json.RawMessage) (*received, error) {
	c := &received{}
	var global json.RawMessage
	var err error
	for key, value := range wire.Members(raw) {
		switch string(key) {
		case "state":
			c.State, err = readObject("context.state", value)
		case "metadata":
			c.Metadata, err = readObject("context.metadata", value)
		case "global_context":
			global = value
		}
		if err != nil {
			return c, err
		}
	}
	if err := c.readGlobal(global); err != nil {
		return c, err
	}
	for _, o := range []*plugin.Object{&c.State, &c.Metadata, &c.GlobalContext.State} {
		if *o == nil {
			*o = plugin.Object{}
		}
	}
	return c, nil
}

func (c *received) readGlobal(raw json.RawMessage) (err error) {
	g := &c.GlobalContext
	for key, value := range wire.Members(raw) {
		if wire.IsNull(value) {
			continue
		}
		ok := true
		switch string(key) {
		case "request_id":
			g.RequestID, ok = wire.String(value)
			c.global[0] = value
		case "user":
			g.User, ok = value, wire.Kind(value) == '"' || wire.Kind(value) == '{'
			c.global[1] = value
		case "tenant_id":
			g.TenantID, ok = wire.String(value)
			c.global[2] = value
		case "server_id":
			g.ServerID, ok = wire.String(value)
			c.global[3] = value
		case "metadata":
			g.Metadata, err = readObject("context.global_context.metadata", value)
			c.global[4] = value
		case "state":
			g.State, err = readObject("context.global_context.state", value)
		}
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("context.global_context.%s is of the wrong type", key)
		}
	}
	if g.RequestID == "" {
		return errors.New("context.global_context.request_id is missing")
	}
	return nil
}

func readObject(path string, raw json.RawMessage) (plugin.Object, error) {
	switch wire.Kind(raw) {
	case 'n':
		return nil, nil
	case '{':
	default:
		return nil, errors.New(path + " is not an object")
	}
	o := plugin.Object{}
	for key, value := range wire.Members(raw) {
		o[string(key)] = value // a part of the request's own buffer, which nobody reuses
	}
	return o, nil
}

// appendVerdict adds result, and the context when it holds anything (plugin
// protocol §5). What the plugin made is checked part by part: an answer that is
// no JSON is the plugin's failure, not the gateway's riddle.
func appendVerdict(dst []byte, r *plugin.Result, c *received) ([]byte, error) {
	dst = append(dst, `,"result":{"continue_processing":`...)
	dst = strconv.AppendBool(dst, r.Continue)
	dst, err := appendRaw(dst, "modified_payload", r.ModifiedPayload)
	if err == nil && r.Violation != nil {
		v := *r.Violation
		if wire.IsNull(v.Details) {
			v.Details = json.RawMessage("{}")
		}
		dst, err = appendJSON(dst, "violation", &v)
	}
	if err == nil && !wire.IsNull(r.Metadata) && wire.Kind(r.Metadata) != '{' {
		err = errors.New("its metadata is not an object")
	}
	if err == nil {
		dst, err = appendRaw(dst, "metadata", r.Metadata)
	}
	if err == nil && len(r.HTTPHeaders) > 0 {
		dst, err = appendJSON(dst, "http_headers", r.HTTPHeaders)
	}
	if err != nil {
		return dst, err
	}
	if r.RetryDelayMS != nil {
		dst = append(dst, `,"retry_delay_ms":`...)
		dst = strconv.AppendInt(dst, *r.RetryDelayMS, 10)
	}
	dst = append(dst, '}')
	if len(c.State)+len(c.Metadata)+len(c.GlobalContext.State) == 0 {
		return dst, nil
	}
	return c.append(dst)
}

func (c *received) append(dst []byte) ([]byte, error) {
	dst = append(dst, `,"context":{"global_context":{`...)
	for i, name := range globalNames {
		if raw := c.global[i]; raw != nil {
			dst = append(append(append(dst, '"'), name...), `":`...)
			dst = append(append(dst, raw...), ',')
		}
	}
	dst, err := appendObject(dst, "state", c.GlobalContext.State)
	if err == nil {
		dst, err = appendObject(append(dst, `},`...), "state", c.State)
	}
	if err == nil {
		dst, err = appendObject(append(dst, ','), "metadata", c.Metadata)
	}
	return append(dst, '}'), err
}

// appendObject adds a member that is an object, with its own members by name so
// that equal answers have equal bytes.
func appendObject(dst []byte, name string, o plugin.Object) ([]byte, error) {
	dst = append(wire.AppendString(dst, name), `:{`...)
	for i, key := range slices.Sorted(maps.Keys(o)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(wire.AppendString(dst, key), ':')
		value := o[key]
		if value == nil {
			value = json.RawMessage("null")
		}
		if err := wire.Check(value); err != nil {
			return dst, fmt.Errorf("its %s holds %q, which is not JSON: %w", name, key, err)
		}
		dst = append(dst, value...)
	}
	return append(dst, '}'), nil
}

// appendRaw adds a member that a plugin made, unless it is absent or null.
func appendRaw(dst []byte, name string, raw json.RawMessage) ([]byte, error) {
	if wire.IsNull(raw) {
		return dst, nil
	}
	if err := wire.Check(raw); err != nil {
		return dst, fmt.Errorf("its %s is not JSON: %w", name, err)
	}
	dst = append(append(append(dst, `,"`...), name...), `":`...)
	return append(dst, raw...), nil
}

func appendJSON(dst []byte, name string, v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return dst, fmt.Errorf("its %s cannot be encoded: %w", name, err)
	}
	return appendRaw(dst, name, raw)
}
