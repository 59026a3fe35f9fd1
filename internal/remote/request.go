package remote

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// form is what all modern requests to one server have in common, made once.
type form struct {
	head  []byte            // up to the id
	meta  []byte            // from after the id up to the tool's name
	param []byte            // the part of it that is within params
	heads map[string][]byte // by tool: request line and headers
}

// newForm makes the form of requests to u; nil when none goes over HTTP.
func newForm(u *url.URL, version string) *form {
	f := &form{
		head:  []byte(`{"jsonrpc":"2.0","id":`),
		heads: map[string][]byte{},
	}
	const before = `,"method":"` + wire.MethodToolsCall + `","params":`
	f.meta = append(append([]byte(before), modernMeta(version)...), `,"name":"`...)
	f.param = f.meta[len(before):]
	if u == nil {
		return f
	}
	for _, tool := range []string{toolInvoke, toolConfig, toolConfigs} {
		h := http.Header{
			"Accept":       {wire.AcceptBoth},
			"Content-Type": {wire.MediaJSON},
			"User-Agent":   {clientName + "/" + version},
		}
		wire.SetModern(h, wire.Revision2026_07, wire.MethodToolsCall, tool)
		f.heads[tool] = head(http.MethodPost, u, h)
	}
	return f
}

// modernMeta is the beginning of params that say who we are and how we speak.
func modernMeta(version string) []byte {
	meta := []byte(`{"_meta":{"` +
		wire.MetaRevision + `":"` + wire.Revision2026_07 + `","` +
		wire.MetaCapabilities + `":{},"` + wire.MetaClientInfo + `":`)
	return append(append(meta, clientInfo(version)...), '}')
}

func clientInfo(version string) []byte {
	return append(wire.AppendString([]byte(`{"name":"`+clientName+`","version":`), version), '}')
}

// initializeParams are the params of initialize.
func initializeParams(version string) []byte {
	b := []byte(`{"protocolVersion":"` + wire.Revision2025_11 + `","capabilities":{},"clientInfo":`)
	return append(append(b, clientInfo(version)...), '}')
}

// params makes the params of a modern tools/call.
func (f *form) params(tool string, arguments []byte) []byte {
	b := make([]byte, 0, len(f.param)+len(tool)+len(arguments)+20)
	b = append(append(append(b, f.param...), tool...), `","arguments":`...)
	return append(append(b, arguments...), '}')
}

// legacyParams makes those of a legacy one.
func legacyParams(tool string, arguments []byte) []byte {
	b := make([]byte, 0, len(tool)+len(arguments)+30)
	b = append(append(append(b, `{"name":"`...), tool...), `","arguments":`...)
	return append(append(b, arguments...), '}')
}

// body makes the body of a modern tools/call and returns its id as well.
func (f *form) body(id int64, tool string, arguments []byte) (body, rawID []byte) {
	b := make([]byte, 0, len(f.head)+20+len(f.meta)+len(tool)+len(arguments)+20)
	b = append(b, f.head...)
	start := len(b)
	b = strconv.AppendInt(b, id, 10)
	rawID = b[start:len(b):len(b)]
	b = append(b, f.meta...)
	b = append(b, tool...)
	b = append(b, `","arguments":`...)
	b = append(b, arguments...)
	return append(b, "}}"...), rawID
}

// hookArguments makes the arguments of invoke_hook. payload and context are
// valid JSON objects: what is pasted in unread could say more than it should.
func hookArguments(hook plugin.Hook, name string, payload, context json.RawMessage) []byte {
	b := make([]byte, 0, len(hook)+len(name)+len(payload)+len(context)+80)
	b = wire.AppendString(append(b, `{"hook_type":`...), hook)
	b = wire.AppendString(append(b, `,"plugin_name":`...), name)
	b = append(append(b, `,"payload":`...), payload...)
	b = append(append(b, `,"context":`...), context...)
	return append(b, '}')
}

func checkObject(what string, raw json.RawMessage) error {
	if err := wire.Check(raw); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if wire.Kind(raw) != '{' {
		return fmt.Errorf("%s: not a JSON object", what)
	}
	return nil
}

// encodeContext encodes c, and checks every raw part of it by itself: two
// broken ones could be whole together. A nil c, or one without request id, is
// given a fresh one: plugin servers require it.
func encodeContext(c *plugin.Context) (json.RawMessage, error) {
	if c == nil {
		c = &plugin.Context{}
	}
	g := &c.GlobalContext
	id := g.RequestID
	if id == "" {
		id = rand.Text()
	}
	e := &encoder{b: make([]byte, 0, 256)}
	e.object(`{"state":`, "state", c.State)
	e.text(`,"global_context":{"request_id":`, id)
	if len(g.User) > 0 {
		e.raw(`,"user":`, "user", g.User)
	}
	if g.TenantID != "" {
		e.text(`,"tenant_id":`, g.TenantID)
	}
	if g.ServerID != "" {
		e.text(`,"server_id":`, g.ServerID)
	}
	e.object(`,"state":`, "global state", g.State)
	e.object(`,"metadata":`, "global metadata", g.Metadata)
	e.object(`},"metadata":`, "metadata", c.Metadata)
	return append(e.b, '}'), e.err
}

// encoder appends members; before is all that stands before a value.
type encoder struct {
	b   []byte
	err error
}

func (e *encoder) text(before, value string) {
	e.b = wire.AppendString(append(e.b, before...), value)
}

func (e *encoder) raw(before, what string, value json.RawMessage) {
	if err := wire.Check(value); err != nil && e.err == nil {
		e.err = fmt.Errorf("context: %s: %w", what, err)
	}
	e.b = append(append(e.b, before...), value...)
}

// object appends o with its names in order, so that equal contexts are equal
// bytes. A nil value is null.
func (e *encoder) object(before, what string, o plugin.Object) {
	e.b = append(append(e.b, before...), '{')
	var names []string
	if len(o) > 0 {
		names = slices.Sorted(maps.Keys(o))
	}
	for i, name := range names {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.text("", name)
		if value := o[name]; value != nil {
			e.raw(":", what+" "+name, value)
		} else {
			e.b = append(e.b, ":null"...)
		}
	}
	e.b = append(e.b, '}')
}
