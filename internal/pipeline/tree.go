package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// kind is the type of a JSON value.
type kind byte

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// node is one JSON value: where its bytes are, and what is in it.
type node struct {
	kind    kind
	raw     []byte // the value's bytes, a part of the text it was parsed from
	members []member
	elems   []*node
	text    []uint16 // of a string: its UTF-16 code units, escapes resolved
	hash    uint64   // equal values have equal hashes
}

// member is one name and value of an object.
type member struct {
	name string // unescaped; a lone surrogate as three bytes of WTF-8
	key  []byte // the name's bytes, quotes included
	val  *node
}

// get returns the member of that name, or nil.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for i := range n.members {
		if n.members[i].name == name {
			return n.members[i].val
		}
	}
	return nil
}

// maxDepth bounds nesting; the edge refuses deeper texts long before.
const maxDepth = 1000

// parser turns one valid JSON text into nodes.
type parser struct {
	text []byte
	pos  int
	seed maphash.Seed
}

// parse reads text. Invalid JSON, invalid UTF-8 and duplicate names are errors.
func parse(text []byte, seed maphash.Seed) (*node, error) {
	if err := validate(text); err != nil {
		return nil, err
	}
	p := &parser{text: text, seed: seed}
	return p.value(0)
}

// parseOnly reads text, an object, and of its members only the one of that name:
// a call's arguments may be long, and nobody looks at them here. Anything but an
// object has no members. Invalid JSON, invalid UTF-8 and that name twice are
// errors.
func parseOnly(text []byte, name string) (*node, error) {
	if err := validate(text); err != nil {
		return nil, err
	}
	p := &parser{text: text, seed: maphash.MakeSeed()}
	p.space()
	n, start := &node{kind: kindObject}, p.pos
	if p.text[p.pos] != '{' {
		return n, nil
	}
	for p.pos++; ; {
		p.space()
		switch p.text[p.pos] {
		case '}':
			p.pos++
			n.raw = p.text[start:p.pos]
			return n, nil
		case ',':
			p.pos++
			continue
		}
		key := p.string()
		p.space()
		p.pos++ // the colon
		if wtf8(unescape(key)) != name {
			p.skip()
			continue
		}
		if n.get(name) != nil {
			return nil, fmt.Errorf("duplicate name %s", key)
		}
		val, err := p.value(1)
		if err != nil {
			return nil, err
		}
		n.members = append(n.members, member{name, key, val})
	}
}

// validate refuses what is not one JSON text in UTF-8.
func validate(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("invalid UTF-8")
	}
	// Lone surrogate escapes are valid JSON text and pass; the raw bytes were
	// checked above.
	options := []jsontext.Options{jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)}
	if jsontext.Value(text).IsValid(options...) {
		return nil
	}
	dec := jsontext.NewDecoder(bytes.NewReader(text), options...) // which says what is wrong
	if err := dec.SkipValue(); err != nil {
		return err
	}
	return errors.New("bytes after the value")
}

func (p *parser) space() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ' ', '\t', '\r', '\n':
			p.pos++
		default:
			return
		}
	}
}

func (p *parser) value(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	p.space()
	n, start := &node{}, p.pos
	var err error
	switch p.text[p.pos] {
	case '{':
		err = p.object(n, depth)
	case '[':
		err = p.array(n, depth)
	case '"':
		n.kind = kindString
		n.text = unescape(p.string())
		n.hash = maphash.Comparable(p.seed, string(utf16bytes(n.text)))
	case 't', 'f', 'n':
		p.scalar()
		n.kind = kindBool
		if p.text[start] == 'n' {
			n.kind = kindNull
		}
		n.hash = maphash.Comparable(p.seed, p.text[start])
	default:
		p.scalar()
		n.kind = kindNumber
		n.hash = numberHash(p.seed, p.text[start:p.pos])
	}
	n.raw = p.text[start:p.pos]
	return n, err
}

func (p *parser) object(n *node, depth int) error {
	n.kind = kindObject
	seen := map[string]bool{}
	p.pos++
	for {
		p.space()
		switch p.text[p.pos] {
		case '}':
			p.pos++
			return nil
		case ',':
			p.pos++
			continue
		}
		key := p.string()
		name := wtf8(unescape(key))
		if seen[name] {
			return fmt.Errorf("duplicate name %s", key)
		}
		seen[name] = true
		p.space()
		p.pos++ // the colon
		val, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.members = append(n.members, member{name, key, val})
		// The sum does not depend on the order of members.
		n.hash += maphash.Comparable(p.seed, [2]any{name, val.hash})
	}
}

func (p *parser) array(n *node, depth int) error {
	n.kind = kindArray
	p.pos++
	for {
		p.space()
		switch p.text[p.pos] {
		case ']':
			p.pos++
			return nil
		case ',':
			p.pos++
			continue
		}
		val, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.elems = append(n.elems, val)
		n.hash = maphash.Comparable(p.seed, [2]uint64{n.hash, val.hash})
	}
}

// string passes over a string and returns its bytes, quotes included.
func (p *parser) string() []byte {
	start := p.pos
	for p.pos++; p.text[p.pos] != '"'; p.pos++ {
		if p.text[p.pos] == '\\' {
			p.pos++
		}
	}
	p.pos++
	return p.text[start:p.pos]
}

// skip passes over a value.
func (p *parser) skip() {
	p.space()
	for depth := 0; ; {
		switch p.text[p.pos] {
		case '"':
			p.string()
		case '{', '[':
			depth++
			p.pos++
		case '}', ']':
			depth--
			p.pos++
		case ',', ':', ' ', '\t', '\r', '\n':
			p.pos++
			continue // nothing has ended
		default:
			p.scalar()
		}
		if depth == 0 {
			return
		}
	}
}

// scalar passes over a number, true, false or null.
func (p *parser) scalar() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return
		}
		p.pos++
	}
}

// unescape returns the UTF-16 code units of a quoted JSON string.
func unescape(quoted []byte) []uint16 {
	body := quoted[1 : len(quoted)-1]
	units := make([]uint16, 0, len(body))
	for i := 0; i < len(body); {
		if body[i] != '\\' {
			r, size := utf8.DecodeRune(body[i:])
			i += size
			if r >= 0x10000 {
				units = append(units, uint16(0xd800+(r-0x10000)>>10), uint16(0xdc00+(r-0x10000)&0x3ff))
			} else {
				units = append(units, uint16(r))
			}
			continue
		}
		switch c := body[i+1]; c {
		case 'u':
			u, _ := strconv.ParseUint(string(body[i+2:i+6]), 16, 16)
			units = append(units, uint16(u))
			i += 6
			continue
		case 'b':
			units = append(units, '\b')
		case 'f':
			units = append(units, '\f')
		case 'n':
			units = append(units, '\n')
		case 'r':
			units = append(units, '\r')
		case 't':
			units = append(units, '\t')
		default:
			units = append(units, uint16(c))
		}
		i += 2
	}
	return units
}

func utf16bytes(units []uint16) []byte {
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = append(b, byte(u>>8), byte(u))
	}
	return b
}

// wtf8 encodes units as UTF-8 in which a lone surrogate keeps a spelling of its
// own, so that names that differ stay different.
func wtf8(units []uint16) string {
	b := make([]byte, 0, len(units))
	for i := 0; i < len(units); i++ {
		u := rune(units[i])
		switch {
		case u >= 0xd800 && u < 0xdc00 && i+1 < len(units) && units[i+1] >= 0xdc00 && units[i+1] < 0xe000:
			b = utf8.AppendRune(b, 0x10000+(u-0xd800)<<10+rune(units[i+1])-0xdc00)
			i++
		case u >= 0xd800 && u < 0xe000:
			b = append(b, 0xe0|byte(u>>12), 0x80|byte(u>>6)&0x3f, 0x80|byte(u)&0x3f)
		default:
			b = utf8.AppendRune(b, u)
		}
	}
	return string(b)
}
