package gateway

import (
	"net/http"
	"sync"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

const (
	// writeLimit is how long a client may take to accept one piece of an answer.
	writeLimit = 30 * time.Second

	// aliveEvery is how often a client that waits hears from us, so that nothing
	// on the way takes the connection for dead.
	aliveEvery = 15 * time.Second
)

// reply is the answer to one POST. It stays undecided until something has to be
// sent: an answer that comes alone is JSON, if the client takes that; what has
// notifications before it, or takes long, becomes a stream of events.
type reply struct {
	w          http.ResponseWriter
	rc         *http.ResponseController
	plain, sse bool
	out        *outbox

	mu        sync.Mutex
	streaming bool
	done      bool
	alive     *time.Timer
}

func newReply(w http.ResponseWriter, plain, sse bool, out *outbox) *reply {
	r := &reply{w: w, rc: http.NewResponseController(w), plain: plain, sse: sse, out: out}
	if sse {
		r.alive = time.AfterFunc(aliveEvery, r.keepAlive)
	}
	return r
}

// setHeaders sets what plugins want on the answer, unless it has begun.
func (r *reply) setHeaders(headers map[string]string) {
	if len(headers) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done && !r.streaming {
		setAllowed(r.w.Header(), headers)
	}
}

// notify sends a notification, if the client takes a stream.
func (r *reply) notify(message []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done || !r.sse {
		return
	}
	r.send(wire.AppendEvent(nil, "message", message))
}

func (r *reply) keepAlive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return
	}
	r.send(wire.AppendComment(nil))
	r.alive.Reset(aliveEvery)
}

// send writes a piece of the stream. A failure means that the client has gone:
// then the request's context ends.
func (r *reply) send(piece []byte) {
	if !r.streaming {
		r.streaming = true
		front.SetStream(r.w.Header())
		r.w.WriteHeader(http.StatusOK)
	}
	r.extend()
	_, _ = r.w.Write(piece) //nolint:gosec // JSON in an event stream, not HTML
	_ = r.rc.Flush()
}

// extend gives the client time to take what is sent next.
func (r *reply) extend() { _ = r.rc.SetWriteDeadline(time.Now().Add(writeLimit)) }

// finish sends the answer. A status of 0 has none: the client has gone or does
// not want it any more.
func (r *reply) finish(status int, answer []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return
	}
	r.stop()
	defer r.out.send(len(answer), r.rc)()
	switch {
	case status == 0 && !r.streaming && r.sse:
		front.SetStream(r.w.Header()) // ends without a message
		r.w.WriteHeader(http.StatusOK)
	case status == 0:
	case r.streaming && len(answer) > 0:
		r.send(wire.AppendEvent(nil, "message", answer))
	case !r.streaming:
		r.extend()
		front.Write(r.w, status, answer, r.plain)
	}
}

// finishBatch sends the answers of a batch, together or, in a stream, one by one.
func (r *reply) finishBatch(answers [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return
	}
	r.stop()
	size := 0
	for _, answer := range answers {
		size += len(answer)
	}
	defer r.out.send(size, r.rc)()
	switch {
	case r.streaming || (!r.plain && len(answers) > 0):
		for _, answer := range answers {
			r.send(wire.AppendEvent(nil, "message", answer))
		}
	case len(answers) == 0:
		r.w.WriteHeader(http.StatusAccepted)
	default:
		all := []byte{'['}
		for i, answer := range answers {
			if i > 0 {
				all = append(all, ',')
			}
			all = append(all, answer...)
		}
		r.extend()
		front.Write(r.w, http.StatusOK, append(all, ']'), true)
	}
}

// refuse answers what is no acceptable message.
func (r *reply) refuse(m *wire.Message, err error) { r.finish(http.StatusBadRequest, refusal(m, err)) }

// close makes sure that nothing is written after the handler has returned.
func (r *reply) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop()
}

func (r *reply) stop() {
	r.done = true
	if r.alive != nil {
		r.alive.Stop()
	}
}
