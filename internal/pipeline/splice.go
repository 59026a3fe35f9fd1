package pipeline

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// splice puts a plugin's answer into the payload that it was sent, so that the
// original's bytes stay wherever the values are equal: a plugin that re-encodes
// everything changes nothing but what it meant to change (plugin protocol §7,
// Bytes). Members that the hook may not write keep their original; their names
// are returned. An answer that is not valid JSON or not a payload of this hook
// is an error, the plugin's.
func splice(hook plugin.Hook, original, answer []byte) (result []byte, dropped []string, err error) {
	rules, known := rulesOf(hook)
	seed := maphash.MakeSeed()
	o, err := parse(original, seed)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the original payload: %w", err)
	}
	n, err := parse(answer, seed)
	if err != nil {
		return nil, nil, fmt.Errorf("modified_payload: %w", err)
	}
	if !known {
		return merge(o, n), nil, nil
	}
	if err := rules.check(n); err != nil {
		return nil, nil, fmt.Errorf("modified_payload: %w", err)
	}
	dropped = rules.restore(o, n)
	m := merger{}
	result = m.value(o, n, rules.shape)
	return result, dropped, m.err
}

// merge splices free-form values.
func merge(o, n *node) []byte {
	return (&merger{}).value(o, n, nil)
}

// restore puts the original's value wherever n changes a member that the hook
// may not write, and returns the names of those.
func (r rules) restore(o, n *node) (dropped []string) {
	kept := n.members[:0:0]
	for _, m := range n.members {
		was := o.get(m.name)
		switch {
		case slices.Contains(r.writable, m.name):
			kept = append(kept, m)
		case was != nil:
			bothSilent := r.shape.isDefault(m.name, was) && r.shape.isDefault(m.name, m.val)
			if !bothSilent && !r.shape.field(m.name).same(was, m.val) {
				dropped = append(dropped, m.name)
			}
			kept = append(kept, member{m.name, m.key, was})
		case !r.shape.isDefault(m.name, m.val):
			dropped = append(dropped, m.name)
		}
	}
	for _, m := range o.members {
		if !slices.Contains(r.writable, m.name) && n.get(m.name) == nil {
			if !r.shape.isDefault(m.name, m.val) {
				dropped = append(dropped, m.name)
			}
			kept = append(kept, m)
		}
	}
	n.members = kept
	return dropped
}

// merger splices one answer; err is the first fault found in it.
type merger struct{ err error }

// value returns o's bytes when nothing differs, else the spliced value.
func (m *merger) value(o, n *node, s *shape) []byte {
	switch {
	case o.kind == kindObject && n.kind == kindObject && s.isModel():
		return m.model(o, n, s)
	case s == nil && equal(o, n):
		return o.raw
	case o.kind == kindObject && n.kind == kindObject:
		return m.object(o, n)
	case o.kind == kindArray && n.kind == kindArray:
		return m.array(o, n, s)
	case equal(o, n):
		return o.raw
	}
	return m.fresh(n, s)
}

// fresh returns the bytes of a value that has no original: its own, but for
// model fields, which are written as MCP spells them and left out when null.
func (m *merger) fresh(n *node, s *shape) []byte {
	switch {
	case s == nil || (n.kind != kindObject && n.kind != kindArray):
		return dropNewlines(n.raw)
	case n.kind == kindArray:
		parts := make([][]byte, 0, len(n.elems))
		for _, e := range n.elems {
			parts = append(parts, m.fresh(e, s.elem))
		}
		return joinArray(parts)
	case !s.isModel():
		return dropNewlines(n.raw)
	}
	fields, err := s.fieldsOf(n)
	if err != nil {
		m.fail(err)
		return n.raw
	}
	var w objectWriter
	for _, mem := range n.members {
		name := spelling(mem.name)
		if _, says := fields[name]; says {
			w.add(keyOf(name, mem), m.fresh(mem.val, s.field(name)))
		}
	}
	return w.end()
}

// keyOf returns a member's name as MCP spells it, in its own bytes where it can.
func keyOf(name string, mem member) []byte {
	if name == mem.name {
		return mem.key
	}
	return []byte(`"` + name + `"`)
}

func (m *merger) fail(err error) {
	if m.err == nil {
		m.err = fmt.Errorf("modified_payload: %w", err)
	}
}

func joinArray(parts [][]byte) []byte {
	return slices.Concat([]byte("["), bytes.Join(parts, []byte(",")), []byte("]"))
}

// object merges free-form objects: the original's order, then what is new.
func (m *merger) object(o, n *node) []byte {
	now := make(map[string]*node, len(n.members))
	for _, mem := range n.members {
		now[mem.name] = mem.val
	}
	var w objectWriter
	was := make(map[string]bool, len(o.members))
	for _, mem := range o.members {
		was[mem.name] = true
		if val, ok := now[mem.name]; ok {
			w.add(mem.key, m.value(mem.val, val, nil))
		}
	}
	for _, mem := range n.members {
		if !was[mem.name] {
			w.add(mem.key, dropNewlines(mem.val.raw))
		}
	}
	return w.end()
}

// model merges model objects. It is the original to the byte when every field
// means the same.
func (m *merger) model(o, n *node, s *shape) []byte {
	now, err := s.fieldsOf(n)
	if err != nil {
		m.fail(err)
		return o.raw
	}
	var w objectWriter
	was, changed := make(map[string]bool, len(o.members)), false
	for _, mem := range o.members {
		name := spelling(mem.name)
		was[name] = true
		val, ok := now[name]
		switch {
		case ok:
			merged := m.value(mem.val, val.val, s.field(name))
			changed = changed || !sameBytes(merged, mem.val.raw)
			w.add(mem.key, merged)
		case s.isDefault(name, mem.val):
			w.add(mem.key, mem.val.raw)
		default:
			changed = true
		}
	}
	for _, mem := range n.members {
		name := spelling(mem.name)
		if _, says := now[name]; !says || was[name] {
			continue
		}
		changed = true
		w.add(keyOf(name, mem), m.fresh(mem.val, s.field(name)))
	}
	if !changed {
		return o.raw
	}
	return w.end()
}

// sameBytes reports whether two slices are the same memory: the mark of a value
// that was kept.
func sameBytes(a, b []byte) bool {
	return len(a) == len(b) && &a[0] == &b[0]
}

// array merges arrays: what is equal at both ends is kept, middles of equal
// length go by position, otherwise each element of the middle takes the first
// unused equal element of the original, else its own bytes.
func (m *merger) array(o, n *node, s *shape) []byte {
	var elem *shape
	if s != nil {
		elem = s.elem
	}
	head := 0
	for head < min(len(o.elems), len(n.elems)) && elem.same(o.elems[head], n.elems[head]) {
		head++
	}
	tail := 0
	for tail < min(len(o.elems), len(n.elems))-head && elem.same(o.elems[len(o.elems)-1-tail], n.elems[len(n.elems)-1-tail]) {
		tail++
	}
	before, after := o.elems[head:len(o.elems)-tail], n.elems[head:len(n.elems)-tail]
	if len(before) == 0 && len(after) == 0 {
		return o.raw
	}
	parts := make([][]byte, 0, len(n.elems))
	keep := func(elems []*node) {
		for _, e := range elems {
			parts = append(parts, e.raw)
		}
	}
	keep(o.elems[:head])
	if len(before) == len(after) {
		for i := range before {
			parts = append(parts, m.value(before[i], after[i], elem))
		}
	} else {
		parts = append(parts, m.reuse(before, after, elem)...)
	}
	keep(o.elems[len(o.elems)-tail:])
	return joinArray(parts)
}

// tries bounds the comparisons that one element may cost when many elements
// have one hash but are unequal: hostile numbers can be made so.
const tries = 8

// reuse returns for each element of after the bytes of the first unused equal
// element of before, else its own.
func (m *merger) reuse(before, after []*node, s *shape) [][]byte {
	unused := make(map[uint64][]*node, len(before))
	for _, e := range before {
		h := s.hash(e)
		unused[h] = append(unused[h], e)
	}
	parts := make([][]byte, 0, len(after))
	for _, e := range after {
		h := s.hash(e)
		candidates := unused[h]
		i := slices.IndexFunc(candidates[:min(tries, len(candidates))], func(c *node) bool { return s.same(c, e) })
		if i < 0 {
			parts = append(parts, m.fresh(e, s))
			continue
		}
		parts = append(parts, candidates[i].raw)
		copy(candidates[1:i+1], candidates[:i])
		unused[h] = candidates[1:]
	}
	return parts
}

// hash is equal for values that same calls equal.
func (s *shape) hash(n *node) uint64 {
	if !s.isModel() || n.kind != kindObject {
		return n.hash
	}
	var h uint64
	fields, err := s.fieldsOf(n)
	if err != nil {
		return n.hash
	}
	for name, m := range fields {
		// Names are few and known; a collision costs a comparison.
		h += s.field(name).hash(m.val) * uint64(len(name)+1)
	}
	return h
}

// objectWriter writes the members of one object.
type objectWriter struct{ buf bytes.Buffer }

func (w *objectWriter) add(key, val []byte) {
	if w.buf.Len() == 0 {
		w.buf.WriteByte('{')
	} else {
		w.buf.WriteByte(',')
	}
	w.buf.Write(key)
	w.buf.WriteByte(':')
	w.buf.Write(val)
}

func (w *objectWriter) end() []byte {
	if w.buf.Len() == 0 {
		return []byte("{}")
	}
	w.buf.WriteByte('}')
	return w.buf.Bytes()
}
