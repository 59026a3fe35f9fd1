package server

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// endpoint is the path of the MCP endpoint.
const endpoint = "/mcp"

// front is the MCP endpoint of a Server on one listener.
type front struct {
	*Server
	health *health
	probes bool // also /livez and /readyz: there is no health listener
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if mtls.Due(r.Context()) {
		w.Header().Set("Connection", "close")
	}
	switch r.URL.Path {
	case endpoint:
		f.serveMCP(w, r)
	case "/health":
		f.health.serveHealth(w, r)
	case "/livez", "/readyz":
		if f.probes {
			f.health.ServeHTTP(w, r)
			return
		}
		fallthrough
	default:
		refuse(w, http.StatusNotFound, "there is nothing here: the MCP endpoint is "+endpoint)
	}
}

// guard keeps browsers out: a program that is not a browser sends no Origin,
// and names in Host what it dials.
type guard struct {
	http.Handler
	log *slog.Logger

	// loopback says that the listener is bound to loopback. Then a Host that is
	// no loopback name means that DNS led a browser here, and pages of this host
	// itself may call.
	loopback bool

	// authenticated says that a client certificate has told who calls: then any
	// Host will do.
	authenticated bool
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if reason := g.foreign(r); reason != "" {
		g.log.Info("request refused", "peer", r.RemoteAddr, "reason", reason)
		refuse(w, http.StatusForbidden, reason)
		return
	}
	g.Handler.ServeHTTP(w, r)
}

// foreign says why a request must not be served, "" when it may.
func (g *guard) foreign(r *http.Request) string {
	if g.loopback && !g.authenticated && !isLoopbackHost(r.Host) && (r.Host != "" || r.ProtoAtLeast(1, 1)) {
		return "the Host header names no loopback address"
	}
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return ""
	}
	u, err := url.Parse(origins[0])
	if len(origins) > 1 || err != nil || !g.loopback || !isLoopbackHost(u.Host) {
		return "the Origin header names no origin that may call this server"
	}
	return ""
}

// isLoopbackHost reports whether host, with or without a port, is a name or an
// address of the loopback interface.
func isLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host = strings.TrimSuffix(strings.ToLower(host), "."); host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return ip != nil && ip.IsLoopback()
}

func (f *front) serveMCP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		// No session to end with DELETE, no stream to open with GET.
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "the MCP endpoint takes POST")
		return
	}
	if media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(media), wire.MediaJSON) {
		refuse(w, http.StatusUnsupportedMediaType, "Content-Type must be "+wire.MediaJSON)
		return
	}
	plain, sse := wire.Accepts(r.Header)
	if !plain && !sse {
		refuse(w, http.StatusNotAcceptable, "Accept allows neither "+wire.MediaJSON+" nor "+wire.MediaSSE)
		return
	}
	body, done, err := f.readBody(w, r)
	defer done()
	if err != nil {
		f.refuseBody(w, r, err)
		return
	}
	b := f.takeBuffers()
	b.body = b.body[:0]
	var status int
	if wire.IsBatch(body) {
		status, err = f.answerBatch(r, body, b)
	} else {
		status, err = f.answerOne(r, body, b)
	}
	if err != nil {
		return // the client has gone, or its time is over: nobody reads an answer
	}
	write(w, status, b.body, plain)
	f.giveBuffers(b)
}

// answerOne reads and answers one message.
func (f *front) answerOne(r *http.Request, body []byte, b *buffers) (int, error) {
	m, err := wire.Parse(body, f.maxBody())
	if err != nil {
		return appendRefusal(b, m, err), nil
	}
	if status := f.checkLegacy(r, m, b); status != 0 {
		return status, nil
	}
	return f.answer(r.Context(), m, r.Header, b)
}

// checkLegacy applies what the legacy revisions say about headers. It returns
// the status of a refusal that it has added to b, or 0.
func (f *front) checkLegacy(r *http.Request, m *wire.Message, b *buffers) int {
	session, revision := r.Header.Get(wire.HeaderSession), r.Header.Get(wire.HeaderRevision)
	if session == "" && (revision == "" || revision >= wire.FirstModern) {
		return 0
	}
	c, _ := m.Call() // what is wrong with it is said later
	if m.Method == wire.MethodInitialize || wire.EraOf(m, &c, r.Header) == wire.Modern {
		return 0
	}
	switch {
	case revision != "" && !slices.Contains(wire.LegacyRevisions(), revision):
		b.body = wire.AppendError(b.body, m.ID, wire.Unsupported(wire.Revisions(), revision))
		return http.StatusBadRequest
	case session != "":
		// This server opens no sessions, so whoever has one means another
		// server, perhaps the one that was here before: initialize again.
		b.body = wire.AppendError(b.body, m.ID, wire.Errorf(wire.CodeServerError, "Session not found"))
		return http.StatusNotFound
	}
	return 0
}

// answerBatch answers a batch, one message after the other. Batches exist in
// the revisions before 2025-06-18 only, which have no revision header.
func (f *front) answerBatch(r *http.Request, body []byte, b *buffers) (int, error) {
	if revision := r.Header.Get(wire.HeaderRevision); revision >= wire.Revision2025_06 {
		return appendRefusal(b, nil, wire.Errorf(wire.CodeInvalidRequest, "Invalid request: revision %s has no batches", clip(revision))), nil
	}
	return f.appendBatch(r.Context(), body, r.Header, b)
}

// appendRefusal adds the answer to what is no acceptable message.
func appendRefusal(b *buffers, m *wire.Message, err error) int {
	fault, ok := errors.AsType[*wire.Error](err)
	if !ok {
		fault = wire.Errorf(wire.CodeInvalidRequest, "Invalid request: %s", err)
	}
	var id []byte
	if m != nil {
		id = m.ID
	}
	if id == nil {
		id = []byte("null")
	}
	b.body = wire.AppendError(b.body, id, fault)
	return http.StatusBadRequest
}

// refuseBody answers a body that could not be read to its end.
func (f *front) refuseBody(w http.ResponseWriter, r *http.Request, err error) {
	large, tooLarge := errors.AsType[*wire.TooLargeError](err)
	if !tooLarge {
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusBadRequest, "the body could not be read")
		return
	}
	f.log.Info("request refused", "peer", r.RemoteAddr, "reason", large.Error())
	w.Header().Set("Connection", "close") // the rest of the body is not read
	refuse(w, http.StatusRequestEntityTooLarge, large.Error())
}

// Values for headers that are always the same; net/http does not change them.
var (
	headerJSON  = []string{wire.MediaJSON}
	headerSSE   = []string{wire.MediaSSE}
	headerNo    = []string{"no"}
	headerStore = []string{"no-store"}
)

// write sends an answer in one piece, as JSON or as the one event of a stream.
func write(w http.ResponseWriter, status int, body []byte, plain bool) {
	h := w.Header()
	if len(body) == 0 {
		w.WriteHeader(status)
		return
	}
	h["Content-Type"] = headerJSON
	if !plain && status == http.StatusOK {
		h["Content-Type"] = headerSSE
		h["X-Accel-Buffering"] = headerNo
		h["Cache-Control"] = headerStore
		body = wire.AppendEvent(nil, "message", body)
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	// A failure means that the client has gone: there is nobody to tell.
	_, _ = w.Write(body) //nolint:gosec // JSON with its own content type, not HTML
}

// refuse answers with a JSON-RPC error that has no id, for what is refused
// before a message has been read.
func refuse(w http.ResponseWriter, status int, reason string) {
	write(w, status, wire.AppendError(nil, nil, wire.Errorf(wire.CodeInvalidRequest, "%s", reason)), true)
}

// readBody reads the whole body. done gives back what the budget lent for it.
func (f *front) readBody(w http.ResponseWriter, r *http.Request) (body []byte, done func(), err error) {
	limit := f.maxBody()
	size := r.ContentLength
	if size > limit {
		return nil, func() {}, &wire.TooLargeError{Size: size, Limit: limit}
	}
	if size < 0 { // chunked: it may become as large as is allowed
		done, err = f.bodies.take(r.Context(), limit)
		if err != nil {
			return nil, done, err
		}
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			err = &wire.TooLargeError{Limit: limit}
		}
		return body, done, err
	}
	if done, err = f.bodies.take(r.Context(), size); err != nil {
		return nil, done, err
	}
	// The buffer is not reused: a plugin may hold on to parts of the context.
	body = make([]byte, size)
	_, err = io.ReadFull(r.Body, body)
	return body, done, err
}
