package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Event is one server-sent event.
type Event struct {
	Type string // "message" when the stream names none
	ID   string // the last id of the stream so far
	Data []byte // valid until the next call of [Events.Next]
}

// Events reads a stream of server-sent events. It is not for concurrent use.
type Events struct {
	r     *bufio.Reader
	limit int64
	id    string
	data  []byte
	skip  bool // the last line ended in CR: a LF that follows belongs to it
	begun bool
}

// NewEvents returns a reader of events of at most limit bytes each, field names
// and comments included, the end of the last line not: a stream of comments that never ends an event is not
// without bound either.
func NewEvents(r io.Reader, limit int64) *Events {
	return &Events{r: bufio.NewReader(r), limit: limit}
}

// Next returns the next event that has data. [io.EOF] means that the stream
// ended after a whole event, [io.ErrUnexpectedEOF] that it ended within one, a
// [*TooLargeError] that the event is over the limit; the stream cannot be read
// further after an error.
func (e *Events) Next() (*Event, error) {
	event := &Event{}
	e.data = e.data[:0]
	var seen int64
	var line []byte
	hasData := false
	for {
		var err error
		line, err = e.line(line[:0], e.limit-seen)
		if errors.Is(err, io.EOF) {
			if len(line) > 0 || hasData {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, io.EOF
		}
		if err != nil {
			return nil, err
		}
		seen += int64(len(line)) + 1
		switch {
		case len(line) > 0:
			hasData = e.field(event, line) || hasData
			continue
		case !hasData: // nothing to dispatch: a comment, or a type alone
			event.Type, seen = "", 0
			continue
		}
		if event.Type == "" {
			event.Type = "message"
		}
		event.ID = e.id
		event.Data = bytes.TrimSuffix(e.data, []byte{'\n'})
		return event, nil
	}
}

// field applies one line and reports whether it was data.
func (e *Events) field(event *Event, line []byte) bool {
	name, value, _ := bytes.Cut(line, []byte{':'})
	value = bytes.TrimPrefix(value, []byte{' '})
	switch string(name) {
	case "data":
		e.data = append(append(e.data, value...), '\n')
		return true
	case "event":
		event.Type = string(value)
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			e.id = string(value)
		}
	}
	return false
}

// line appends the next line, without its end (LF, CR or CRLF), to dst.
func (e *Events) line(dst []byte, limit int64) ([]byte, error) {
	if !e.begun {
		e.begun = true
		if bom, err := e.r.Peek(3); err == nil && string(bom) == "\ufeff" {
			_, _ = e.r.Discard(3) // just peeked
		}
	}
	for {
		if _, err := e.r.Peek(1); err != nil {
			return dst, err
		}
		chunk, _ := e.r.Peek(e.r.Buffered()) // cannot fail: it is buffered
		if e.skip {
			e.skip = false
			if chunk[0] == '\n' {
				_, _ = e.r.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(chunk, "\r\n")
		part := chunk
		if end >= 0 {
			part = chunk[:end]
		}
		if int64(len(dst)+len(part)) > max(limit, 0) { // below 0 by a line end: the blank line still fits
			return dst, &TooLargeError{Limit: e.limit}
		}
		dst = append(dst, part...)
		if end < 0 {
			_, _ = e.r.Discard(len(chunk))
			continue
		}
		e.skip = chunk[end] == '\r'
		_, _ = e.r.Discard(end + 1)
		return dst, nil
	}
}

// AppendEvent adds a message as one server-sent event of the given type; an
// empty type is left out. Line ends between the message's tokens are dropped.
func AppendEvent(dst []byte, eventType string, message []byte) []byte {
	if eventType != "" {
		dst = append(append(append(dst, "event: "...), eventType...), '\n')
	}
	dst = append(dst, "data: "...)
	dst = appendOneLine(dst, message)
	return append(dst, "\n\n"...)
}

// AppendComment adds a comment, which keeps an idle stream alive.
func AppendComment(dst []byte) []byte { return append(dst, ":\n\n"...) }
