package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":"\ud83d"},` + modernMeta + `}}`,
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"\"","data":[{},[]]}}`,
		`[{"jsonrpc":"2.0","method":"n"},1]`, `{"a":1,"a":2}`, "\"\xff\"", `{"a":"\\"}`, strings.Repeat("[", 600),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data, 1<<20)
		_, _, _ = ParseBatch(data, 1<<20)
		for _, value := range Members(data) { // must not panic or loop on any bytes
			_, _ = String(value)
		}
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("error %v is no *Error", err)
			}
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepted what encoding/json refuses: %q", data)
		}
		// Skimming finds the members that a parser finds.
		var want map[string]json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		got := map[string]json.RawMessage{}
		for key, value := range Members(data) {
			got[string(key)] = value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if _, err := m.Call(); err != nil {
			return
		}
		if m.Method == "" {
			return
		}
		// What is built from the parts means the same.
		again, err := Parse(AppendRequest(nil, m.ID, m.Method, m.Params), 1<<21)
		if err != nil || again.Method != m.Method || !bytes.Equal(again.ID, m.ID) || !bytes.Equal(again.Params, m.Params) {
			t.Fatalf("rebuilt %+v, error %v, from %+v", again, err, m)
		}
	})
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("event: x\r\ndata: {}\r\n\r\n:\n\ndata: a\rdata: b\r\r"), uint8(1))
	f.Add([]byte("\ufeffid: 1\ndata\n\n"), uint8(3))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		whole, err := readEvents(bytes.NewReader(stream), 1<<16)
		parts, partsErr := readEvents(&chunks{stream, int(size%7) + 1}, 1<<16)
		if diff := cmp.Diff(whole, parts); diff != "" || (err == nil) != (partsErr == nil) {
			t.Fatalf("reading in parts differs: %v, %v\n%s", err, partsErr, diff)
		}
	})
}

// chunks reads its text in parts of n bytes.
type chunks struct {
	text []byte
	n    int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.text)
	c.text = c.text[n:]
	return n, nil
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{"us-west1", "=?base64?SGVsbG8=?=", " x", "\x00", "=?base64?=", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if text, err := DecodeHeader(value); err == nil {
			if again, err := DecodeHeader(EncodeHeader(text)); err != nil || again != text {
				t.Fatalf("%q decodes to %q, which becomes %q (%v)", value, text, again, err)
			}
		}
	})
}
