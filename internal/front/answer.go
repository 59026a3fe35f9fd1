package front

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Values for headers that are always the same; net/http does not change them.
var (
	headerJSON  = []string{wire.MediaJSON}
	headerSSE   = []string{wire.MediaSSE}
	headerNo    = []string{"no"}
	headerStore = []string{"no-store"}
)

// Negotiate reports which answers to a POST its client takes. Where that is
// none, or the body is not plain JSON, it refuses the request, and ok is false.
func Negotiate(w http.ResponseWriter, r *http.Request) (plain, sse, ok bool) {
	plain, sse = wire.Accepts(r.Header)
	switch {
	case !isJSON(r):
		Refuse(w, http.StatusUnsupportedMediaType, "Content-Type must be "+wire.MediaJSON)
	case isEncoded(r):
		w.Header().Set("Accept-Encoding", "identity")
		Refuse(w, http.StatusUnsupportedMediaType, "the body must not have a Content-Encoding")
	case !plain && !sse:
		Refuse(w, http.StatusNotAcceptable, "Accept allows neither "+wire.MediaJSON+" nor "+wire.MediaSSE)
	default:
		ok = true
	}
	return plain, sse, ok
}

// isJSON reports whether a request says that its body is JSON.
func isJSON(r *http.Request) bool {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), wire.MediaJSON)
}

// isEncoded reports whether a request's body is packed, or said to be: we unpack
// none, and somebody before us may have read another text than we would.
func isEncoded(r *http.Request) bool {
	values := r.Header["Content-Encoding"]
	return len(values) > 0 && (len(values) > 1 || !strings.EqualFold(values[0], "identity"))
}

// Write sends an answer in one piece, as JSON or, unless plain, as the one
// event of a stream. A body of no bytes sends the status alone.
func Write(w http.ResponseWriter, status int, body []byte, plain bool) {
	h := w.Header()
	if len(body) == 0 {
		w.WriteHeader(status)
		return
	}
	h["Content-Type"] = headerJSON
	if !plain && status == http.StatusOK {
		SetStream(h)
		body = wire.AppendEvent(nil, "message", body)
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	// A failure means that the client has gone: there is nobody to tell.
	_, _ = w.Write(body) //nolint:gosec // JSON with its own content type, not HTML
}

// SetStream sets the headers of an answer that is a stream of events.
func SetStream(h http.Header) {
	h["Content-Type"] = headerSSE
	h["X-Accel-Buffering"] = headerNo
	h["Cache-Control"] = headerStore
}

// Refuse answers with a JSON-RPC error that has no id, for what is refused
// before a message has been read.
func Refuse(w http.ResponseWriter, status int, reason string) {
	Write(w, status, wire.AppendError(nil, nil, wire.Errorf(wire.CodeInvalidRequest, "%s", reason)), true)
}

// Probe answers a GET or HEAD with a body of JSON that nobody may keep.
func Probe(w http.ResponseWriter, r *http.Request, status int, body string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		Refuse(w, http.StatusMethodNotAllowed, "probes take GET")
		return
	}
	w.Header()["Cache-Control"] = headerStore
	Write(w, status, []byte(body), true)
}
