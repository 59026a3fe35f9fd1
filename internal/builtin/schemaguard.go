package builtin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// schemaGuard holds tools' arguments and results to JSON Schemas (2020-12
// unless a schema names another draft).
type schemaGuard struct {
	args, results map[string]*toolSchema // by tool
	block         bool
}

var _ plugin.Plugin = (*schemaGuard)(nil)

// toolSchema is the compiled schema of one tool.
type toolSchema struct {
	schema *jsonschema.Schema
	rank   map[string]int // names by their first place in the schema, for the order of errors
	whole  bool           // about the MCP result as such, not about what it carries
}

func newSchemaGuard(c plugin.Config) (plugin.Plugin, error) {
	s := newSettings(c.Raw, "", "arg_schemas", "result_schemas", "block_on_violation")
	s.nullable("arg_schemas", "result_schemas")
	g := &schemaGuard{
		args:    toolSchemas(s, "arg_schemas"),
		results: toolSchemas(s, "result_schemas"),
		block:   s.boolean("block_on_violation", true),
	}
	if s.err != nil {
		return nil, s.err
	}
	if len(g.args)+len(g.results) == 0 {
		c.Logger.Warn("no schemas: this plugin lets everything pass")
	}
	return onHooks(g, c.Hooks, g.Hooks()...), nil
}

// toolSchemas compiles the schemas under key. An empty one is none, as in the
// reference.
func toolSchemas(s *settings, key string) map[string]*toolSchema {
	var byTool map[string]json.RawMessage
	s.read(key, "an object of schemas by tool", &byTool)
	out := map[string]*toolSchema{}
	for _, tool := range slices.Sorted(maps.Keys(byTool)) {
		schema, err := compileSchema(byTool[tool])
		switch {
		case err != nil:
			s.fail(join(key, tool), "%v", err)
		case schema != nil:
			out[tool] = schema
		}
	}
	return out
}

// noReferences is the loader of schemas that refer to other documents: a schema
// must mean the same tomorrow, and reading it must reach no host and no file.
type noReferences struct{}

// Load implements [jsonschema.URLLoader]: it loads nothing.
func (noReferences) Load(url string) (any, error) {
	return nil, fmt.Errorf("references to other documents are not followed (%s): put the schema under $defs", url)
}

// schemaURL is what a schema without $id is called, so that its references
// resolve to something that no loader would find.
const schemaURL = "urn:sallyport:schema"

func compileSchema(raw json.RawMessage) (*toolSchema, error) {
	value, err := decodeExact(raw)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	switch {
	case !ok:
		return nil, errors.New("not a JSON Schema: not an object")
	case len(object) == 0:
		return nil, nil
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noReferences{})
	if err := c.AddResource(schemaURL, value); err != nil {
		return nil, schemaFault(err)
	}
	schema, err := c.Compile(schemaURL)
	if err != nil {
		return nil, schemaFault(err)
	}
	return &toolSchema{schema: schema, rank: ranks(raw), whole: isAboutEnvelope(object)}, nil
}

// schemaFault says what is wrong with a schema, and where in it.
func schemaFault(err error) error {
	if e, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if invalid, ok := errors.AsType[*jsonschema.ValidationError](e.Err); ok {
			return fmt.Errorf("not a JSON Schema: %s", schemaErrors(invalid, nil)[0])
		}
	}
	if e, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		return e.Err
	}
	return fmt.Errorf("not a JSON Schema: %w", err)
}

// isAboutEnvelope reports whether a schema of results names the members that
// MCP gives every result. Such a schema describes those; any other describes
// what the tool has to say.
func isAboutEnvelope(schema map[string]any) bool {
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range []string{"content", "structuredContent", "isError"} {
		if _, ok := properties[name]; ok || slices.Contains(required, any(name)) {
			return true
		}
	}
	return false
}

// Hooks implements [plugin.Plugin].
func (g *schemaGuard) Hooks() []plugin.Hook {
	return []plugin.Hook{plugin.ToolPreInvoke, plugin.ToolPostInvoke}
}

// Invoke implements [plugin.Plugin].
func (g *schemaGuard) Invoke(_ context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	var p map[string]json.RawMessage // not a struct: that would also take "ARGS" for args
	var name string
	err := json.Unmarshal(payload, &p)
	if err == nil {
		err = json.Unmarshal(p["name"], &name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the payload of %s: %w", hook, err)
	}
	schemas, raw, code, what := g.args, p["args"], "SCHEMA_GUARD_ARGS", "Arguments do not conform to schema"
	if hook == plugin.ToolPostInvoke {
		schemas, raw, code, what = g.results, p["result"], "SCHEMA_GUARD_RESULT", "Result does not conform to schema"
	}
	checked, faults := false, []string{}
	for _, name := range namesOf(name, c) {
		if s := schemas[name]; s != nil {
			found, err := s.check(hook, raw)
			if err != nil {
				return nil, fmt.Errorf("read the payload of %s: %w", hook, err)
			}
			checked, faults = true, append(faults, found...)
		}
	}
	switch {
	case !checked:
		return plugin.Continue(), nil
	case len(faults) > 0 && g.block:
		return plugin.Refuse(&plugin.Violation{
			Reason: "Schema validation failed", Description: what, Code: code,
			Details: encode(map[string]any{"errors": faults}),
		}), nil
	default:
		return &plugin.Result{Continue: true, Metadata: encode(map[string]any{"schema_errors": faults})}, nil
	}
}

// check validates arguments or a result and says what is wrong.
func (s *toolSchema) check(hook plugin.Hook, raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || hook == plugin.ToolPreInvoke && bytes.Equal(raw, []byte("null")) {
		raw = json.RawMessage("{}")
	}
	value, err := decodeExact(raw)
	if err != nil {
		return nil, err
	}
	if hook == plugin.ToolPostInvoke && !s.whole {
		value = carried(value)
	}
	if at, ok := unusableNumber(value); ok {
		return []string{at + "Number out of range"}, nil
	}
	err = s.schema.Validate(value)
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return schemaErrors(invalid, s.rank), nil
	}
	return nil, err
}

// carried is what an MCP result has to say: its structured content, or else its
// content, where text that is JSON stands for its value. One block is that
// value, several are a list. Any other result is taken as it is.
func carried(value any) any {
	result, ok := value.(map[string]any)
	if !ok {
		return value
	}
	if structured := result["structuredContent"]; structured != nil {
		return structured
	}
	blocks, ok := result["content"].([]any)
	if !ok {
		return value
	}
	values := make([]any, len(blocks))
	for i, block := range blocks {
		values[i] = block
		b, _ := block.(map[string]any)
		if text, ok := b["text"].(string); ok && b["type"] == "text" {
			values[i] = text
			if v, err := decodeExact(json.RawMessage(text)); err == nil {
				values[i] = v
			}
		}
	}
	if len(values) == 1 {
		return values[0]
	}
	return values
}

// decodeExact decodes one JSON value and keeps its numbers as they are written.
func decodeExact(raw json.RawMessage) (any, error) {
	return jsonschema.UnmarshalJSON(bytes.NewReader(raw))
}
