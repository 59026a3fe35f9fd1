package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// authHeaders are those of the client that a plugin may not replace unless it is
// configured to.
var authHeaders = []string{"authorization", "cookie", "x-api-key", "proxy-authorization"}

// mergeHeaders lays a flat object of headers, a plugin's answer, over a payload's
// member, as ContextForge does: a plugin may answer with what it sets alone, so
// what it leaves out stays. Header names are the same in any letters. authHeaders
// and what the plugin was not shown stay as they are; the names of those that it
// would have replaced are returned.
func (p *Pipeline) mergeHeaders(e *Entry, payload json.RawMessage, in string, answer json.RawMessage) (merged []byte, dropped []string, err error) {
	seed := maphash.MakeSeed()
	o, err := parse(payload, seed)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the original payload: %w", err)
	}
	n, err := parse(answer, seed)
	if err != nil {
		return nil, nil, fmt.Errorf("modified_payload: %w", err)
	}
	if n.kind != kindObject {
		return nil, nil, fmt.Errorf("modified_payload is %s, not an object of headers", n.kind)
	}
	now := make(map[string]*node, len(n.members))
	for _, m := range n.members {
		if m.val.kind != kindString {
			return nil, nil, fmt.Errorf("modified_payload: header %s is %s, not a string", m.key, m.val.kind)
		}
		now[strings.ToLower(m.name)] = m.val
	}
	was := o.get(in)
	var members []member
	if was != nil {
		members = was.members
	}
	var w objectWriter
	seen, changed := map[string]bool{}, false
	for _, m := range members {
		name := strings.ToLower(m.name)
		val := now[name]
		seen[name] = true
		auth := in == "headers" && containsFold(authHeaders, name)
		stays := auth || (in == "headers" && p.isSecret(name) && !containsFold(e.ExposeHeaders, name))
		switch {
		case val == nil || equal(m.val, val):
			w.add(m.key, m.val.raw)
		case stays && (!auth || !p.o.OverrideAuthHeaders):
			dropped = append(dropped, m.name)
			w.add(m.key, m.val.raw)
		default:
			changed = true
			w.add(m.key, dropNewlines(val.raw))
		}
	}
	for _, m := range n.members {
		if name := strings.ToLower(m.name); !seen[name] {
			seen[name], changed = true, true
			w.add(m.key, now[name].raw) // of two, the last, as above
		}
	}
	if !changed {
		return payload, dropped, nil
	}
	return replaceMember(o, in, w.end()), dropped, nil
}

// userOf is what a plugin says of the user: an object.
func userOf(answer json.RawMessage) (json.RawMessage, error) {
	n, err := parse(answer, maphash.MakeSeed())
	switch {
	case err != nil:
		return nil, fmt.Errorf("modified_payload: %w", err)
	case n.kind != kindObject:
		return nil, fmt.Errorf("modified_payload is %s, not a user", n.kind)
	}
	return dropNewlines(n.raw), nil
}

// grantOf reads a verdict about a permission. One that is not granted is a
// refusal like any other, so that the plugin's mode decides about it.
func grantOf(r *plugin.Result) (json.RawMessage, *plugin.Result, error) {
	n, err := parse(r.ModifiedPayload, maphash.MakeSeed())
	if err != nil {
		return nil, nil, fmt.Errorf("modified_payload: %w", err)
	}
	granted := n.get("granted")
	if granted == nil || granted.kind != kindBool {
		return nil, nil, errors.New("modified_payload does not say whether the permission is granted")
	}
	if string(granted.raw) == "true" || !r.Continue {
		return r.ModifiedPayload, r, nil
	}
	v := plugin.Violation{Reason: "Permission denied", Description: "The permission is not granted", Code: "permission_denied"}
	var said struct{ Reason *string }
	if json.Unmarshal(r.ModifiedPayload, &said) == nil && said.Reason != nil && *said.Reason != "" {
		v.Description = *said.Reason
	}
	refused := *r
	refused.Continue, refused.Violation = false, &v
	return r.ModifiedPayload, &refused, nil
}
