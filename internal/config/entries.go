package config

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// entry is one key of a mapping with its value.
type entry struct {
	key            string
	keyNode, value *yaml.Node
}

// entries returns the keys of a mapping in file order, merge keys (<<) resolved:
// a key that the mapping has itself wins over a merged one, and of several
// merged mappings the first. Keys that stand twice and keys that are no text
// are reported.
func (d *decoder) entries(n *yaml.Node, path string) []entry {
	var out []entry
	index := map[string]int{} // into out
	own := map[string]Position{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.Tag == "!!merge" {
			d.merge(v, path, &out, index, 0)
			continue
		}
		key, ok := d.keyText(k, path)
		if !ok {
			continue
		}
		if first, twice := own[key]; twice {
			d.add(d.pos(k), fmt.Sprintf("%s stands twice: first on line %d", join(path, key), first.Line), "remove one of the two")
			continue
		}
		own[key] = d.pos(k)
		e := entry{key, k, v}
		if at, merged := index[key]; merged {
			out[at] = e
			continue
		}
		index[key] = len(out)
		out = append(out, e)
	}
	return out
}

// merge adds what << brings in: one mapping, or a list of them. It adds each
// key once; whoever comes first keeps it.
func (d *decoder) merge(n *yaml.Node, path string, out *[]entry, index map[string]int, depth int) {
	at := n
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if depth > maxDepth {
		d.add(d.pos(at), "merge keys (<<) nested too deeply, or inside their own anchor", "")
		return
	}
	if !d.count(at) {
		return
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for _, one := range n.Content {
			d.merge(one, path, out, index, depth+1)
		}
		return
	case yaml.MappingNode:
	default:
		d.add(d.pos(at), fmt.Sprintf("%s: << merges an object or a list of objects, got %s", orFile(path), kindOf(n)), "")
		return
	}
	// Own keys of the merged mapping win over what it merges itself.
	var inner []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.Tag == "!!merge" {
			inner = append(inner, v)
			continue
		}
		key, ok := d.keyText(k, path)
		if _, taken := index[key]; !ok || taken {
			continue
		}
		index[key] = len(*out)
		*out = append(*out, entry{key, k, v})
	}
	for _, v := range inner {
		d.merge(v, path, out, index, depth+1)
	}
}

// keyText is a key as text: a number or boolean as it is written.
func (d *decoder) keyText(k *yaml.Node, path string) (string, bool) {
	at := k
	if k.Kind == yaml.AliasNode {
		k = k.Alias
	}
	if k.Kind != yaml.ScalarNode {
		d.add(d.pos(at), fmt.Sprintf("%s: a key is a text, got %s", orFile(path), kindOf(k)), "a value that begins with { or [ goes in quotes")
		return "", false
	}
	s := d.scalar(k)
	if !s.ok {
		return "", false
	}
	if s.template && d.env != nil {
		// Keys are shown where values are masked.
		d.add(d.pos(at), fmt.Sprintf("%s: a template cannot be a key: %s", orFile(path), s.quoted()), "write the key out; templates give values")
		return "", false
	}
	if k.Tag == "!!null" {
		return "null", true
	}
	return s.text, true
}
