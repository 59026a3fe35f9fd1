package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// httpLink talks to a Streamable HTTP endpoint.
type httpLink struct {
	u          *Upstream
	url        *url.URL
	place      string // the url for messages
	configured http.Header
	redact     func(string) string
	host       string // the Host header
	transport  *transport
	peer       atomic.Pointer[peer] // what was found last; nil before
	settles    flight[*peer]
	replies    chan struct{} // holds a value for each answer to the server under way
}

// peer is how the server is spoken to. It is never changed.
type peer struct {
	info    *Info
	session string // legacy: the id of our session; empty when there is none
	since   time.Time
}

func newHTTP(u *Upstream) (*httpLink, error) {
	at, err := url.Parse(u.cfg.URL)
	if err != nil {
		return nil, errors.New("url: not a valid URL") // the text could hold a secret
	}
	h := &httpLink{
		u: u, url: at, host: at.Host, configured: http.Header{},
		redact: logs.Mask(maps.Values(u.cfg.Headers)), replies: make(chan struct{}, maxReplies),
	}
	h.place = (&url.URL{Scheme: at.Scheme, Host: at.Host, Path: at.Path}).String()
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("url %s: %w", h.place, err)
	}
	for name, value := range u.cfg.Headers {
		if !isHeader(name, value) {
			return nil, fmt.Errorf("header %q holds characters that a header cannot hold", name)
		}
		if name = http.CanonicalHeaderKey(name); name == "Host" {
			h.host = value
			continue
		}
		h.configured[name] = []string{value}
	}
	secure := u.cfg.TLS
	if at.Scheme == "https" && secure == nil {
		// No logger: its warnings are about plugins and client certificates.
		secure, err = mtls.NewClient(mtls.ClientConfig{CABundle: "system", Verify: true, CheckHostname: true}, nil)
		if err != nil {
			return nil, err
		}
	}
	h.transport = newTransport(&u.o, secure, u.crew.done)
	return h, nil
}

func (h *httpLink) check() error {
	switch {
	case h.url.Scheme != "http" && h.url.Scheme != "https":
		return hint.Add(fmt.Errorf("scheme %q, want http or https", h.url.Scheme), "use a url such as http://127.0.0.1:9101/mcp")
	case h.url.Host == "":
		return errors.New("no host")
	case h.url.User != nil:
		return hint.Add(errors.New("user and password in a url are not used"), "set an Authorization header under headers")
	case h.url.Scheme == "http" && h.u.cfg.TLS != nil:
		return errors.New("TLS settings with an http url")
	}
	return nil
}

func (h *httpLink) where() string { return h.place }

// run waits for the end, and then ends the session.
func (h *httpLink) run(ctx context.Context) {
	<-ctx.Done()
	if p := h.peer.Load(); p != nil && p.session != "" {
		h.goodbye(context.WithoutCancel(ctx), p)
	}
	h.u.crew.stop()
	h.transport.base.CloseIdleConnections()
}

// goodbye tells a legacy server that we need the session no more. Whether
// anybody listens makes no difference.
func (h *httpLink) goodbye(ctx context.Context, p *peer) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req := h.request(ctx, nil, h.header(p, nil))
	req.Method = http.MethodDelete
	if resp, err := h.transport.send(req); err == nil {
		resp.Body.Close()
	}
}

func (h *httpLink) info(ctx context.Context) (*Info, error) {
	p := h.peer.Load()
	var err error
	if p == nil || p.stale() {
		p, err = h.settle(ctx, p, false)
	}
	if err != nil {
		return nil, err
	}
	return p.info, nil
}

// do sends one request. Only here is it sent a second time: the server turned
// it away before it was dispatched, and is now spoken to in another way.
func (h *httpLink) do(ctx context.Context, c *Call) (*Answer, error) {
	p, err := h.current(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := h.call(ctx, p, c)
	if err == nil {
		return answer, nil
	}
	next := h.afterRefusal(ctx, p, err)
	if next == nil {
		return asAnswer(err)
	}
	if answer, err = h.call(ctx, next, c); err != nil {
		return asAnswer(err)
	}
	return answer, nil
}

// call sends a request to p.
func (h *httpLink) call(ctx context.Context, p *peer, c *Call) (*Answer, error) {
	for name, values := range c.Headers {
		for _, value := range values {
			if !isHeader(name, value) {
				return nil, &misuse{fmt.Errorf("header %q holds characters that a header cannot hold", name)}
			}
		}
	}
	id := appendID(h.u.nextID())
	var params, token []byte
	header := h.header(p, c.Headers)
	if p.info.Era == wire.Modern {
		params = h.u.form.modern(c.Params, nil)
		wire.SetModern(header, p.info.Revision, c.Method, c.name())
	} else {
		// Callers share a session, and their tokens may be equal.
		if token = tokenOf(c.Params); token != nil {
			params = h.u.form.legacy(c.Params, id)
		} else {
			params = h.u.form.legacy(c.Params, nil)
		}
	}
	x := h.begin(ctx, h.u.o.Timeout)
	defer x.end()
	m, err := x.ask(h.request(x.ctx, wire.AppendRequest(nil, id, c.Method, params), header), id, func(m *wire.Message, raw json.RawMessage) {
		h.receive(p, m, raw, c, id, token)
	})
	if err != nil {
		if p.info.Era == wire.Legacy && x.ctx.Err() != nil {
			h.cancelled(p, id)
		}
		return nil, err
	}
	return &Answer{Result: m.Result, Error: m.Error}, nil
}

// receive takes what comes on a call's stream before its answer.
func (h *httpLink) receive(p *peer, m *wire.Message, raw json.RawMessage, c *Call, id, token []byte) {
	switch {
	case m.IsRequest():
		if p.info.Era == wire.Legacy {
			h.reply(p, m)
		}
	case isChange(m.Method):
		h.u.o.OnChange(m.Method)
	case c.Notify != nil:
		if token != nil && bytes.Equal(wire.Member(m.Params, progressToken), id) {
			raw = restoreToken(raw, m.Params, token)
		}
		c.Notify(raw)
	}
}

// reply answers a request of a legacy server, unless too many answers are under
// way already.
func (h *httpLink) reply(p *peer, m *wire.Message) {
	select {
	case h.replies <- struct{}{}:
	default:
		return
	}
	body := wire.AppendAnswer(nil, m)
	h.u.crew.start(sideLimit, func(ctx context.Context) {
		defer func() { <-h.replies }()
		if err := h.tell(ctx, p, body); err != nil {
			h.u.log.Debug("answer to the upstream's request was not taken", "method", clip(m.Method), "error", err.Error())
		}
	})
}

// cancelled tells a legacy server that nobody waits for an answer any more: the
// end of the stream alone does not say so there.
func (h *httpLink) cancelled(p *peer, id []byte) {
	body := wire.AppendCancelled(nil, id)
	h.u.crew.start(sideLimit, func(ctx context.Context) {
		_ = h.tell(ctx, p, body) // it is a courtesy
	})
}

func (h *httpLink) notify(ctx context.Context, method string, params json.RawMessage) error {
	p, err := h.current(ctx)
	if err != nil {
		return err
	}
	if p.info.Era == wire.Modern {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.u.o.Timeout)
	defer cancel()
	return h.tell(ctx, p, wire.AppendRequest(nil, nil, method, h.u.form.legacy(params, nil)))
}

// tell posts a message that has no answer.
func (h *httpLink) tell(ctx context.Context, p *peer, body []byte) error {
	resp, err := h.transport.send(h.request(ctx, body, h.header(p, nil)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return h.readRefusal(resp, nil)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxRefusal) // so that the connection can be used again
	return nil
}

// header makes the headers of a request to p, which is nil before there is one.
func (h *httpLink) header(p *peer, call http.Header) http.Header {
	header := h.u.form.header(h.configured, call)
	if p == nil || p.info.Era == wire.Modern {
		return header
	}
	dropParams(header)
	if p.session != "" {
		header[wire.HeaderSession] = []string{p.session}
	}
	if p.info.Revision >= wire.Revision2025_06 {
		header[wire.HeaderRevision] = []string{p.info.Revision}
	}
	return header
}

// request makes a POST whose body can be sent again, which [transport] does only
// when none of it was sent.
func (h *httpLink) request(ctx context.Context, body []byte, header http.Header) *http.Request {
	r := &http.Request{
		Method: http.MethodPost, URL: h.url, Host: h.host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if body != nil {
		r.ContentLength = int64(len(body))
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	return r.WithContext(ctx)
}
