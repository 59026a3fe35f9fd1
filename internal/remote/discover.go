package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/report"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// patience is the longest that a call waits for the server to say again what it
// has said before. One that takes longer counts as down: then what it said last
// holds.
const patience = 5 * time.Second

// knowledge is what the server said of the plugin (plugin protocol §7).
type knowledge struct {
	last  atomic.Pointer[reading] // nil: the plugin is not known
	reads flight[*reading]
	began atomic.Int64 // when the read that is under way began, in Unix nanoseconds; 0 without one
	now   func() time.Time

	// Of the last reads, for reads alone: there is one at a time.
	before   []plugin.Hook // as reported, nil when never
	disabled bool
}

// reading is one answer, or that there was none.
type reading struct {
	broken int64     // of look when it began
	at     time.Time // when it began
	report *report.Report
	err    error // there is none
}

// Known returns what the server last said of the plugin, as long as that cannot
// be another by now; else nil, and [Plugin.Discover] has to be asked.
func (p *Plugin) Known() *report.Report {
	broken, open := p.look()
	if last := p.knows.last.Load(); p.current(last, broken, open) {
		return last.report
	}
	return nil
}

// current reports whether nothing can have changed last unseen.
func (p *Plugin) current(last *reading, broken int64, open bool) bool {
	return last != nil && open && last.broken == broken && p.knows.now().Sub(last.at) < p.cfg.HealthInterval
}

// Discover returns what the server says of the plugin, its hooks being those of
// the entry where that lists any. An error means that the plugin is not known,
// so that it may have any hook.
//
// The server is asked at the first call, and again before Discover returns
// whenever its answer may be another by now: after it refused or closed any
// connection, also an idle one, when none is open any more, and when the answer
// is older than Config.HealthInterval. A server that does not answer then is
// down, and what it said last holds; one that says something else is believed.
// All who wait share one question.
func (p *Plugin) Discover(ctx context.Context) (*report.Report, error) {
	broken, open := p.look()
	last := p.knows.last.Load()
	if p.current(last, broken, open) {
		return last.report, nil
	}
	wait := ctx
	if last != nil {
		began := time.Now()
		if at := p.knows.began.Load(); at != 0 {
			began = time.Unix(0, at)
		}
		var cancel context.CancelFunc
		wait, cancel = context.WithDeadline(ctx, began.Add(patience))
		defer cancel()
	}
	for {
		r, err := p.knows.reads.do(wait, p, p.cfg.Timeout, p.read)
		switch {
		case err != nil:
			r = &reading{err: p.fail(ctx, toolConfig, err)}
		case r.broken < broken:
			continue // begun before what gave us the reason to ask
		}
		if r.err == nil {
			return r.report, nil
		}
		// What a reading that was no answer left in place holds.
		if last := p.knows.last.Load(); last != nil {
			return last.report, nil
		}
		return nil, r.err
	}
}

// look reports how often the server has gone away so far, and whether anything
// is open that would show that it has gone again.
func (p *Plugin) look() (broken int64, open bool) {
	if p.stdio != nil {
		return p.stdio.server.Look()
	}
	return p.transport.look()
}

// read asks the server and keeps what it says. Its own error is always nil.
func (p *Plugin) read(ctx context.Context) (*reading, error) {
	p.knows.began.Store(time.Now().UnixNano())
	defer p.knows.began.Store(0)
	r := &reading{at: p.knows.now()}
	r.broken, _ = p.look()
	info, err := p.Describe(ctx)
	if err == nil {
		r.report, err = p.judge(ctx, info)
	}
	r.err = err
	switch {
	case err == nil:
		p.knows.last.Store(r)
	case !isDown(err):
		p.knows.last.Store(nil)
	}
	return r, nil
}

// isDown reports whether err says that the server is not there, or not well
// enough to answer. A wrong answer, and a server that cannot prove who it is,
// are something else: who knows what runs there.
func isDown(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return true // we are about to end
	}
	return e.Kind == Unreachable || e.Kind == Timeout
}

// judge makes a report of what the server has told, or says why the plugin is not
// known by it.
func (p *Plugin) judge(ctx context.Context, info *Info) (*report.Report, error) {
	log := p.log.With("plugin", p.cfg.Name, "url", p.cfg.URL)
	if info.Mode == "disabled" {
		if !p.knows.disabled {
			log.WarnContext(ctx, "plugin is disabled on its server: its calls are refused")
		}
		p.knows.disabled = true
		return nil, p.notDeclared(hint.Add(errors.New("the server has this plugin disabled"),
			"enable it in the plugin server's file, or say mode: disabled in the gateway's entry"))
	}
	p.knows.disabled = false
	p.compare(ctx, info.Hooks)
	hooks, err := p.hooksOf(info)
	if err != nil {
		return nil, err
	}
	return &report.Report{Hooks: hooks, Mode: info.Mode, OnError: info.OnError, Priority: info.Priority, Conditions: info.Conditions}, nil
}

// hooksOf decides which hooks the plugin runs on, now that the server has told
// what it has.
func (p *Plugin) hooksOf(info *Info) ([]plugin.Hook, error) {
	switch {
	case info.Hooks == nil && len(p.cfg.Hooks) > 0:
		return p.cfg.Hooks, nil
	case info.Hooks == nil: // not told, so it may be any
		return plugin.Hooks(), nil
	}
	for _, hook := range p.cfg.Hooks {
		if !slices.Contains(info.Hooks, hook) {
			return nil, p.notDeclared(noHook(hook, info.Hooks))
		}
	}
	if len(p.cfg.Hooks) > 0 {
		return p.cfg.Hooks, nil
	}
	return info.Hooks, nil
}

// compare tells the operator how the plugin's hooks differ from before.
func (p *Plugin) compare(ctx context.Context, hooks []plugin.Hook) {
	before := p.knows.before
	if slices.Equal(before, hooks) && before != nil {
		return
	}
	log := p.log.With("plugin", p.cfg.Name, "url", p.cfg.URL, "hooks", hooks)
	gone := slices.DeleteFunc(slices.Clone(before), func(h plugin.Hook) bool { return slices.Contains(hooks, h) })
	switch {
	case hooks == nil:
		log.WarnContext(ctx, "plugin server does not say which hooks the plugin has: it is called at all of them")
	case len(hooks) == 0:
		log.WarnContext(ctx, "plugin has no hooks on its server: it is never called", "gone", gone)
	case len(gone) > 0:
		log.WarnContext(ctx, "plugin server no longer has hooks of the plugin", "gone", gone)
	case before != nil:
		log.InfoContext(ctx, "plugin server has more hooks of the plugin")
	default:
		log.InfoContext(ctx, "plugin is known")
	}
	p.knows.before = hooks
}

func (p *Plugin) notDeclared(err error) error {
	return &Error{Kind: NotDeclared, Plugin: p.cfg.Name, Doing: toolConfig, URL: p.cfg.URL, Err: err}
}

// noHook says that the entry lists a hook that the server does not report.
func noHook(hook plugin.Hook, reported []plugin.Hook) error {
	names := make([]string, len(reported))
	for i, h := range reported {
		names[i] = string(h)
	}
	err := fmt.Errorf("its entry lists the hook %q, which the server does not report", hook)
	if near := hint.Nearest(string(hook), names); near != "" {
		err = fmt.Errorf("%w; the nearest that it reports is %q", err, near)
	}
	if len(names) == 0 {
		return hint.Add(err, "the server reports no hook of this plugin")
	}
	return hint.Add(err, "the server reports: "+strings.Join(names, ", "))
}
