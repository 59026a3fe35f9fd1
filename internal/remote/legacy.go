package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// legacy calls tools through a session of the official SDK. The session is made
// when it is first needed and replaced when it turns out to be of no use any
// more; a session that others still use is ended when the last of them is done.
type legacy struct {
	p        *Plugin
	client   *mcp.Client
	connects flight[*session]

	mu      sync.Mutex
	current *session
	delays  *backoff.ExponentialBackOff
	retryAt time.Time // no new session before this
	lastErr error     // why
}

// session is one SDK session; its fields are guarded by legacy.mu.
type session struct {
	*mcp.ClientSession
	users int
	gone  bool // no longer current
}

func newLegacy(p *Plugin, version string) *legacy {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval, delays.MaxInterval = 100*time.Millisecond, 5*time.Second
	return &legacy{
		p: p, delays: delays,
		client: mcp.NewClient(&mcp.Implementation{Name: clientName, Version: version}, &mcp.ClientOptions{
			Capabilities: &mcp.ClientCapabilities{},
			Logger:       p.log,
			// Nothing below may call a tool again by itself, as this does for results
			// that ask for input.
			MultiRoundTrip: &mcp.MultiRoundTripOptions{Disabled: true},
		}),
	}
}

// call calls one tool. It is called again, on a new session, only when the
// server did not know the session: then it called nothing.
func (l *legacy) call(ctx context.Context, tool string, arguments []byte) (json.RawMessage, error) {
	result, err := l.callOnce(ctx, tool, arguments)
	if unknownSession(err) {
		return l.callOnce(ctx, tool, arguments)
	}
	return result, err
}

func (l *legacy) callOnce(ctx context.Context, tool string, arguments []byte) (json.RawMessage, error) {
	s, err := l.acquire(ctx)
	if err != nil {
		return nil, err
	}
	var seen sighting
	_, err = s.CallTool(seen.watch(ctx), &mcp.CallToolParams{Name: tool, Arguments: json.RawMessage(arguments)})
	switch {
	case seen.answer != nil:
		// The SDK has its own opinion about what may stand in a result.
		l.release(s, false)
		return seen.answer.Result, nil
	case seen.err != nil:
		l.release(s, breaks(seen.err))
		return nil, seen.err
	}
	// Nothing was exchanged: the SDK itself refused.
	l.release(s, ctx.Err() == nil)
	return nil, err
}

// breaks reports whether a session is better not used again after err.
func breaks(err error) bool {
	var bad *badAnswer
	return refused(err) || errors.As(err, &bad)
}

// acquire returns the current session, or makes one.
func (l *legacy) acquire(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		if s := l.current; s != nil {
			s.users++
			l.mu.Unlock()
			return s, nil
		}
		if time.Now().Before(l.retryAt) {
			defer l.mu.Unlock()
			return nil, l.lastErr
		}
		l.mu.Unlock()
		if _, err := l.connects.do(ctx, l.p, l.p.cfg.Timeout, l.connect); err != nil {
			return nil, err
		}
	}
}

// connect makes a new session, unless another has just become current.
func (l *legacy) connect(ctx context.Context) (*session, error) {
	l.mu.Lock()
	current := l.current
	l.mu.Unlock()
	if current != nil {
		return current, nil
	}
	var seen sighting
	inner, err := l.client.Connect(seen.watch(ctx), &mcp.StreamableClientTransport{
		Endpoint: l.p.url.String(),
		HTTPClient: &http.Client{
			Transport:     (*legacyTransport)(l),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		MaxRetries:           -1,
		DisableStandaloneSSE: true,
	}, &mcp.ClientSessionOptions{ProtocolVersion: wire.Revision2025_11})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.delays.Reset()
		l.current = &session{ClientSession: inner}
		return l.current, nil
	}
	if seen.err != nil {
		err = seen.err
	}
	// A server that is not there may be back any moment and costs nothing to
	// ask; one that answers, but not well, is not asked by every call.
	if breaks(err) || seen.err == nil {
		l.retryAt, l.lastErr = time.Now().Add(l.delays.NextBackOff()), err
	}
	return nil, err
}

// release gives s back; broken takes it out of use.
func (l *legacy) release(s *session, broken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.users--
	if broken && l.current == s {
		l.current, s.gone = nil, true
	}
	if s.gone && s.users == 0 {
		l.p.running.Go(func() { _ = s.Close() }) // says goodbye; whether anyone listens makes no difference
	}
}

func (l *legacy) close() {
	l.mu.Lock()
	s := l.current
	l.current = nil
	l.mu.Unlock()
	if s != nil {
		_ = s.Close()
	}
}

// sighting is what passed under the SDK during one call.
type sighting struct {
	answer *wire.Message
	err    error
}

type sightingKey struct{}

func (s *sighting) watch(ctx context.Context) context.Context {
	return context.WithValue(ctx, sightingKey{}, s)
}

// legacyTransport stands between SDK and connections. It reads answers itself,
// as strictly as those of the modern era, for the SDK ends a session for good
// on one bad answer, and waits without end for one that a stream never brings.
type legacyTransport legacy

// RoundTrip sends one message of the SDK. Whatever is not a good answer is an
// error here, which costs the SDK that one call and not the session.
func (t *legacyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	id, err := requestID(req)
	if err != nil {
		return nil, err
	}
	if id == nil {
		return t.tell(req)
	}
	m, header, err := t.ask(req, id)
	if seen, ok := req.Context().Value(sightingKey{}).(*sighting); ok {
		seen.answer, seen.err = m, err
	}
	if err != nil {
		return nil, err
	}
	body := wire.AppendResult(nil, m.ID, m.Result)
	return &http.Response{
		StatusCode: http.StatusOK,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {wire.MediaJSON}, wire.HeaderSession: header[wire.HeaderSession]},
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       req,
	}, nil
}

// ask sends a request and reads the answer to it.
func (t *legacyTransport) ask(req *http.Request, id []byte) (*wire.Message, http.Header, error) {
	var m *wire.Message
	var header http.Header
	err := t.send(req, func(resp *http.Response) (err error) {
		header = resp.Header
		m, err = readAnswer(resp, id, t.p.maxAnswer)
		return err
	})
	return m, header, err
}

// tell sends what has no answer: a notification, the end of a session.
func (t *legacyTransport) tell(req *http.Request) (*http.Response, error) {
	answer := &http.Response{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, Request: req}
	err := t.send(req, func(resp *http.Response) error {
		if resp.StatusCode/100 != 2 {
			return readRefusal(resp)
		}
		answer.StatusCode, answer.Header = resp.StatusCode, resp.Header
		return nil
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// send sends a request of the SDK.
func (t *legacyTransport) send(req *http.Request, read func(*http.Response) error) error {
	var body []byte
	if req.Body != nil {
		defer req.Body.Close()
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(t.p.cfg.Timeout)
	if d, ok := req.Context().Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	return t.p.transport.do(req.Context(), deadline, head(req.Method, t.p.url, req.Header), body, read)
}

// requestID reads the id of the message in req's body; nil when there is none.
func requestID(req *http.Request) (json.RawMessage, error) {
	if req.GetBody == nil {
		return nil, nil
	}
	copied, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	defer copied.Close()
	data, err := io.ReadAll(copied)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	m, err := wire.Parse(data, int64(len(data)))
	if err != nil {
		return nil, err
	}
	return m.ID, nil
}
