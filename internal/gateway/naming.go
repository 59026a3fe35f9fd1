package gateway

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Naming says what clients call tools and prompts. Resources and templates keep
// their URIs.
type Naming struct {
	// Prefix is "auto" (also ""), "always", "on-conflict" or "never".
	Prefix string

	// Separator stands between the upstream's name and the tool's; empty means
	// "__".
	Separator string
}

func (n *Naming) check(upstreams []Upstream) error {
	n.Separator = cmp.Or(n.Separator, "__")
	if n.Prefix = cmp.Or(n.Prefix, "auto"); n.Prefix == "auto" {
		n.Prefix = "never"
		if len(upstreams) > 1 {
			n.Prefix = "always"
		}
	}
	if !slices.Contains([]string{"always", "on-conflict", "never"}, n.Prefix) {
		return fmt.Errorf("naming: prefix %q is none of auto, always, on-conflict, never", n.Prefix)
	}
	return nil
}

func (n *Naming) prefixed(s *source, name string) string { return s.Name() + n.Separator + name }

// entry is one item of the merged list.
type entry struct {
	name   string // the client's: prefixed name, uri or template
	own    string // the upstream's
	source *source
	raw    json.RawMessage // as clients see it; nil for what an upstream has not listed

	facts  json.RawMessage // tools: what plugins are told
	params []binding       // tools: arguments that are repeated in headers
	match  *matcher        // templates
}

// view is the merged list of one kind at one time. It does not change.
type view struct {
	version int64
	entries []*entry
	byName  map[string]*entry
}

// merge makes the list of all upstreams' items, in the order of the upstreams
// and of their own lists.
func (c *catalog) merge(k kind, version int64) *view {
	v := &view{version: version, byName: map[string]*entry{}}
	named := k == tools || k == prompts
	conflicts := map[string]int{}
	for _, s := range c.sources {
		items, _, _ := s.shelves[k].state()
		for _, it := range items {
			conflicts[it.key]++
		}
	}
	for _, s := range c.sources {
		items, _, _ := s.shelves[k].state()
		for _, it := range items {
			e := &entry{name: it.key, own: it.key, source: s, raw: it.raw}
			n := &c.g.cfg.Naming
			if named && (n.Prefix == "always" || (n.Prefix == "on-conflict" && conflicts[it.key] > 1)) {
				e.name = n.prefixed(s, it.key)
				e.raw = wire.SetMember(nil, it.raw, "name", wire.AppendString(nil, e.name))
			}
			if err := e.complete(k); err != nil {
				s.leaveOut(k, it.key, err.Error())
				continue
			}
			if first := v.byName[e.name]; first != nil {
				s.leaveOut(k, it.key, "upstream "+first.source.Name()+" has "+e.name+" too, and comes first")
				continue
			}
			v.byName[e.name] = e
			v.entries = append(v.entries, e)
		}
	}
	return v
}

// complete reads what calls will need to know of an item.
func (e *entry) complete(k kind) (err error) {
	switch k {
	case tools:
		e.facts = toolFacts(e)
		e.params, err = bindings(wire.Member(e.raw, "inputSchema"))
	case templates:
		e.match, err = newMatcher(e.own)
	case prompts, resources, kinds:
	}
	return err
}

// toolFacts is what plugins are told about a tool.
func toolFacts(e *entry) json.RawMessage {
	facts := wire.AppendString([]byte(`{"name":`), e.name)
	for _, f := range [][2]string{{"description", "description"}, {"annotations", "annotations"}, {"inputSchema", "input_schema"}} {
		if value := wire.Member(e.raw, f[0]); value != nil {
			facts = append(append(append(facts, `,"`+f[1]+`":`...), value...), ""...)
		}
	}
	return append(facts, '}')
}
