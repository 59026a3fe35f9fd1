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

// readLine fills l.line, up to the limit and a line end, and returns the line's
// whole size without its end, and its id when it is over the limit.
func (l *Lines) readLine() (size int64, id json.RawMessage, err error) {
	const longestEnd = int64(len("\r\n"))
	var finder *idFinder
	var last byte // of the part before
	for {
		part, err := l.r.ReadSlice('\n')
		size += int64(len(part))
		if size <= l.limit+longestEnd {
			l.line = append(l.line, part...)
		} else {
			if finder == nil {
				finder = &idFinder{}
				finder.read(l.line)
			}
			finder.read(part)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			last = part[len(part)-1]
			continue
		}
		size -= int64(lineEnd(last, part))
		switch {
		case size <= l.limit:
			return size, nil, err
		case finder == nil: // over it by no more than a line end could have been
			finder = &idFinder{}
			finder.read(l.line)
		}
		return size, finder.result(), err
	}
}

// lineEnd is the length of the line end of a line whose last part is part; last
// is the byte before that.
func lineEnd(last byte, part []byte) int {
	switch {
	case len(part) == 0 || part[len(part)-1] != '\n':
		return 0
	case len(part) > 1:
		last = part[len(part)-2]
	}
	if last == '\r' {
		return 2
	}
	return 1
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
