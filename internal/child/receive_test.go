package child

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// listener is a process of which only what it says is there.
func listener() (*process, *[]string) {
	var heard []string
	s := New(Command{Name: "x"}, Options{
		Logger: slog.New(slog.DiscardHandler), Role: "server", Mask: func(s string) string { return strings.ReplaceAll(s, "s3cret", "***") },
		MaxMessageBytes: 1000,
		OnNotify:        func(m *wire.Message, _ json.RawMessage) { heard = append(heard, m.Method) },
	})
	return &process{s: s, poke: make(chan struct{}, 1), waiting: map[string]*waiter{}}, &heard
}

func TestOfTwoAnswersNeitherCounts(t *testing.T) {
	p, _ := listener()
	one, two := p.expect([]byte("1")), p.expect([]byte("2"))
	p.receive([]byte(`{"jsonrpc":"2.0","id":1,"result":{"ok":true}}`))
	p.receive([]byte(`{"jsonrpc":"2.0","id":2,"result":{"ok":true}}`))
	p.receive([]byte(`{"jsonrpc":"2.0","id":1,"result":{"ok":false}}`))
	_, _, err := one.take()
	if f, ok := errors.AsType[*Fault](err); !ok || f.Kind != BadAnswer || f.Error() != "two answers to one request" {
		t.Errorf("error %v", err)
	}
	if _, m, err := two.take(); err != nil || m == nil {
		t.Errorf("the other request: answer %v, error %v", m, err)
	}
}

func TestWhatBelongsToNoRequest(t *testing.T) {
	p, heard := listener()
	w := p.expect([]byte("7"))
	for _, line := range []string{
		`{"jsonrpc":"2.0","id":"7","result":{}}`, // a string is another id
		`{"jsonrpc":"2.0","id":8,"result":{}}`,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}`,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":8}}`,
		`{"jsonrpc":"2.0","method":"notifications/message"}`,
		`no message`,
	} {
		p.receive([]byte(line))
	}
	if notes, m, err := w.take(); len(notes) > 0 || m != nil || err != nil {
		t.Errorf("notes %s, answer %v, error %v", notes, m, err)
	}
	if got := strings.Join(*heard, " "); got != "notifications/progress notifications/message" {
		t.Errorf("heard %s", got)
	}
	if err := p.muttered(errors.New("x")); !strings.Contains(err.Error(), `no MCP message: "no message"`) {
		t.Errorf("error %v", err)
	}
}

func TestABrokenAnswerFailsItsRequest(t *testing.T) {
	p, _ := listener()
	one, two := p.expect([]byte("1")), p.expect([]byte("2"))
	p.receive([]byte(`{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":"s3cret"}}`))
	if _, _, err := one.take(); err == nil || !strings.Contains(err.Error(), "not a JSON-RPC message") {
		t.Errorf("error %v", err)
	}
	if p.garbage == "" || strings.Contains(p.garbage, "s3cret") {
		t.Errorf("kept: %q", p.garbage)
	}
	p.tooLarge(&wire.TooLargeError{Size: 2000, Limit: 1000, ID: []byte("1")})
	if _, _, err := two.take(); err != nil {
		t.Errorf("another's answer that was too large: error %v", err)
	}
	p.tooLarge(&wire.TooLargeError{Size: 2000, Limit: 1000})
	if _, _, err := two.take(); err == nil || !strings.Contains(err.Error(), "to this request or another") {
		t.Errorf("one that could be anybody's: error %v", err)
	}
}

// TestAnswersToAServerThatDoesNotRead do not pile up.
func TestAnswersToAServerThatDoesNotRead(t *testing.T) {
	p, _ := listener()
	for range 10 * maxUnsent {
		p.receive([]byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
	}
	if len(p.unsent) != maxUnsent || string(p.unsent[0]) != `{"jsonrpc":"2.0","id":1,"result":{}}`+"\n" {
		t.Errorf("%d answers, the first is %s", len(p.unsent), p.unsent[0])
	}
}

// TestLookCountsEndings once each.
func TestLookCountsEndings(t *testing.T) {
	s := New(Command{Name: "x"}, Options{Logger: slog.New(slog.DiscardHandler)})
	look := func(lost int64, up bool) {
		t.Helper()
		if gotLost, gotUp := s.Look(); gotLost != lost || gotUp != up {
			t.Errorf("%d lost, up %t; want %d, %t", gotLost, gotUp, lost, up)
		}
	}
	first, second := &process{done: make(chan struct{})}, &process{done: make(chan struct{})}
	look(0, false)
	s.set(first, nil, nil)
	look(0, true)
	close(first.done)
	look(1, false) // seen before Run does
	s.set(nil, nil, errors.New("it ended"))
	look(1, false)
	s.set(nil, nil, nil)
	s.set(second, nil, nil)
	look(1, true)
}

// FuzzLines: whatever a process writes is read without harm, and only a message
// that names a request answers it.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"\x1b[31mred\x1b[0m\xff", `{"id":1`, `{"jsonrpc":"2.0","id":1,"result":{}}`, `[{"jsonrpc":"2.0","id":1,"result":{}},7]`,
		`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}`, `{"jsonrpc":"2.0","id":"1","result":{}}`, `{"jsonrpc":"2.0","id":1,"method":"ping"}`,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}`, `{"jsonrpc":"2.0","id":1.0,"result":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = plain(data)
		p, _ := listener()
		w := p.expect([]byte("1"))
		p.receive(bytes.Clone(data))
		_, m, err := w.take()
		if m == nil {
			return
		}
		if wire.Check(data) != nil || string(m.ID) != "1" || err == nil && m.Error == nil && wire.Check(m.Result) != nil {
			t.Fatalf("%q answers request 1 with %+v", data, m)
		}
	})
}
