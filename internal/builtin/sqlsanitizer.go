package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/pyre"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// sqlSanitizer looks for SQL in arguments that does more than it should, and
// takes comments out of it.
type sqlSanitizer struct {
	fields                      []string // none: all strings
	blocked                     []blockedStatement
	deleteWhere, updateWhere    bool // these need a WHERE
	strip, parameterized, block bool
}

var _ plugin.Plugin = (*sqlSanitizer)(nil)

type blockedStatement struct {
	pattern string
	re      *pyre.Regexp
}

func newSQLSanitizer(c plugin.Config) (plugin.Plugin, error) {
	s := newSettings(c.Raw, "", "fields", "blocked_statements", "block_delete_without_where",
		"block_update_without_where", "strip_comments", "require_parameterization", "block_on_violation")
	s.nullable("fields")
	p := &sqlSanitizer{
		fields:        s.texts("fields", nil),
		deleteWhere:   s.boolean("block_delete_without_where", true),
		updateWhere:   s.boolean("block_update_without_where", true),
		strip:         s.boolean("strip_comments", true),
		parameterized: s.boolean("require_parameterization", false),
		block:         s.boolean("block_on_violation", true),
	}
	for i, pattern := range s.texts("blocked_statements", []string{`\bDROP\b`, `\bTRUNCATE\b`, `\bALTER\b`, `\bGRANT\b`, `\bREVOKE\b`}) {
		p.blocked = append(p.blocked, blockedStatement{pattern, s.pattern(fmt.Sprintf("blocked_statements[%d]", i), pattern)})
	}
	if s.err != nil {
		return nil, s.err
	}
	return onHooks(p, c.Hooks, p.Hooks()...), nil
}

// Hooks implements [plugin.Plugin].
func (p *sqlSanitizer) Hooks() []plugin.Hook {
	return []plugin.Hook{plugin.PromptPreFetch, plugin.ToolPreInvoke}
}

// Invoke implements [plugin.Plugin].
func (p *sqlSanitizer) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, invokeLimit)
	defer cancel()
	var issues []string
	modified, changed, err := plugin.MapStrings(payload, func(at plugin.Path, s string) (string, error) {
		if !isText(hook, at) || !p.scans(at[1:]) {
			return s, nil
		}
		text := &sqlText{sql: s}
		if p.strip {
			text.readings = withoutComments(s)
		} else {
			text.readings = withVersions(s)
		}
		found, err := p.find(ctx, text)
		if err != nil {
			return "", &plugin.Error{Message: fmt.Sprintf("%v, in %s", err, at), Code: "search_limit"}
		}
		for _, issue := range found {
			if len(issues) < maxSQLIssues {
				issues = append(issues, at[1:].String()+": "+issue)
			}
		}
		return text.readings[0], nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for SQL in the payload of %s: %w", hook, err)
	}
	if len(issues) > 0 && p.block {
		what := "tool"
		if hook == plugin.PromptPreFetch {
			what = "prompt"
		}
		return plugin.Refuse(&plugin.Violation{
			Reason:      "Risky SQL detected",
			Description: "Potentially dangerous SQL detected in " + what + " args",
			Code:        "SQL_SANITIZER",
			Details:     encode(map[string]any{"issues": issues}),
		}), nil
	}
	metadata := map[string]any{}
	if len(issues) > 0 {
		metadata["sql_issues"] = issues
	}
	r := plugin.Continue()
	if changed {
		metadata["sql_sanitized"] = true
		r.ModifiedPayload = modified
	}
	if len(metadata) > 0 {
		r.Metadata = encode(metadata)
	}
	return r, nil
}

// maxSQLIssues bounds what a verdict says.
const maxSQLIssues = 100

// scans reports whether a string of the arguments is in one of the fields: its
// own name, or that of what it is in.
func (p *sqlSanitizer) scans(at plugin.Path) bool {
	return len(p.fields) == 0 || slices.ContainsFunc(at, func(step plugin.Step) bool {
		return step.Index < 0 && slices.Contains(p.fields, step.Key)
	})
}

// find says what is wrong with one text, in the reference's words. A statement
// is looked for with comments taken out and, because that hides some and makes
// others, also with a space for each.
func (p *sqlSanitizer) find(ctx context.Context, t *sqlText) ([]string, error) {
	var issues []string
	for i, statement := range p.blocked {
		for _, text := range t.readings {
			matched, err := statement.re.MatchIn(ctx, text)
			if err != nil {
				return nil, fmt.Errorf("blocked_statements[%d]: %w", i, err)
			}
			if matched {
				issues = append(issues, "Blocked statement matched: "+statement.pattern)
				break
			}
		}
	}
	if p.deleteWhere && deleteFrom.lacks(t) {
		issues = append(issues, "DELETE without WHERE clause")
	}
	if p.updateWhere && updateSome.lacks(t) {
		issues = append(issues, "UPDATE without WHERE clause")
	}
	if p.parameterized && interpolates(t.sql) {
		issues = append(issues, "Possible non-parameterized interpolation detected")
	}
	return issues, nil
}

// interpolates is the reference's guess at text put together by a program.
func interpolates(sql string) bool {
	return strings.Contains(sql, "+") || strings.Contains(sql, "%.") ||
		strings.Contains(sql, "{") && strings.Contains(sql, "}")
}
