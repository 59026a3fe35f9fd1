package pipeline

import (
	"slices"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// Mode says what a plugin's verdict and failure do to a request. What a failure
// does can be set apart, with [Entry.OnError].
type Mode string

// The modes. An empty Mode is Enforce.
const (
	Enforce            Mode = "enforce"              // a violation refuses, a failure refuses
	EnforceIgnoreError Mode = "enforce_ignore_error" // a violation refuses, a failure is logged
	Permissive         Mode = "permissive"           // both are logged; changes apply
	Audit              Mode = "audit"                // both are logged; changes do not apply
	Concurrent         Mode = "concurrent"           // a violation refuses, a failure refuses; changes do not apply; runs beside its neighbours of this mode
	FireAndForget      Mode = "fire_and_forget"      // runs after the answer, on a snapshot; both are logged
	Disabled           Mode = "disabled"             // not run, not contacted
)

var modes = []Mode{Enforce, EnforceIgnoreError, Permissive, Audit, Concurrent, FireAndForget, Disabled}

// OnError says what a plugin's failure does. An empty one leaves that to the mode.
type OnError string

// What a failure may do.
const (
	Fail    OnError = "fail"    // it refuses the request
	Ignore  OnError = "ignore"  // it is logged
	Disable OnError = "disable" // it is logged, and the plugin does not run again in this pipeline
)

// mayRefuse reports whether a violation stops the request.
func (m Mode) mayRefuse() bool { return m == Enforce || m == EnforceIgnoreError || m == Concurrent }

// mayChange reports whether a changed payload applies.
func (m Mode) mayChange() bool { return m == Enforce || m == EnforceIgnoreError || m == Permissive }

// judges reports whether anything that the plugin says reaches the request.
func (m Mode) judges() bool { return m.mayRefuse() || m.mayChange() }

// ParseMode reads a mode of either vocabulary; ok is false for any other word.
func ParseMode(name string) (m Mode, ok bool) {
	switch name {
	case "sequential":
		return Enforce, true
	case "transform":
		return Permissive, true
	}
	m = Mode(name)
	return m, slices.Contains(modes, m)
}

// onError is what a failure of e does. With fail_on_plugin_error nothing is
// disabled: its next failure would let a request pass.
func (p *Pipeline) onError(e *Entry) OnError {
	switch {
	case e.Mode == FireAndForget: // there is nothing left to refuse
		if e.OnError == Disable && !p.o.FailOnPluginError {
			return Disable
		}
		return Ignore
	case p.o.FailOnPluginError:
		return Fail
	case e.OnError != "":
		return e.OnError
	case e.Mode == Enforce || e.Mode == Concurrent:
		return Fail
	}
	return Ignore
}

// never reports whether the entry cannot run on hook, as far as that can be told
// without asking anybody.
func (e *Entry) never(hook plugin.Hook) bool {
	if e.Mode == Disabled {
		return true
	}
	if len(e.Hooks) > 0 && !slices.Contains(e.Hooks, hook) {
		return e.peer == nil || !e.namesCustomHooks()
	}
	return e.peer == nil && !slices.Contains(e.Plugin.Hooks(), hook)
}

// Has reports whether a plugin may run on hook, without asking any: a hook that
// nobody may have costs its caller nothing.
func (p *Pipeline) Has(hook plugin.Hook) bool {
	for i := range p.entries {
		if !p.entries[i].never(hook) {
			return true
		}
	}
	return false
}
