package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Introduction is what a server says about itself, in its answer to
// server/discover or to initialize.
type Introduction struct {
	Era          Era
	Revision     string          // of MCP, as it is spoken with this server
	ServerInfo   json.RawMessage // nil when it gives none
	Capabilities json.RawMessage // an object
	Instructions string
	Raw          json.RawMessage // the whole result
}

// NotModernError is an answer that no modern server gives.
type NotModernError struct{ why string }

// Error says what the answer was.
func (e *NotModernError) Error() string { return e.why }

// ReadDiscover reads the result of server/discover. The error is a
// [*NotModernError] when initialize is the thing to try.
func ReadDiscover(result []byte) (*Introduction, error) {
	versions := Member(result, "supportedVersions")
	if Kind(versions) != '[' {
		return nil, &NotModernError{"an answer to server/discover without supportedVersions"}
	}
	var offered []string
	for raw := range Elements(versions) {
		if revision, ok := String(raw); ok && len(offered) < 32 {
			offered = append(offered, clip(revision))
		}
	}
	if !slices.Contains(offered, Revision2026_07) {
		if slices.ContainsFunc(offered, isLegacy) {
			return nil, &NotModernError{"server/discover offers legacy revisions only"}
		}
		return nil, fmt.Errorf("the server speaks revisions of MCP that we do not know: %q", offered)
	}
	return modern(result), nil
}

// ReadModern takes the result of any request in the modern form for an
// introduction: only a modern server says which type its result is of.
func ReadModern(result []byte) (*Introduction, error) {
	if IsNull(Member(result, "resultType")) {
		return nil, &NotModernError{"a result without resultType"}
	}
	return modern(result), nil
}

func modern(result []byte) *Introduction {
	i := introduction(Modern, result)
	i.Revision = Revision2026_07
	i.ServerInfo = Member(Member(result, "_meta"), MetaServerInfo)
	return i
}

// ReadInitialize reads the result of initialize.
func ReadInitialize(result []byte) (*Introduction, error) {
	revision, _ := String(Member(result, "protocolVersion"))
	if !isLegacy(revision) {
		return nil, fmt.Errorf("initialize was answered with a revision of MCP that we do not know: %q", clip(revision))
	}
	i := introduction(Legacy, result)
	i.Revision = revision
	i.ServerInfo = Member(result, "serverInfo")
	return i, nil
}

func isLegacy(revision string) bool { return slices.Contains(LegacyRevisions(), revision) }

func introduction(era Era, result []byte) *Introduction {
	i := &Introduction{Era: era, Raw: result, Capabilities: Member(result, "capabilities")}
	if Kind(i.Capabilities) != '{' {
		i.Capabilities = []byte("{}")
	}
	i.Instructions, _ = String(Member(result, "instructions"))
	return i
}

// MeansLegacy reports whether err, a JSON-RPC error that answers a request in
// the modern form, or that of [ReadDiscover] or [ReadModern], is nothing that a
// modern server says.
func MeansLegacy(err error) bool {
	if _, ok := errors.AsType[*NotModernError](err); ok {
		return true
	}
	rpc, ok := errors.AsType[*Error](err)
	return ok && !rpc.provesModern()
}

// provesModern reports whether e, the answer to a modern request, comes from a
// modern server. A refusal that lists only legacy revisions proves the opposite.
func (e *Error) provesModern() bool {
	switch e.Code {
	case CodeHeaderMismatch, CodeMissingCapability:
		return true
	case CodeUnsupportedRevision:
		var data UnsupportedRevision
		return json.Unmarshal(e.Data, &data) != nil || !slices.ContainsFunc(data.Supported, isLegacy)
	}
	return false
}

// AppendAnswer adds to dst our answer to a request of a server, to which we
// declare no capabilities: only ping has a result.
func AppendAnswer(dst []byte, m *Message) []byte {
	if m.Method == MethodPing {
		return AppendResult(dst, m.ID, []byte("{}"))
	}
	return AppendError(dst, m.ID, Errorf(CodeMethodNotFound, "Method not found: %s", clip(m.Method)))
}

// AppendCancelled adds to dst the notification that the request with this id is
// not waited for any more.
func AppendCancelled(dst, id []byte) []byte {
	params := append(append([]byte(`{"requestId":`), id...), '}')
	return AppendRequest(dst, nil, MethodCancelled, params)
}
