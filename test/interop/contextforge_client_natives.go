package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// nativesFile has every native kind under the class path that ContextForge's
// users write, and the one that is ours.
const nativesFile = `plugins:
  - name: Search
    kind: plugins.regex_filter.search_replace.SearchReplacePlugin
    config: {words: [{search: crap, replace: crud}, {search: crud, replace: yikes}]}
  - name: Deny
    kind: plugins.deny_filter.deny.DenyListPlugin
    config: {words: [innovative]}
  - name: PII
    kind: plugins.pii_filter.pii_filter.PIIFilterPlugin
    config: {detect_email: true}
  - name: Resources
    kind: plugins.resource_filter.resource_filter.ResourceFilterPlugin
    config: {allowed_protocols: [file, https]}
  - name: Rate
    kind: plugins.rate_limiter.rate_limiter.RateLimiterPlugin
    config: {by_user: 1000000/h, by_tool: {none: 1/h}}
  - name: Secrets
    kind: plugins.secrets_detection.secrets_detection.SecretsDetectionPlugin
    config: {block_on_detection: true}
  - name: Schema
    kind: plugins.schema_guard.schema_guard.SchemaGuardPlugin
    config: {arg_schemas: {calc: {type: object, required: [a], properties: {a: {type: integer}}}}}
  - name: Length
    kind: plugins.output_length_guard.output_length_guard.OutputLengthGuardPlugin
    config: {max_chars: 5}
  - name: SQL
    kind: plugins.sql_sanitizer.sql_sanitizer.SQLSanitizerPlugin
    config: {fields: [sql]}
  - name: Headers
    kind: plugins.header_filter.header_filter_plugin.HeaderFilter
    config: {filter_headers: [X-Internal]}
  - name: Access
    kind: cedar
    hooks: [tool_pre_invoke]
    config:
      policies: permit (principal == User::"alice@example.com", action, resource == Tool::"calc");
`

func nativeNames() []string {
	return []string{"Search", "Deny", "PII", "Resources", "Rate", "Secrets", "Schema", "Length", "SQL", "Headers", "Access"}
}

// nativeSteps call each kind by itself.
func nativeSteps() []hookStep {
	step := func(plugin, hook, payload, want string) hookStep {
		return hookStep{ID: "native", Hook: hook, Plugin: plugin, Payload: json.RawMessage(payload), want: `{"result":` + want + `}`}
	}
	changed := func(s hookStep) hookStep {
		s.changes = true
		return s
	}
	const text = `{"name":"calc","result":{"content":[{"type":"text","text":%q}],"isError":false}}`
	refused := func(code string) string {
		return `{"continue_processing":false,"violation":{"code":"` + code + `"}}`
	}
	return []hookStep{
		changed(step("Search", "tool_pre_invoke", `{"name":"calc","args":{"say":"oh crap","n":9007199254740993}}`,
			`{"continue_processing":true,"modified_payload":{"args":{"say":"oh yikes","n":9007199254740993}}}`)),
		step("Deny", "prompt_pre_fetch", `{"prompt_id":"p","args":{"say":"how innovative"}}`, refused("deny")),
		changed(step("PII", "tool_post_invoke", fmt.Sprintf(text, "write to john.smith@example.com"),
			`{"continue_processing":true,"modified_payload":{"result":{"content":[{"type":"text","text":"write to j***h@example.com"}]}}}`)),
		step("Resources", "resource_pre_fetch", `{"uri":"ftp://example.com/a"}`, refused("PROTOCOL_BLOCKED")),
		step("Rate", "tool_pre_invoke", `{"name":"calc","args":{}}`, `{"continue_processing":true,"metadata":{"by_user":{}}}`),
		step("Secrets", "tool_post_invoke", fmt.Sprintf(text, "key AKIAIOSFODNN7EXAMPLE"), refused("SECRETS_DETECTED")),
		step("Schema", "tool_pre_invoke", `{"name":"calc","args":{"a":"x"}}`,
			`{"continue_processing":false,"violation":{"code":"SCHEMA_GUARD_ARGS","details":{"errors":["a: Type mismatch: expected integer"]}}}`),
		changed(step("Length", "tool_post_invoke", fmt.Sprintf(text, "much too long"),
			`{"continue_processing":true,"modified_payload":{"result":{"content":[{"type":"text","text":"much…"}]}}}`)),
		step("SQL", "tool_pre_invoke", `{"name":"calc","args":{"sql":"DROP TABLE users"}}`, refused("SQL_SANITIZER")),
		changed(step("Headers", "tool_pre_invoke", `{"name":"calc","args":{},"headers":{"X-Internal":"1","X-Team":"blue"}}`,
			`{"continue_processing":true,"modified_payload":{"headers":{"X-Team":"blue"}}}`)),
		step("Access", "tool_pre_invoke", `{"name":"calc","args":{}}`, `{"continue_processing":true}`),
		step("Access", "tool_pre_invoke", `{"name":"echo","args":{}}`, refused("CEDAR_DENIED")),
	}
}

// nativeKinds calls what bin/sallyport serves, over mutual TLS.
func (f *forge) nativeKinds(ctx context.Context, c *contextForge) row {
	s := session{era: c, name: "natives", plugins: nativeNames(), steps: nativeSteps(),
		mcp: f.tls("certs/gateway/client", "certs/gateway/ca.crt", nil)}
	report, _, err := f.through(ctx, s, "https://localhost:%s/mcp", f.natives)
	if err == nil {
		err = report.check(s.steps)
	}
	return row{"mTLS by YAML", fmt.Sprintf("%d native kinds, %d calls as expected", len(s.plugins), len(s.steps)), err}
}
