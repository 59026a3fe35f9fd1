package child

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// greet finds out the era of a new process: the probe, and when the answer
// to that is not a modern server's, or does not come, initialize.
func (s *Server) greet(ctx context.Context, p *process) (*wire.Introduction, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.o.StartTimeout, faultf(Timeout, "no answer within %s", s.o.StartTimeout))
	defer cancel()
	g := &greeting{s: s, p: p, ctx: ctx}
	if !s.isLegacy && !s.timid {
		info, err := g.ask()
		if err == nil || !g.legacyNext(err) {
			return info, err
		}
	}
	info, err := g.initialize()
	if err != nil && (s.isLegacy || s.timid) && p.alive() && ctx.Err() == nil { // it is another than we thought
		s.isLegacy, s.timid = false, false
		return g.ask()
	}
	return info, err
}

// greeting is the opening of a conversation with a process.
type greeting struct {
	s     *Server
	p     *process
	ctx   context.Context
	probe *waiter // while it is unanswered
}

// send sends a request of our own.
func (g *greeting) send(method string, params []byte) (*waiter, error) {
	id := g.s.nextID()
	w := g.p.expect(id)
	return w, g.told(g.p.send(g.ctx, nil, wire.AppendRequest(nil, id, method, params)))
}

// told puts the reason in place of the end of our own context.
func (g *greeting) told(err error) error {
	if cause := context.Cause(g.ctx); err != nil && cause != nil {
		return g.p.muttered(cause)
	}
	return err
}

var errQuiet = errors.New("no answer to the probe yet")

// ask asks as in the modern era and waits for a while.
func (g *greeting) ask() (*wire.Introduction, error) {
	w, err := g.send(g.s.o.Probe.Method, g.s.o.Probe.Params)
	if err != nil {
		return nil, err
	}
	patience := time.NewTimer(g.s.o.ProbeTimeout)
	defer patience.Stop()
	select {
	case <-w.news:
		return g.found(w)
	case <-g.p.done:
		g.s.timid = true
		return nil, g.p.ended("")
	case <-patience.C:
		g.probe = w
		return nil, errQuiet
	case <-g.ctx.Done():
		return nil, g.told(g.ctx.Err())
	}
}

func (g *greeting) found(w *waiter) (*wire.Introduction, error) {
	_, m, err := w.take()
	switch {
	case err != nil:
		return nil, err
	case m.Error != nil:
		return nil, m.Error
	}
	intro, err := g.s.o.Probe.Read(m.Result)
	return intro, orBadAnswer(err)
}

// legacyNext reports whether initialize is the thing to try after err.
func (g *greeting) legacyNext(err error) bool {
	return errors.Is(err, errQuiet) || wire.MeansLegacy(err)
}

// initialize opens a legacy session. A process that was only slow may answer
// the probe meanwhile; it is modern if it then does not take initialize.
func (g *greeting) initialize() (*wire.Introduction, error) {
	w, err := g.send(wire.MethodInitialize, g.s.o.Initialize)
	if err != nil {
		return nil, err
	}
	var late chan struct{}
	if g.probe != nil {
		late = g.probe.news
	}
	var found *wire.Introduction
	var enough <-chan time.Time
	for {
		select {
		case <-w.news:
			return g.opened(w, found)
		case <-late:
			late = nil
			if info, err := g.found(g.probe); err == nil {
				found = info
				patience := time.NewTimer(g.s.o.ProbeTimeout)
				defer patience.Stop()
				enough = patience.C
			}
		case <-enough:
			return found, nil
		case <-g.p.done:
			g.s.timid = g.probe != nil && g.probe.unanswered()
			return nil, g.p.ended("")
		case <-g.ctx.Done():
			return nil, g.told(g.ctx.Err())
		}
	}
}

// opened reads the answer to initialize. found is what the probe brought.
func (g *greeting) opened(w *waiter, found *wire.Introduction) (*wire.Introduction, error) {
	_, m, err := w.take()
	switch {
	case err != nil:
		return nil, err
	case m.Error != nil && found != nil:
		return found, nil
	case m.Error != nil:
		return nil, &Fault{BadAnswer, fmt.Errorf("initialize: %w", m.Error)}
	}
	info, err := wire.ReadInitialize(m.Result)
	if err != nil {
		return nil, orBadAnswer(err)
	}
	return info, g.told(g.p.send(g.ctx, nil, wire.AppendRequest(nil, nil, wire.MethodInitialized, nil)))
}

func orBadAnswer(err error) error {
	if err == nil {
		return nil
	}
	return &Fault{BadAnswer, err}
}
