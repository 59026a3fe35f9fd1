package child

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// read reads messages until the process closes its output.
func (p *process) read() {
	lines := wire.NewLines(p.stdout, p.s.o.MaxMessageBytes)
	for {
		line, err := lines.Next()
		var large *wire.TooLargeError
		switch {
		case err == nil:
			p.receive(bytes.Clone(line))
		case errors.As(err, &large):
			p.tooLarge(large)
		default:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.closer = time.AfterFunc(p.s.o.StopTimeout, func() { p.signal(killGroup) })
			return
		}
	}
}

// receive takes one line.
func (p *process) receive(line []byte) {
	limit := p.s.o.MaxMessageBytes
	if !wire.IsBatch(line) {
		m, err := wire.Parse(line, limit)
		p.message(m, line, err)
		return
	}
	messages, errs, err := wire.ParseBatch(line, limit)
	if err != nil {
		p.message(nil, line, err)
	}
	i := 0
	for raw := range wire.Elements(line) {
		if i < len(messages) {
			p.message(messages[i], raw, errs[i])
		}
		i++
	}
}

func (p *process) message(m *wire.Message, raw json.RawMessage, err error) {
	switch {
	case err != nil:
		p.nonsense(raw, err)
	case m.IsRequest():
		p.later(wire.AppendAnswer(nil, m))
	case m.IsResponse():
		p.answered(m)
	default:
		if w := p.waiter(wire.Member(m.Params, "progressToken")); w != nil {
			w.note(note{raw, m.Params})
			return
		}
		p.s.o.OnNotify(m, raw)
	}
}

// answered takes an answer. Of two to one request neither can be trusted.
func (p *process) answered(m *wire.Message) {
	log, role := p.s.o.Logger, p.s.o.Role
	w := p.waiter(m.ID)
	switch {
	case w != nil:
		w.tell(func() {
			if w.answer != nil {
				w.err = faultf(BadAnswer, "two answers to one request")
			}
			w.answer = m
		})
	case wire.IsNull(m.ID) && m.Error != nil:
		log.Warn(role+" could not read a message", "error", clip(p.s.o.Mask(m.Error.Error())))
	default: // too late, most likely
		log.Debug(role+" answered what nobody waits for", "id", clip(string(m.ID)))
	}
}

// nonsense is a line that is no message. Something prints to standard output
// what belongs on standard error; or it is the answer to a call, and broken.
func (p *process) nonsense(line []byte, err error) {
	text := snippet(p.s.o.Mask(string(line)))
	p.mu.Lock()
	first := p.garbage == ""
	if first {
		p.garbage = text
	}
	p.mu.Unlock()
	level := slog.LevelDebug
	if first {
		level = slog.LevelWarn
	}
	p.s.o.Logger.Log(context.Background(), level, p.s.o.Role+" wrote to standard output what is no MCP message", "line", text, "error", clip(err.Error()))
	if id := idOf(line); id != nil {
		if w := p.waiter(id); w != nil {
			w.tell(func() { w.err = faultf(BadAnswer, "not a JSON-RPC message: %s", clip(err.Error())) })
		}
	}
}

// idOf is the id in a line that may be no good otherwise.
func idOf(line []byte) json.RawMessage {
	if wire.Kind(line) != '{' {
		return nil
	}
	return wire.Member(line, "id")
}

// tooLarge is an answer that was not kept. When it does not say whose it is, all
// who wait have to take it for theirs.
func (p *process) tooLarge(large *wire.TooLargeError) {
	fail := func(w *waiter, text string) {
		w.tell(func() { w.err = faultf(BadAnswer, "%s: %w", text, large) })
	}
	if large.ID != nil {
		if w := p.waiter(large.ID); w != nil {
			fail(w, "the answer was not kept")
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.waiting {
		fail(w, "the process sent an answer, to this request or another, that was not kept")
	}
}
