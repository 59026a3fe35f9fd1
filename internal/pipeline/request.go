package pipeline

import (
	"maps"
	"slices"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// Request is what the hooks of one client request share. It belongs to one
// request and is not for concurrent use.
type Request struct {
	// Global describes the request to all plugins. Its State is shared by them,
	// in order; its Metadata is theirs to read only.
	Global plugin.GlobalContext

	// OriginalName is the upstream's own name of the tool or prompt, where the
	// payload has the client's. Conditions match either.
	OriginalName string

	// FormerNames are names that the tool or resource had before a plugin changed
	// it, the client's and the upstream's. Conditions match these too.
	FormerNames []string

	// Lenient lets the request pass where a plugin fails or is not known, whatever
	// its mode. It is for what a plugin that is down must not hold up, such as a
	// client's first word. A verdict counts as ever.
	Lenient bool

	// later are the runs that wait for the answer, those of forks included.
	later *backlog

	// ran tells which plugins have run on which hook.
	ran map[turn]bool

	// plugins keeps each plugin's state and metadata from hook to hook.
	plugins map[string]*kept
}

// turn is one plugin's on one hook.
type turn struct {
	plugin string
	hook   plugin.Hook
}

// Fork returns a request that has what r has learned so far and goes its own way
// from here: for the messages of one batch. What is to run after the answer is
// kept with r.
func (r *Request) Fork() *Request {
	if r.later == nil {
		r.later = &backlog{}
	}
	n := *r
	n.Global.State, n.Global.Metadata = maps.Clone(r.Global.State), maps.Clone(r.Global.Metadata)
	n.FormerNames = slices.Clone(r.FormerNames)
	n.ran, n.plugins = maps.Clone(r.ran), maps.Clone(r.plugins)
	return &n
}

func (r *Request) setRan(name string, hook plugin.Hook) {
	if r.ran == nil {
		r.ran = map[turn]bool{}
	}
	r.ran[turn{name, hook}] = true
}

type kept struct{ state, metadata plugin.Object }

// contextFor returns a context for one plugin, which it may change freely.
func (r *Request) contextFor(name string) *plugin.Context {
	own := r.plugins[name]
	if own == nil {
		own = &kept{}
	}
	global := r.Global
	global.State = cloned(global.State)
	global.Metadata = cloned(global.Metadata)
	return &plugin.Context{State: cloned(own.state), Metadata: cloned(own.metadata), GlobalContext: global}
}

// keep takes over what a plugin left in its context. Global metadata is not:
// it is read-only. Global state merges: additions and overwrites, no deletions.
func (r *Request) keep(name string, c *plugin.Context) {
	if r.plugins == nil {
		r.plugins = map[string]*kept{}
	}
	r.plugins[name] = &kept{state: c.State, metadata: c.Metadata}
	if len(c.GlobalContext.State) > 0 && r.Global.State == nil {
		r.Global.State = plugin.Object{}
	}
	maps.Copy(r.Global.State, c.GlobalContext.State)
}

// cloned returns a copy that is never nil. The values are shared: nobody
// changes a raw value in place.
func cloned(o plugin.Object) plugin.Object {
	if o == nil {
		return plugin.Object{}
	}
	return maps.Clone(o)
}

// userText returns the user as text for conditions; ok is false for an
// anonymous request, and one whose user has no name.
func (r *Request) userText() (text string, ok bool) {
	text = r.Global.UserName()
	return text, text != ""
}
