package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

const (
	// maxRefusal is how much is read of an answer that is not a success.
	maxRefusal = 64 << 10

	// streamEnd is how long the end of an event stream is waited for after the
	// answer has come: a stream that ends leaves its connection to the next call.
	streamEnd = 100 * time.Millisecond

	// maxReplies is how many answers to a server's own requests may be under way.
	maxReplies = 16

	// sideLimit bounds messages that nobody waits for.
	sideLimit = 5 * time.Second
)

// exchange is one HTTP request and the reading of its answer. Its context ends
// with the caller's until the answer has come, and after a time without a word
// from the server.
type exchange struct {
	h      *httpLink
	ctx    context.Context
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
	leave  func() bool // stops following the caller's context
	kept   bool        // the stream is being read to its end
}

func (h *httpLink) begin(caller context.Context, limit time.Duration) *exchange {
	x := &exchange{h: h, limit: limit}
	x.ctx, x.cancel = context.WithCancelCause(context.WithoutCancel(caller))
	x.leave = context.AfterFunc(caller, func() { x.cancel(context.Cause(caller)) })
	x.timer = time.AfterFunc(limit, func() { x.cancel(&silence{limit}) })
	return x
}

// end closes what is still open.
func (x *exchange) end() {
	x.leave()
	x.timer.Stop()
	if !x.kept {
		x.cancel(nil)
	}
}

// ask sends req and reads the answer to the request with this id. Everything
// else that comes before it on a stream goes to receive. The error is a
// [*statusError] for every HTTP status but 200, or says what is wrong with the
// answer or the connection.
func (x *exchange) ask(req *http.Request, id []byte, receive func(*wire.Message, json.RawMessage)) (*wire.Message, error) {
	m, _, err := x.askHeader(req, id, receive)
	return m, err
}

func (x *exchange) askHeader(req *http.Request, id []byte, receive func(*wire.Message, json.RawMessage)) (m *wire.Message, header http.Header, err error) {
	defer func() {
		// Whatever the connection says about its end, the reason is this.
		if cause := context.Cause(x.ctx); err != nil && cause != nil {
			err = cause
		}
	}()
	resp, err := x.h.transport.send(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if !x.kept {
			resp.Body.Close()
		}
	}()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, x.h.readRefusal(resp, id)
	}
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case wire.MediaJSON:
		m, err = x.h.readJSON(resp)
		if err == nil {
			err = checkAnswer(m, id)
		}
	case wire.MediaSSE:
		m, err = x.readStream(resp.Body, id, receive)
	default:
		err = faultf(BadAnswer, "content type %q, want %s", clip(resp.Header.Get("Content-Type")), wire.AcceptBoth)
	}
	if err != nil {
		return nil, nil, err
	}
	return m, resp.Header, nil
}

// checkAnswer refuses what is not the answer to the request with this id.
func checkAnswer(m *wire.Message, id []byte) error {
	switch {
	case !m.IsResponse():
		return faultf(BadAnswer, "a %s message instead of an answer", clip(m.Method))
	case m.Error != nil && wire.IsNull(m.ID): // it could not read ours
	case !bytes.Equal(m.ID, id):
		return faultf(BadAnswer, "the answer has id %.40s, the request had %s", m.ID, id)
	}
	return nil
}

// readJSON reads a body that is one message.
func (h *httpLink) readJSON(resp *http.Response) (*wire.Message, error) {
	limit := h.u.o.MaxMessageBytes
	if resp.ContentLength > limit {
		return nil, &wire.TooLargeError{Size: resp.ContentLength, Limit: limit}
	}
	var body []byte
	var err error
	if resp.ContentLength >= 0 {
		body = make([]byte, resp.ContentLength)
		_, err = io.ReadFull(resp.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	}
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, &wire.TooLargeError{Limit: limit}
	}
	return parse(body, limit)
}

// readStream reads events up to the answer.
func (x *exchange) readStream(body io.ReadCloser, id []byte, receive func(*wire.Message, json.RawMessage)) (*wire.Message, error) {
	limit := x.h.u.o.MaxMessageBytes
	events := wire.NewEvents(body, limit)
	for {
		event, err := events.Next()
		if errors.Is(err, io.EOF) {
			return nil, faultf(Unreachable, "the event stream ended before the answer; whether the request was carried out is not known")
		}
		if err != nil {
			return nil, err
		}
		if event.Type != "message" || len(event.Data) == 0 { // resumption primers carry no data
			continue
		}
		raw := bytes.Clone(event.Data)
		m, err := parse(raw, limit)
		if err != nil {
			return nil, err
		}
		if !m.IsResponse() {
			x.timer.Reset(x.limit)
			receive(m, raw)
			continue
		}
		if err := checkAnswer(m, id); err != nil {
			return nil, err
		}
		x.awaitEnd(body)
		return m, nil
	}
}

// awaitEnd reads body to its end, if that comes soon, while the caller goes on
// with the answer.
func (x *exchange) awaitEnd(body io.ReadCloser) {
	x.leave()
	x.timer.Stop()
	x.kept = x.h.u.crew.start(streamEnd, func(ctx context.Context) {
		stop := context.AfterFunc(ctx, func() { x.cancel(nil) })
		_, _ = io.CopyN(io.Discard, body, maxRefusal) // how it ends makes no difference
		stop()
		_ = body.Close()
		x.cancel(nil)
	})
}

func parse(data []byte, limit int64) (*wire.Message, error) {
	m, err := wire.Parse(data, limit)
	var large *wire.TooLargeError
	if err != nil && !errors.As(err, &large) {
		// Not the server's error but ours about its answer.
		return nil, faultf(BadAnswer, "not a JSON-RPC message: %s", clip(err.Error()))
	}
	return m, err
}

// answerError is a JSON-RPC error that came with an HTTP status other than 200
// and names the request: an answer, unless the era is in doubt.
type answerError struct {
	*statusError
}

func (e *answerError) Unwrap() error { return e.statusError }

// readRefusal reads what an answer other than 200 says. id is nil when it was
// no request.
func (h *httpLink) readRefusal(resp *http.Response, id []byte) error {
	e := &statusError{status: resp.StatusCode}
	if resp.StatusCode/100 == 3 {
		return hint.Add(e, "redirects are not followed: "+h.redirect(resp))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return e // the status is known, and says enough
	}
	m, err := wire.Parse(body, maxRefusal)
	if err != nil || m.Error == nil {
		e.text = snippet(h.redact(string(body)))
		return e
	}
	e.rpc = m.Error
	if id != nil && (bytes.Equal(m.ID, id) || e.rpc.IsModern(e.status)) {
		return &answerError{e}
	}
	return e
}

// redirect says where a redirect leads, without what a URL may hide.
func (h *httpLink) redirect(resp *http.Response) string {
	to, err := h.url.Parse(resp.Header.Get("Location"))
	if err != nil || to.Host == "" {
		return "correct the url of the entry"
	}
	to.User, to.RawQuery, to.Fragment = nil, "", ""
	return "if it is meant, set the url to " + to.String()
}

// asAnswer returns the JSON-RPC error in err, if that is the server's answer.
func asAnswer(err error) (*Answer, error) {
	var answer *answerError
	if errors.As(err, &answer) && answer.rpc.Code != wire.CodeUnsupportedRevision {
		return &Answer{Error: answer.rpc}, nil
	}
	return nil, err
}

func dropParams(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, wire.HeaderParam) {
			delete(h, name)
		}
	}
}
