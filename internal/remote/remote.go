package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// clientName is how we call ourselves to plugin servers.
const clientName = "sallyport"

// Config says which plugin on which server.
type Config struct {
	// Name is the plugin's name on the server, in its case.
	Name string

	// URL is the server's endpoint: https://host:8000/mcp. With UDS its host
	// is only what the Host header says, and it may be empty.
	URL string

	// TLS makes the connections of an https URL and must be nil for any other.
	// It remains the caller's.
	TLS *mtls.Client

	// UDS is the path of a Unix socket to connect to instead of the URL's
	// host; empty for TCP. The socket must belong to us or to root.
	UDS string

	// Stdio starts the server as a child process instead; then URL, UDS and TLS
	// are empty. Each Plugin has a process of its own: it is started by the first
	// call, again when it ends, and ended by Close.
	Stdio *Stdio

	// Timeout limits one call, dial and handshake included; 0 means 30 s.
	Timeout time.Duration

	// Hooks are those of the plugin's entry. When empty, [Plugin.Hooks] says
	// what the server reported last.
	Hooks []plugin.Hook

	// HealthInterval is how long an answer about the plugin's hooks is good for
	// when nothing else gives a reason to ask again; 0 means 60 s.
	HealthInterval time.Duration

	// MaxPayload is the most bytes of a payload, the max_payload_bytes of the
	// caller's file; 0 means 1,000,000. Options.MaxAnswer follows it.
	MaxPayload int64

	// MaxConns is the most connections at a time; further calls wait. 0 means
	// 256.
	MaxConns int
}

// Stdio is a plugin server on the standard input and output of a child process.
type Stdio struct {
	// Cmd is a program, found by PATH, and its arguments; Script a file that is
	// run with python3 (.py) or sh (.sh), or is executable. One of them is set.
	Cmd    []string
	Script string

	// Env is all that the process gets of an environment beside PATH and a few
	// more that every program counts on. Values are secrets.
	Env map[string]string

	// Cwd is its working directory, and where a relative Script starts from;
	// empty means ours.
	Cwd string
}

// Options are the rest. The zero value, and nil, are usable.
type Options struct {
	// Logger receives what an operator may want to know; nil discards it.
	Logger *slog.Logger

	// Version is our version, as told to the server; empty means "dev".
	Version string

	// MaxAnswer is the most bytes of one answer; 0 means 8 MiB, or four times
	// Config.MaxPayload where that is more, as a plugin server has it. It has to be
	// more than twice a payload: an answer is JSON within JSON.
	MaxAnswer int64

	// DialTimeout limits dial and handshake of one connection; 0 means 10 s.
	DialTimeout time.Duration
}

// Plugin is one plugin on a plugin server. It is for use by many goroutines at
// once; Close it after the last call has returned.
type Plugin struct {
	cfg       Config
	log       *slog.Logger
	url       *url.URL
	form      *form
	stdio     *stdio // or else transport and legacy
	maxAnswer int64
	transport *transport
	legacy    *legacy
	ids       atomic.Int64
	era       atomic.Int32
	probes    flight[era]
	learned   atomic.Pointer[[]plugin.Hook]
	textUser  atomic.Bool // the server has refused a user that is an object
	knows     knowledge

	closing sync.Once
	closed  chan struct{}
	running sync.WaitGroup // probes and session changes
}

var _ plugin.Plugin = (*Plugin)(nil)

// New makes the client of one plugin. It connects to nothing yet.
func New(cfg Config, o *Options) (*Plugin, error) {
	if o == nil {
		o = &Options{}
	}
	opts := *o
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&opts.Version, "dev")
	setDefault(&opts.MaxAnswer, max(8<<20, 4*cfg.MaxPayload))
	setDefault(&opts.DialTimeout, 10*time.Second)
	setDefault(&cfg.Timeout, 30*time.Second)
	setDefault(&cfg.MaxConns, 256)
	setDefault(&cfg.HealthInterval, 60*time.Second)
	if cfg.Name == "" {
		return nil, errors.New("remote plugin: no name")
	}
	cfg.Hooks = slices.Clone(cfg.Hooks)
	p := &Plugin{cfg: cfg, log: opts.Logger, maxAnswer: opts.MaxAnswer, closed: make(chan struct{})}
	p.knows.now = time.Now
	if cfg.Stdio != nil {
		if err := p.overStdio(opts.Version); err != nil {
			return nil, fmt.Errorf("plugin %q: %w", cfg.Name, err)
		}
		return p, nil
	}
	if cfg.UDS != "" {
		setDefault(&cfg.URL, "http://localhost/mcp")
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("plugin %q: url: %w", cfg.Name, err)
	}
	if err := checkURL(u, cfg.TLS != nil, cfg.UDS != ""); err != nil {
		return nil, fmt.Errorf("plugin %q: url %s: %w", cfg.Name, u.Redacted(), err)
	}
	cfg.URL = describeURL(u, cfg.UDS) // from here on for messages
	p.cfg, p.url, p.form = cfg, u, newForm(u, opts.Version)
	p.transport = newTransport(&cfg, u, &opts)
	p.legacy = newLegacy(p, opts.Version)
	return p, nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func checkURL(u *url.URL, tls, uds bool) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return hint.Add(fmt.Errorf("scheme %q, want http or https", u.Scheme), "use a URL such as https://localhost:8000/mcp")
	case u.Host == "":
		return errors.New("no host")
	case !strings.HasPrefix(u.Host, "[") && strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '%' }):
		return hint.Add(fmt.Errorf("host %q is not plain ASCII", u.Host), "write an international name in its xn-- form")
	case u.User != nil:
		return errors.New("user and password do not belong here: a client is known by its certificate")
	case u.Fragment != "":
		return errors.New("a fragment is never sent")
	case uds && u.Scheme != "http":
		return errors.New("a unix socket has no TLS: use http")
	case u.Scheme == "https" && !tls:
		return errors.New("https without TLS settings")
	case u.Scheme == "http" && tls:
		return errors.New("TLS settings with an http URL")
	}
	return nil
}

// Hooks lists the hooks of the plugin's entry; without those what the server
// said when [Plugin.Describe] asked last; and before that all the usual ones,
// for a plugin that is not known yet may count on any of them.
func (p *Plugin) Hooks() []plugin.Hook {
	if len(p.cfg.Hooks) > 0 {
		return slices.Clone(p.cfg.Hooks)
	}
	if hooks := p.learned.Load(); hooks != nil && *hooks != nil {
		return slices.Clone(*hooks)
	}
	return plugin.Hooks()
}

// Invoke runs one hook on the server, once. A failure of the plugin is a
// [*plugin.Error], any other an [*Error]. A server that takes a user as text
// alone is given the email of a user that is an object.
func (p *Plugin) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	text, isObject := asText(c)
	sent := c
	if isObject && p.textUser.Load() {
		sent = text
	}
	answer, err := p.invokeIn(ctx, hook, payload, sent)
	if err == nil && isObject && sent == c && answer.Error != nil && TakesTextUser(answer.Error) {
		p.textUser.Store(true)
		answer, err = p.invokeIn(ctx, hook, payload, text)
	}
	if err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	answer.apply(c)
	return answer.Result, nil
}

func (p *Plugin) invokeIn(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*Answer, error) {
	encoded, err := encodeContext(c)
	if err != nil {
		return nil, p.unsent(hook, err)
	}
	return p.invoke(ctx, hook, payload, encoded)
}

// Call is Invoke for who wants to see the wire: the context is JSON as it is
// sent, and a failure of the plugin is an answer, not an error.
func (p *Plugin) Call(ctx context.Context, hook plugin.Hook, payload, context json.RawMessage) (*Answer, error) {
	if err := checkObject("context", context); err != nil {
		return nil, p.unsent(hook, err)
	}
	return p.invoke(ctx, hook, payload, context)
}

func (p *Plugin) invoke(ctx context.Context, hook plugin.Hook, payload, context json.RawMessage) (*Answer, error) {
	if err := checkObject("payload", payload); err != nil {
		return nil, p.unsent(hook, err)
	}
	result, err := p.call(ctx, p.deadline(), toolInvoke, hookArguments(hook, p.cfg.Name, payload, context))
	if err != nil {
		return nil, p.fail(ctx, string(hook), err)
	}
	answer, err := decodeAnswer(result, p.cfg.Name)
	if err != nil {
		return nil, p.fail(ctx, string(hook), err)
	}
	return answer, nil
}

// unsent is the caller's own mistake: nothing has left.
func (p *Plugin) unsent(hook plugin.Hook, err error) error {
	return fmt.Errorf("calling %s of plugin %q: %w", hook, p.cfg.Name, err)
}

// deadline is when a call that begins now has to have an answer.
func (p *Plugin) deadline() time.Time { return time.Now().Add(p.cfg.Timeout) }

// Close ends the session and the idle connections, or the server itself where it
// is our child.
func (p *Plugin) Close() error {
	p.closing.Do(func() {
		if p.stdio != nil {
			p.stdio.close()
		} else {
			p.legacy.close()
		}
		close(p.closed)
	})
	p.running.Wait()
	if p.transport != nil {
		p.transport.close()
	}
	return nil
}

// describeURL is the URL for messages, without what a URL may hide.
func describeURL(u *url.URL, uds string) string {
	if uds != "" {
		return "unix:" + uds
	}
	return strings.TrimSuffix(u.Redacted(), "?")
}
