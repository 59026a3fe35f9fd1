package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// cedarPolicy asks Cedar policies whether a principal may call a tool, get a
// prompt, read a resource or invoke an agent. What nothing permits is refused.
type cedarPolicy struct {
	policies *cedar.PolicySet
	entities cedar.EntityMap
	forbids  map[cedar.PolicyID]bool
}

var _ plugin.Plugin = (*cedarPolicy)(nil)

func newCedar(c plugin.Config) (plugin.Plugin, error) {
	s := newSettings(c.Raw, "", "policies", "entities", "schema")
	s.nullable("entities", "schema")
	text := s.fileOr("policies", s.required("policies"))
	entities := s.document("entities")
	definitions := s.document("schema")
	if s.err != nil {
		return nil, s.err
	}
	p := &cedarPolicy{entities: cedar.EntityMap{}, forbids: map[cedar.PolicyID]bool{}}
	if err := p.parse(text); err != nil {
		return nil, &plugin.ConfigError{Path: "policies", Message: err.Error()}
	}
	if len(entities) > 0 {
		if err := json.Unmarshal(entities, &p.entities); err != nil {
			return nil, &plugin.ConfigError{Path: "entities", Message: "not Cedar's JSON of entities: " + err.Error()}
		}
	}
	if len(definitions) > 0 {
		if err := p.validate(definitions); err != nil {
			return nil, err
		}
	}
	return onHooks(p, c.Hooks, p.Hooks()...), nil
}

// fileOr returns the contents of the file that "@path" names, or text itself,
// which may start with an annotation such as @id("x") and then has a semicolon.
func (s *settings) fileOr(key, text string) string {
	path, ok := strings.CutPrefix(text, "@")
	if !ok || s.err != nil || strings.Contains(text, ";") {
		return text
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // a FIFO would be waited for
		err = fmt.Errorf("%s is not a file", path)
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		s.fail(s.at(key), "%v", err)
	}
	return string(b)
}

// document reads a value that is there as such, as text, or in a file.
func (s *settings) document(key string) json.RawMessage {
	raw := s.members[key]
	if len(raw) == 0 || raw[0] != '"' {
		return raw
	}
	return json.RawMessage(s.fileOr(key, s.text(key, "")))
}

// parse reads the policies. Each is known by its @id, else by its number.
func (p *cedarPolicy) parse(text string) error {
	list, err := cedar.NewPolicyListFromBytes("", []byte(text))
	if err != nil {
		return fmt.Errorf("not Cedar policies: %w", err)
	}
	if len(list) == 0 {
		return errors.New("no policy: all would be refused")
	}
	p.policies = cedar.NewPolicySet()
	for i, policy := range list {
		id := cedar.PolicyID(fmt.Sprintf("policy%d", i))
		if name, ok := policy.Annotations()["id"]; ok {
			id = cedar.PolicyID(name)
		}
		if !p.policies.Add(id, policy) {
			return fmt.Errorf("two policies have the id %q", id)
		}
		p.forbids[id] = policy.Effect() == cedar.Forbid
	}
	return nil
}

// validate holds policies and entities to a schema, in Cedar's own form or its
// JSON.
func (p *cedarPolicy) validate(definitions json.RawMessage) error {
	fault := func(path string, err error) error { return &plugin.ConfigError{Path: path, Message: err.Error()} }
	var parsed schema.Schema
	read := parsed.UnmarshalCedar
	if definitions[0] == '{' {
		read = parsed.UnmarshalJSON
	}
	if err := read(definitions); err != nil {
		return fault("schema", fmt.Errorf("not a Cedar schema: %w", err))
	}
	resolved, err := parsed.Resolve()
	if err != nil {
		return fault("schema", err)
	}
	v := validate.New(resolved)
	if err := v.Entities(p.entities); err != nil {
		return fault("entities", err)
	}
	for _, id := range p.ids() {
		if err := v.Policy(string(id), (*ast.Policy)(p.policies.Get(id).AST())); err != nil {
			return fault("policies", fmt.Errorf("policy %s: %w", id, err))
		}
	}
	return nil
}

func (p *cedarPolicy) ids() []cedar.PolicyID {
	ids := make([]cedar.PolicyID, 0, len(p.forbids))
	for id := range p.forbids {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Hooks implements [plugin.Plugin].
func (p *cedarPolicy) Hooks() []plugin.Hook {
	return []plugin.Hook{plugin.ToolPreInvoke, plugin.PromptPreFetch, plugin.ResourcePreFetch, plugin.AgentPreInvoke}
}

// Invoke implements [plugin.Plugin].
func (p *cedarPolicy) Invoke(_ context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	q, err := newCedarQuestion(hook, payload, c)
	if err != nil {
		return nil, fmt.Errorf("read the payload of %s: %w", hook, err)
	}
	allowed := false
	var permits, forbids, failed []string
	for _, name := range q.names {
		request, resource := q.request(name)
		decision, diagnostic := cedar.Authorize(p.policies, cedarEntities{p.entities, resource, q.principal()}, request)
		for _, reason := range diagnostic.Reasons {
			if decision == cedar.Allow {
				permits = append(permits, string(reason.PolicyID))
			} else {
				forbids = append(forbids, string(reason.PolicyID))
			}
		}
		// Cedar leaves out a policy that cannot be evaluated. A permit is then
		// none; a forbid must not be got around by an argument of another type.
		for _, e := range diagnostic.Errors {
			if p.forbids[e.PolicyID] {
				failed = append(failed, string(e.PolicyID))
			}
		}
		allowed = allowed || decision == cedar.Allow
	}
	switch {
	case len(forbids) > 0:
		return cedarRefusal("A policy forbids this", map[string]any{"policies": sortedSet(forbids)}), nil
	case len(failed) > 0:
		return cedarRefusal("A policy that could forbid this cannot be evaluated", map[string]any{"failed_policies": sortedSet(failed)}), nil
	case !allowed:
		return cedarRefusal("No policy permits this", map[string]any{"policies": []string{}}), nil
	}
	return &plugin.Result{Continue: true, Metadata: encode(map[string]any{"cedar_policies": sortedSet(permits)})}, nil
}

func cedarRefusal(description string, details map[string]any) *plugin.Result {
	return plugin.Refuse(&plugin.Violation{
		Reason: "Not permitted by policy", Description: description, Code: "CEDAR_DENIED", Details: encode(details),
	})
}

func sortedSet(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}

// cedarEntities are the entities of the configuration and those of one request.
// The configuration's come first: a request must not change what they say.
type cedarEntities struct {
	configured          cedar.EntityMap
	resource, principal cedar.Entity
}

// Get implements [cedar.EntityGetter].
func (e cedarEntities) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	if entity, ok := e.configured[uid]; ok {
		return entity, true
	}
	for _, entity := range []cedar.Entity{e.resource, e.principal} {
		if entity.UID == uid {
			return entity, true
		}
	}
	return cedar.Entity{}, false
}
