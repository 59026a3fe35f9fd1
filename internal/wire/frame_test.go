package wire

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func readEvents(r io.Reader, limit int64) (got []string, err error) {
	events := NewEvents(r, limit)
	for {
		e, err := events.Next()
		if err != nil {
			return got, err
		}
		got = append(got, e.Type+"|"+e.ID+"|"+string(e.Data))
	}
}

func TestEvents(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		want   []string
		err    error
	}{
		"one":                    {"data: {}\n\n", []string{"message||{}"}, io.EOF},
		"typed":                  {"event: endpoint\ndata: /x\n\n", []string{"endpoint||/x"}, io.EOF},
		"no space":               {"data:{}\n\n", []string{"message||{}"}, io.EOF},
		"two spaces":             {"data:  x\n\n", []string{"message|| x"}, io.EOF},
		"lines joined":           {"data: a\ndata: b\ndata\n\n", []string{"message||a\nb\n"}, io.EOF},
		"CRLF":                   {"event: e\r\ndata: a\r\n\r\ndata: b\r\n\r\n", []string{"e||a", "message||b"}, io.EOF},
		"CR":                     {"data: a\r\rdata: b\r\r", []string{"message||a", "message||b"}, io.EOF},
		"byte order mark":        {"\ufeffdata: a\n\n", []string{"message||a"}, io.EOF},
		"comments":               {":\n\n: ping\n\ndata: a\n:x\n\n", []string{"message||a"}, io.EOF},
		"id stays":               {"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", []string{"message|1|a", "message|1|b", "message||c"}, io.EOF},
		"type without data":      {"event: x\n\ndata: a\n\n", []string{"message||a"}, io.EOF},
		"empty data":             {"data\n\n", []string{"message||"}, io.EOF},
		"unknown fields":         {"retry: 10\nfoo: bar\ndata: a\n\n", []string{"message||a"}, io.EOF},
		"cut off in a line":      {"data: a\n\ndata: b", []string{"message||a"}, io.ErrUnexpectedEOF},
		"cut off after the line": {"data: b\n", nil, io.ErrUnexpectedEOF},
		"nothing":                {"", nil, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.stream), iotest.OneByteReader(strings.NewReader(c.stream))} {
				got, err := readEvents(r, 100)
				if !errors.Is(err, c.err) {
					t.Errorf("error %v, want %v", err, c.err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestEventsHaveALimit(t *testing.T) {
	for name, stream := range map[string]string{
		"one line":       "data: " + strings.Repeat("x", 1000),
		"many lines":     strings.Repeat("data: x\n", 1000),
		"comments":       strings.Repeat(":\n", 1000),
		"a name":         strings.Repeat("x", 1000),
		"an unsaid type": strings.Repeat("event: x\n", 1000),
	} {
		var large *TooLargeError
		if _, err := readEvents(strings.NewReader(stream), 100); !errors.As(err, &large) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if got, err := readEvents(strings.NewReader(strings.Repeat("data: x\n\n:\n\n", 1000)), 100); len(got) != 1000 || !errors.Is(err, io.EOF) {
		t.Errorf("%d events, error %v: the limit is on one event, not on the stream", len(got), err)
	}
}

// What is counted is the event's text up to the end of its last line.
func TestAnEventAsLargeAsItsLimit(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\n\r\n", "\r\r"} {
		event := "data: " + strings.Repeat("x", 94) + end
		if got, err := readEvents(strings.NewReader(event+event), 100); len(got) != 2 || !errors.Is(err, io.EOF) {
			t.Errorf("%q: %d events, error %v", end, len(got), err)
		}
		var large *TooLargeError
		if got, err := readEvents(strings.NewReader(event), 99); len(got) != 0 || !errors.As(err, &large) {
			t.Errorf("%q over the limit: %d events, error %v", end, len(got), err)
		}
		event = "data: " + strings.Repeat("x", 94) + end[:len(end)/2] + ":" + end
		if got, err := readEvents(strings.NewReader(event), 100); len(got) != 0 || !errors.As(err, &large) {
			t.Errorf("%q and a comment: %d events, error %v", end, len(got), err)
		}
	}
}

func TestAppendEventIsReadBack(t *testing.T) {
	stream := AppendEvent(nil, "message", []byte("{\r\n\"a\":\n1}"))
	if want := "event: message\ndata: {\"a\":1}\n\n"; string(stream) != want {
		t.Fatalf("event %q, want %q", stream, want)
	}
	got, _ := readEvents(strings.NewReader(string(AppendComment(stream))), 100)
	if diff := cmp.Diff([]string{`message||{"a":1}`}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 10000)
	lines := NewLines(strings.NewReader("a\r\n\n  \n"+long+"\nb\n"+long[:9000]), 9999)
	for i, want := range []string{"a", "", "b", long[:9000]} {
		line, err := lines.Next()
		var large *TooLargeError
		switch {
		case i == 1:
			if !errors.As(err, &large) || large.Size != 10000 {
				t.Errorf("error %v, want one about 10000 bytes", err)
			}
		case err != nil || string(line) != want:
			t.Errorf("line %d is %d bytes, error %v", i, len(line), err)
		}
	}
	if _, err := lines.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want io.EOF", err)
	}
}

// The line's end does not count, whatever it is and wherever the reader's buffer
// ends; a CR that does not belong to it does.
func TestLinesCountCarriageReturns(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		size int64 // 0 when it is within the limit
	}{
		"as long as allowed, LF":    {strings.Repeat("x", 5000) + "\n", 0},
		"as long as allowed, CRLF":  {strings.Repeat("x", 5000) + "\r\n", 0},
		"as long as allowed, no LF": {strings.Repeat("x", 5000), 0},
		"one over, LF":              {strings.Repeat("x", 5001) + "\n", 5001},
		"one over, CRLF":            {strings.Repeat("x", 5001) + "\r\n", 5001},
		"one over, CRCRLF":          {strings.Repeat("x", 5000) + "\r\r\n", 5001},
		"CRs that end nothing":      {strings.Repeat("\r", 1<<20), 1 << 20},
		"CRs before LF":             {strings.Repeat("\r", 1<<20) + "\n", 1<<20 - 1},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
			lines := NewLines(r, 5000)
			line, err := lines.Next()
			var large *TooLargeError
			switch {
			case c.size == 0 && (err != nil || len(line) != 5000):
				t.Errorf("%s: %d bytes, error %v", name, len(line), err)
			case c.size > 0 && (!errors.As(err, &large) || large.Size != c.size):
				t.Errorf("%s: error %v, want one about %d bytes", name, err, c.size)
			}
			if len(lines.line) > 5002 {
				t.Errorf("%s: %d bytes are kept", name, len(lines.line))
			}
		}
	}
	_, err := NewLines(strings.NewReader(`{"id":7,"x":"`+strings.Repeat("x", 87)+"\"}\r\n"), 100).Next()
	if large := (*TooLargeError)(nil); !errors.As(err, &large) || large.Size != 102 || string(large.ID) != "7" {
		t.Errorf("error %#v, want the id of the message too", err)
	}
}

func TestAppendLine(t *testing.T) {
	if got := string(AppendLine([]byte("x"), []byte("{\"a\":\r\n1,\n\"b\":\"\\n\"}\n"))); got != "x{\"a\":1,\"b\":\"\\n\"}\n" {
		t.Errorf("line %q", got)
	}
}
