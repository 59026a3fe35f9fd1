package wire

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// Error codes of JSON-RPC 2.0.
const (
	CodeParse          int64 = -32700
	CodeInvalidRequest int64 = -32600
	CodeMethodNotFound int64 = -32601
	CodeInvalidParams  int64 = -32602
	CodeInternal       int64 = -32603
)

// Error codes of MCP. The range -32020 to -32099 belongs to the protocol and
// -32000 to -32019 is closed to new use: a code of our own lies outside
// -32768 to -32000.
const (
	CodeServerError         int64 = -32000 // what legacy servers say when a session is missing
	CodeHeaderMismatch      int64 = -32020 // a header is missing or disagrees with the body
	CodeMissingCapability   int64 = -32021 // the client lacks a capability that the request needs
	CodeUnsupportedRevision int64 = -32022 // data is an [UnsupportedRevision]
)

// Error is a JSON-RPC error object.
type Error struct {
	Code    int64           `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"` // nil when there is none
}

// Error gives message and code.
func (e *Error) Error() string { return fmt.Sprintf("%s (code %d)", e.Message, e.Code) }

// Errorf makes an Error without data.
func Errorf(code int64, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// UnsupportedRevision is the data of a [CodeUnsupportedRevision] error.
type UnsupportedRevision struct {
	Supported []string `json:"supported"`
	Requested string   `json:"requested"`
}

// Unsupported makes the error for a revision that is not in supported.
func Unsupported(supported []string, requested string) *Error {
	data, err := json.Marshal(UnsupportedRevision{slices.Clone(supported), requested})
	if err != nil { // strings always encode
		data = nil
	}
	return &Error{Code: CodeUnsupportedRevision, Message: "Unsupported protocol version", Data: data}
}

// HTTPStatus is the status of a modern HTTP answer that carries e: 404 for an
// unknown method, 400 for what is wrong with the request's form, and 200 for
// every other error, which is an ordinary answer.
func (e *Error) HTTPStatus() int {
	switch e.Code {
	case CodeMethodNotFound:
		return http.StatusNotFound
	case CodeParse, CodeInvalidRequest, CodeInvalidParams,
		CodeHeaderMismatch, CodeMissingCapability, CodeUnsupportedRevision:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// IsModern reports whether e, found in the body of an HTTP answer with this
// status, can only come from a server of the modern era. A client that probes
// takes any other 4xx as the sign of a legacy server.
func (e *Error) IsModern(status int) bool {
	switch e.Code {
	case CodeHeaderMismatch, CodeMissingCapability, CodeUnsupportedRevision:
		return true
	case CodeMethodNotFound:
		return status == http.StatusNotFound
	}
	return false
}
