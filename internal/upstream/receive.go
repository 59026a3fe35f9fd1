package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// read reads messages until the process closes its output.
func (p *process) read() {
	lines := wire.NewLines(p.stdout, p.s.u.o.MaxMessageBytes)
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
			pid := p.cmd.Process.Pid
			p.closer = time.AfterFunc(p.s.u.o.StopTimeout, func() { killGroup(pid) })
			return
		}
	}
}

// receive takes one line.
func (p *process) receive(line []byte) {
	limit := p.s.u.o.MaxMessageBytes
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
	u := p.s.u
	switch {
	case err != nil:
		p.nonsense(raw, err)
	case m.IsRequest():
		select {
		case p.out <- wire.AppendLine(nil, answerTo(m)):
		default: // it does not read what it asked for
		}
	case m.IsResponse():
		if w := p.waiter(m.ID); w != nil {
			w.tell(func() { w.answer = m })
			return
		}
		u.log.Debug("upstream answered what nobody waits for", "id", clip(string(m.ID)))
	case isChange(m.Method):
		u.o.OnChange(m.Method)
	default:
		token := wire.Member(m.Params, progressToken)
		if w := p.waiter(token); w != nil && w.token != nil {
			w.note(restoreToken(raw, m.Params, w.token))
			return
		}
		u.o.OnNotify(raw)
	}
}

// nonsense is a line that is no message. Something prints to standard output
// what belongs on standard error; or it is the answer to a call, and broken.
func (p *process) nonsense(line []byte, err error) {
	text := snippet(p.s.redact(string(line)))
	p.mu.Lock()
	first := p.garbage == ""
	if first {
		p.garbage = text
	}
	p.mu.Unlock()
	level := levelNoise
	if first {
		level = levelStop
	}
	p.s.u.log.Log(context.Background(), level, "upstream wrote to standard output what is no MCP message", "line", text, "error", clip(err.Error()))
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
		w.tell(func() { w.err = fmt.Errorf("%s: %w", text, large) })
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
