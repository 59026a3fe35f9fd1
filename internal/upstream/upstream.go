package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Config says where the upstream is. It has either a URL or a Command.
type Config struct {
	// Name is the upstream's key in the gateway file, for messages.
	Name string

	// URL is a Streamable HTTP endpoint: http://127.0.0.1:9101/mcp.
	URL string

	// Headers go with every HTTP request. Values are secrets: they are in no
	// message.
	Headers map[string]string

	// TLS makes the connections of an https URL; nil trusts the system's roots.
	// It remains the caller's.
	TLS *mtls.Client

	// Command is the program of a stdio server, found by PATH, and Args are its
	// arguments.
	Command string
	Args    []string

	// Env is added to the small environment that every child gets. Values are
	// secrets.
	Env map[string]string

	// Cwd is the child's working directory; empty means ours.
	Cwd string
}

// Options are the rest. The zero value, and nil, are usable.
type Options struct {
	// Logger receives what an operator may want to know, and the standard error
	// of a child process; nil discards it.
	Logger *slog.Logger

	// ClientName and ClientVersion are what we tell the upstream about us; empty
	// means "sallyport" and "dev".
	ClientName, ClientVersion string

	// Timeout is how long a call may be without an answer; each notification of
	// the call starts it anew. 0 means 5 min.
	Timeout time.Duration

	// StartTimeout limits finding out the era and opening a session, which for
	// a child includes its own start. 0 means 60 s.
	StartTimeout time.Duration

	// DialTimeout limits the dial of one HTTP connection; 0 means 10 s.
	DialTimeout time.Duration

	// ProbeTimeout is how long a child may leave server/discover without an
	// answer before initialize is tried as well; 0 means 2 s.
	ProbeTimeout time.Duration

	// StopTimeout is how long a child may take to end after its input was
	// closed, and again after SIGTERM; 0 means 2 s.
	StopTimeout time.Duration

	// MaxMessageBytes is the largest message that the upstream may send; 0 means
	// 16 MiB.
	MaxMessageBytes int64

	// MaxConns is the most HTTP connections at a time; further calls wait. 0
	// means 256.
	MaxConns int

	// OnChange is told the method of each notification that says that one of the
	// upstream's lists has changed; a new process or session, where all of them
	// may have, is the method "". It must not block. Nil is nobody.
	OnChange func(method string)

	// OnNotify receives, as whole messages, the notifications that belong to no
	// call. It must not block; the bytes are its own. Nil is nobody.
	OnNotify func(message json.RawMessage)
}

// Call is one request to the upstream.
type Call struct {
	Method string

	// Params are the client's: valid JSON that has been read strictly, an object
	// or nil. What they say about the hop in _meta is replaced.
	Params json.RawMessage

	// Name is params.name, or params.uri of resources/read: modern HTTP repeats
	// it in a header. When empty it is read from Params.
	Name string

	// Headers are added to an HTTP request, and win over those of the
	// configuration: Mcp-Param-* (sent in the modern era only) and what plugins
	// set. Those that the transport itself needs are ignored.
	Headers http.Header

	// Notify receives, as whole messages in their order, the notifications that
	// came before the answer. It is called from the goroutine of Do. Nil drops
	// them.
	Notify func(message json.RawMessage)
}

func (c *Call) name() string {
	if c.Name != "" || !wire.NeedsName(c.Method) {
		return c.Name
	}
	read, _ := (&wire.Message{Method: c.Method, Params: c.Params}).Call() // the upstream will say what is wrong with it
	return read.Name
}

// Answer is what the upstream said: a Result or an Error.
type Answer struct {
	Result json.RawMessage // its bytes, as they came
	Error  *wire.Error
}

// State is how an upstream is doing.
type State struct {
	// Up reports that the last exchange with it worked, or for a child that it
	// runs and has answered.
	Up bool

	// Since is when that began; zero when nothing has been tried yet.
	Since time.Time

	// Err is why it is not up; nil when it is, or when nothing has been tried.
	Err error

	// Restarts counts the starts of a child after the first.
	Restarts int
}

// Upstream is one upstream MCP server. It is for use by many goroutines at once.
type Upstream struct {
	cfg   Config
	o     Options
	log   *slog.Logger
	form  *form
	ids   atomic.Int64
	crew  crew
	link  link
	state atomic.Pointer[State]
}

// link is one way of talking to a server. Its errors are not yet [*Error].
type link interface {
	run(ctx context.Context)
	info(ctx context.Context) (*Info, error)
	do(ctx context.Context, c *Call) (*Answer, error)
	notify(ctx context.Context, method string, params json.RawMessage) error
	where() string // for messages
}

// New makes the client of one upstream. It connects to nothing and starts
// nothing yet.
func New(cfg Config, o *Options) (*Upstream, error) {
	if o == nil {
		o = &Options{}
	}
	u := &Upstream{cfg: cfg, o: *o}
	u.crew.done = make(chan struct{})
	u.cfg.Args, u.cfg.Env, u.cfg.Headers = slices.Clone(cfg.Args), maps.Clone(cfg.Env), maps.Clone(cfg.Headers)
	u.o.setDefaults()
	u.log = u.o.Logger.With("upstream", cfg.Name)
	u.form = newForm(u.o.ClientName, u.o.ClientVersion)
	u.state.Store(&State{})
	var err error
	switch {
	case cfg.Name == "":
		err = errors.New("no name")
	case cfg.URL != "" && cfg.Command != "":
		err = errors.New("both a url and a command")
	case cfg.URL != "":
		u.link, err = newHTTP(u)
	case cfg.Command != "":
		u.link = newStdio(u)
	default:
		err = errors.New("neither a url nor a command")
	}
	if err != nil {
		return nil, fmt.Errorf("upstream %q: %w", cfg.Name, err)
	}
	return u, nil
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.ClientName, "sallyport")
	setDefault(&o.ClientVersion, "dev")
	setDefault(&o.Timeout, 5*time.Minute)
	setDefault(&o.StartTimeout, time.Minute)
	setDefault(&o.DialTimeout, 10*time.Second)
	setDefault(&o.ProbeTimeout, 2*time.Second)
	setDefault(&o.StopTimeout, 2*time.Second)
	setDefault(&o.MaxMessageBytes, 16<<20)
	setDefault(&o.MaxConns, 256)
	if o.OnChange == nil {
		o.OnChange = func(string) {}
	}
	if o.OnNotify == nil {
		o.OnNotify = func(json.RawMessage) {}
	}
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Name is the upstream's key in the gateway file.
func (u *Upstream) Name() string { return u.cfg.Name }

// Run keeps the upstream until ctx ends: a child process is started at once, and
// again whenever it ends; over HTTP there is nothing to keep. It returns nil once
// everything that was started has ended. It is called once; after it, calls fail.
func (u *Upstream) Run(ctx context.Context) error {
	u.link.run(ctx)
	u.crew.stop()
	return nil
}

// Info asks the upstream about itself. The answer is kept as long as it holds;
// it is shared, not to be changed.
func (u *Upstream) Info(ctx context.Context) (*Info, error) {
	info, err := u.link.info(ctx)
	if err != nil {
		return nil, u.fail(ctx, "asking about itself", err)
	}
	return info, nil
}

// Do sends one request, once, and returns its answer. When ctx ends the upstream
// is told to stop working on it. The error is an [*Error] unless the caller gave
// up (then it is ctx's cause) or asked for a header that cannot be.
func (u *Upstream) Do(ctx context.Context, c Call) (*Answer, error) {
	var answer *Answer
	err := errStopped
	if !u.crew.ended() {
		answer, err = u.link.do(ctx, &c)
	}
	if err != nil {
		return nil, u.fail(ctx, "calling "+c.Method, err)
	}
	u.setState(nil)
	return answer, nil
}

// Notify sends a notification. A modern HTTP upstream takes none: it is dropped.
func (u *Upstream) Notify(ctx context.Context, method string, params json.RawMessage) error {
	return u.fail(ctx, "sending "+method, u.link.notify(ctx, method, params))
}

// State reports how the upstream is doing.
func (u *Upstream) State() State { return *u.state.Load() }

// setState notes the outcome of an exchange, and logs when it is another than
// before.
func (u *Upstream) setState(err error) {
	for {
		old := u.state.Load()
		if err == nil && old.Up {
			return
		}
		now := &State{Up: err == nil, Since: time.Now(), Err: err, Restarts: old.Restarts}
		if err != nil && old.Err != nil {
			now.Since = old.Since
		}
		if !u.state.CompareAndSwap(old, now) {
			continue
		}
		switch {
		case now.Up:
			u.log.Info("upstream is up", "at", u.link.where())
		case old.Up || old.Since.IsZero():
			u.log.Warn("upstream is down", "error", err.Error())
		}
		return
	}
}

// restarted counts a start of the child after the first.
func (u *Upstream) restarted() {
	for {
		old := u.state.Load()
		now := *old
		now.Restarts++
		if u.state.CompareAndSwap(old, &now) {
			return
		}
	}
}

// nextID is the id of a request, or the progress token of one.
func (u *Upstream) nextID() int64 { return u.ids.Add(1) }
