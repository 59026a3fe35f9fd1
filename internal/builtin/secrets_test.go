package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

const (
	fakeAWS  = "AKIAIOSFODNN7EXAMPLE"
	fakeHash = "d41d8cd98f00b204e9800998ecf8427e"
)

func TestSecretsDetectionBlocks(t *testing.T) {
	tests := []struct{ name, config, hook, payload, description, details string }{
		{"a prompt", `{}`, "prompt_pre_fetch", `{"prompt_id":"p","args":{"a":"use ` + fakeAWS + `"}}`,
			"Potential secrets detected in prompt arguments", `{"count":1,"examples":[{"type":"aws_access_key_id","match":"AKIAIOSF…"}]}`},
		{"an MCP result", `{}`, "tool_post_invoke", `{"name":"t","result":{"content":[{"type":"text","text":"` + fakeAWS + `"}]}}`,
			"Potential secrets detected in tool result", `{"count":1,"examples":[{"type":"aws_access_key_id","match":"AKIAIOSF…"}]}`},
		{"structured and embedded", `{}`, "tool_post_invoke", `{"name":"t","result":{"content":[{"type":"resource","resource":{"text":"` + fakeAWS + `"}}],"structuredContent":{"a":[{"b":"` + fakeAWS + `"}]}}}`,
			"Potential secrets detected in tool result", `{"count":2,"examples":[{"type":"aws_access_key_id","match":"AKIAIOSF…"},{"type":"aws_access_key_id","match":"AKIAIOSF…"}]}`},
		{"a bare result", `{}`, "tool_post_invoke", `{"name":"t","result":"` + fakeAWS + `"}`,
			"Potential secrets detected in tool result", `{"count":1,"examples":[{"type":"aws_access_key_id","match":"AKIAIOSF…"}]}`},
		{"a resource that is an object", `{}`, "resource_post_fetch", `{"uri":"u","content":{"text":"` + fakeAWS + `"}}`,
			"Potential secrets detected in resource content", `{"count":1,"examples":[{"type":"aws_access_key_id","match":"AKIAIOSF…"}]}`},
		{"tool arguments, where asked", `{}`, "tool_pre_invoke", `{"name":"t","args":{"apiKey":"` + fakeHash + `"}}`,
			"Potential secrets detected in tool arguments", `{"count":1,"examples":[{"type":"hex_secret_32","match":"d41d8cd9…"}]}`},
		{"prompt messages, where asked", `{}`, "prompt_post_fetch", `{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"text","text":"` + fakeAWS + `"}}]}}`,
			"Potential secrets detected in prompt messages", `{"count":1,"examples":[{"type":"aws_access_key_id","match":"AKIAIOSF…"}]}`},
		{"JSON in text, behind an escape", `{}`, "tool_post_invoke", `{"name":"t","result":"{\"a\":\"x\\n` + fakeAWS + `\"}"}`,
			"Potential secrets detected in tool result", `{"count":1,"examples":[{"type":"aws_access_key_id","match":"AKIAIOSF…"}]}`},
		{"a name in JSON in text", `{}`, "tool_post_invoke", `{"name":"t","result":"{\"api_key\":\"` + fakeHash + `\"}"}`,
			"Potential secrets detected in tool result", `{"count":1,"examples":[{"type":"hex_secret_32","match":"d41d8cd9…"}]}`},
		{"at most five examples", `{"min_findings_to_block":6}`, "prompt_pre_fetch", `{"prompt_id":"p","args":{"a":"` + strings.Repeat(fakeAWS+" ", 6) + `"}}`,
			"Potential secrets detected in prompt arguments", `{"count":6,"examples":[` + strings.Repeat(`{"type":"aws_access_key_id","match":"AKIAIOSF…"},`, 4) + `{"type":"aws_access_key_id","match":"AKIAIOSF…"}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustPlugin(t, "plugins.secrets_detection.secrets_detection.SecretsDetectionPlugin", tt.config, plugin.Hook(tt.hook))
			r, err := p.Invoke(context.Background(), plugin.Hook(tt.hook), json.RawMessage(tt.payload), &plugin.Context{})
			if err != nil || r.Continue || r.ModifiedPayload != nil {
				t.Fatalf("got %+v, %v", r, err)
			}
			v := r.Violation
			var got, want any
			_ = json.Unmarshal(v.Details, &got)
			_ = json.Unmarshal([]byte(tt.details), &want)
			if v.Code != "SECRETS_DETECTED" || v.Reason != "Secrets detected" || v.Description != tt.description || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %+v\n%s\nwant %s", v, v.Details, tt.details)
			}
		})
	}
}

func TestSecretsDetectionRedacts(t *testing.T) {
	const redact = `{"redact":true,"block_on_detection":false}`
	tests := []struct{ name, config, hook, payload, want, meta string }{
		{"nothing", redact, "tool_post_invoke", `{"name":"t","result":"commit ` + fakeHash + `"}`, ``, ``},
		{"a prompt", redact, "prompt_pre_fetch", `{"prompt_id":"p", "args":{"a":"use ` + fakeAWS + `!","n":9007199254740993}}`,
			`{"prompt_id":"p", "args":{"a":"use ***REDACTED***!","n":9007199254740993}}`, `{"count":1,"secrets_redacted":true}`},
		{"a whole private key", redact, "resource_post_fetch", `{"uri":"u","content":{"text":"a\n-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\nb"}}`,
			`{"uri":"u","content":{"text":"a\n***REDACTED***\nb"}}`, `{"count":1,"secrets_redacted":true}`},
		{"inside JSON in text, which stays JSON", redact, "tool_post_invoke", `{"name":"t","result":{"content":[{"type":"text","text":"{\"api_key\" : \"` + fakeHash + `\", \"n\":1.0}"}]}}`,
			`{"name":"t","result":{"content":[{"type":"text","text":"{\"api_key\" : \"***REDACTED***\", \"n\":1.0}"}]}}`, `{"count":1,"secrets_redacted":true}`},
		{"its own text", `{"redact":true,"block_on_detection":false,"redaction_text":"<gone>"}`, "tool_post_invoke", `{"name":"t","result":"` + fakeAWS + `"}`, `{"name":"t","result":"<gone>"}`, `{"count":1,"secrets_redacted":true}`},
		{"under the number to block", `{"redact":true,"min_findings_to_block":2}`, "tool_post_invoke", `{"name":"t","result":"` + fakeAWS + `"}`, `{"name":"t","result":"***REDACTED***"}`, `{"count":1,"secrets_redacted":true}`},
		{"only reported", `{"block_on_detection":false}`, "tool_post_invoke", `{"name":"t","result":"` + fakeAWS + `"}`, ``, `{"count":1,"secrets_findings":[{"type":"aws_access_key_id","match":"AKIAIOSF…"}]}`},
		{"a kind that is off", `{"enabled":{"aws_access_key_id":false}}`, "tool_post_invoke", `{"name":"t","result":"` + fakeAWS + `"}`, ``, ``},
		{"what a result says of a link", redact, "tool_post_invoke", `{"name":"t","result":{"content":[{"type":"resource_link","uri":"https://x/?id=` + fakeAWS + `","name":"` + fakeAWS + `","icons":[{"src":"` + fakeAWS + `"}]}],"_meta":{"k":"` + fakeAWS + `"},"requestState":"` + fakeAWS + `"}}`,
			`{"name":"t","result":{"content":[{"type":"resource_link","uri":"https://x/?id=***REDACTED***","name":"***REDACTED***","icons":[{"src":"` + fakeAWS + `"}]}],"_meta":{"k":"***REDACTED***"},"requestState":"` + fakeAWS + `"}}`, `{"count":3,"secrets_redacted":true}`},
		{"names and bytes", redact, "tool_post_invoke", `{"name":"` + fakeAWS + `","result":{"content":[{"type":"image","data":"` + fakeAWS + `"}]}}`, ``, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustPlugin(t, "secrets_detection", tt.config)
			r, err := p.Invoke(context.Background(), plugin.Hook(tt.hook), json.RawMessage(tt.payload), &plugin.Context{})
			if err != nil || !r.Continue || string(r.ModifiedPayload) != tt.want || string(r.Metadata) != tt.meta {
				t.Errorf("got %+v, %v\n%s\nwant %s\n%s", r, err, r.ModifiedPayload, tt.want, r.Metadata)
			}
		})
	}
}

// What one detector finds inside what another has found is one finding, and is
// replaced once.
func TestSecretsThatOverlapAreOne(t *testing.T) {
	var d secretScan
	for kind := range d.on {
		d.on[kind] = true
	}
	text := "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY; token=" + fakeAWS + "abc0def1"
	var got []string
	for _, s := range d.find(text, "") {
		got = append(got, secretNames[s.kind]+" "+text[s.start:s.end])
	}
	want := []string{
		"aws_secret_access_key aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		"base64_24 " + fakeAWS + "abc0def1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestSecretsDetectionConfigFaults(t *testing.T) {
	tests := []struct{ config, want string }{
		{`{"enabled":{"aws":true}}`, `enabled.aws: unknown key "aws" (known: ` + strings.Join(secretNames[:], ", ") + `, generic_api_key_assignment)`},
		{`{"enabled":{"jwt_like":"never"}}`, "enabled.jwt_like: not true or false"},
		{`{"enabled":{"jwt_like":null}}`, "enabled.jwt_like: not true or false"},
		{`{"enabled":[]}`, "enabled: not an object with the keys " + strings.Join(secretNames[:], ", ") + ", generic_api_key_assignment"},
		{`{"enabled":{"generic_api_key_assignment":true}}`, "enabled.generic_api_key_assignment: there is no such detector: hex_secret_32 and base64_24 look for what is called a key"},
		{`{"redact":2}`, "redact: not true or false"},
		{`{"redaction_text":1}`, "redaction_text: not a string"},
		{`{"min_findings_to_block":0}`, "min_findings_to_block: 0 is under 1"},
		{`{"min_findings_to_block":1.5}`, "min_findings_to_block: not a whole number"},
		{`{"block":true}`, `block: unknown key "block" (known: enabled, redact, redaction_text, block_on_detection, min_findings_to_block)`},
	}
	for _, tt := range tests {
		_, err := newPlugin(t, "secrets_detection", tt.config)
		if _, ok := errors.AsType[*plugin.ConfigError](err); !ok || err.Error() != tt.want {
			t.Errorf("%s: got %v\nwant %s", tt.config, err, tt.want)
		}
	}
}
