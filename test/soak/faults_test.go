//go:build linux

package soak

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pause is how long all is well before a fault.
const pause = 400 * time.Millisecond

// fault is something that was done to a server, and while it was not there.
type fault struct {
	what     string
	truth    []string // one of which has to stand in the error of a call that it made fail
	from, to time.Time
}

// disturb does one thing after the other, each once at least, until d has passed.
func (r *rig) disturb(l *load, d time.Duration) []*fault {
	const (
		plugin   = "Plugin Error: Guard: "
		upstream = "Upstream Error: up: "
	)
	kinds := []struct {
		what  string
		truth []string
		do    func()
	}{
		{"plugin server killed", []string{plugin + "unreachable"}, func() { r.plugin.away(l, syscall.SIGKILL) }},
		{"plugin server hanging", []string{plugin + "timeout"}, func() { r.plugin.hang(l, pluginTimeout+500*time.Millisecond) }},
		{"upstream killed", []string{upstream + "unreachable"}, func() { r.upstream.away(l, syscall.SIGKILL) }},
		{"plugin server restarted", []string{plugin + "unreachable"}, r.plugin.restart},
		{"upstream hanging", nil, func() { r.upstream.hang(l, time.Second) }}, // its time limit is far longer: calls wait
		{"upstream restarted", []string{upstream + "unreachable"}, r.upstream.restart},
		{"plugin server hanging, then killed", []string{plugin + "timeout", plugin + "unreachable"}, func() {
			r.plugin.now.signal(syscall.SIGSTOP)
			l.during(500 * time.Millisecond)
			r.plugin.away(l, syscall.SIGKILL)
		}},
		{"both killed", []string{plugin + "unreachable", upstream + "unreachable"}, func() {
			r.upstream.now.kill()
			r.plugin.away(l, syscall.SIGKILL)
			r.upstream.up()
		}},
	}
	var all []*fault
	start := time.Now()
	for i := 0; (i < len(kinds) || time.Since(start) < d) && !r.t.Failed(); i++ {
		k := kinds[i%len(kinds)]
		f := &fault{what: k.what, truth: k.truth, from: time.Now()}
		k.do()
		f.to = time.Now()
		all = append(all, f)
		l.during(pause)
	}
	return all
}

// away ends the server by a signal and starts it again after a while.
func (s *server) away(l *load, by syscall.Signal) {
	s.now.signal(by)
	<-s.now.ended
	l.during(400 * time.Millisecond)
	s.up()
}

// hang stops the server for a while: its connections stay, and nobody answers.
func (s *server) hang(l *load, d time.Duration) {
	s.now.signal(syscall.SIGSTOP)
	l.during(d)
	s.now.signal(syscall.SIGCONT)
}

const (
	// answerLimit is how long a call may take to fail. The gateway may first ask
	// the plugin server what it has, and each of the two has the plugin's timeout;
	// the rest is what a busy machine adds.
	answerLimit = 2*pluginTimeout + time.Second

	// recovery is how long after a server is back calls may still begin that
	// fail: all that waited for it come first, and the machine may be slow.
	recovery = 300 * time.Millisecond
)

// judge fails the test for each call that may not have ended so.
func (l *load) judge(t *testing.T, faults []*fault) {
	t.Helper()
	l.rig.ledger.mu.Lock()
	defer l.rig.ledger.mu.Unlock()
	complaints := 0
	complain := func(format string, args ...any) {
		if complaints++; complaints <= 20 {
			t.Errorf(format, args...)
		}
	}
	for _, c := range l.made {
		at := c.begun.Sub(l.begun).Round(time.Millisecond)
		took := c.end.Sub(c.begun).Round(time.Millisecond)
		switch {
		case c.broken != "":
			complain("call %d, after %s, %s long: %s", c.n, at, took, c.broken)
		case c.failed == "":
		case took > answerLimit:
			complain("call %d, after %s, failed only after %s: %s", c.n, at, took, c.failed)
		case !slices.ContainsFunc(faults, func(f *fault) bool { return f.explains(c) }):
			complain("call %d, after %s, %s long, failed though nothing that it tells of was down: %s", c.n, at, took, c.failed)
		}
		switch n := l.rig.ledger.times[c.n]; {
		case n > 1:
			complain("call %d reached the upstream %d times", c.n, n)
		case n == 0 && c.failed == "" && c.broken == "":
			complain("call %d was answered and never reached the upstream", c.n)
		}
	}
	if n := l.rig.ledger.unguarded; n > 0 {
		t.Errorf("%d calls reached the upstream that the plugin had not seen", n)
	}
}

// explains reports whether c was under way during the fault, or right after it,
// and tells of it.
func (f *fault) explains(c *call) bool {
	return c.begun.Before(f.to.Add(recovery)) && c.end.After(f.from) &&
		slices.ContainsFunc(f.truth, func(truth string) bool { return strings.HasPrefix(c.failed, truth) })
}

// report prints what was reached, and what each fault did.
func (l *load) report(t *testing.T, faults []*fault) {
	t.Helper()
	l.rig.ledger.mu.Lock()
	defer l.rig.ledger.mu.Unlock()
	failed := 0
	for _, c := range l.made {
		if c.failed != "" || c.broken != "" {
			failed++
		}
	}
	t.Logf("%d calls in %.1f s, %.0f/s; %d failed; %d reached the upstream, %d of them unguarded",
		len(l.made), l.took.Seconds(), float64(len(l.made))/l.took.Seconds(), failed, len(l.rig.ledger.times), l.rig.ledger.unguarded)
	for _, f := range faults {
		made, longest := map[string]int{}, time.Duration(0)
		var last time.Duration // beginning of a call that failed, after the server was back
		for _, c := range l.made {
			if c.failed == "" || !f.explains(c) {
				continue
			}
			text, _, _ := strings.Cut(c.failed, " (")
			made[text]++
			longest = max(longest, c.end.Sub(c.begun))
			last = max(last, c.begun.Sub(f.to))
		}
		var parts []string
		for text, n := range made {
			parts = append(parts, fmt.Sprintf("%d × %s", n, text))
		}
		slices.Sort(parts)
		t.Logf("%6.2f s  %-34s %4d ms  %s (the longest took %d ms, the last began %d ms after it)", f.from.Sub(l.begun).Seconds(), f.what,
			f.to.Sub(f.from).Milliseconds(), strings.Join(parts, ", "), longest.Milliseconds(), last.Milliseconds())
	}
}
