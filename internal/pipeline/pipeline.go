// Package pipeline runs the plugins of a hook around one request: order,
// conditions, modes, timeouts and the merging of what they answer. It is
// values in, values out, and knows no network: a plugin behind mutual TLS and
// one in this process are the same to it (plugin protocol §7).
//
// A guardrail is never skipped in silence: a plugin whose hooks are not known
// counts on every hook it might have, a condition that cannot be evaluated
// counts as met, and a failure refuses the request unless the entry's mode says
// otherwise.
package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/report"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// Entry is one configured plugin.
type Entry struct {
	// Name is the plugin's name; each name stands once in a pipeline.
	Name string

	// Plugin runs the hooks. If it also implements Discoverer, its hooks, and what
	// Learn names, are learned at run time.
	Plugin plugin.Plugin

	// Mode is Enforce when empty.
	Mode Mode

	// OnError says what a failure of this plugin does, if it is not to be what
	// the mode says.
	OnError OnError

	// Priority orders the plugins, lowest first; equal ones keep their order.
	Priority int

	// Timeout bounds one hook; zero takes Options.Timeout.
	Timeout time.Duration

	// Hooks are the hooks that the plugin runs on. When empty it is those that
	// Plugin reports.
	Hooks []plugin.Hook

	// Conditions limit the requests that the plugin sees; empty means all.
	Conditions []Condition

	// ExposeHeaders are secret headers that this plugin is given all the same.
	ExposeHeaders []string

	// Learn says which of these are the peer's to say. Only a Discoverer has one.
	Learn Learn

	index int            // in the order of New
	peer  Discoverer     // the Plugin, if it is one
	known *report.Report // what has been learned into this entry, nil when nothing

	// off is set when a failure has disabled the plugin.
	off *atomic.Bool
}

// Options are a pipeline's settings. The zero value is ContextForge's defaults.
type Options struct {
	// Timeout bounds a hook whose entry sets none; zero is 30 s.
	Timeout time.Duration

	// FailOnPluginError makes every failure a refusal, whatever the mode.
	FailOnPluginError bool

	// ParallelWithinBand runs plugins of equal priority at the same time, each on
	// the payload as it was before them. Changes of different members are put
	// together; a change that contradicts an earlier plugin's refuses the request.
	ParallelWithinBand bool

	// OverrideAuthHeaders lets HTTPPreRequest plugins replace the client's
	// Authorization, Cookie, X-Api-Key and Proxy-Authorization.
	OverrideAuthHeaders bool

	// MaxPayloadBytes bounds the payload of every hook; zero is 1,000,000.
	MaxPayloadBytes int

	// SecretHeaders are withheld from plugins beside Authorization, Cookie,
	// Proxy-Authorization, X-Api-Key and Mcp-Session-Id.
	SecretHeaders []string

	// Logger receives one line per verdict that does not show in the answer;
	// nil discards them.
	Logger *slog.Logger
}

// Pipeline is an ordered set of plugins. It is safe for concurrent use. It does
// not own the plugins. Close it before them if any is of mode FireAndForget.
type Pipeline struct {
	entries []Entry // as they were given
	peers   []*Entry
	o       Options
	after   aftermath

	now      atomic.Pointer[settled]
	learning sync.Mutex
	told     map[int]string // under learning: what has been logged of an entry
}

// New returns a pipeline of entries. A name that stands twice and a mode that
// is not known are errors.
func New(entries []Entry, options *Options) (*Pipeline, error) {
	p := &Pipeline{entries: slices.Clone(entries)}
	if options != nil {
		p.o = *options
	}
	p.o.Timeout = cmp.Or(p.o.Timeout, 30*time.Second)
	p.o.MaxPayloadBytes = cmp.Or(p.o.MaxPayloadBytes, 1_000_000)
	if p.o.Logger == nil {
		p.o.Logger = slog.New(slog.DiscardHandler)
	}
	p.after.ctx, p.after.cancel = context.WithCancel(context.Background())
	names := map[string]bool{}
	for i := range p.entries {
		e := &p.entries[i]
		e.Mode = cmp.Or(e.Mode, Enforce)
		e.Timeout = cmp.Or(e.Timeout, p.o.Timeout)
		e.off, e.index, e.known = &atomic.Bool{}, i, nil
		if e.peer, _ = e.Plugin.(Discoverer); e.peer != nil {
			p.peers = append(p.peers, e)
		}
		if !slices.Contains(modes, e.Mode) {
			return nil, fmt.Errorf("plugin %s: mode %q is not known here", e.Name, e.Mode)
		}
		if !slices.Contains([]OnError{"", Fail, Ignore, Disable}, e.OnError) {
			return nil, fmt.Errorf("plugin %s: on_error %q is not known here", e.Name, e.OnError)
		}
		if names[e.Name] {
			return nil, fmt.Errorf("plugin %s: the name stands twice", e.Name)
		}
		names[e.Name] = true
	}
	p.told = map[int]string{}
	p.now.Store(p.settledBy(make([]*report.Report, len(p.entries))))
	return p, nil
}

// Outcome is what the plugins of one hook decided.
type Outcome struct {
	// Payload is the payload as merged; the bytes given in where nothing changed.
	Payload json.RawMessage

	// Answer is what plugins answered where that is no payload: the user of
	// HTTPAuthResolveUser, the verdict of HTTPAuthCheckPermission; nil when none did.
	Answer json.RawMessage

	// Refusal is nil when the request goes on.
	Refusal *Refusal

	// Metadata is what the plugins remarked, later ones over earlier ones.
	Metadata plugin.Object

	// HTTPHeaders are what plugins set on the HTTP answer, later ones over earlier
	// ones; nil when none did.
	HTTPHeaders map[string]string

	// RetryDelayMS is the longest wait that a plugin asks for before the call is
	// made once more; 0 when none does.
	RetryDelayMS int64

	// Verdicts tells what each plugin that ran said, in order.
	Verdicts []Verdict
}

// Refusal ends a request. Exactly one of Violation and Err is set.
type Refusal struct {
	Plugin    string            // whose refusal it is; empty for the pipeline's own
	Violation *plugin.Violation // the plugin refused
	Err       error             // the plugin failed, or was not known, and the mode refuses then
}

// Verdict is one plugin's part in a hook, for logs.
type Verdict struct {
	Plugin   string
	Said     string // "pass", "changed", "would change", "refused", "would refuse", "failed", "failed, ignored", "failed, disabled", "disabled after a failure"
	Duration time.Duration
	Err      error // of the failed ones
}

// Run passes payload through the plugins of hook. It changes req's context.
// Run itself never fails: what goes wrong is a Refusal.
func (p *Pipeline) Run(ctx context.Context, hook plugin.Hook, payload json.RawMessage, req *Request) *Outcome {
	return p.run(ctx, hook, payload, req, false)
}

// Rest is Run for those plugins that have not run on this hook of req. It is
// for a request that a plugin has directed elsewhere: a plugin whose condition
// names the new tool or server has its say, and a hook still runs once.
func (p *Pipeline) Rest(ctx context.Context, hook plugin.Hook, payload json.RawMessage, req *Request) *Outcome {
	return p.run(ctx, hook, payload, req, true)
}

// Guards reports whether a plugin would judge such a payload, so that nothing
// may get past it. A plugin that is not known counts.
func (p *Pipeline) Guards(ctx context.Context, hook plugin.Hook, payload json.RawMessage, req *Request) bool {
	s := p.newRound(ctx, hook, payload, req, false)
	return slices.ContainsFunc(s.entries, func(e *Entry) bool {
		if e.never(hook) || !e.Mode.judges() && !e.Learn.Mode || e.off.Load() || !s.subject.concerns(e, req) {
			return false
		}
		ctx, cancel := e.limit(ctx, s.asked[e.index].took)
		defer cancel()
		e, runs, err := s.learned(ctx, e)
		return e.Mode.judges() && (runs || err != nil)
	})
}

// newRound finds out what has to be known for one run of a hook.
func (p *Pipeline) newRound(ctx context.Context, hook plugin.Hook, payload json.RawMessage, req *Request, rest bool) *round {
	s := &round{p: p, hook: hook, req: req, rest: rest, out: &Outcome{Payload: payload}, subject: newSubject(hook, payload)}
	s.settle(ctx)
	return s
}

func (p *Pipeline) run(ctx context.Context, hook plugin.Hook, payload json.RawMessage, req *Request, rest bool) *Outcome {
	s := p.newRound(ctx, hook, payload, req, rest)
	out := s.out
	for next := 0; next < len(s.entries); {
		e := s.entries[next]
		next++
		if !s.due(e) {
			if out.Refusal != nil {
				return out
			}
			continue
		}
		changed := false
		if p.o.ParallelWithinBand || e.Mode == Concurrent {
			var group []*Entry
			group, next = s.neighbours(next - 1)
			changed = s.together(ctx, group)
		} else if a := s.attempt(ctx, e, out.Payload); a != nil {
			s.writer = ""
			changed = s.take(ctx, a, out.Payload)
		}
		if out.Refusal != nil {
			return out
		}
		if changed {
			s.subject = newSubject(hook, out.Payload)
		}
	}
	return out
}

// limit returns ctx with what is left of the entry's time.
func (e *Entry) limit(ctx context.Context, spent time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, e.Timeout-spent, tooLate(e.Timeout))
}

// tooLate is the error of a plugin that has not answered within its time.
type tooLate time.Duration

func (t tooLate) Error() string {
	return fmt.Sprintf("no answer within %s: %v", time.Duration(t), context.DeadlineExceeded)
}

func (tooLate) Unwrap() error { return context.DeadlineExceeded }

// namesCustomHooks reports whether the entry lists a hook that is none of the
// usual ones. It may be the server's own, or one of those misspelt; only the
// server can tell, and until it has, the plugin may be meant for any hook.
func (e *Entry) namesCustomHooks() bool {
	return slices.ContainsFunc(e.Hooks, func(h plugin.Hook) bool { return !slices.Contains(plugin.Hooks(), h) })
}
