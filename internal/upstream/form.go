package upstream

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// metaLogLevel is a member of _meta that only the modern era knows. The client
// chose its value, so it stays in modern requests.
const metaLogLevel = "io.modelcontextprotocol/logLevel"

// hopMembers of _meta speak of one hop and are never the next one's.
var hopMembers = []string{wire.MetaRevision, wire.MetaCapabilities, wire.MetaClientInfo}

const progressToken = "progressToken"

// form is what all our messages to an upstream have in common.
type form struct {
	agent      string
	clientInfo []byte // JSON
	meta       []byte // our members of a modern _meta, without braces
}

func newForm(name, version string) *form {
	f := &form{agent: name + "/" + version}
	f.clientInfo = wire.AppendString([]byte(`{"name":`), name)
	f.clientInfo = append(wire.AppendString(append(f.clientInfo, `,"version":`...), version), '}')
	f.meta = append(f.meta, `"`+wire.MetaRevision+`":"`+wire.Revision2026_07+`","`+wire.MetaCapabilities+`":{},"`+wire.MetaClientInfo+`":`...)
	f.meta = append(f.meta, f.clientInfo...)
	return f
}

// initialize makes the params that open a legacy session.
func (f *form) initialize() []byte {
	b := []byte(`{"protocolVersion":"` + wire.Revision2025_11 + `","capabilities":{},"clientInfo":`)
	return append(append(b, f.clientInfo...), '}')
}

// modern returns params as a modern upstream wants them: with our revision,
// capabilities and name in _meta, and all else of it as the client sent it. A
// token that is not nil replaces the client's progress token.
func (f *form) modern(params json.RawMessage, token []byte) []byte {
	rest := clearMeta(wire.Member(params, "_meta"), hopMembers, token)
	meta := make([]byte, 0, len(f.meta)+len(rest)+3)
	meta = append(append(meta, '{'), f.meta...)
	if body, ok := inner(rest); ok {
		meta = append(append(meta, ','), body...)
	} else {
		meta = append(meta, '}')
	}
	return wire.SetMember(make([]byte, 0, len(params)+len(meta)+16), params, "_meta", meta)
}

// legacy returns params without what only the modern era knows in _meta; nil
// when there are none.
func (f *form) legacy(params json.RawMessage, token []byte) []byte {
	if len(params) == 0 {
		return nil
	}
	meta := wire.Member(params, "_meta")
	if wire.Kind(meta) != '{' {
		return params
	}
	rest := clearMeta(meta, append(slices.Clip(hopMembers), metaLogLevel), token)
	if _, ok := inner(rest); !ok {
		if _, had := inner(meta); had { // nothing is left: the client of a legacy server would not have sent it
			return wire.SetMember(nil, params, "_meta", nil)
		}
	}
	return wire.SetMember(make([]byte, 0, len(params)+len(token)), params, "_meta", rest)
}

// clearMeta removes members and replaces the progress token, if there is one.
func clearMeta(meta []byte, remove []string, token []byte) []byte {
	if wire.Kind(meta) != '{' {
		return nil
	}
	for _, name := range remove {
		if wire.Member(meta, name) != nil {
			meta = wire.SetMember(nil, meta, name, nil)
		}
	}
	if token != nil && wire.Member(meta, progressToken) != nil {
		meta = wire.SetMember(nil, meta, progressToken, token)
	}
	return meta
}

// inner is a JSON object from after its opening brace on; false when it has no
// members.
func inner(object []byte) ([]byte, bool) {
	for range wire.Members(object) {
		i := 0
		for object[i] != '{' {
			i++
		}
		return object[i+1:], true
	}
	return nil, false
}

// tokenOf is the client's progress token; nil when it wants no progress.
func tokenOf(params json.RawMessage) json.RawMessage {
	return wire.Member(wire.Member(params, "_meta"), progressToken)
}

// restoreToken gives a progress notification the client's token back.
func restoreToken(message, params, token json.RawMessage) json.RawMessage {
	return wire.SetMember(nil, message, "params", wire.SetMember(nil, params, progressToken, token))
}

func appendID(id int64) []byte { return strconv.AppendInt(nil, id, 10) }

// notTheirs are the headers that the transport needs for itself: neither the
// configuration nor a plugin may set them.
var notTheirs = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Connection": true, "Content-Encoding": true, "Content-Length": true,
	"Content-Type": true, "Expect": true, "Keep-Alive": true, "Proxy-Authorization": true, "Proxy-Connection": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	wire.HeaderRevision: true, wire.HeaderMethod: true, wire.HeaderName: true,
	wire.HeaderSession: true, wire.HeaderLastEvent: true,
}

// header makes the headers of a POST: the configured ones, then the call's, then
// those of MCP itself.
func (f *form) header(configured, call http.Header) http.Header {
	h := make(http.Header, len(configured)+len(call)+8)
	h["User-Agent"] = []string{f.agent}
	for _, source := range []http.Header{configured, call} {
		for name, values := range source {
			if name = http.CanonicalHeaderKey(name); !notTheirs[name] {
				h[name] = values
			}
		}
	}
	h["Accept"] = []string{wire.AcceptBoth}
	h["Content-Type"] = []string{wire.MediaJSON}
	return h
}

// isHeader reports whether a header can hold this.
func isHeader(name, value string) bool {
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	for _, c := range []byte(value) {
		if (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return name != ""
}
