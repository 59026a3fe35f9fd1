package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// secretsDetection refuses or redacts keys, tokens and other credentials.
type secretsDetection struct {
	scan      secretScan
	redact    bool
	redaction string
	block     bool
	least     int // findings to block
	hooks     []plugin.Hook
}

var _ plugin.Plugin = (*secretsDetection)(nil)

func newSecretsDetection(c plugin.Config) (plugin.Plugin, error) {
	// Without a list of fields more is searched, not less.
	s := withForeign(c, []foreign{{key: "field_allowlist"}, {key: "field_denylist"}},
		"enabled", "redact", "redaction_text", "block_on_detection", "min_findings_to_block")
	p := &secretsDetection{
		redact:    s.boolean("redact", false),
		redaction: s.text("redaction_text", "***REDACTED***"),
		block:     s.boolean("block_on_detection", true),
		least:     s.integer("min_findings_to_block", 1, 1),
		hooks:     c.Hooks,
	}
	if len(p.hooks) == 0 {
		p.hooks = []plugin.Hook{plugin.PromptPreFetch, plugin.ToolPostInvoke, plugin.ResourcePostFetch}
	}
	const generic = "generic_api_key_assignment" // of newer versions of the reference
	enabled := &settings{path: "enabled"}
	if raw, ok := s.members["enabled"]; ok && s.err == nil {
		enabled = newSettings(raw, "enabled", append(secretNames[:], generic)...)
	}
	if enabled.boolean(generic, false) {
		enabled.fail(enabled.at(generic), "there is no such detector: hex_secret_32 and base64_24 look for what is called a key")
	}
	for kind, name := range secretNames {
		p.scan.on[kind] = enabled.boolean(name, true)
	}
	if s.err == nil {
		s.err = enabled.err
	}
	if s.err != nil {
		return nil, s.err
	}
	if !p.block && !p.redact {
		c.Logger.Warn("neither block_on_detection nor redact: this plugin only reports")
	}
	return p, nil
}

// Hooks implements [plugin.Plugin].
func (p *secretsDetection) Hooks() []plugin.Hook { return p.hooks }

// secretFinding is a finding as it is reported: never the secret itself.
type secretFinding struct {
	Type  string `json:"type"`
	Match string `json:"match"`
}

// Invoke implements [plugin.Plugin].
func (p *secretsDetection) Invoke(_ context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
	var findings []secretFinding
	modified, changed, err := plugin.MapStrings(payload, func(at plugin.Path, s string) (string, error) {
		if !isSearched(hook, at) {
			return s, nil
		}
		now, _, err := eachText(nil, keyOf(at, ""), s, 0, func(_ func() string, key, s string) (string, bool, error) {
			spans := p.scan.find(s, key)
			for _, found := range spans {
				findings = append(findings, secretFinding{secretNames[found.kind], preview(s[found.start:found.end])})
			}
			if p.redact {
				s = replaceSpans(s, spans, func(span) string { return p.redaction })
			}
			return s, len(spans) > 0, nil
		})
		return now, err
	})
	if err != nil {
		return nil, fmt.Errorf("search the payload of %s: %w", hook, err)
	}
	switch count := len(findings); {
	case p.block && count >= p.least:
		return plugin.Refuse(&plugin.Violation{
			Reason:      "Secrets detected",
			Description: "Potential secrets detected in " + secretPlace(hook),
			Code:        "SECRETS_DETECTED",
			Details:     encode(map[string]any{"count": count, "examples": findings[:min(count, 5)]}),
		}), nil
	case changed:
		meta := encode(map[string]any{"count": count, "secrets_redacted": true})
		return &plugin.Result{Continue: true, ModifiedPayload: modified, Metadata: meta}, nil
	case count > 0:
		meta := encode(map[string]any{"count": count, "secrets_findings": findings})
		return &plugin.Result{Continue: true, Metadata: meta}, nil
	}
	return plugin.Continue(), nil
}

func secretPlace(hook plugin.Hook) string {
	switch hook {
	case plugin.PromptPreFetch:
		return "prompt arguments"
	case plugin.PromptPostFetch:
		return "prompt messages"
	case plugin.ToolPreInvoke:
		return "tool arguments"
	case plugin.ResourcePostFetch:
		return "resource content"
	default:
		return "tool result"
	}
}

// preview is the start of a secret: enough to see which it is.
func preview(s string) string {
	n := 0
	for i := range s {
		if n == 8 {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// replaceSpans puts with(span) in place of each span.
func replaceSpans(s string, spans []span, with func(span) string) string {
	if len(spans) == 0 {
		return s
	}
	var b strings.Builder
	copied := 0
	for _, found := range spans {
		b.WriteString(s[copied:found.start])
		b.WriteString(with(found))
		copied = found.end
	}
	b.WriteString(s[copied:])
	return b.String()
}
