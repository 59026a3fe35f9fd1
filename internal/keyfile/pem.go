package keyfile

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// absolute is path as an error shows it: a relative one says too little about
// where the file was looked for.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// about puts the path before an error that does not name it.
func about(path string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) && pathErr.Path == path {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// block is one PEM block and the line that it begins at.
type block struct {
	*pem.Block
	line int
}

// blocks splits a file into its PEM blocks. Where pem.Decode skips what it
// does not understand, this refuses it: a bundle that silently lost a
// certificate, or a key taken for a comment, is found out much later. Text is
// allowed before a block (tools put the subject there), not after the last.
func blocks(data []byte) ([]block, error) {
	if err := recognise(data); err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	s := splitter{data: bytes.TrimRight(data, " \t\r\n")}
	number := 0
	for start := 0; start < len(s.data); number++ {
		end := len(s.data)
		if n := bytes.IndexByte(s.data[start:], '\n'); n >= 0 {
			end = start + n + 1
		}
		if err := s.take(number+1, start, end); err != nil {
			return nil, err
		}
		start = end
	}
	switch {
	case s.open != "":
		return nil, fault(ErrTruncated, "the %s of line %d has no end", s.open, s.begun)
	case len(s.found) == 0:
		return nil, fault(ErrDamaged, "there is no PEM block in it")
	case s.text != 0:
		return nil, fault(ErrDamaged, "line %d: text after the last PEM block", s.text)
	}
	return s.found, nil
}

// splitter is the state of blocks between two lines.
type splitter struct {
	data  []byte
	found []block
	open  string // the type of the block that has begun, if any
	begun int    // the line where it did
	start int    // the offset where it did
	text  int    // the first line of text since the last block; 0 is none
}

// take takes the line of that number, which is data[start:end].
func (s *splitter) take(number, start, end int) error {
	content := string(bytes.TrimRight(s.data[start:end], " \t\r\n"))
	last := end == len(s.data)
	if !strings.HasPrefix(content, "-----") {
		if s.open == "" && s.text == 0 && content != "" {
			s.text = number
		}
		return nil
	}
	if s.open == "" {
		kind, ok := label(content, "-----BEGIN ")
		if !ok {
			return stray(content, last, "-----BEGIN ", number)
		}
		s.open, s.begun, s.start, s.text = kind, number, start, 0
		return nil
	}
	if kind, ok := label(content, "-----END "); !ok || kind != s.open {
		return stray(content, last, "-----END "+s.open+"-----", number)
	}
	b, rest := pem.Decode(s.data[s.start:end])
	if b == nil || len(bytes.TrimSpace(rest)) != 0 {
		return fault(ErrDamaged, "the %s of line %d is not base64", s.open, s.begun)
	}
	s.found = append(s.found, block{b, s.begun})
	s.open = ""
	return nil
}

// recognise refuses what is not PEM at all with a word on what it may be.
func recognise(data []byte) error {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return fault(ErrTruncated, "the file is empty")
	case data[0] == 0x30 && !bytes.Contains(data, []byte("-----BEGIN ")):
		return hint.Add(fault(ErrUnsupported, "DER or PKCS #12, not PEM"),
			"convert it to PEM with openssl x509, openssl pkey (-inform DER) or openssl pkcs12")
	}
	return nil
}

// label returns X of a line "-----BEGIN X-----".
func label(line, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(line, prefix)
	if !ok {
		return "", false
	}
	kind, ok := strings.CutSuffix(rest, "-----")
	return kind, ok && kind != "" && len(kind) <= maxLabel && !strings.Contains(kind, "-----")
}

// maxLabel is longer than any kind of block. What is longer is not a label but
// may be a key, and errors name the label.
const maxLabel = 40

// stray is the error about a line of dashes that does not fit. At the end of
// a file it is what is left of the line that belongs there.
func stray(content string, last bool, want string, line int) error {
	if strings.HasPrefix(content, "-----BEGIN ") && strings.Contains(content, "-----END ") {
		return hint.Add(fault(ErrDamaged, "line %d holds a whole block: the line breaks have been lost", line),
			"put them back: BEGIN and END each have a line of their own, and the base64 lines of 64 characters between them")
	}
	if last && (strings.HasPrefix(want, content) || strings.HasPrefix(content, want)) {
		return fault(ErrTruncated, "the file ends within line %d", line)
	}
	if strings.HasPrefix(content, "-----BEGIN ") && strings.HasPrefix(want, "-----END ") {
		return fault(ErrTruncated, "line %d begins a block before the one above has ended", line)
	}
	return fault(ErrDamaged, "line %d is not %s", line, strings.TrimSpace(want))
}

// derLength returns how many bytes the SEQUENCE that b starts with takes,
// whether or not b holds them all. It is 0 if b does not start with one.
func derLength(b []byte) int {
	if len(b) < 2 || b[0] != 0x30 {
		return 0
	}
	n := int(b[1] & 0x7f)
	if b[1] < 0x80 {
		return 2 + n
	}
	if n < 1 || n > 3 || len(b) < 2+n {
		return 0
	}
	length := 0
	for _, digit := range b[2 : 2+n] {
		length = length<<8 | int(digit)
	}
	return 2 + n + length
}

// whole checks that der is one SEQUENCE and nothing else, to tell a truncated
// block from a damaged one.
func whole(der []byte) error {
	n := derLength(der)
	switch {
	case len(der) == 0:
		return fault(ErrTruncated, "nothing between its BEGIN and END lines")
	case n == 0:
		return fault(ErrDamaged, "not DER")
	case n > len(der):
		return fault(ErrTruncated, "%d bytes of %d", len(der), n)
	case n < len(der):
		return fault(ErrDamaged, "%d bytes too many", len(der)-n)
	}
	return nil
}

// at says which block an error is about.
func (b block) at(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the %s of line %d: %w", b.Type, b.line, err)
}
