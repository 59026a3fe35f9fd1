package wire

import "encoding/json"

// maxID is how long an id may be that [idFinder] finds.
const maxID = 256

// idFinder finds the id of a message that is not kept, as it passes by: whoever
// waits for that answer can be told, and nobody else need be. It takes parts of
// any length and reads the text no more strictly than that needs.
type idFinder struct {
	depth    int
	inString bool
	escaped  bool
	value    bool   // after the colon of an outermost member
	isID     bool   // whose name is id
	text     []byte // that name, or the id so far
	id       []byte
	found    int
}

// result is the id; nil when there is none or more than one.
func (f *idFinder) result() json.RawMessage {
	if f.found != 1 {
		return nil
	}
	return f.id
}

func (f *idFinder) read(part []byte) {
	for _, c := range part {
		if f.inString {
			f.readString(c)
			continue
		}
		switch c {
		case '"':
			f.inString = true
			f.text = append(f.text[:0], c)
		case '{', '[':
			f.depth++
		case '}', ']':
			f.endMember()
			f.depth--
		case ',':
			f.endMember()
		case ':':
			if f.depth == 1 {
				f.value, f.text = true, f.text[:0]
			}
		case ' ', '\t', '\r', '\n':
		default: // a number, or a word
			if f.depth == 1 && f.isID {
				f.keep(c)
			}
		}
	}
}

func (f *idFinder) readString(c byte) {
	f.keep(c)
	switch {
	case f.escaped:
		f.escaped = false
	case c == '\\':
		f.escaped = true
	case c == '"':
		f.inString = false
		if f.depth == 1 && !f.value {
			f.isID = string(f.text) == `"id"`
		}
	}
}

func (f *idFinder) keep(c byte) {
	if f.depth == 1 && len(f.text) <= maxID {
		f.text = append(f.text, c)
	}
}

// endMember ends an outermost member.
func (f *idFinder) endMember() {
	if f.depth != 1 {
		return
	}
	if k := Kind(f.text); f.value && f.isID && len(f.text) <= maxID && (k == '"' || k == '0') {
		f.id, f.found = append(f.id[:0], f.text...), f.found+1
	}
	f.value, f.isID, f.text = false, false, f.text[:0]
}
