package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Message is one JSON-RPC message. Its raw fields are parts of the text it was
// parsed from and stay valid as long as that is not changed; they are nil when
// the member is absent.
type Message struct {
	ID     json.RawMessage // a string or a number; nil on notifications; null only on an error without request
	Method string          // requests and notifications
	Params json.RawMessage // an object
	Result json.RawMessage // responses, unless Error is set
	Error  *Error
}

// IsRequest reports whether m expects an answer.
func (m *Message) IsRequest() bool { return m.Method != "" && m.ID != nil }

// IsNotification reports whether m has a method but expects no answer.
func (m *Message) IsNotification() bool { return m.Method != "" && m.ID == nil }

// IsResponse reports whether m is an answer.
func (m *Message) IsResponse() bool { return m.Method == "" }

// Parse reads one message of at most limit bytes, strictly (see [Check]). The
// error is a [*TooLargeError] or an [*Error]: [CodeParse] when data is not
// acceptable JSON, [CodeInvalidRequest] when it is no JSON-RPC message. In the
// latter case the returned message holds the ID if one could be read, so that
// the refusal can be addressed; otherwise it is nil.
//
// The message refers to data.
func Parse(data []byte, limit int64) (*Message, error) {
	if int64(len(data)) > limit {
		return nil, &TooLargeError{Size: int64(len(data)), Limit: limit}
	}
	if err := Check(data); err != nil {
		return nil, Errorf(CodeParse, "Parse error: %s", err)
	}
	if Kind(data) == '[' {
		return nil, Errorf(CodeInvalidRequest, "Invalid request: a batch of messages where one is expected")
	}
	return envelope(data)
}

// IsBatch reports whether data starts like a JSON-RPC batch. Only revisions
// before 2025-06-18 have them.
func IsBatch(data []byte) bool { return Kind(data) == '[' }

// MaxBatch is the largest number of messages in a batch.
const MaxBatch = 100

// ParseBatch reads a batch like [Parse] reads a message. A member that is no
// JSON-RPC message stands in errs at its place, the others are nil there.
func ParseBatch(data []byte, limit int64) (messages []*Message, errs []error, err error) {
	if int64(len(data)) > limit {
		return nil, nil, &TooLargeError{Size: int64(len(data)), Limit: limit}
	}
	if err := Check(data); err != nil {
		return nil, nil, Errorf(CodeParse, "Parse error: %s", err)
	}
	for raw := range Elements(data) {
		if len(messages) == MaxBatch {
			return nil, nil, Errorf(CodeInvalidRequest, "Invalid request: a batch of more than %d messages", MaxBatch)
		}
		m, err := envelope(raw)
		messages, errs = append(messages, m), append(errs, err)
	}
	if len(messages) == 0 {
		return nil, nil, Errorf(CodeInvalidRequest, "Invalid request: an empty batch")
	}
	return messages, errs, nil
}

var envelopeNames = []string{"jsonrpc", "id", "method", "params", "result", "error"}

// envelope reads the members of one checked message.
func envelope(data []byte) (*Message, error) {
	invalid := func(m *Message, format string, args ...any) (*Message, error) {
		return m, Errorf(CodeInvalidRequest, "Invalid request: "+format, args...)
	}
	if Kind(data) != '{' {
		return invalid(nil, "not an object")
	}
	m := &Message{}
	var version, method, failure json.RawMessage
	for key, value := range Members(data) {
		switch string(key) {
		case "jsonrpc":
			version = value
		case "id":
			m.ID = value
		case "method":
			method = value
		case "params":
			m.Params = value
		case "result":
			m.Result = value
		case "error":
			failure = value
		default:
			if name := foldsTo(key, envelopeNames); name != "" {
				return invalid(nil, "member %q looks like %q", key, name)
			}
		}
	}
	if fault := checkID(m.ID, method != nil, failure != nil); fault != "" {
		m.ID = nil
		return invalid(m, "%s", fault)
	}
	if string(version) != `"2.0"` {
		return invalid(m, `jsonrpc is not "2.0"`)
	}
	if method != nil {
		name := methodName(method)
		switch {
		case name == "":
			return invalid(m, "method is not a non-empty string")
		case m.Result != nil || failure != nil:
			return invalid(m, "both a request and a response")
		case m.Params != nil && Kind(m.Params) != '{':
			return invalid(m, "params is not an object")
		}
		m.Method = name
		return m, nil
	}
	switch {
	case failure == nil && m.Result == nil:
		return invalid(m, "neither method nor result nor error")
	case failure != nil && m.Result != nil:
		return invalid(m, "both result and error")
	case failure != nil:
		if m.Error = readError(failure); m.Error == nil {
			return invalid(m, "error is not an object with code and message")
		}
	}
	return m, nil
}

// methodName is the value of a method member, "" when it is no string. The
// frequent ones cost nothing.
func methodName(raw json.RawMessage) string {
	switch string(raw) {
	case `"` + MethodToolsCall + `"`:
		return MethodToolsCall
	case `"` + MethodToolsList + `"`:
		return MethodToolsList
	case `"` + MethodPing + `"`:
		return MethodPing
	}
	name, _ := String(raw)
	return name
}

// foldsTo returns the one of names that key equals but for case: some parsers
// would take it for that member, so that the text means two things.
func foldsTo(key []byte, names []string) string {
	for _, name := range names {
		if len(key) <= 3*len(name) && bytes.EqualFold(key, []byte(name)) {
			return name
		}
	}
	return ""
}

// checkID says what is wrong with an id: MCP wants a string or an integer, and
// null at most on an error whose request could not be read.
func checkID(id json.RawMessage, request, failure bool) string {
	switch Kind(id) {
	case 0:
		if !request && !failure {
			return "a result without id"
		}
	case '"':
	case '0':
		if request && bytes.ContainsAny(id, ".eE") {
			return "id is not an integer"
		}
	case 'n':
		if request || !failure {
			return "id is null"
		}
	default:
		return "id is neither a string nor an integer"
	}
	return ""
}

// readError reads an error object. It returns nil when code or message are
// missing or mistyped.
func readError(raw json.RawMessage) *Error {
	e := &Error{}
	var code, message bool
	for key, value := range Members(raw) {
		switch string(key) {
		case "code":
			n, err := strconv.ParseInt(string(value), 10, 64)
			e.Code, code = n, err == nil
		case "message":
			e.Message, message = String(value)
		case "data":
			e.Data = value
		}
	}
	if !code || !message {
		return nil
	}
	return e
}
