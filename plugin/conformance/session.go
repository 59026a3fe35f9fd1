package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// maxAnswer bounds what is read of one answer.
const maxAnswer = 8 << 20

// session speaks MCP with one server, in the legacy form that every plugin
// server knows, and shows more of the answers than package remote does.
type session struct {
	process  *process // or else http
	http     *http.Client
	url      string
	revision string // empty before initialize
	id       string // empty when the server keeps no session
	calls    int
}

func newSession(target *Target, tls *mtls.Client, timeout time.Duration) *session {
	t := &http.Transport{MaxIdleConnsPerHost: 1} // no proxy
	if tls != nil {
		t.DialTLSContext = tls.Dial
	}
	url := target.URL
	if target.UDS != "" { // whose owner package remote has looked at
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", target.UDS)
		}
		if url == "" {
			url = "http://localhost/mcp"
		}
	}
	return &session{url: url, http: &http.Client{
		Transport: t, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// fresh is another session with the same server.
func (s *session) fresh() *session { return &session{http: s.http, url: s.url} }

func (s *session) close() {
	if s.process != nil {
		s.process.close()
		return
	}
	s.http.CloseIdleConnections()
}

// reply is the answer to one message.
type reply struct {
	status int
	media  string
	header http.Header
	result json.RawMessage // nil unless the request succeeded
	rpc    *wire.Error
}

// err is what is wrong with a reply that should hold a result.
func (r *reply) err() error {
	switch {
	case r.rpc != nil:
		return r.rpc
	case r.result == nil:
		return fmt.Errorf("HTTP %d without a result", r.status)
	}
	return nil
}

// open introduces us as a client of this revision.
func (s *session) open(ctx context.Context, revision string) (*reply, error) {
	r, err := s.request(ctx, wire.MethodInitialize, opening(revision), nil)
	if err != nil {
		return nil, err
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	s.revision, _ = wire.String(wire.Member(r.result, "protocolVersion"))
	s.id = r.header.Get(wire.HeaderSession)
	_, err = s.post(ctx, wire.AppendRequest(nil, nil, wire.MethodInitialized, nil), "", nil)
	return r, err
}

// opening are the params of initialize.
func opening(revision string) []byte {
	return []byte(`{"protocolVersion":"` + revision + `","capabilities":{},"clientInfo":{"name":"sallyport-conformance","version":"1"}}`)
}

// request sends one request; extra headers replace ours.
func (s *session) request(ctx context.Context, method string, params []byte, extra http.Header) (*reply, error) {
	if s.process != nil {
		return s.process.request(ctx, method, params)
	}
	s.calls++
	id := strconv.Itoa(s.calls)
	return s.post(ctx, wire.AppendRequest(nil, []byte(id), method, params), id, extra)
}

func (s *session) post(ctx context.Context, body []byte, id string, extra http.Header) (*reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", wire.MediaJSON)
	req.Header.Set("Accept", wire.AcceptBoth)
	if s.revision != "" {
		req.Header.Set(wire.HeaderRevision, s.revision)
	}
	if s.id != "" {
		req.Header.Set(wire.HeaderSession, s.id)
	}
	maps.Copy(req.Header, extra)
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	r := &reply{status: resp.StatusCode, header: resp.Header}
	r.media, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return r, r.read(resp.Body, id)
}

// read takes the answer with this id from the body, if there is one.
func (r *reply) read(body io.Reader, id string) error {
	take := func(data []byte) bool {
		m, err := wire.Parse(data, maxAnswer)
		if err != nil || m.Method != "" || id != "" && r.status == http.StatusOK && string(m.ID) != id {
			return false
		}
		r.result, r.rpc = bytes.Clone(m.Result), m.Error
		return true
	}
	if r.media != wire.MediaSSE {
		data, err := io.ReadAll(io.LimitReader(body, maxAnswer))
		take(data)
		return err
	}
	events := wire.NewEvents(body, maxAnswer)
	for {
		event, err := events.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case take(event.Data):
			return nil
		}
	}
}

// toolAnswer is the result of one tools/call.
type toolAnswer struct {
	texts   []json.RawMessage // of the text blocks, as they decode
	isError bool
	raw     json.RawMessage
}

// tool calls one tool. A JSON-RPC error is an error.
func (s *session) tool(ctx context.Context, name string, arguments []byte) (*toolAnswer, error) {
	params := wire.AppendString([]byte(`{"name":`), name)
	params = append(append(append(params, `,"arguments":`...), arguments...), '}')
	r, err := s.request(ctx, wire.MethodToolsCall, params, nil)
	if err != nil {
		return nil, err
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	a := &toolAnswer{raw: r.result, isError: string(wire.Member(r.result, "isError")) == "true"}
	for block := range wire.Elements(wire.Member(r.result, "content")) {
		if kind, _ := wire.String(wire.Member(block, "type")); kind != "text" {
			continue
		}
		text, ok := wire.AppendText(nil, wire.Member(block, "text"))
		if !ok {
			return nil, errors.New("a text block without text")
		}
		a.texts = append(a.texts, text)
	}
	return a, nil
}
