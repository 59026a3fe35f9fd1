package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// round is one run of a hook.
type round struct {
	p       *Pipeline
	hook    plugin.Hook
	req     *Request
	rest    bool // only those who have not run
	out     *Outcome
	subject *subject

	// entries are the plugins in their order and with their settings, as they were
	// known when the round began: what becomes known meanwhile moves nobody.
	entries []*Entry

	// asked are the plugins that had to be asked for this round, by their index.
	asked map[int]asked

	// writer is the plugin of the group at work that has changed the payload.
	writer string
}

// due reports whether an entry is to run now, or may have to be asked for its
// hooks. One that runs after the answer is only noted.
func (s *round) due(e *Entry) bool {
	if e.never(s.hook) || (s.rest && s.req.ran[turn{e.Name, s.hook}]) || !s.subject.concerns(e, s.req) {
		return false
	}
	switch {
	case e.off.Load():
		s.out.Verdicts = append(s.out.Verdicts, Verdict{Plugin: e.Name, Said: "disabled after a failure"})
		return false
	case e.Mode == FireAndForget:
		s.postpone(e)
		return false
	}
	return true
}

// neighbours returns the entry at i and those after it that run at the same
// time, and where to go on: plugins of mode concurrent that follow each other,
// and, where that is asked for, plugins of equal priority.
func (s *round) neighbours(i int) (group []*Entry, next int) {
	entries := s.entries
	last := entries[i]
	group = append(group, last)
	for next = i + 1; next < len(entries); next++ {
		e := entries[next]
		together := last.Mode == Concurrent && e.Mode == Concurrent || s.p.o.ParallelWithinBand && last.Priority == e.Priority
		switch {
		case e.Mode == FireAndForget:
			s.due(e) // notes it
		case e.never(s.hook):
		case !together:
			return group, next
		case s.due(e):
			group = append(group, e)
			last = e
		}
	}
	return group, next
}

// together runs a group, each on the payload as it is now, and takes over what
// they say in their order: the answer does not depend on who is faster.
func (s *round) together(ctx context.Context, group []*Entry) (changed bool) {
	base := s.out.Payload
	attempts := make([]*attempt, len(group))
	var running sync.WaitGroup
	for i, e := range group {
		running.Go(func() { attempts[i] = s.attempt(ctx, e, base) })
	}
	running.Wait()
	s.writer = ""
	for _, a := range attempts {
		if a != nil && s.take(ctx, a, base) {
			changed = true
		}
	}
	return changed
}

// adopt makes a plugin's change the request's. Within a group a change that
// contradicts an earlier one is an error.
func (s *round) adopt(a *attempt, base json.RawMessage) error {
	if a.answer != nil {
		if s.writer != "" && string(s.out.Answer) != string(a.answer) {
			return fmt.Errorf("its answer contradicts that of plugin %s, which runs at the same time", s.writer)
		}
		s.out.Answer, s.writer = a.answer, a.e.Name
		if s.hook == plugin.HTTPAuthResolveUser {
			s.req.Global.User = a.answer
		}
		return nil
	}
	if string(a.merged) == string(base) {
		return nil
	}
	if s.writer == "" {
		s.out.Payload, s.writer = a.merged, a.e.Name
		return nil
	}
	combined, at, err := combine(base, s.out.Payload, a.merged)
	if err != nil {
		return err
	}
	if at != "" {
		return fmt.Errorf("changes %s, which plugin %s of the same band has changed otherwise", at, s.writer)
	}
	s.out.Payload, s.writer = combined, a.e.Name
	return nil
}

// combine puts two changes of one payload together. When both change the same
// value, other than to the same, at says where.
func combine(base, one, other []byte) (combined []byte, at string, err error) {
	seed := maphash.MakeSeed()
	var nodes [3]*node
	for i, text := range [][]byte{base, one, other} {
		if nodes[i], err = parse(text, seed); err != nil {
			return nil, "", fmt.Errorf("putting two changes together: %w", err)
		}
	}
	combined, at, ok := both(nodes[0], nodes[1], nodes[2], "")
	if !ok {
		return nil, at, nil
	}
	return combined, "", nil
}

// both combines two changes of one value; not ok is a conflict at a path. A nil
// node is a value that is not there, nil bytes one that is to go.
func both(base, one, other *node, path string) (combined []byte, at string, ok bool) {
	switch {
	case alike(base, one):
		return rawOf(other), "", true
	case alike(base, other):
		return rawOf(one), "", true
	case one == nil && other == nil, one != nil && other != nil && equal(one, other):
		return rawOf(one), "", true
	case base == nil || one == nil || other == nil,
		base.kind != kindObject || one.kind != kindObject || other.kind != kindObject:
		if path == "" {
			path = "the payload"
		}
		return nil, path, false
	}
	was, now, then := base.index(), one.index(), other.index()
	var w objectWriter
	put := func(m member) (at string, ok bool) {
		inner := m.name
		if path != "" {
			inner = path + "." + inner
		}
		val, at, ok := both(was[m.name], now[m.name], then[m.name], inner)
		if ok && val != nil {
			w.add(m.key, val)
		}
		return at, ok
	}
	for i, list := range [][]member{base.members, one.members, other.members} {
		for _, m := range list {
			if i > 0 && was[m.name] != nil || i > 1 && now[m.name] != nil {
				continue // has had its turn
			}
			if at, ok := put(m); !ok {
				return nil, at, false
			}
		}
	}
	return w.end(), "", true
}

// alike reports whether a value is still what it was, to the byte: that is how
// splice leaves what a plugin has not changed.
func alike(a, b *node) bool {
	if a == nil || b == nil {
		return a == b
	}
	return string(a.raw) == string(b.raw)
}

func rawOf(n *node) []byte {
	if n == nil {
		return nil
	}
	return n.raw
}

func (n *node) index() map[string]*node {
	index := make(map[string]*node, len(n.members))
	for _, m := range n.members {
		index[m.name] = m.val
	}
	return index
}
