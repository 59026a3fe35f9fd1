package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// Lines reads messages of the stdio transport: one per line. It is not for
// concurrent use.
type Lines struct {
	r     *bufio.Reader
	limit int64
	line  []byte
}

// NewLines returns a reader of lines of at most limit bytes.
func NewLines(r io.Reader, limit int64) *Lines {
	return &Lines{r: bufio.NewReader(r), limit: limit}
}

// Next returns the next line that is not blank, without its end. It is valid
// until the following call. A line over the limit is read to its end and
// reported as a [*TooLargeError] with its id; reading can go on after it. The end of input
// is [io.EOF]; what stands before it without a line end still counts as a line.
func (l *Lines) Next() ([]byte, error) {
	for {
		l.line = l.line[:0]
		size, id, err := l.readLine()
		switch {
		case size > l.limit:
			return nil, &TooLargeError{Size: size, Limit: l.limit, ID: id}
		case err != nil && (!errors.Is(err, io.EOF) || len(bytes.TrimSpace(l.line)) == 0):
			return nil, err
		}
		if line := bytes.TrimSpace(l.line); len(line) > 0 {
			return line, nil
		}
	}
}

// readLine fills l.line up to the limit and returns the line's whole size, and
// its id when it is over the limit.
func (l *Lines) readLine() (size int64, id json.RawMessage, err error) {
	var finder *idFinder
	for {
		part, err := l.r.ReadSlice('\n')
		size += int64(len(bytes.TrimRight(part, "\r\n")))
		if size <= l.limit {
			l.line = append(l.line, part...)
		} else {
			if finder == nil {
				finder = &idFinder{}
				finder.read(l.line)
			}
			finder.read(part)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if finder != nil {
				id = finder.result()
			}
			return size, id, err
		}
	}
}

// AppendLine adds a message and a line end to dst. Line ends between the
// message's tokens, the only place where valid JSON has them, are dropped.
func AppendLine(dst, message []byte) []byte {
	return append(appendOneLine(dst, message), '\n')
}

func appendOneLine(dst, message []byte) []byte {
	for {
		i := bytes.IndexAny(message, "\r\n")
		if i < 0 {
			return append(dst, message...)
		}
		dst = append(dst, message[:i]...)
		message = message[i+1:]
	}
}
