package wire

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// Revisions of MCP, oldest first. They compare as strings.
const (
	Revision2024_11 = "2024-11-05"
	Revision2025_03 = "2025-03-26"
	Revision2025_06 = "2025-06-18"
	Revision2025_11 = "2025-11-25"
	Revision2026_07 = "2026-07-28"
)

// Revisions returns all revisions that this package knows, newest first. The
// slice is the caller's.
func Revisions() []string {
	return []string{Revision2026_07, Revision2025_11, Revision2025_06, Revision2025_03, Revision2024_11}
}

// LegacyRevisions returns those that open with initialize, newest first. The
// slice is the caller's.
func LegacyRevisions() []string { return Revisions()[1:] }

// FirstModern is the first revision without initialize and sessions.
const FirstModern = Revision2026_07

// Names of HTTP headers, in canonical form for direct use in an [http.Header].
const (
	HeaderRevision  = "Mcp-Protocol-Version"
	HeaderMethod    = "Mcp-Method"
	HeaderName      = "Mcp-Name"
	HeaderParam     = "Mcp-Param-" // followed by the name of an x-mcp-header
	HeaderSession   = "Mcp-Session-Id"
	HeaderLastEvent = "Last-Event-Id"
)

// Members of params._meta in modern requests, and of _meta in results.
const (
	MetaRevision     = "io.modelcontextprotocol/protocolVersion"
	MetaCapabilities = "io.modelcontextprotocol/clientCapabilities"
	MetaClientInfo   = "io.modelcontextprotocol/clientInfo"
	MetaServerInfo   = "io.modelcontextprotocol/serverInfo"
)

// Methods that this package or several of its users name.
const (
	MethodInitialize    = "initialize"
	MethodInitialized   = "notifications/initialized"
	MethodCancelled     = "notifications/cancelled"
	MethodPing          = "ping"
	MethodDiscover      = "server/discover"
	MethodToolsList     = "tools/list"
	MethodToolsCall     = "tools/call"
	MethodPromptsGet    = "prompts/get"
	MethodResourcesRead = "resources/read"
)

// Call is what transport and routing need to know of a request's params. Raw
// fields are parts of the message.
type Call struct {
	Name      string // params.name, or params.uri of resources/read; empty when absent
	Arguments json.RawMessage
	Meta      Meta
}

// Meta is params._meta. Fields are nil when absent.
type Meta struct {
	Raw           json.RawMessage // the whole object
	Revision      json.RawMessage
	Capabilities  json.RawMessage
	ProgressToken json.RawMessage
}

var callNames = []string{"name", "uri", "arguments", "_meta"}

// Call reads m.Params. The error has [CodeInvalidParams].
func (m *Message) Call() (Call, *Error) {
	var c Call
	for key, value := range Members(m.Params) {
		switch string(key) {
		case "name", "uri":
			if (string(key) == "uri") != (m.Method == MethodResourcesRead) {
				continue
			}
			name, ok := String(value)
			if !ok {
				return c, Errorf(CodeInvalidParams, "Invalid params: %s is not a string", key)
			}
			c.Name = name
		case "arguments":
			c.Arguments = value
		case "_meta":
			c.Meta = readMeta(value)
		default:
			if name := foldsTo(key, callNames); name != "" {
				return c, Errorf(CodeInvalidParams, "Invalid params: member %q looks like %q", key, name)
			}
		}
	}
	return c, nil
}

func readMeta(raw json.RawMessage) Meta {
	meta := Meta{Raw: raw}
	for key, value := range Members(raw) {
		switch string(key) {
		case MetaRevision:
			meta.Revision = value
		case MetaCapabilities:
			meta.Capabilities = value
		case "progressToken":
			meta.ProgressToken = value
		}
	}
	return meta
}

// Era is which of the two ways of speaking MCP a request uses.
type Era int

// The two eras.
const (
	Legacy Era = iota // initialize, sessions
	Modern            // each request stands alone
)

// EraOf tells the era of a request or notification. Modern _meta makes it
// modern; so do a modern revision in the header and server/discover, which the
// legacy era does not have: then what is missing is an error of the modern
// kind. initialize without modern _meta is legacy whatever the header says.
// h is nil on stdio.
func EraOf(m *Message, c *Call, h http.Header) Era {
	switch {
	case c.Meta.Revision != nil || c.Meta.Capabilities != nil:
		return Modern
	case m.Method == MethodInitialize:
		return Legacy
	case m.Method == MethodDiscover, h.Get(HeaderRevision) >= FirstModern:
		return Modern
	}
	return Legacy
}

// CheckModern applies the rules for a modern request: revision and client
// capabilities are in _meta, the revision is one of supported, and over HTTP
// (h not nil) the headers are there and agree with the body. All its errors are
// answered with status 400.
func CheckModern(m *Message, c *Call, h http.Header, supported []string) *Error {
	revision, ok := revisionName(c.Meta.Revision)
	if !ok {
		return Errorf(CodeInvalidParams, "Invalid params: _meta lacks %s", MetaRevision)
	}
	if h != nil {
		if err := checkHeader(h, HeaderRevision, revision, false); err != nil {
			return err
		}
	}
	if !slices.Contains(supported, revision) {
		return Unsupported(supported, revision)
	}
	if Kind(c.Meta.Capabilities) != '{' {
		return Errorf(CodeInvalidParams, "Invalid params: _meta lacks %s", MetaCapabilities)
	}
	if h == nil {
		return nil
	}
	if err := checkHeader(h, HeaderMethod, m.Method, false); err != nil {
		return err
	}
	if !NeedsName(m.Method) {
		return nil
	}
	return checkHeader(h, HeaderName, c.Name, true)
}

// revisionName is String; the newest revision costs nothing.
func revisionName(raw json.RawMessage) (string, bool) {
	if string(raw) == `"`+Revision2026_07+`"` {
		return Revision2026_07, true
	}
	return String(raw)
}

// NeedsName reports whether requests of this method carry [HeaderName].
func NeedsName(method string) bool {
	return method == MethodToolsCall || method == MethodPromptsGet || method == MethodResourcesRead
}

// checkHeader compares a header with what the body says. A header that is there
// twice is refused: others may read the one that we do not.
func checkHeader(h http.Header, name, want string, encoded bool) *Error {
	values := h[name]
	if len(values) == 0 || values[0] == "" {
		return Errorf(CodeHeaderMismatch, "Header mismatch: %s header is missing", display(name))
	}
	if len(values) > 1 {
		return Errorf(CodeHeaderMismatch, "Header mismatch: %s header is there %d times", display(name), len(values))
	}
	got := values[0]
	if encoded { // also when it equals want as it is: others compare what it stands for
		decoded, err := DecodeHeader(got)
		if err != nil {
			return Errorf(CodeHeaderMismatch, "Header mismatch: %s header: %s", display(name), err)
		}
		got = decoded
	}
	if got != want {
		return Errorf(CodeHeaderMismatch, "Header mismatch: %s header value %q does not match body value %q", display(name), clip(got), clip(want))
	}
	return nil
}

// clip keeps an error message short whatever a peer sends.
func clip(s string) string {
	if len(s) <= 100 {
		return s
	}
	return strings.ToValidUTF8(s[:100], "") + "…"
}

// display is a header's name as the specification spells it.
func display(name string) string {
	if name == HeaderRevision {
		return "MCP-Protocol-Version"
	}
	return name
}
