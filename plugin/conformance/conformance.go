// Package conformance checks plugins and plugin servers against the protocol
// between gateway and plugin server. The checks return results, so that they
// serve a test (package plugintest), a command (sallyport plugin-test) and
// whoever wants to look at them in another way.
//
// [Server] checks any plugin server, in Go or in Python, over the network, a
// Unix socket or its pipes. [Plugin] checks a plugin in the same process for what
// its type cannot say: that it leaves the payload alone, returns when its context
// ends, and holds up under many calls at once.
//
// The checks call each hook of each plugin a dozen times with harmless
// payloads, or with those of [Options]. They judge the form of the answers, not
// the verdicts: a plugin may refuse any of them.
package conformance

import (
	"fmt"
	"time"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// Status is the outcome of one check.
type Status string

// The outcomes.
const (
	Pass Status = "pass"
	Fail Status = "fail" // the rule is broken
	Warn Status = "warn" // a gateway copes, but something is lost or slow
	Skip Status = "skip" // nothing to be seen, and Detail says why
)

// Result is the outcome of one check.
type Result struct {
	// Section is that of the protocol which holds the rule: "§2".
	Section string

	// Rule is the rule in a few words. With Section, Plugin and Hook it is
	// the check's name, and no two results share all four.
	Rule string

	// Plugin and Hook are what was checked; empty for the server as a whole
	// and for the plugin as a whole.
	Plugin string
	Hook   plugin.Hook

	Status Status

	// Detail says what was seen. It is empty when the check passed.
	Detail string
}

// Name is what was checked, in one line: "§2 invoke_hook is case-sensitive".
func (r Result) Name() string {
	name := r.Section + " " + r.Rule
	if r.Hook != "" {
		name = string(r.Hook) + ": " + name
	}
	if r.Plugin != "" {
		name = r.Plugin + " " + name
	}
	return name
}

// Failed reports whether any of results is a failure.
func Failed(results []Result) bool {
	for _, r := range results {
		if r.Status == Fail {
			return true
		}
	}
	return false
}

// Options are the parts that have defaults. A nil *Options is the zero value.
type Options struct {
	// Timeout limits each call; zero means 30 s.
	Timeout time.Duration

	// Grace is how long a hook may go on after its context has ended; zero
	// means 5 s.
	Grace time.Duration

	// Payloads are payloads, as JSON, to call hooks with instead of the checks'
	// own, which greet Ada: such as the plugin changes. Only then is it seen
	// whether it leaves the rest alone. The checks add a number and a null.
	// A payload of a hook that no plugin has is a failure.
	Payloads map[plugin.Hook]string
}

func (o *Options) filled() Options {
	var f Options
	if o != nil {
		f = *o
	}
	if f.Timeout <= 0 {
		f.Timeout = 30 * time.Second
	}
	if f.Grace <= 0 {
		f.Grace = 5 * time.Second
	}
	return f
}

// verdict is what a single check says.
type verdict struct {
	status Status
	detail string
}

var pass = verdict{status: Pass}

func failf(format string, args ...any) verdict {
	return verdict{Fail, fmt.Sprintf(format, args...)}
}

func warnf(format string, args ...any) verdict {
	return verdict{Warn, fmt.Sprintf(format, args...)}
}

func skipf(format string, args ...any) verdict {
	return verdict{Skip, fmt.Sprintf(format, args...)}
}

// report collects results about one thing.
type report struct {
	plugin  string
	hook    plugin.Hook
	results *[]Result
}

// add notes one result.
func (r report) add(section, rule string, v verdict) {
	*r.results = append(*r.results, Result{section, rule, r.plugin, r.hook, v.status, v.detail})
}

// about is the same report about a hook.
func (r report) about(hook plugin.Hook) report {
	r.hook = hook
	return r
}

// clip shortens what a peer said.
func clip(text []byte) string {
	const most = 160
	if len(text) > most {
		return fmt.Sprintf("%.*q…", most, text)
	}
	return fmt.Sprintf("%q", text)
}

// brief shortens a payload, which is not a peer's and needs no quotes.
func brief(payload []byte) string {
	const most = 200
	if text := []rune(string(payload)); len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(payload)
}
