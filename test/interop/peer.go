package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// The two revisions that are spoken here.
const legacy, modern = "2025-11-25", "2026-07-28"

// call is one request. Params are sent as they stand, but for _meta.
type call struct {
	method string
	params string // an object without _meta
	name   string // the tool's, prompt's name or the uri, for Mcp-Name

	progress bool // ask for progress
	clock    bool // the answer holds the time of day: compare again when it differs
}

// answer is what came back, in the bytes of the server.
type answer struct {
	result json.RawMessage // nil when there is a fault
	fault  json.RawMessage
	notes  []string // "progress/total" of each notifications/progress before it
}

// peer is an MCP server as this program reaches it: with no SDK and none of the
// gateway's own code, so that bytes are seen as they come.
type peer interface {
	do(ctx context.Context, c call) (*answer, error)
	close() error
}

const hello = `{"protocolVersion":"` + legacy + `","capabilities":{},"clientInfo":{"name":"interop","version":"1.0.0"}}`

// request is the message of a call.
func request(id int, c call, revision string) []byte {
	var meta []string
	if revision == modern {
		meta = append(meta, `"io.modelcontextprotocol/protocolVersion":"`+modern+`"`,
			`"io.modelcontextprotocol/clientCapabilities":{}`, `"io.modelcontextprotocol/clientInfo":{"name":"interop","version":"1.0.0"}`)
	}
	if c.progress {
		meta = append(meta, fmt.Sprintf(`"progressToken":"token %d"`, id))
	}
	params := c.params
	if len(meta) > 0 {
		head, comma := strings.TrimSuffix(params, "}"), ","
		if head == "{" {
			comma = ""
		}
		params = head + comma + `"_meta":{` + strings.Join(meta, ",") + "}}"
	}
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, id, c.method, params)
}

// take looks at a message from the server, and reports whether it is the answer
// to id.
func (a *answer) take(message []byte, id int) (bool, error) {
	var m struct {
		ID            json.RawMessage
		Method        string
		Params        json.RawMessage
		Result, Error json.RawMessage
	}
	if err := json.Unmarshal(message, &m); err != nil {
		return false, fmt.Errorf("not a message: %w: %s", err, clip(message))
	}
	switch {
	case m.Method == "notifications/progress":
		// The gateway sends the numbers of a judged call anew, without words.
		var p struct{ Progress, Total, ProgressToken json.RawMessage }
		if err := json.Unmarshal(m.Params, &p); err != nil {
			return false, err
		}
		if want := fmt.Sprintf(`"token %d"`, id); string(p.ProgressToken) != want {
			return false, fmt.Errorf("progress of %s came to %s", p.ProgressToken, want)
		}
		a.notes = append(a.notes, fmt.Sprintf("%s/%s", p.Progress, p.Total))
	case m.Method == "" && string(m.ID) == fmt.Sprint(id):
		a.result, a.fault = m.Result, m.Error
		return true, nil
	}
	return false, nil
}

// httpPeer speaks Streamable HTTP.
type httpPeer struct {
	url, revision, session string
	extra                  http.Header // sent with each request
	id                     int
	client                 *http.Client
}

// dialHTTP opens a session, or in 2026-07-28 nothing at all.
func dialHTTP(ctx context.Context, url, revision string) (*httpPeer, error) {
	p := &httpPeer{url: url, revision: revision, client: &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}}
	if revision == modern {
		return p, nil
	}
	a, err := p.do(ctx, call{method: "initialize", params: hello})
	if err != nil {
		return nil, err
	}
	if a.result == nil {
		return nil, fmt.Errorf("initialize: %s", a.fault)
	}
	response, err := p.post(ctx, []byte(`{"jsonrpc":"2.0","method":"notifications/initialized"}`), call{})
	if err != nil {
		return nil, err
	}
	return p, response.Body.Close()
}

func (p *httpPeer) post(ctx context.Context, body []byte, c call) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if c.method != "initialize" {
		r.Header.Set("MCP-Protocol-Version", p.revision)
	}
	if p.session != "" {
		r.Header.Set("Mcp-Session-Id", p.session)
	}
	if p.revision == modern {
		r.Header.Set("Mcp-Method", c.method)
		if c.name != "" {
			r.Header.Set("Mcp-Name", c.name)
		}
	}
	maps.Copy(r.Header, p.extra)
	return p.client.Do(r)
}

func (p *httpPeer) do(ctx context.Context, c call) (*answer, error) {
	p.id++
	response, err := p.post(ctx, request(p.id, c, p.revision), c)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if session := response.Header.Get("Mcp-Session-Id"); session != "" {
		p.session = session
	}
	a := &answer{}
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if media != "text/event-stream" {
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, err
		}
		done, err := a.take(body, p.id)
		if err != nil || !done {
			return nil, fmt.Errorf("%s: HTTP %s: %w: %s", c.method, response.Status, errors.Join(err, errNoAnswer), clip(body))
		}
		return a, nil
	}
	return a, a.stream(response.Body, p.id)
}

var errNoAnswer = errors.New("no answer")

// stream reads events up to the answer.
func (a *answer) stream(body io.Reader, id int) error {
	lines := bufio.NewReader(body)
	var data []byte
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("event stream: %w: %w", errNoAnswer, err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if more, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, bytes.TrimPrefix(more, []byte(" "))...)
		}
		if len(line) > 0 || len(data) == 0 {
			continue
		}
		if done, err := a.take(data, id); err != nil || done {
			return err
		}
		data = nil
	}
}

func (p *httpPeer) close() error {
	p.client.CloseIdleConnections()
	return nil
}

// stdioPeer speaks to a process of its own.
type stdioPeer struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
	id    int
}

func dialStdio(ctx context.Context, cmd *exec.Cmd) (*stdioPeer, error) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &stdioPeer{cmd: cmd, in: in, lines: bufio.NewReader(out)}
	a, err := p.do(ctx, call{method: "initialize", params: hello})
	if err == nil && a.result == nil {
		err = fmt.Errorf("initialize: %s", a.fault)
	}
	if err == nil {
		_, err = io.WriteString(in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n")
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *stdioPeer) do(_ context.Context, c call) (*answer, error) {
	p.id++
	if _, err := p.in.Write(append(request(p.id, c, legacy), '\n')); err != nil {
		return nil, err
	}
	a := &answer{}
	for {
		line, err := p.lines.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", c.method, errNoAnswer, err)
		}
		if done, err := a.take(line, p.id); err != nil || done {
			return a, err
		}
	}
}

// close ends the process as clients do, by closing its standard input; a server
// that stays all the same is sent SIGTERM.
func (p *stdioPeer) close() error {
	_ = p.in.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // how it ends is its own affair
	return nil
}
