package main

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

//go:embed testdata/parity
var parityFiles embed.FS

// paritySet are the inputs to one native plugin, and its file in testdata/parity.
type paritySet struct {
	Plugin string         // the file's name, and the heading in docs/compatibility.md
	Kind   string         // ContextForge's, as a user writes it
	Newest string         // what it is called in the newest line, if otherwise
	Hooks  []string       // of entries that list none
	Only   string         // the line that has the plugin: seed or newest, both if empty
	Groups []*parityGroup // each is one entry of a plugin file
}

// parityGroup is an entry of a plugin file, and what it is asked. All calls of
// one go to one instance, in order.
type parityGroup struct {
	Name    string `yaml:"-"` // of the entry
	Config  yaml.Node
	Kind    string // instead of the set's
	Hooks   []string
	Mode    string
	Only    string        // the line that knows this configuration, if not both
	Refused string        // who refuses to start with it: ours, reference or both
	Differs string        // the row that says why only one of them does
	Newest  string        // the row that says why the newest line does not do as the seed
	Calls   []*parityCall // none when ours refuses it
}

// parityCall is one call of a hook.
type parityCall struct {
	line      int // in the file
	hook      string
	payload   json.RawMessage
	context   json.RawMessage
	continues bool // in the context that the call before has left, as hooks of one request
	object    bool // the reference gets a resource's content as its gateway gives it in process

	// Differences that are meant, each by a row in docs/compatibility.md.
	differs string                     // from the seed
	ours    map[string]json.RawMessage // what ours says where it differs from the seed
	newest  string                     // of what is decided, from the newest line but not from the seed
}

// paritySets reads all cases.
func paritySets() ([]*paritySet, error) {
	const folder = "testdata/parity"
	entries, err := parityFiles.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var sets []*paritySet
	for _, e := range entries {
		text, err := parityFiles.ReadFile(path.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		set := &paritySet{Plugin: strings.TrimSuffix(e.Name(), ".yaml")}
		if err := yaml.Unmarshal(text, set); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		for i, g := range set.Groups {
			g.Name = fmt.Sprintf("%s-%02d", set.Plugin, i+1)
			g.Only = cmp.Or(g.Only, set.Only)
			if err := g.check(); err != nil {
				return nil, fmt.Errorf("%s: line %d: %w", e.Name(), g.Config.Line, err)
			}
		}
		sets = append(sets, set)
	}
	return sets, nil
}

func (g *parityGroup) check() error {
	switch {
	case !slices.Contains([]string{"", "ours", "reference", "both"}, g.Refused):
		return fmt.Errorf("refused by %q", g.Refused)
	case (g.Refused == "ours" || g.Refused == "reference") != (g.Differs != ""):
		return fmt.Errorf("one that only one side refuses needs a reason, and no other")
	case (g.Refused == "ours" || g.Refused == "both") != (len(g.Calls) == 0):
		return fmt.Errorf("calls, but to something that does not start; or none")
	}
	return nil
}

// hooks and kind are those of the group's entry, or else of its set.
func (s *paritySet) hooks(g *parityGroup) []string {
	if len(g.Hooks) > 0 {
		return g.Hooks
	}
	return s.Hooks
}

func (s *paritySet) kind(g *parityGroup, line string) string {
	switch {
	case g.Kind != "":
		return g.Kind
	case line == newest && s.Newest != "":
		return s.Newest
	default:
		return s.Kind
	}
}

// UnmarshalYAML reads {hook: payload} with what else is said of the call.
func (c *parityCall) UnmarshalYAML(node *yaml.Node) error {
	members, err := yamlMembers(node)
	if err != nil {
		return err
	}
	c.line = node.Line
	context := map[string]json.RawMessage{}
	for name, value := range members {
		raw, err := yamlJSON(value)
		if err != nil {
			return err
		}
		switch name {
		case "context":
			err = json.Unmarshal(raw, &context)
		case "continues":
			err = json.Unmarshal(raw, &c.continues)
		case "object":
			err = json.Unmarshal(raw, &c.object)
		case "differs":
			err = json.Unmarshal(raw, &c.differs)
		case "newest":
			err = json.Unmarshal(raw, &c.newest)
		case "ours":
			err = json.Unmarshal(raw, &c.ours)
		default:
			if c.hook != "" {
				return fmt.Errorf("line %d: two hooks in one call: %s and %s", node.Line, c.hook, name)
			}
			c.hook, c.payload = name, raw
		}
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", node.Line, name, err)
		}
	}
	if c.hook == "" {
		return fmt.Errorf("line %d: a call of no hook", node.Line)
	}
	if c.context, err = parityContext(context); err != nil {
		return fmt.Errorf("line %d: context: %w", node.Line, err)
	}
	c.payload, err = withRequired(c.hook, c.payload)
	return err
}

// parityContext spells out a context of which only the uncommon is written down.
func parityContext(of map[string]json.RawMessage) (json.RawMessage, error) {
	global := map[string]json.RawMessage{"request_id": json.RawMessage(`"r"`), "state": json.RawMessage("{}"), "metadata": json.RawMessage("{}")}
	all := map[string]any{"state": struct{}{}, "metadata": struct{}{}, "global_context": global}
	for name, value := range of {
		switch name {
		case "state", "metadata":
			all[name] = value
		case "global_state", "global_metadata":
			global[strings.TrimPrefix(name, "global_")] = value
		case "user", "tenant_id", "server_id", "request_id":
			global[name] = value
		default:
			return nil, fmt.Errorf("no member %q", name)
		}
	}
	return json.Marshal(all)
}

// withRequired adds what a hook's payload must have and the cases leave out.
func withRequired(hook string, payload json.RawMessage) (json.RawMessage, error) {
	name, value := "", ""
	switch hook {
	case "prompt_pre_fetch", "prompt_post_fetch":
		name, value = "prompt_id", "p"
	case "tool_pre_invoke", "tool_post_invoke":
		name, value = "name", "t"
	case "resource_pre_fetch", "resource_post_fetch":
		name, value = "uri", "file:///r"
	case "agent_pre_invoke":
		name, value = "agent_id", "a"
	default:
		return nil, fmt.Errorf("no hook %q", hook)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil || members == nil {
		return nil, fmt.Errorf("the payload of %s is no object", hook)
	}
	if _, ok := members[name]; ok {
		return payload, nil
	}
	head := fmt.Sprintf(`{%q:%q`, name, value)
	if len(members) > 0 {
		head += ","
	}
	return json.RawMessage(head + string(payload[1:])), nil
}

// yamlMembers are the members of a mapping.
func yamlMembers(node *yaml.Node) (map[string]*yaml.Node, error) {
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: not a mapping", node.Line)
	}
	members := map[string]*yaml.Node{}
	for i := 0; i < len(node.Content); i += 2 {
		members[node.Content[i].Value] = node.Content[i+1]
	}
	return members, nil
}

// yamlJSON writes a node as JSON, members in their order: plugins report what
// they find in that of the payload. !repeat [text, n] is text n times, !json what
// YAML would not take for a number.
func yamlJSON(node *yaml.Node) (json.RawMessage, error) {
	switch {
	case node.Kind == yaml.AliasNode:
		return yamlJSON(node.Alias)
	case node.Tag == "!repeat":
		var text string
		var n int
		if len(node.Content) != 2 {
			return nil, fmt.Errorf("line %d: !repeat takes a text and a number", node.Line)
		}
		if err := errors.Join(node.Content[0].Decode(&text), node.Content[1].Decode(&n)); err != nil {
			return nil, err
		}
		return json.Marshal(strings.Repeat(text, n))
	case node.Tag == "!json":
		return json.RawMessage(node.Value), nil
	case node.Kind == yaml.SequenceNode || node.Kind == yaml.MappingNode:
		return yamlContainer(node)
	case node.ShortTag() == "!!str":
		return json.Marshal(node.Value)
	case json.Valid([]byte(node.Value)):
		return json.RawMessage(node.Value), nil
	default:
		var value any
		if err := node.Decode(&value); err != nil {
			return nil, err
		}
		return json.Marshal(value)
	}
}

func yamlContainer(node *yaml.Node) (json.RawMessage, error) {
	out := []byte{'['}
	if node.Kind == yaml.MappingNode {
		out[0] = '{'
	}
	for i, item := range node.Content {
		isKey := node.Kind == yaml.MappingNode && i%2 == 0
		value, err := json.RawMessage(nil), error(nil)
		if isKey {
			value, err = json.Marshal(item.Value)
		} else {
			value, err = yamlJSON(item)
		}
		if err != nil {
			return nil, err
		}
		if len(out) > 1 && (isKey || node.Kind == yaml.SequenceNode) {
			out = append(out, ',')
		}
		out = append(out, value...)
		if isKey {
			out = append(out, ':')
		}
	}
	return append(out, out[0]+2), nil // the brackets of ASCII are two apart
}

// sortedNames are the names of a map, in order.
func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
