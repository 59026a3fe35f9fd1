package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/report"
)

// Learn says which settings of an entry its peer fills in, because the file does
// not set them. Until the peer is known they are as the entry has them.
type Learn struct{ Mode, OnError, Priority, Conditions bool }

// Discoverer is implemented by a plugin that a peer runs. Hooks, and the
// settings that the entry leaves open, are what the peer reports. Its Invoke
// returns when its context has ended, whatever the peer does.
type Discoverer interface {
	// Known returns what the peer has reported, if nothing gives a reason to ask
	// again; else nil. It does not block.
	Known() *report.Report

	// Discover returns what the peer reports, and asks if it has to. An error
	// means that the plugin is not known: it might have any hook.
	Discover(ctx context.Context) (*report.Report, error)
}

// settled is the order of the plugins, and the settings of each, as far as the
// peers have told. It is never changed, only replaced.
type settled struct {
	entries []*Entry         // by priority
	reports []*report.Report // by the entries' index; nil where nothing is known
}

// asked is how asking one peer ended.
type asked struct {
	report *report.Report
	err    error
	took   time.Duration
}

// settle asks those peers whose plugins may run, where their answers may have
// changed, and takes the order and settings for this round.
func (s *round) settle(ctx context.Context) {
	p, now := s.p, s.p.now.Load()
	var fresh map[int]*report.Report
	learn := func(e *Entry, r *report.Report) {
		if fresh == nil {
			fresh = map[int]*report.Report{}
		}
		fresh[e.index] = r
	}
	var ask []*Entry
	for _, e := range p.peers {
		if e.never(s.hook) || e.Mode == FireAndForget || e.off.Load() || s.rest && s.req.ran[turn{e.Name, s.hook}] ||
			!e.Learn.Conditions && !s.subject.concerns(e, s.req) {
			continue // it does not matter, or not yet
		}
		if r := e.peer.Known(); r == nil {
			ask = append(ask, e)
		} else if r != now.reports[e.index] {
			learn(e, r)
		}
	}
	if len(ask) > 0 {
		s.asked = askAll(ctx, ask)
		for index, a := range s.asked {
			if a.report != now.reports[index] {
				learn(&p.entries[index], a.report)
			}
		}
	}
	switch {
	case fresh == nil:
	case ctx.Err() != nil:
		// A caller that has given up proves nothing about a peer. Its own request
		// goes by the entry alone all the same.
		now = p.settledBy(overlaid(now.reports, fresh))
	default:
		now = p.learn(fresh)
	}
	s.entries = now.entries
}

// overlaid returns reports with the fresh ones in their places.
func overlaid(reports []*report.Report, fresh map[int]*report.Report) []*report.Report {
	all := slices.Clone(reports)
	for index, r := range fresh {
		all[index] = r
	}
	return all
}

// askAll asks peers at the same time, so that one that is down costs no more
// than its own time.
func askAll(ctx context.Context, entries []*Entry) map[int]asked {
	answers := make([]asked, len(entries))
	var asking sync.WaitGroup
	for i, e := range entries {
		ask := func() {
			ctx, cancel := e.limit(ctx, 0)
			defer cancel()
			start := time.Now()
			answers[i].report, answers[i].err = e.peer.Discover(ctx)
			answers[i].took = time.Since(start)
		}
		if len(entries) == 1 {
			ask()
			break
		}
		asking.Go(ask)
	}
	asking.Wait()
	all := make(map[int]asked, len(entries))
	for i, e := range entries {
		all[e.index] = answers[i]
	}
	return all
}

// learned returns e with what is known of it now, and whether it has the hook.
// An error says that the plugin is not known; then e is as the file has it.
func (s *round) learned(ctx context.Context, e *Entry) (_ *Entry, runs bool, err error) {
	listed := len(e.Hooks) == 0 || slices.Contains(e.Hooks, s.hook)
	if e.peer == nil {
		return e, listed && slices.Contains(e.Plugin.Hooks(), s.hook), nil
	}
	if !listed && !e.namesCustomHooks() {
		return e, false, nil
	}
	a, have := s.asked[e.index]
	if !have {
		if a.report = e.peer.Known(); a.report == nil {
			a.report, a.err = e.peer.Discover(ctx)
		}
	}
	if a.err != nil {
		return &s.p.entries[e.index], false, a.err
	}
	if a.report != e.known {
		// It has become known since the round began: its place in the order stays,
		// its settings are the new ones.
		e = s.p.entries[e.index].with(a.report)
		if s.subject != nil && !newSubject(s.hook, s.out.Payload).concerns(e, s.req) {
			return e, false, nil
		}
	}
	return e, listed && slices.Contains(a.report.Hooks, s.hook), nil
}

// with returns the entry with what it leaves open filled in from a report.
func (e *Entry) with(r *report.Report) *Entry {
	filled := *e
	filled.known = r
	if r == nil {
		return &filled
	}
	if mode, ok := ParseMode(r.Mode); ok && e.Learn.Mode {
		filled.Mode = mode
	}
	if r.OnError != "" && e.Learn.OnError {
		filled.OnError = OnError(r.OnError)
	}
	if r.Priority != nil && e.Learn.Priority {
		filled.Priority = *r.Priority
	}
	if r.Conditions != nil && e.Learn.Conditions {
		filled.Conditions = r.Conditions
	}
	return &filled
}

// settledBy makes the order of what reports tell.
func (p *Pipeline) settledBy(reports []*report.Report) *settled {
	now := &settled{reports: reports, entries: make([]*Entry, len(p.entries))}
	for i := range p.entries {
		now.entries[i] = p.entries[i].with(reports[i])
	}
	slices.SortStableFunc(now.entries, func(a, b *Entry) int { return cmp.Compare(a.Priority, b.Priority) })
	return now
}

// learn takes new reports over, nil for a plugin that is not known any more, and
// warns where a peer makes its plugin weaker than the entry alone would.
func (p *Pipeline) learn(fresh map[int]*report.Report) *settled {
	p.learning.Lock()
	defer p.learning.Unlock()
	now := p.settledBy(overlaid(p.now.Load().reports, fresh))
	p.now.Store(now)
	for _, e := range now.entries {
		if _, ok := fresh[e.index]; ok && e.known != nil {
			p.tell(e)
		}
	}
	return now
}

// maxSaid bounds what a peer can have us write into the log, in bytes.
const maxSaid = 1000

// said is one setting of an entry that is the peer's word, and not what the
// entry would be without it.
type said struct {
	key, value string
	weakens    bool
}

// said lists what is the peer's word in e; own is the entry as the file has it.
func (e *Entry) said(own *Entry, failAlways bool) (all []said) {
	if e.Mode != own.Mode {
		onlyErrors := e.Mode == EnforceIgnoreError && (failAlways || e.OnError == Fail) // then it is enforce
		all = append(all, said{"mode", string(e.Mode), !onlyErrors && e.Mode != Enforce})
	}
	if e.OnError != own.OnError {
		all = append(all, said{"on_error", string(e.OnError), e.OnError != Fail && !failAlways})
	}
	if e.Priority != own.Priority {
		all = append(all, said{"priority", strconv.Itoa(e.Priority), false})
	}
	if e.Learn.Conditions && len(e.Conditions) > 0 {
		everything := slices.ContainsFunc(e.Conditions, func(c Condition) bool { return !c.Narrows() })
		all = append(all, said{"conditions", conditionText(e.Conditions), !everything})
	}
	return all
}

// tell says once what of an entry is the peer's word: a warning where that makes
// the plugin weaker, so that no server turns its plugin off in silence.
func (p *Pipeline) tell(e *Entry) {
	var words, weak []string
	for _, s := range e.said(&p.entries[e.index], p.o.FailOnPluginError) {
		words = append(words, s.key+": "+s.value)
		if s.weakens {
			weak = append(weak, s.key)
		}
	}
	text := strings.Join(words, ", ")
	if text == p.told[e.index] {
		return
	}
	p.told[e.index] = text
	if passed := p.passed(e); len(passed) > 0 {
		p.o.Logger.Warn("plugin server puts its plugin before others, so that it sees what they would have taken out", "plugin", e.Name,
			"priority", e.Priority, "others", passed, "hint", "set priority: in the plugin's entry of the gateway's file")
	}
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
	}
	log := p.o.Logger.With("plugin", e.Name)
	switch {
	case len(weak) > 0:
		log.Warn("plugin server makes its plugin weaker, and the gateway's file leaves that to it", "reported", text,
			"hint", "set "+strings.Join(weak, ": and ")+": in the plugin's entry of the gateway's file")
	case text == "":
		log.Info("plugin runs again as the gateway's file has it")
	default:
		log.Info("plugin server settles what the gateway's file leaves to it", "reported", text)
	}
}

// passed lists the plugins that may change a payload and that e, by its peer's
// word, runs before, while by the file it runs behind them.
func (p *Pipeline) passed(e *Entry) (names []string) {
	own := &p.entries[e.index]
	past := false // e, in the order as it is now
	for _, other := range p.now.Load().entries {
		if other.index == e.index {
			past = true
			continue
		}
		file := &p.entries[other.index]
		if past && other.Mode.mayChange() && cmp.Or(cmp.Compare(file.Priority, own.Priority), cmp.Compare(file.index, own.index)) < 0 {
			names = append(names, other.Name)
		}
	}
	return names
}

// conditionText shows conditions to people.
func conditionText(conditions []Condition) string {
	texts := make([]string, 0, len(conditions))
	for _, c := range conditions {
		var parts []string
		for _, part := range []struct {
			name string
			list []string
		}{
			{"server_ids", c.ServerIDs}, {"tenant_ids", c.TenantIDs}, {"tools", c.Tools}, {"prompts", c.Prompts},
			{"resources", c.Resources}, {"agents", c.Agents}, {"user_patterns", c.UserPatterns}, {"content_types", c.ContentTypes},
		} {
			if len(part.list) > 0 {
				// Python's sets come in any order.
				parts = append(parts, fmt.Sprintf("%s=%q", part.name, slices.Sorted(slices.Values(part.list))))
			}
		}
		texts = append(texts, "{"+strings.Join(parts, " ")+"}")
	}
	return "[" + strings.Join(texts, " ") + "]"
}

// Refresh asks the peer of the plugin of that name what it reports, if that may
// have changed, and takes it over, so that what is wrong is said before a call
// comes. It is nothing for a plugin without a peer.
func (p *Pipeline) Refresh(ctx context.Context, name string) error {
	for _, e := range p.peers {
		if e.Name != name || e.Mode == Disabled {
			continue
		}
		r, err := e.peer.Discover(ctx)
		if ctx.Err() == nil && r != p.now.Load().reports[e.index] {
			p.learn(map[int]*report.Report{e.index: r})
		}
		return err
	}
	return nil
}

// Effective is how a plugin runs at the moment where that is its peer's word.
type Effective struct {
	Name       string
	Mode       Mode
	OnError    OnError // empty: as the mode says
	Priority   int
	Conditions []Condition

	// Learned are those of mode, on_error, priority and conditions that are the
	// peer's and not what they would be without it.
	Learned []string
}

// Learned lists the plugins whose peers have settled something, in the order in
// which plugins run.
func (p *Pipeline) Learned() (all []Effective) {
	for _, e := range p.now.Load().entries {
		said := e.said(&p.entries[e.index], p.o.FailOnPluginError)
		if len(said) == 0 {
			continue
		}
		f := Effective{Name: e.Name, Mode: e.Mode, OnError: e.OnError, Priority: e.Priority, Conditions: e.Conditions}
		for _, s := range said {
			f.Learned = append(f.Learned, s.key)
		}
		all = append(all, f)
	}
	return all
}
