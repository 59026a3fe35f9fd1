package wire

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// The Append functions add one message to dst and return it. Raw parts (id,
// params, result) are taken as they are and must be valid JSON; a nil id leaves
// the member out.

// AppendRequest adds a request, or with a nil id a notification. A nil params
// is left out.
func AppendRequest(dst, id []byte, method string, params []byte) []byte {
	dst = appendHead(dst, id)
	dst = append(dst, `,"method":`...)
	dst = AppendString(dst, method)
	if params != nil {
		dst = append(dst, `,"params":`...)
		dst = append(dst, params...)
	}
	return append(dst, '}')
}

// AppendResult adds a successful answer.
func AppendResult(dst, id, result []byte) []byte {
	dst = appendHead(dst, id)
	dst = append(dst, `,"result":`...)
	dst = append(dst, result...)
	return append(dst, '}')
}

// AppendError adds an answer that is an error.
func AppendError(dst, id []byte, e *Error) []byte {
	dst = appendHead(dst, id)
	dst = append(dst, `,"error":{"code":`...)
	dst = strconv.AppendInt(dst, e.Code, 10)
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, e.Message)
	if e.Data != nil {
		dst = append(dst, `,"data":`...)
		dst = append(dst, e.Data...)
	}
	return append(dst, "}}"...)
}

func appendHead(dst, id []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0"`...)
	if id != nil {
		dst = append(dst, `,"id":`...)
		dst = append(dst, id...)
	}
	return dst
}

// AppendString adds text as a JSON string. Bytes that are not UTF-8 become
// U+FFFD. Nothing is escaped that need not be.
func AppendString[T ~string | ~[]byte](dst []byte, text T) []byte {
	dst, _ = jsontext.AppendQuote(dst, text) // invalid UTF-8 is reported and replaced
	return dst
}
