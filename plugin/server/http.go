package server

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// endpoint is the path of the MCP endpoint.
const endpoint = "/mcp"

// face is the MCP endpoint of a Server on one listener.
type face struct {
	*Server
	health *health
	probes bool // also /livez and /readyz: there is no health listener
}

func (f *face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case endpoint, endpoint + "/":
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
		front.Refuse(w, http.StatusNotFound, "there is nothing here: the MCP endpoint is "+endpoint)
	}
}

func (f *face) serveMCP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		// No session to end with DELETE, no stream to open with GET.
		w.Header().Set("Allow", http.MethodPost)
		front.Refuse(w, http.StatusMethodNotAllowed, "the MCP endpoint takes POST")
		return
	}
	plain, _, ok := front.Negotiate(w, r)
	if !ok {
		return
	}
	body, done, err := f.bodies.Read(w, r)
	defer done()
	if err != nil {
		f.log.Info("request refused", "peer", r.RemoteAddr, "reason", front.RefuseBody(w, err))
		return
	}
	b := f.takeBuffers()
	b.body = b.body[:0]
	if wire.IsBatch(body) {
		status, err := f.answerBatch(w, r, body, b)
		if err != nil {
			return // the client has gone: nobody reads an answer
		}
		front.Write(w, status, b.body, plain)
		f.giveBuffers(b)
		return
	}
	f.takeTurn(w, r, body, b, plain)
}

// takeTurn answers one message with the plugin in this goroutine.
func (f *face) takeTurn(w http.ResponseWriter, r *http.Request, body []byte, b *buffers, plain bool) {
	t := &turn{s: f.Server, w: w, plain: plain, answered: make(chan struct{})}
	t.state.Store(turnHandler)
	b.turn = t
	returned := false
	defer func() {
		// A plugin that ends its goroutine ends this one: say so while it lasts.
		if !returned && t.mine() {
			front.Write(w, http.StatusOK, wire.AppendError(nil, t.id, wire.Errorf(wire.CodeInternal, "Internal error")), true)
			_ = http.NewResponseController(w).Flush() // the client has gone: there is nobody to tell
		}
	}()
	status, err := f.answerOne(r, body, b)
	returned = true
	if !t.mine() || err != nil {
		return // answered already, or the client has gone
	}
	front.Write(w, status, b.body, plain)
	f.giveBuffers(b)
}

// answerOne reads and answers one message.
func (f *face) answerOne(r *http.Request, body []byte, b *buffers) (int, error) {
	m, err := wire.Parse(body, f.maxBody())
	if err != nil {
		return appendRefusal(b, m, err), nil
	}
	if status := f.checkLegacy(r, m, b); status != 0 {
		return status, nil
	}
	return f.answer(r.Context(), m, r.Header, b)
}

// errNoSession answers a legacy client with a session: this server opens none,
// so another server is meant, perhaps the one that was here before. The client
// then initializes again.
var errNoSession = wire.Errorf(wire.CodeServerError, "Session not found")

// checkLegacy applies what the legacy revisions say about headers. It returns
// the status of a refusal that it has added to b, or 0.
func (f *face) checkLegacy(r *http.Request, m *wire.Message, b *buffers) int {
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
		b.body = wire.AppendError(b.body, m.ID, errNoSession)
		return http.StatusNotFound
	}
	return 0
}

// answerBatch answers a batch, one message after the other. Batches exist in
// the revisions before 2025-06-18 only, which have no revision header.
func (f *face) answerBatch(w http.ResponseWriter, r *http.Request, body []byte, b *buffers) (int, error) {
	if revision := r.Header.Get(wire.HeaderRevision); revision >= wire.Revision2025_06 {
		return appendRefusal(b, nil, wire.Errorf(wire.CodeInvalidRequest, "Invalid request: revision %s has no batches", clip(revision))), nil
	}
	if r.Header.Get(wire.HeaderSession) != "" {
		b.body = wire.AppendError(b.body, []byte("null"), errNoSession)
		return http.StatusNotFound, nil
	}
	// A writer that has no deadline, as in tests, needs none.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(f.batchTime() + f.limits.Write))
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
