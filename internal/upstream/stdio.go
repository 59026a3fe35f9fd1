package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

const (
	// The pauses before a process is started again grow between these.
	minPause, maxPause = 200 * time.Millisecond, 30 * time.Second

	// steadyAfter is how long a process has to work for its end to count as the
	// first one.
	steadyAfter = 10 * time.Second
)

// stdioLink keeps one child process running and talks to it.
type stdioLink struct {
	u        *Upstream
	redact   func(string) string
	isLegacy bool // the last process was; only the supervisor's goroutine uses it
	timid    bool // a process ended on server/discover: the next one is not asked that first

	mu      sync.Mutex
	now     *process // the one that takes calls; nil when there is none
	found   *Info    // of now
	err     error    // why there is none; nil while one is being started
	changed chan struct{}
}

func newStdio(u *Upstream) *stdioLink {
	return &stdioLink{u: u, redact: redactor(maps.Values(u.cfg.Env)), changed: make(chan struct{})}
}

// where is the program alone: arguments may hold secrets.
func (s *stdioLink) where() string { return filepath.Base(s.u.cfg.Command) }

// run starts the process, and again whenever it has ended.
func (s *stdioLink) run(ctx context.Context) {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier = minPause, maxPause, 2
	for starts := 0; ctx.Err() == nil; starts++ {
		if starts > 0 {
			s.u.restarted()
			s.set(nil, nil, nil)
		}
		steady, timid := time.Now(), s.timid
		err := s.serve(ctx, starts > 0)
		switch {
		case ctx.Err() != nil:
			s.set(nil, nil, errStopped)
			return
		case s.timid && !timid: // some legacy servers end on anything but initialize
			s.u.log.Info("upstream process ended before it was opened: starting it again for initialize", "error", err.Error())
			continue
		}
		if time.Since(steady) >= steadyAfter {
			pauses.Reset()
		}
		pause := pauses.NextBackOff()
		s.set(nil, nil, err)
		s.u.setState(s.u.explain(ctx, "running it", err))
		s.u.log.Info("upstream process will be started again", "in", pause.Round(time.Millisecond).String(), "error", err.Error())
		wait(ctx, pause)
	}
	s.set(nil, nil, errStopped)
}

func wait(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// serve runs one process from start to end and says why it ended.
func (s *stdioLink) serve(ctx context.Context, again bool) error {
	p, err := s.launch()
	if err != nil {
		return &fault{Unreachable, err}
	}
	defer func() { <-p.done }()
	info, err := s.greet(ctx, p)
	if err != nil {
		s.isLegacy = false
		p.stop(ctx)
		return err
	}
	s.isLegacy, s.timid = info.Era == wire.Legacy, s.timid && info.Era == wire.Legacy
	s.set(p, info, nil)
	s.u.setState(nil)
	s.u.log.Debug("upstream answered", "revision", info.Revision, "at", s.where())
	if again {
		s.u.o.OnChange("")
	}
	select {
	case <-p.done:
		return p.ended("")
	case <-ctx.Done():
		s.set(nil, nil, errStopped)
		p.stop(ctx)
		return ctx.Err()
	}
}

// set changes what calls find.
func (s *stdioLink) set(p *process, info *Info, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.found, s.err = p, info, err
	close(s.changed)
	s.changed = make(chan struct{})
}

// current returns the process that takes calls, and waits for one that is being
// started.
func (s *stdioLink) current(ctx context.Context) (*process, *Info, error) {
	for {
		s.mu.Lock()
		p, info, err, changed := s.now, s.found, s.err, s.changed
		s.mu.Unlock()
		switch {
		case err != nil:
			return nil, nil, err
		case p != nil && p.alive():
			return p, info, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-s.u.crew.done:
			return nil, nil, errStopped
		}
	}
}

func (s *stdioLink) info(ctx context.Context) (*Info, error) {
	_, info, err := s.current(ctx)
	return info, err
}

// do sends one request, once. Calls share the pipe, so their progress tokens are
// replaced by the id.
func (s *stdioLink) do(ctx context.Context, c *Call) (*Answer, error) {
	p, info, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	id := s.u.nextID()
	token := tokenOf(c.Params)
	var own []byte
	if token != nil {
		own = appendID(id)
	}
	params := s.params(info, c.Params, own)
	w := p.expect(id, token)
	defer p.forget(id)
	timer := time.NewTimer(s.u.o.Timeout)
	defer timer.Stop()
	if err := p.send(ctx, timer.C, wire.AppendRequest(nil, appendID(id), c.Method, params)); err != nil {
		return nil, s.orSilence(err)
	}
	for {
		select {
		case <-w.news:
		case <-p.done: // w may have been answered before that
		case <-ctx.Done():
			s.cancelled(p, id)
			return nil, ctx.Err()
		case <-timer.C:
			s.cancelled(p, id)
			return nil, &silence{s.u.o.Timeout}
		}
		dead := !p.alive()
		notes, m, err := w.take()
		for _, note := range notes {
			if c.Notify != nil {
				c.Notify(note)
			}
		}
		switch {
		case m != nil:
			return &Answer{Result: m.Result, Error: m.Error}, nil
		case err != nil:
			return nil, err
		case dead:
			return nil, p.ended("; whether the request was carried out is not known")
		}
		timer.Reset(s.u.o.Timeout)
	}
}

func (s *stdioLink) orSilence(err error) error {
	if errors.Is(err, errSlow) {
		return &fault{Timeout, fmt.Errorf("%w within %s", err, s.u.o.Timeout)}
	}
	return err
}

func (s *stdioLink) params(info *Info, params json.RawMessage, token []byte) []byte {
	if info.Era == wire.Modern {
		return s.u.form.modern(params, token)
	}
	return s.u.form.legacy(params, token)
}

// cancelled tells the process that nobody waits for an answer any more.
func (s *stdioLink) cancelled(p *process, id int64) {
	s.u.crew.start(sideLimit, func(ctx context.Context) {
		_ = p.send(ctx, nil, cancellation(appendID(id))) // it is a courtesy
	})
}

func (s *stdioLink) notify(ctx context.Context, method string, params json.RawMessage) error {
	p, info, err := s.current(ctx)
	if err != nil {
		return err
	}
	if info.Era == wire.Modern {
		params = s.u.form.modern(params, nil)
	} else {
		params = s.u.form.legacy(params, nil)
	}
	timer := time.NewTimer(s.u.o.Timeout)
	defer timer.Stop()
	return s.orSilence(p.send(ctx, timer.C, wire.AppendRequest(nil, nil, method, params)))
}

// greet finds out the era of a new process: server/discover, and when the answer
// to that is not a modern server's, or does not come, initialize.
func (s *stdioLink) greet(ctx context.Context, p *process) (*Info, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.u.o.StartTimeout, &silence{s.u.o.StartTimeout})
	defer cancel()
	g := &greeting{s: s, p: p, ctx: ctx}
	if !s.isLegacy && !s.timid {
		info, err := g.discover()
		if err == nil || !g.legacyNext(err) {
			return info, err
		}
	}
	info, err := g.initialize()
	if err != nil && (s.isLegacy || s.timid) && p.alive() && ctx.Err() == nil { // it is another than we thought
		s.isLegacy, s.timid = false, false
		return g.discover()
	}
	return info, err
}

// greeting is the opening of a conversation with a process.
type greeting struct {
	s     *stdioLink
	p     *process
	ctx   context.Context
	probe *waiter // server/discover, while it is unanswered
}

// ask sends a request of our own.
func (g *greeting) ask(method string, params []byte) (*waiter, error) {
	id := g.s.u.nextID()
	w := g.p.expect(id, nil)
	return w, g.told(g.p.send(g.ctx, nil, wire.AppendRequest(nil, appendID(id), method, params)))
}

// told puts the reason in place of the end of our own context.
func (g *greeting) told(err error) error {
	if cause := context.Cause(g.ctx); err != nil && cause != nil {
		return g.p.muttered(cause)
	}
	return err
}

var errQuiet = errors.New("no answer to server/discover yet")

// discover asks as in the modern era and waits for a while.
func (g *greeting) discover() (*Info, error) {
	w, err := g.ask(wire.MethodDiscover, g.s.u.form.modern(nil, nil))
	if err != nil {
		return nil, err
	}
	patience := time.NewTimer(g.s.u.o.ProbeTimeout)
	defer patience.Stop()
	select {
	case <-w.news:
		return discovery(w)
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

func discovery(w *waiter) (*Info, error) {
	_, m, err := w.take()
	switch {
	case err != nil:
		return nil, err
	case m.Error != nil:
		return nil, m.Error
	}
	return readDiscover(m.Result)
}

// legacyNext reports whether initialize is the thing to try after err.
func (g *greeting) legacyNext(err error) bool {
	return errors.Is(err, errQuiet) || meansLegacy(err)
}

// initialize opens a legacy session. A process that was only slow may answer
// server/discover meanwhile; it is modern if it then does not take initialize.
func (g *greeting) initialize() (*Info, error) {
	w, err := g.ask(wire.MethodInitialize, g.s.u.form.initialize())
	if err != nil {
		return nil, err
	}
	var late chan struct{}
	if g.probe != nil {
		late = g.probe.news
	}
	var found *Info
	var enough <-chan time.Time
	for {
		select {
		case <-w.news:
			return g.opened(w, found)
		case <-late:
			late = nil
			if info, err := discovery(g.probe); err == nil {
				found = info
				patience := time.NewTimer(g.s.u.o.ProbeTimeout)
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

// opened reads the answer to initialize. found is what server/discover brought.
func (g *greeting) opened(w *waiter, found *Info) (*Info, error) {
	_, m, err := w.take()
	switch {
	case err != nil:
		return nil, err
	case m.Error != nil && found != nil:
		return found, nil
	case m.Error != nil:
		return nil, &fault{BadAnswer, fmt.Errorf("initialize: %w", m.Error)}
	}
	info, err := readInitialize(m.Result)
	if err != nil {
		return nil, err
	}
	return info, g.told(g.p.send(g.ctx, nil, wire.AppendRequest(nil, nil, wire.MethodInitialized, nil)))
}
