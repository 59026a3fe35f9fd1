package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

const (
	// What a modern server says about itself is asked for again after as long as
	// it says, within these bounds.
	minInfoAge, maxInfoAge = 30 * time.Second, time.Hour

	// doubtAfter is how old the knowledge of the era has to be before an error
	// that either era could have sent brings it into doubt.
	doubtAfter = 5 * time.Second
)

// stale reports whether what p says about the server should be asked for again.
// A legacy server said it for the life of the session.
func (p *peer) stale() bool {
	if p.info.Era == wire.Legacy {
		return false
	}
	ms, _ := strconv.ParseInt(string(wire.Member(p.info.Raw, "ttlMs")), 10, 64)
	ttl := maxInfoAge
	if ms < maxInfoAge.Milliseconds() {
		ttl = max(minInfoAge, time.Duration(ms)*time.Millisecond)
	}
	return time.Since(p.since) > ttl
}

func (h *httpLink) current(ctx context.Context) (*peer, error) {
	if p := h.peer.Load(); p != nil {
		return p, nil
	}
	return h.settle(ctx, nil, false)
}

// settle finds out how the server is to be spoken to, in place of old, once for
// all who wait for it. lost says that old's session is no more: then a new one
// is what is needed most likely.
func (h *httpLink) settle(ctx context.Context, old *peer, lost bool) (*peer, error) {
	return h.settles.do(ctx, &h.u.crew, h.u.o.StartTimeout, func(ctx context.Context) (*peer, error) {
		if p := h.peer.Load(); p != old && p != nil {
			return p, nil // somebody has just done it
		}
		p, err := h.find(ctx, old, lost)
		if err != nil {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = &silence{h.u.o.StartTimeout}
			}
			h.u.setState(h.u.explain(ctx, "asking about itself", err))
			return nil, err
		}
		h.peer.Store(p)
		if old != nil && (lost || p.info.Era != old.info.Era) {
			h.u.o.OnChange("")
		}
		h.u.setState(nil)
		h.u.log.Debug("upstream answered", "revision", p.info.Revision, "at", h.place)
		return p, nil
	})
}

func (h *httpLink) find(ctx context.Context, old *peer, lost bool) (*peer, error) {
	if lost {
		p, err := h.initialize(ctx)
		if err == nil || !refused(err) {
			return p, err
		}
	}
	p, err := h.discover(ctx)
	switch {
	case err == nil, !meansLegacy(err):
		return p, err
	case old != nil && old.info.Era == wire.Legacy && !lost:
		return old, nil // as before: its session goes on
	}
	p, legacyErr := h.initialize(ctx)
	if legacyErr != nil && legacyErr.Error() != err.Error() {
		return nil, fmt.Errorf("%w (and to server/discover: %s)", legacyErr, clip(err.Error()))
	}
	return p, legacyErr
}

// discover asks as in the modern era. The error is a [*wire.Error] when the
// server sent one with status 200.
func (h *httpLink) discover(ctx context.Context) (*peer, error) {
	id := appendID(h.u.nextID())
	header := h.header(nil, nil)
	wire.SetModern(header, wire.Revision2026_07, wire.MethodDiscover, "")
	x := h.begin(ctx, h.u.o.StartTimeout)
	defer x.end()
	body := wire.AppendRequest(nil, id, wire.MethodDiscover, h.u.form.modern(nil, nil))
	m, err := x.ask(h.request(x.ctx, body, header), id, ignore)
	if err != nil {
		return nil, err
	}
	if m.Error != nil {
		return nil, m.Error
	}
	info, err := readDiscover(m.Result)
	if err != nil {
		return nil, err
	}
	return &peer{info: info, since: time.Now()}, nil
}

// initialize opens a legacy session.
func (h *httpLink) initialize(ctx context.Context) (*peer, error) {
	id := appendID(h.u.nextID())
	x := h.begin(ctx, h.u.o.StartTimeout)
	defer x.end()
	body := wire.AppendRequest(nil, id, wire.MethodInitialize, h.u.form.initialize())
	m, answered, err := x.askHeader(h.request(x.ctx, body, h.header(nil, nil)), id, ignore)
	if err != nil {
		return nil, err
	}
	if m.Error != nil {
		return nil, &fault{BadAnswer, fmt.Errorf("initialize: %w", m.Error)}
	}
	info, err := readInitialize(m.Result)
	if err != nil {
		return nil, err
	}
	p := &peer{info: info, session: answered.Get(wire.HeaderSession), since: time.Now()}
	if !isSessionID(p.session) {
		return nil, faultf(BadAnswer, "a session id that no header can hold")
	}
	if err := h.tell(ctx, p, wire.AppendRequest(nil, nil, wire.MethodInitialized, nil)); err != nil {
		return nil, fmt.Errorf("%s: %w", wire.MethodInitialized, err)
	}
	return p, nil
}

func ignore(*wire.Message, json.RawMessage) {}

// isSessionID allows what the specification does: visible ASCII.
func isSessionID(id string) bool {
	return len(id) <= 4096 && !strings.ContainsFunc(id, func(r rune) bool { return r < '!' || r > '~' })
}

// afterRefusal finds out, after err came from p, whether and how to send the
// request again. It returns nil when that would not help or might run it twice.
func (h *httpLink) afterRefusal(ctx context.Context, p *peer, err error) *peer {
	legacy := p.info.Era == wire.Legacy
	lost := legacy && unknownSession(p, err)
	if !lost && !wrongEra(p, err) {
		return nil
	}
	next, settleErr := h.settle(ctx, p, lost)
	if next == p && lost { // what was under way began before p's session was lost
		next, settleErr = h.settle(ctx, p, lost)
	}
	switch {
	case settleErr != nil, next == p, !lost && next.info.Era == p.info.Era:
		return nil
	}
	return next
}

// refused reports whether err is an HTTP status that a server answers before it
// dispatches anything.
func refused(err error) bool {
	var s *statusError
	if !errors.As(err, &s) {
		return false
	}
	switch s.status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		return true
	}
	return false
}

// wrongEra reports whether err is what a server answers that is not of p's era,
// or no longer.
func wrongEra(p *peer, err error) bool {
	if !refused(err) {
		return false
	}
	var answer *answerError
	if !errors.As(err, &answer) {
		return true
	}
	modernOnly := answer.rpc.IsModern(answer.status)
	switch {
	case answer.rpc.Code == wire.CodeUnsupportedRevision:
		return true
	case p.info.Era == wire.Modern && modernOnly:
		return false
	case p.info.Era == wire.Legacy && answer.rpc.Code != wire.CodeMethodNotFound:
		return true // legacy servers answer requests that they dispatch with 200
	}
	// An ordinary error, in a form that both eras know.
	return time.Since(p.since) > doubtAfter
}

// unknownSession reports whether err says that p's session is not known. The
// specification wants 404; some servers say 400 and mean the same by their text.
func unknownSession(p *peer, err error) bool {
	var s *statusError
	if p.session == "" || !errors.As(err, &s) {
		return false
	}
	var answer *answerError
	switch s.status {
	case http.StatusNotFound:
		return !errors.As(err, &answer) || answer.rpc.Code != wire.CodeMethodNotFound
	case http.StatusBadRequest:
		text := s.text
		if s.rpc != nil {
			text = s.rpc.Message
		}
		text = strings.ToLower(text)
		return strings.Contains(text, "session") || strings.Contains(text, "not initialized")
	}
	return false
}

// meansLegacy reports whether err, the answer to server/discover, is one that a
// modern server does not give.
func meansLegacy(err error) bool {
	var s *statusError
	switch {
	case wire.MeansLegacy(err):
		return true
	case !errors.As(err, &s):
		return false
	}
	switch s.status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false // any server may say that
	case http.StatusInternalServerError, http.StatusNotImplemented:
		return true // servers that did not expect the request
	}
	return s.status/100 == 4 && (s.rpc == nil || wire.MeansLegacy(s.rpc))
}
