package child

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// The pauses before a process is started again grow between MinPause and
// MaxPause.
const (
	MinPause = 200 * time.Millisecond
	MaxPause = 30 * time.Second

	// steadyAfter is how long a process has to work for its end to count as the
	// first one.
	steadyAfter = 10 * time.Second
)

// Options are the rest. Those without a default are required.
type Options struct {
	// Logger receives what an operator may want to know, and the standard error
	// of the process.
	Logger *slog.Logger

	// Role is what the server is to us: "upstream". Log messages begin with it.
	Role string

	// Doubt is what the error of a request says whose process ended before the
	// answer: "whether the request was carried out is not known".
	Doubt string

	// Setting names what an operator checks when the program cannot be started:
	// "check command and cwd of the entry".
	Setting string

	// Mask takes secrets out of what the process says.
	Mask func(string) string

	// Probe is what a new process is asked first.
	Probe Probe

	// Initialize are the params of initialize.
	Initialize []byte

	// StartTimeout limits the start of a process up to its first answer.
	StartTimeout time.Duration

	// ProbeTimeout is how long a process may leave the probe without an
	// answer before initialize is tried as well; 0 means 2 s.
	ProbeTimeout time.Duration

	// StopTimeout is how long a process may take to end after its input was
	// closed, and again after SIGTERM; 0 means 2 s.
	StopTimeout time.Duration

	// MaxMessageBytes is the largest message that the server may send.
	MaxMessageBytes int64

	// OnStart is told of each start but the first, OnUp of each process that has
	// answered, OnDown why there is none. They are called from Run's goroutine;
	// nil is nobody.
	OnStart func()
	OnUp    func(i *wire.Introduction, again bool)
	OnDown  func(err error)

	// OnNotify receives the notifications that belong to no request. It must not
	// block; the bytes are its own. Nil is nobody.
	OnNotify func(m *wire.Message, raw json.RawMessage)
}

// Probe is a request in the form of the modern era that changes nothing.
type Probe struct {
	Method string
	Params []byte

	// Read reads the result. The error is a [*wire.NotModernError] when no modern
	// server answers so.
	Read func(result []byte) (*wire.Introduction, error)
}

// Server is one MCP server. It is for use by many goroutines at once.
type Server struct {
	cmd      Command
	o        Options
	ids      atomic.Int64
	isLegacy bool // the last process was; only Run's goroutine uses it
	timid    bool // a process ended on the probe: the next one is not asked that first
	warned   bool // of what others can replace

	mu      sync.Mutex
	now     *process           // the one that takes requests; nil when there is none
	intro   *wire.Introduction // of now
	lost    int64              // how many that took requests have been replaced, or ended
	err     error              // why there is none; nil while one is being started
	changed chan struct{}
}

// New makes a server. It starts nothing yet.
func New(cmd Command, o Options) *Server {
	cmd.Args, cmd.Env = slices.Clone(cmd.Args), maps.Clone(cmd.Env)
	if o.ProbeTimeout == 0 {
		o.ProbeTimeout = 2 * time.Second
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 2 * time.Second
	}
	if o.OnStart == nil {
		o.OnStart = func() {}
	}
	if o.OnUp == nil {
		o.OnUp = func(*wire.Introduction, bool) {}
	}
	if o.OnDown == nil {
		o.OnDown = func(error) {}
	}
	if o.OnNotify == nil {
		o.OnNotify = func(*wire.Message, json.RawMessage) {}
	}
	return &Server{cmd: cmd, o: o, changed: make(chan struct{})}
}

// Where is the program or script alone, for messages.
func (s *Server) Where() string { return s.cmd.where() }

// Run starts the process, and again whenever it has ended, until ctx ends. It
// returns once everything that was started has ended. It is called once; after
// it, requests fail with [ErrStopped].
func (s *Server) Run(ctx context.Context) {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier = MinPause, MaxPause, 2
	for starts := 0; ctx.Err() == nil; starts++ {
		if starts > 0 {
			s.o.OnStart()
			s.set(nil, nil, nil)
		}
		steady, timid := time.Now(), s.timid
		err := s.serve(ctx, starts > 0)
		switch {
		case ctx.Err() != nil:
			s.set(nil, nil, ErrStopped)
			return
		case s.timid && !timid: // some legacy servers end on anything but initialize
			s.o.Logger.Info(s.o.Role+" process ended before it was opened: starting it again for initialize", "error", err.Error())
			continue
		}
		if time.Since(steady) >= steadyAfter {
			pauses.Reset()
		}
		pause := pauses.NextBackOff()
		s.set(nil, nil, err)
		s.o.OnDown(err)
		s.o.Logger.Info(s.o.Role+" process will be started again", "in", pause.Round(time.Millisecond).String(), "error", err.Error())
		wait(ctx, pause)
	}
	s.set(nil, nil, ErrStopped)
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
func (s *Server) serve(ctx context.Context, again bool) error {
	p, err := s.launch()
	if err != nil {
		return &Fault{Unreachable, err}
	}
	defer func() { <-p.done }()
	intro, err := s.greet(ctx, p)
	if err != nil {
		s.isLegacy = false
		if f, ok := errors.AsType[*Fault](err); ok && f.Kind == Unreachable {
			err = hint.Add(err, "of our environment the process gets no more than "+strings.Join(inherited, ", ")+": name what else it needs under env in its entry")
		}
		p.stop(ctx)
		return err
	}
	s.isLegacy, s.timid = intro.Era == wire.Legacy, s.timid && intro.Era == wire.Legacy
	s.set(p, intro, nil)
	s.o.Logger.Debug(s.o.Role+" answered", "revision", intro.Revision, "at", s.Where())
	s.o.OnUp(intro, again)
	select {
	case <-p.done:
		return p.ended("")
	case <-ctx.Done():
		s.set(nil, nil, ErrStopped)
		p.stop(ctx)
		return ctx.Err()
	}
}

// set changes what requests find.
func (s *Server) set(p *process, intro *wire.Introduction, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		s.lost++
	}
	s.now, s.intro, s.err = p, intro, err
	close(s.changed)
	s.changed = make(chan struct{})
}

// Look reports how many processes that took requests have ended so far, and
// whether there is one that does.
func (s *Server) Look() (lost int64, up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.now == nil:
		return s.lost, false
	case !s.now.alive(): // Run will find out
		return s.lost + 1, false
	}
	return s.lost, true
}

// current returns the process that takes requests, and waits for one that is
// being started.
func (s *Server) current(ctx context.Context) (*process, *wire.Introduction, error) {
	for {
		s.mu.Lock()
		p, intro, err, changed := s.now, s.intro, s.err, s.changed
		s.mu.Unlock()
		switch {
		case err != nil:
			return nil, nil, err
		case p != nil && p.alive():
			return p, intro, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// Introduction is what the server said about itself. It waits for a process that
// is being started; what it returns is shared, not to be changed.
func (s *Server) Introduction(ctx context.Context) (*wire.Introduction, error) {
	_, intro, err := s.current(ctx)
	return intro, err
}
