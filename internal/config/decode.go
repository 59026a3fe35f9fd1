package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// value is a node that was read by its shape. A nil *value reads as not set, so
// that lookups need no checks.
type value struct {
	node *yaml.Node // aliases followed
	key  Position   // of the key that leads here; of the value itself in a list
	pos  Position
	ok   bool // false when it is at fault, which has been reported: it has no content

	text   string // formText, formPath, formSecret, formWord
	hidden bool   // text came from a template: not to be shown
	number int64
	secs   float64
	flag   bool
	word   bool // formOr: the word was given
	items  []*value
	keys   []string // of fields, in file order
	fields map[string]*value
	nulls  map[string]Position // known keys that stand there without a value
}

func (v *value) get(key string) *value {
	if v == nil {
		return nil
	}
	return v.fields[key]
}

// null says whether key stands there without a value, and where.
func (v *value) null(key string) (at Position, ok bool) {
	if v == nil {
		return at, false
	}
	at, ok = v.nulls[key]
	return at, ok
}

// str, list: the content under key, zero when it is not set or at fault.
func (v *value) str(key string) string {
	if f := v.get(key); f != nil {
		return f.text
	}
	return ""
}

func (v *value) list(key string) []*value {
	if f := v.get(key); f != nil {
		return f.items
	}
	return nil
}

func (v *value) texts(key string) []string {
	f := v.get(key)
	if f == nil || !f.ok {
		return nil
	}
	out := make([]string, 0, len(f.items))
	for _, item := range f.items {
		if item.ok {
			out = append(out, item.text)
		}
	}
	return out
}

func (v *value) source() Source {
	return Source{File: v.pos.File, Line: v.pos.Line, Column: v.pos.Column}
}

// decoder walks shapes over nodes.
type decoder struct {
	*document
	namesOnly bool // values other than names and kinds are not judged
	depth     int
}

// decode reads n as s. path names the value in messages: "plugins[0].mcp.url".
func (d *decoder) decode(n *yaml.Node, s *shape, path string) *value {
	v := &value{pos: d.pos(n), key: d.pos(n)}
	n, ok := d.follow(n)
	v.node = n
	if !ok {
		return v
	}
	defer func() { d.depth-- }()
	v.ok = true
	switch s.form {
	case formObject:
		d.object(v, s, path)
	case formList:
		d.sequence(v, s, path)
	case formMap:
		d.mapping(v, s, path)
	case formFree:
	case formOr:
		if n.Kind == yaml.ScalarNode {
			d.alternative(v, s, path)
			return v
		}
		inner := d.decode(n, s.elem, path)
		inner.key, inner.pos = v.key, v.pos
		return inner
	case formShort:
		d.short(v, s, path)
	default:
		if n.Kind != yaml.ScalarNode {
			d.fault(v, fmt.Sprintf("%s: expected %s, got %s", path, s.describe(), kindOf(n)))
			return v
		}
		d.leaf(v, s, path)
	}
	return v
}

// follow returns the node that n stands for, bounding depth and size: aliases
// can make a small file enormous, or endless. Whoever gets ok lowers depth again.
func (d *decoder) follow(n *yaml.Node) (*yaml.Node, bool) {
	at := n
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if !d.count(at) {
		return n, false
	}
	if d.depth >= maxDepth {
		d.add(d.pos(at), fmt.Sprintf("nested over %d levels deep, or an alias inside its own anchor", maxDepth), "")
		return n, false
	}
	d.depth++
	return n, true
}

// count bounds how many values a file may come to.
func (d *decoder) count(n *yaml.Node) bool {
	d.nodes++
	if d.nodes == maxNodes+1 {
		d.add(d.pos(n), fmt.Sprintf("the file comes to over %d values, aliases counted in full", maxNodes), "")
	}
	return d.nodes <= maxNodes
}

func (d *decoder) fault(v *value, message string) { d.faultHint(v, message, "") }

func (d *decoder) faultHint(v *value, message, hint string) {
	v.ok = false
	if !d.namesOnly {
		d.add(v.pos, message, hint)
	}
}

// alternative reads the one word that may stand instead of an object.
func (d *decoder) alternative(v *value, s *shape, path string) {
	sc := d.scalar(v.node)
	if !sc.ok {
		v.ok = false
		return
	}
	v.word = sc.text == s.words[0]
	if !v.word {
		d.fault(v, fmt.Sprintf("%s: expected an object or the word %s, got %s", path, s.words[0], sc.quoted()))
	}
}

// short reads an object, or a single value that stands for its field of that
// name.
func (d *decoder) short(v *value, s *shape, path string) {
	if v.node.Kind != yaml.ScalarNode {
		d.object(v, s.elem, path)
		return
	}
	one := &value{node: v.node, key: v.key, pos: v.pos, ok: true}
	d.leaf(one, s.elem.field(s.words[0]).shape, path)
	v.ok = one.ok
	v.keys, v.fields = s.words[:1], map[string]*value{s.words[0]: one}
}

func (d *decoder) sequence(v *value, s *shape, path string) {
	if v.node.Kind != yaml.SequenceNode {
		d.fault(v, fmt.Sprintf("%s: expected a list, got %s", path, kindOf(v.node)))
		// A list forgotten around its one entry breaks everything after it:
		// in names-only reading too that is an error.
		if d.namesOnly && s.elem == pluginShape {
			d.add(v.pos, fmt.Sprintf("%s: expected a list, got %s", path, kindOf(v.node)), "each entry starts with \"- name:\"")
		}
		return
	}
	for i, item := range v.node.Content {
		v.items = append(v.items, d.decode(item, s.elem, fmt.Sprintf("%s[%d]", path, i)))
	}
}

func (d *decoder) mapping(v *value, s *shape, path string) {
	if v.node.Kind != yaml.MappingNode {
		d.fault(v, fmt.Sprintf("%s: expected an object, got %s", path, kindOf(v.node)))
		return
	}
	v.fields = map[string]*value{}
	for _, e := range d.entries(v.node, path) {
		item := d.decode(e.value, s.elem, path+"."+e.key)
		item.key = d.pos(e.keyNode)
		v.keys = append(v.keys, e.key)
		v.fields[e.key] = item
	}
}

func (d *decoder) object(v *value, s *shape, path string) {
	if v.node.Kind != yaml.MappingNode {
		message := fmt.Sprintf("%s: expected an object, got %s", orFile(path), kindOf(v.node))
		v.ok = false
		if !d.namesOnly || s == pluginShape || s == fileShape {
			d.add(v.pos, message, "")
		}
		return
	}
	v.fields, v.nulls = map[string]*value{}, map[string]Position{}
	for _, e := range d.entries(v.node, path) {
		at := d.pos(e.keyNode)
		f := s.field(e.key)
		switch {
		case strings.HasPrefix(e.key, "x-"):
			continue
		case f == nil:
			d.unknownKey(at, s, path, e.key)
			continue
		}
		name := join(path, e.key)
		if isNull(e.value) {
			v.nulls[e.key] = at
			switch {
			case f.notNull:
				d.add(d.pos(e.value), name+" is null", "write a list: each entry starts with \"- name:\"; [] is none")
			case f.noNull != "" && !d.namesOnly:
				d.add(at, name+" is null", f.noNull)
			}
			continue
		}
		switch {
		case d.namesOnly:
		case f.refused != "":
			d.add(at, name+": "+f.refused, "")
			continue
		case f.unused != "":
			d.warn(at, fmt.Sprintf("%s has no effect here: %s", name, f.unused), "")
		}
		item := d.decode(e.value, f.shape, name)
		item.key = at
		v.keys = append(v.keys, e.key)
		v.fields[e.key] = item
	}
	for _, f := range s.fields {
		if _, null := v.null(f.key); f.required && v.fields[f.key] == nil && (!null || !f.notNull) {
			d.add(v.pos, fmt.Sprintf("%s has no %s", orFile(path), f.key), "")
		}
	}
}

func (d *decoder) unknownKey(at Position, s *shape, path, key string) {
	message := fmt.Sprintf("unknown key %q", key)
	if path != "" {
		message += " in " + path
	}
	var known []string
	for _, f := range s.fields {
		known = append(known, f.key)
	}
	near := nearest(key, known)
	if syn := synonyms[strings.ToLower(strings.ReplaceAll(key, "-", "_"))]; syn != "" && s.field(syn) != nil {
		near = syn
	}
	hint := "keys of your own start with x-; known here: " + strings.Join(known, ", ")
	if near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	d.add(at, message, hint)
}

// leaf reads a scalar.
func (d *decoder) leaf(v *value, s *shape, path string) {
	if isNull(v.node) {
		d.fault(v, fmt.Sprintf("%s: expected %s, got null", path, s.describe()))
		return
	}
	sc := d.scalar(v.node)
	if !sc.ok {
		v.ok = false
		return
	}
	v.text, v.hidden = sc.text, sc.template
	if !knownTag(v.node) {
		d.fault(v, fmt.Sprintf("%s: the tag %s is not supported", path, v.node.Tag))
		return
	}
	if problem := s.read(v); problem != "" {
		hint := ""
		if near := nearest(v.text, s.words); near != "" && !sc.template {
			hint = "did you mean " + near + "?"
		} else if s == protoShape && strings.EqualFold(v.text, "sse") {
			hint = "the SSE transport of 2024 is not spoken: the plugin server has to offer Streamable HTTP"
		}
		d.faultHint(v, fmt.Sprintf("%s: %s, got %s", path, problem, sc.quoted()), hint)
	}
}

// read fills v from v.text. What it returns is what was expected instead.
func (s *shape) read(v *value) string {
	trimmed := strings.TrimSpace(v.text)
	switch s.form {
	case formPath:
		if strings.ContainsRune(v.text, 0) {
			return "expected a path"
		}
		v.text = expandHome(v.text)
	case formBool:
		var ok bool
		if v.flag, ok = parseBool(trimmed); !ok {
			return "expected " + s.describe()
		}
	case formInt:
		n, err := strconv.ParseInt(trimmed, 10, 64)
		if err != nil || n < s.min || n > s.max {
			return "expected " + s.describe()
		}
		v.number = n
	case formSeconds:
		n, err := strconv.ParseFloat(trimmed, 64)
		if err != nil || math.IsNaN(n) || n <= 0 || n > maxSeconds {
			return "expected " + s.describe()
		}
		v.secs = n
	case formWord:
		for _, word := range s.words {
			if word == v.text || s.fold && strings.EqualFold(word, trimmed) {
				v.text = word
				return ""
			}
		}
		return "expected " + s.describe()
	default: // any text will do
	}
	return ""
}

// maxSeconds is a day: longer waits are a mistaken unit.
const maxSeconds = 86400

// describe says what s expects.
func (s *shape) describe() string {
	switch s.form {
	case formBool:
		return "true or false"
	case formInt:
		if s.min == 0 && s.max == 2 {
			return "0, 1 or 2"
		}
		return fmt.Sprintf("a whole number from %d to %d", s.min, s.max)
	case formSeconds:
		return fmt.Sprintf("a number of seconds over 0 and up to %d", maxSeconds)
	case formWord:
		return "one of " + strings.Join(s.words, ", ")
	case formPath:
		return "a path"
	case formList:
		return "a list"
	case formMap, formObject:
		return "an object"
	case formURL:
		return "a URL"
	default:
		return "a text"
	}
}

// quoted is the scalar for messages: as written, never a template's value.
func (s *scalar) quoted() string {
	const most = 80
	shown := s.shown
	if runes := []rune(shown); len(runes) > most {
		shown = string(runes[:most]) + "…"
	}
	if s.template {
		return shown
	}
	return strconv.Quote(shown)
}

func kindOf(n *yaml.Node) string {
	switch {
	case isNull(n):
		return "null"
	case n.Kind == yaml.MappingNode:
		return "an object"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

func isNull(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

func knownTag(n *yaml.Node) bool {
	switch n.Tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!merge", "!!map", "!!seq", "", "!":
		return true
	}
	return false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func orFile(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}
