package builtin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/pyre"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// settings reads an object of a plugin's configuration, key by key. The first
// fault stays in err, so that a caller reads all keys and asks once. Unlike
// encoding/json it takes no null for a value: a guardrail whose switch says
// nothing must not fall back in silence.
type settings struct {
	path    string
	members map[string]json.RawMessage
	err     error
}

// newSettings starts to read raw, which may have the known keys only.
func newSettings(raw json.RawMessage, path string, known ...string) *settings {
	m, err := members(raw, path, known...)
	return &settings{path: path, members: m, err: err}
}

// foreign is a key that newer versions of the reference have and these plugins
// have not. It may stand in a file as long as leaving it out leaves nothing
// unguarded.
type foreign struct {
	key      string
	why      string   // an error, unless the value is one of those harmless; empty: a warning
	harmless []string // as JSON
}

// withForeign takes the foreign keys out of c's configuration, and starts to
// read the rest.
func withForeign(c plugin.Config, keys []foreign, known ...string) *settings {
	var all map[string]json.RawMessage
	if json.Unmarshal(c.Raw, &all) != nil || all == nil {
		return newSettings(c.Raw, "", known...)
	}
	var fault error
	for _, f := range keys {
		value, ok := all[f.key]
		switch {
		case !ok:
		case f.why == "":
			c.Logger.Warn("this key of ContextForge's has no effect here", "key", f.key)
		case !slices.Contains(f.harmless, string(value)) && fault == nil:
			fault = &plugin.ConfigError{Path: f.key, Message: f.why}
		}
		delete(all, f.key)
	}
	s := newSettings(encode(all), "", known...)
	if s.err == nil {
		s.err = fault
	}
	return s
}

// at gives the path of a key.
func (s *settings) at(key string) string { return join(s.path, key) }

// fail keeps a fault, if it is the first.
func (s *settings) fail(path, format string, args ...any) {
	if s.err == nil {
		s.err = &plugin.ConfigError{Path: path, Message: fmt.Sprintf(format, args...)}
	}
}

// read decodes the value of key into v and reports whether it did.
func (s *settings) read(key, want string, v any) bool {
	raw, ok := s.members[key]
	if !ok || s.err != nil {
		return false
	}
	if err := json.Unmarshal(raw, v); err != nil || string(raw) == "null" {
		s.fail(s.at(key), "not %s", want)
		return false
	}
	return true
}

// nullable takes null for absent in keys whose default the reference writes so.
func (s *settings) nullable(keys ...string) {
	for _, key := range keys {
		if string(s.members[key]) == "null" {
			delete(s.members, key)
		}
	}
}

// unquote takes the quotes off a number or a boolean: "{{ env.LIMIT }}" in a
// plugin file leaves them there.
func (s *settings) unquote(key string) {
	if raw := s.members[key]; len(raw) > 2 && raw[0] == '"' && json.Valid(raw[1:len(raw)-1]) {
		s.members[key] = raw[1 : len(raw)-1]
	}
}

// boolean takes what the reference takes: YAML 1.1 has yes, no, on and off for
// booleans, and so have the plugin files of its users.
func (s *settings) boolean(key string, otherwise bool) bool {
	if raw, ok := s.members[key]; ok {
		switch strings.ToLower(strings.Trim(string(raw), `"`)) {
		case "true", "yes", "on", "1", "y", "t":
			return true
		case "false", "no", "off", "0", "n", "f":
			return false
		}
		s.fail(s.at(key), "not true or false")
	}
	return otherwise
}

func (s *settings) text(key, otherwise string) string {
	var v string
	if !s.read(key, "a string", &v) {
		return otherwise
	}
	return v
}

// required is text that must be there and say something.
func (s *settings) required(key string) string {
	v := s.text(key, "")
	switch _, ok := s.members[key]; {
	case !ok:
		s.fail(s.at(key), "required, but missing")
	case v == "":
		s.fail(s.at(key), "empty")
	}
	return v
}

// choice is text that must be one of those allowed.
func (s *settings) choice(key, otherwise string, allowed ...string) string {
	v := s.text(key, otherwise)
	if v != otherwise && !slices.Contains(allowed, v) {
		s.fail(s.at(key), "%q is none of %s", v, strings.Join(allowed, ", "))
	}
	return v
}

// integer is a whole number, not under least.
func (s *settings) integer(key string, otherwise, least int) int {
	s.unquote(key)
	v := otherwise
	if !s.read(key, "a whole number", &v) {
		return otherwise
	}
	if v < least {
		s.fail(s.at(key), "%d is under %d", v, least)
	}
	return v
}

// items are the elements of a list; none when it is absent.
func (s *settings) items(key string) []json.RawMessage {
	var v []json.RawMessage
	s.read(key, "a list", &v)
	return v
}

// texts is a list of strings that say something.
func (s *settings) texts(key string, otherwise []string) []string {
	if _, ok := s.members[key]; !ok {
		return otherwise
	}
	var out []string
	for i, raw := range s.items(key) {
		path := fmt.Sprintf("%s[%d]", s.at(key), i)
		v, err := text(raw, path)
		switch {
		case err != nil:
			s.fail(path, "not a string")
		case v == "":
			s.fail(path, "empty")
		}
		out = append(out, v)
	}
	return out
}

// pattern compiles one in Python's syntax that matches in any case.
func (s *settings) pattern(path, pattern string) *pyre.Regexp {
	re, err := pyre.CompileIgnoreCase(pattern)
	if err != nil {
		s.fail(path, "%s", err)
	}
	return re
}

// onHooks narrows p to the hooks of its entry, or to those that its kind has
// when the entry lists none.
func onHooks(p plugin.Plugin, entry []plugin.Hook, otherwise ...plugin.Hook) plugin.Plugin {
	if len(entry) == 0 {
		entry = otherwise
	}
	return narrowed{p, entry}
}

type narrowed struct {
	plugin.Plugin
	hooks []plugin.Hook
}

// Hooks implements [plugin.Plugin].
func (n narrowed) Hooks() []plugin.Hook { return n.hooks }

// namesOf are the names by which a table may know a tool: the client's, and
// the upstream's own where a gateway says that it differs. A table that knew
// the client's name only would be switched off by a second upstream, which
// prefixes all names.
func namesOf(name string, c *plugin.Context) []string {
	var own string
	if ok, err := c.GlobalContext.Metadata.Get("original_name", &own); !ok || err != nil || own == name {
		return []string{name}
	}
	return []string{name, own}
}

// encode gives the JSON of what a plugin itself has made, of maps, slices and
// plain values, which always has one.
func encode(v any) json.RawMessage {
	raw, err := plugin.SetMember(nil, "v", v)
	if err != nil {
		panic(fmt.Sprintf("builtin: %v", err))
	}
	return raw[len(`{"v":`) : len(raw)-1]
}
