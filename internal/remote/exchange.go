package remote

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// maxRefusal is how much is read of an answer that is not a success.
const maxRefusal = 64 << 10

// readAnswer reads the answer to the request with this id. The error is a
// [*wire.Error] when that is the answer, a [*statusError] for every HTTP status
// but 200, or says what is wrong with the answer or the connection.
func readAnswer(resp *http.Response, id []byte, limit int64) (*wire.Message, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, readRefusal(resp)
	}
	var m *wire.Message
	var err error
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case wire.MediaJSON:
		m, err = readJSON(resp, limit)
	case wire.MediaSSE:
		m, err = readStream(resp.Body, limit)
	default:
		return nil, badAnswerf("content type %q, want %s", resp.Header.Get("Content-Type"), wire.AcceptBoth)
	}
	switch {
	case err != nil:
		return nil, err
	case !m.IsResponse():
		return nil, badAnswerf("a %s request instead of an answer", m.Method)
	case m.Error != nil:
		return nil, m.Error // its id may be null
	case !bytes.Equal(m.ID, id):
		return nil, badAnswerf("the answer has id %.40s, the request had %s", m.ID, id)
	}
	return m, nil
}

// readJSON reads a body that is one message.
func readJSON(resp *http.Response, limit int64) (*wire.Message, error) {
	if resp.ContentLength > limit {
		return nil, &wire.TooLargeError{Size: resp.ContentLength, Limit: limit}
	}
	if resp.ContentLength >= 0 {
		body := make([]byte, resp.ContentLength)
		if _, err := io.ReadFull(resp.Body, body); err != nil {
			return nil, err
		}
		return parse(body, limit)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, &wire.TooLargeError{Limit: limit}
	}
	return parse(body, limit)
}

// readStream reads events up to the first message that is an answer. What a
// server says before it (progress, logs, requests of its own) is not for us.
func readStream(body io.Reader, limit int64) (*wire.Message, error) {
	events := wire.NewEvents(body, limit)
	for {
		event, err := events.Next()
		if errors.Is(err, io.EOF) {
			return nil, badAnswerf("the event stream ended without an answer")
		}
		if err != nil {
			return nil, err
		}
		if event.Type != "message" || len(event.Data) == 0 { // resumption primers carry no data
			continue
		}
		m, err := parse(bytes.Clone(event.Data), limit)
		if err != nil {
			return nil, err
		}
		if m.IsResponse() {
			return m, nil
		}
	}
}

func parse(data []byte, limit int64) (*wire.Message, error) {
	m, err := wire.Parse(data, limit)
	var large *wire.TooLargeError
	if err != nil && !errors.As(err, &large) {
		// Not the server's error but ours about its answer.
		return nil, badAnswerf("not a JSON-RPC message: %s", err)
	}
	return m, err
}

// readRefusal reads what an answer other than 200 says.
func readRefusal(resp *http.Response) error {
	e := &statusError{status: resp.StatusCode}
	if to := resp.Header.Get("Location"); to != "" {
		e.text = "redirects to a plugin server are not followed"
		return e
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return e // the status is known, and says enough
	}
	if m, err := wire.Parse(body, maxRefusal); err == nil && m.Error != nil {
		e.rpc = m.Error
		return e
	}
	e.text = snippet(body)
	return e
}

// snippet is the beginning of a text for an error message, on one line.
func snippet(text []byte) string {
	const most = 200
	short := strings.Join(strings.Fields(strings.ToValidUTF8(string(text[:min(len(text), most)]), "")), " ")
	if len(text) > most {
		short += "…"
	}
	return short
}
