package pipeline

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// alwaysSecret are the headers that plugins are not given unless their entry
// lists them (plugin protocol §5).
var alwaysSecret = []string{"authorization", "cookie", "proxy-authorization", "x-api-key", "mcp-session-id"}

// withheld is what a plugin was not shown: the original payload's headers and
// which of them are missing from what it was sent.
type withheld struct {
	headers []member // of the payload as it was, all of them
	secret  map[string]bool
}

// withhold returns the payload less the headers that e is not to see. It is the
// payload itself when there is nothing to withhold.
func (p *Pipeline) withhold(e *Entry, s *subject) (json.RawMessage, *withheld, error) {
	payload := s.payload
	switch s.hook {
	case plugin.HTTPPreRequest, plugin.HTTPPostRequest, plugin.HTTPAuthResolveUser:
	default:
		if rules, ok := rulesOf(s.hook); !ok || !slices.Contains(rules.writable, "headers") {
			return payload, nil, nil
		}
	}
	n, err := s.withHeaders()
	if err != nil {
		return nil, nil, err
	}
	headers := n.get("headers")
	if headers == nil || headers.kind != kindObject {
		return payload, nil, nil
	}
	w := &withheld{headers: headers.members, secret: map[string]bool{}}
	for _, m := range headers.members {
		if p.isSecret(m.name) && !containsFold(e.ExposeHeaders, m.name) {
			w.secret[m.name] = true
		}
	}
	if len(w.secret) == 0 {
		return payload, nil, nil
	}
	var kept objectWriter
	for _, m := range headers.members {
		if !w.secret[m.name] {
			kept.add(m.key, m.val.raw)
		}
	}
	return replaceMember(n, "headers", kept.end()), w, nil
}

// putBack gives a merged payload the headers that were withheld, each in its old
// place. A plugin that sets such a header does not overwrite the original.
func (w *withheld) putBack(payload []byte) ([]byte, error) {
	if w == nil {
		return payload, nil
	}
	n, err := parse(payload, maphash.MakeSeed())
	if err != nil {
		return nil, err
	}
	now := n.get("headers")
	var out objectWriter
	was := map[string]bool{}
	for _, m := range w.headers {
		was[m.name] = true
		if w.secret[m.name] {
			out.add(m.key, m.val.raw)
		} else if val := now.get(m.name); val != nil {
			out.add(m.key, val.raw)
		}
	}
	if now != nil {
		for _, m := range now.members {
			if !was[m.name] && !w.overwrites(m.name) {
				out.add(m.key, m.val.raw)
			}
		}
	}
	return replaceMember(n, "headers", out.end()), nil
}

// overwrites reports whether a new header has the name of a withheld one in
// other letters.
func (w *withheld) overwrites(name string) bool {
	for secret := range w.secret {
		if strings.EqualFold(secret, name) {
			return true
		}
	}
	return false
}

// replaceMember returns an object's bytes with one member's value replaced, or
// appended when there is none.
func replaceMember(n *node, name string, val []byte) []byte {
	if old := n.get(name); old != nil {
		// Both are parts of one text, so their capacities tell how far apart
		// they start.
		start := cap(n.raw) - cap(old.raw)
		return slices.Concat(n.raw[:start], val, n.raw[start+len(old.raw):])
	}
	key, _ := json.Marshal(name)
	end := bytes.LastIndexByte(n.raw, '}')
	comma := ","
	if len(n.members) == 0 {
		comma = ""
	}
	return slices.Concat(n.raw[:end], []byte(comma), key, []byte(":"), val, n.raw[end:])
}

func (p *Pipeline) isSecret(name string) bool {
	return containsFold(alwaysSecret, name) || containsFold(p.o.SecretHeaders, name)
}

func containsFold(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}
