package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// path is that of the MCP endpoint.
const path = "/mcp"

// endpoint is what clients reach.
type endpoint struct{ *Gateway }

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case path:
	case "/health":
		front.Probe(w, r, http.StatusOK, `{"status":"healthy"}`)
		return
	default:
		front.Refuse(w, http.StatusNotFound, "there is nothing here: the MCP endpoint is "+path)
		return
	}
	if allowOrigin(w, r) {
		return
	}
	switch r.Method {
	case http.MethodPost:
		e.post(w, r)
	case http.MethodDelete:
		v := e.visit(r)
		defer e.answered(w, v.shared)
		if v.admit(w, nil) {
			watched, ended := v.watch(w)
			ended()
			e.delete(watched, r)
		}
	default:
		// There is no stream to open with GET: nothing is sent that was not asked for.
		w.Header().Set("Allow", "POST, DELETE")
		front.Refuse(w, http.StatusMethodNotAllowed, "the MCP endpoint takes POST")
	}
}

// answered starts the plugins that run after the answer.
func (e *endpoint) answered(w http.ResponseWriter, shared *pipeline.Request) {
	if shared.Waits() {
		_ = http.NewResponseController(w).Flush() // the client has it before they begin
		e.pipe.Answered(shared)
	}
}

// delete ends a legacy session.
func (e *endpoint) delete(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get(wire.HeaderSession)
	switch {
	case id == "":
		w.Header().Set("Allow", "POST")
		front.Refuse(w, http.StatusMethodNotAllowed, "DELETE ends a session, and no "+wire.HeaderSession+" says which")
	case !e.sessions.end(id):
		front.Refuse(w, http.StatusNotFound, "Session not found")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (e *endpoint) post(w http.ResponseWriter, r *http.Request) {
	plain, sse, ok := front.Negotiate(w, r)
	if !ok {
		return
	}
	body, done, err := e.bodies.Read(w, r)
	defer done()
	if err != nil {
		e.log.Info("request refused", "peer", r.RemoteAddr, "reason", front.RefuseBody(w, err))
		return
	}
	v := e.visit(r)
	defer e.answered(w, v.shared)
	messages, errs, err := parse(body, e.maxBody())
	v.of(messages)
	if !v.admit(w, messages) {
		return
	}
	w, ended := v.watch(w)
	reply := newReply(w, plain, sse, e.outbox)
	defer reply.close()
	switch {
	case wire.IsBatch(body):
		e.batch(r, messages, errs, err, reply, v, ended)
	case err != nil:
		ended()
		reply.refuse(messages[0], err)
	default:
		status, answer := e.message(r, messages[0], reply, v.shared, false)
		ended()
		reply.finish(status, answer)
	}
}

// parse reads one message or a batch. Where err is not nil, messages has what
// could be read of a single message, perhaps nil.
func parse(body []byte, limit int64) (messages []*wire.Message, errs []error, err error) {
	if wire.IsBatch(body) {
		return wire.ParseBatch(body, limit)
	}
	m, err := wire.Parse(body, limit)
	return []*wire.Message{m}, nil, err
}

// message answers one message of a client; no bytes answer nothing.
func (e *endpoint) message(r *http.Request, m *wire.Message, reply *reply, shared *pipeline.Request, inBatch bool) (status int, answer []byte) {
	c, fault := m.Call()
	q := &request{m: m, c: c, era: wire.EraOf(m, &c, r.Header), header: r.Header, reply: reply, shared: shared}
	if q.era == wire.Modern && !m.IsRequest() {
		return http.StatusAccepted, nil // a modern client cancels by closing its stream
	}
	if fault == nil && q.era == wire.Modern {
		if fault = checkModern(q); fault != nil {
			return http.StatusBadRequest, wire.AppendError(nil, m.ID, fault)
		}
	}
	if q.era == wire.Legacy {
		if inBatch && m.Method == wire.MethodInitialize {
			return http.StatusOK, wire.AppendError(nil, m.ID, wire.Errorf(wire.CodeInvalidRequest, "Invalid request: initialize cannot be part of a batch"))
		}
		if status, fault := e.enter(q); fault != nil {
			return status, wire.AppendError(nil, idOf(m), fault)
		}
	}
	if !m.IsRequest() {
		e.notified(q)
		return http.StatusAccepted, nil
	}
	if fault != nil {
		return http.StatusOK, wire.AppendError(nil, m.ID, fault)
	}
	ctx, leave := q.begin(r.Context())
	defer leave()
	result, fault, err := e.dispatch(ctx, q)
	switch {
	case err != nil:
		return 0, nil
	case fault == nil:
		return http.StatusOK, wire.AppendResult(nil, m.ID, result)
	case q.era == wire.Modern && fault.Code == wire.CodeMissingCapability:
		q.status = http.StatusBadRequest // the upstream's word, with the status that belongs to it
	case q.era == wire.Legacy || q.status == 0:
		q.status = http.StatusOK
	}
	return q.status, wire.AppendError(nil, m.ID, fault)
}

// idOf is the id for an error about m: null where m has none.
func idOf(m *wire.Message) []byte {
	if m.ID == nil {
		return []byte("null")
	}
	return m.ID
}

func checkModern(q *request) *wire.Error {
	fault := wire.CheckModern(q.m, &q.c, q.header, []string{wire.Revision2026_07})
	if fault != nil && fault.Code == wire.CodeUnsupportedRevision {
		requested, _ := wire.String(q.c.Meta.Revision)
		fault = wire.Unsupported(supported(), requested)
	}
	return fault
}

// supported are the revisions that clients may speak, newest first.
func supported() []string {
	return slices.DeleteFunc(wire.Revisions(), func(r string) bool { return r == wire.Revision2024_11 })
}

// legacy are those of them that open with initialize.
func legacy() []string { return supported()[1:] }

// enter finds the session of a legacy message.
func (e *endpoint) enter(q *request) (status int, fault *wire.Error) {
	if revision := q.header.Get(wire.HeaderRevision); revision != "" && q.m.Method != wire.MethodInitialize && !slices.Contains(legacy(), revision) {
		return http.StatusBadRequest, wire.Unsupported(supported(), revision)
	}
	if q.m.Method == wire.MethodInitialize {
		return 0, nil
	}
	id := q.header.Get(wire.HeaderSession)
	if id == "" {
		return http.StatusBadRequest, wire.Errorf(wire.CodeServerError, "Bad Request: no %s header; open a session with initialize first", wire.HeaderSession)
	}
	if q.session = e.sessions.find(id); q.session == nil {
		return http.StatusNotFound, wire.Errorf(wire.CodeServerError, "Session not found")
	}
	return 0, nil
}

// notified takes what a legacy client tells without waiting for an answer. The
// answers to requests of ours do not come: we send none.
func (e *endpoint) notified(q *request) {
	if q.m.Method == wire.MethodCancelled {
		q.session.cancel(wire.Member(q.m.Params, "requestId"))
	}
}

// batch answers the messages of a batch one after the other. Batches exist in
// 2025-03-26 only.
func (e *endpoint) batch(r *http.Request, messages []*wire.Message, errs []error, err error, reply *reply, v *visit, ended func()) {
	defer ended()
	id := r.Header.Get(wire.HeaderSession)
	if s := e.sessions.find(id); id != "" && s != nil && s.revision != wire.Revision2025_03 {
		reply.refuse(nil, wire.Errorf(wire.CodeInvalidRequest, "Invalid request: revision %s has no batches", s.revision))
		return
	}
	if err != nil {
		reply.refuse(nil, err)
		return
	}
	if r.Header.Get(wire.HeaderRevision) >= wire.Revision2025_06 {
		reply.refuse(nil, wire.Errorf(wire.CodeInvalidRequest, "Invalid request: revision %s has no batches", clip(r.Header.Get(wire.HeaderRevision))))
		return
	}
	var answers [][]byte
	for i, m := range messages {
		if errs[i] != nil {
			answers = append(answers, refusal(m, errs[i]))
			continue
		}
		if c, _ := m.Call(); wire.EraOf(m, &c, r.Header) == wire.Modern {
			answers = append(answers, wire.AppendError(nil, idOf(m), wire.Errorf(wire.CodeInvalidRequest, "Invalid request: revision %s has no batches", wire.Revision2026_07)))
			continue
		}
		status, answer := e.message(r, m, reply, v.shared.Fork(), true)
		switch {
		case status == 0:
			return // the client has gone
		case status == http.StatusBadRequest || status == http.StatusNotFound: // of the session, which is the whole batch's
			reply.finish(status, answer)
			return
		case answer != nil:
			answers = append(answers, answer)
		}
	}
	reply.finishBatch(answers)
}

// refusal is the answer to what is no acceptable message.
func refusal(m *wire.Message, err error) []byte {
	fault, ok := errors.AsType[*wire.Error](err)
	if !ok {
		fault = wire.Errorf(wire.CodeInvalidRequest, "Invalid request: %s", err)
	}
	if m == nil {
		m = &wire.Message{}
	}
	return wire.AppendError(nil, idOf(m), fault)
}

// request is one message of a client at work.
type request struct {
	m       *wire.Message
	c       wire.Call
	era     wire.Era
	session *session // legacy only; nil for initialize
	header  http.Header
	reply   *reply
	shared  *pipeline.Request // what the hooks of the HTTP request share
	status  int               // of HTTP, where a fault in the modern era has another than 200
}

// begin makes the context of the request, which ends with its client or, in a
// session, by notifications/cancelled.
func (q *request) begin(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if q.session == nil {
		return ctx, func() { cancel(nil) }
	}
	leave := q.session.enter(string(q.m.ID), cancel)
	return ctx, func() { leave(); cancel(nil) }
}

// clip keeps an error message short whatever a client sends.
func clip(s string) string {
	if len(s) <= 100 {
		return s
	}
	return s[:100] + "…"
}
