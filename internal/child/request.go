package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Request is one request to the server.
type Request struct {
	Method string

	// Params makes the params for a server of that era. The id is the request's,
	// also good as a progress token. Nil makes none.
	Params func(era wire.Era, id []byte) []byte

	// Timeout is how long the server may be silent.
	Timeout time.Duration

	// Progress receives, in their order, the notifications whose progress token
	// is the request's id. It is called from the goroutine of Do. Nil drops them.
	Progress func(message, params json.RawMessage)
}

// Do sends one request, once, and returns the message that answers it. When ctx
// ends, or the time is up, the server is told to stop working on it. The error
// is a [*Fault], [ErrStopped] or ctx's cause.
func (s *Server) Do(ctx context.Context, r *Request) (*wire.Message, error) {
	p, intro, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	id := s.nextID()
	var params []byte
	if r.Params != nil {
		params = r.Params(intro.Era, id)
	}
	w := p.expect(id)
	defer p.forget(id)
	timer := time.NewTimer(r.Timeout)
	defer timer.Stop()
	if err := p.send(ctx, timer.C, wire.AppendRequest(nil, id, r.Method, params)); err != nil {
		return nil, orTimeout(err, r.Timeout)
	}
	for {
		select {
		case <-w.news:
		case <-p.done: // w may have been answered before that
		case <-ctx.Done():
			p.later(wire.AppendCancelled(nil, id))
			return nil, p.muttered(context.Cause(ctx))
		case <-timer.C:
			p.later(wire.AppendCancelled(nil, id))
			return nil, p.muttered(faultf(Timeout, "no answer within %s", r.Timeout))
		}
		dead := !p.alive()
		notes, m, err := w.take()
		if r.Progress != nil {
			for _, note := range notes {
				r.Progress(note.message, note.params)
			}
		}
		switch {
		case err != nil:
			return nil, err
		case m != nil:
			return m, nil
		case dead:
			return nil, p.ended("; " + s.o.Doubt)
		}
		timer.Reset(r.Timeout)
	}
}

// Notify sends a notification. The server may take as long as timeout to read
// it.
func (s *Server) Notify(ctx context.Context, method string, timeout time.Duration, params func(wire.Era) []byte) error {
	p, intro, err := s.current(ctx)
	if err != nil {
		return err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	return orTimeout(p.send(ctx, timer.C, wire.AppendRequest(nil, nil, method, params(intro.Era))), timeout)
}

func orTimeout(err error, limit time.Duration) error {
	if errors.Is(err, errSlow) {
		return &Fault{Timeout, fmt.Errorf("%w within %s", err, limit)}
	}
	return err
}

func (s *Server) nextID() []byte { return strconv.AppendInt(nil, s.ids.Add(1), 10) }
