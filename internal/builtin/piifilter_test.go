package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

func TestPIIFilterMasks(t *testing.T) {
	tests := []struct{ name, config, text, want string }{
		{"ssn", `{}`, "SSN 123-45-6789.", "SSN ***-**-6789."},
		{"bsn", `{}`, "BSN 123456789", "BSN *****6789"},
		{"card", `{}`, "4111-1111-1111-1111", "****-****-****-1111"},
		{"a card that fails Luhn's test stays", `{}`, "4111-1111-1111-1112", "4111-1111-1111-1112"},
		{"email", `{}`, "john@example.com", "j***n@example.com"},
		{"short email", `{}`, "jo@example.com", "***@example.com"},
		{"email beyond ASCII", `{}`, "jürgé@bücher.example", "j***é@bücher.example"},
		{"phone", `{}`, "call 555-123-1234", "call ***-***-1234"},
		{"iban", `{}`, "GB82WEST12345698765432", "G********************2"},
		{"an IBAN that fails its checksum stays", `{}`, "GB83WEST12345698765432", "GB83WEST12345698765432"},
		{"others are redacted", `{}`, "192.168.1.1, MRN: 12345678", "[REDACTED], [REDACTED]"},
		{"redaction text", `{"redaction_text":"<x>"}`, "192.168.1.1", "<x>"},
		{"default partial", `{"default_mask_strategy":"partial"}`, "192.168.1.1", "1*********1"},
		{"default hash", `{"default_mask_strategy":"hash"}`, "192.168.1.1 a.b@example.com", "[HASH:c5eb5a4c] a***b@example.com"},
		{"default remove", `{"default_mask_strategy":"remove"}`, "at 192.168.1.1!", "at !"},
		{"a type that is off", `{"detect_email":false}`, "john@example.com", "john@example.com"},
		{"bare account numbers stay", `{}`, "order 12345678901", "order 12345678901"},
		{"small numbers stay", `{}`, "42 of 1000", "42 of 1000"},
		{"custom", `{"custom_patterns":[{"type":"custom","pattern":"emp-\\d+","description":"d"}]}`, "is EMP-123", "is [REDACTED]"},
		{"custom with look-around and a way of its own", `{"custom_patterns":[{"type":"custom","pattern":"(?<=emp-)\\d+","description":"d","mask_strategy":"partial"}]}`, "emp-1234", "emp-1**4"},
		{"custom of a known type", `{"custom_patterns":[{"type":"ssn","pattern":"S\\d{6}","description":"d","mask_strategy":"partial"}]}`, "x S123456", "x ***-**-3456"},
		{"custom with the default way", `{"default_mask_strategy":"remove","custom_patterns":[{"type":"custom","pattern":"emp","description":"","mask_strategy":null}]}`, "an emp", "an "},
		{"custom that is off", `{"custom_patterns":[{"type":"custom","pattern":"emp","description":"d","enabled":false}]}`, "emp", "emp"},
		{"allowed", `{"whitelist_patterns":["TEST@example\\.com","^555-555"]}`, "test@example.com 555-555-5555 me@example.com", "test@example.com 555-555-5555 ***@example.com"},
		{"a card inside an IBAN is the IBAN", `{}`, "DE89 3704 0044 0532 0130 00", "D*************************0"},
		{"an address in a key is masked once", `{}`, "api_key: abcdefghij01234567890 me.too@example.com", "[REDACTED] m***o@example.com"},
		{"parts of two are one", `{"custom_patterns":[{"type":"custom","pattern":"to john","description":"d"}]}`, "send to john@example.com now", "send [REDACTED] now"},
		{"parts of two show no end", `{"custom_patterns":[{"type":"custom","pattern":"to john","description":"d","mask_strategy":"partial"}]}`, "send to john@example.com now", "send [REDACTED] now"},
		{"stars of Markdown", `{}`, "**joe@example.com** *123-45-6789* ***4111-1111-1111-1111***", "**j***e@example.com** ****-**-6789* *******-****-****-1111***"},
		{"what follows an address", `{}`, "joe@example.com-please joe@example.com.2 joe@example.com...and joe@example.c0m-x.org.7", "j***e@example.com-please j***e@example.com.2 j***e@example.com...and j***e@example.c0m-x.org.7"},
		{"masks are not masked again", `{}`, "j***n@example.com ***-**-6789", "j***n@example.com ***-**-6789"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustPlugin(t, "plugins.pii_filter.pii_filter.PIIFilterPlugin", tt.config)
			r, err := p.Invoke(context.Background(), plugin.ToolPreInvoke, encode(map[string]any{"name": "t", "args": map[string]string{"text": tt.text}}), &plugin.Context{})
			if err != nil || !r.Continue || (r.ModifiedPayload == nil) != (tt.text == tt.want) {
				t.Fatalf("got %+v, %v", r, err)
			}
			want := encode(map[string]any{"args": map[string]string{"text": tt.want}, "name": "t"})
			if r.ModifiedPayload != nil && string(r.ModifiedPayload) != string(want) {
				t.Errorf("got %s\nwant %s", r.ModifiedPayload, want)
			}
		})
	}
}

func TestPIIFilterTokensAreTheSameForTheSameValueOnly(t *testing.T) {
	const config = `{"custom_patterns":[{"type":"custom","pattern":"id\\d","description":"d","mask_strategy":"tokenize"}]}`
	mask := func() string {
		r, err := mustPlugin(t, "pii_filter", config).Invoke(context.Background(), plugin.ToolPostInvoke, json.RawMessage(`{"name":"t","result":"id1 id2 id1"}`), &plugin.Context{})
		if err != nil {
			t.Fatal(err)
		}
		return string(r.ModifiedPayload)
	}
	one, other := mask(), mask()
	m := regexp.MustCompile(`"(\[TOKEN:[0-9a-f]{8}\]) (\[TOKEN:[0-9a-f]{8}\]) (\[TOKEN:[0-9a-f]{8}\])"`).FindStringSubmatch(one)
	if m == nil || m[1] != m[3] || m[1] == m[2] || one == other {
		t.Errorf("got %s, of another plugin %s", one, other)
	}
}

const (
	piiResult = `{"name":"t", "result":{"content":[{"type":"text","text":"a@example.com"},{"type":"resource","resource":{"uri":"mailto:a@example.com","text":"b@example.com"}}],"structuredContent":{"n":9007199254740993,"e":["c@example.com"]}}}`
	piiPrompt = `{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"text","text":"a@example.com"}},{"content":{"type":"text","text":"123-45-6789 b@example.com"},"role":"assistant"}]}}`
)

func TestPIIFilterActsOnEveryHookAndTellsTheContext(t *testing.T) {
	tests := []struct{ name, hook, payload, want, detections string }{
		{"prompt arguments", "prompt_pre_fetch", `{"prompt_id":"a@example.com","args":{"x":"a@example.com 123-45-6789","y":"fine"}}`,
			`{"prompt_id":"a@example.com","args":{"x":"***@example.com ***-**-6789","y":"fine"}}`,
			`{"pre_fetch":{"detected":true,"fields":["x"],"total_count":2,"types":["ssn","email"]}}`},
		{"prompt messages", "prompt_post_fetch", piiPrompt,
			`{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"text","text":"***@example.com"}},{"content":{"type":"text","text":"***-**-6789 ***@example.com"},"role":"assistant"}]}}`,
			`{"post_fetch":{"detected":true,"messages":["message_user","message_assistant"],"total_count":3,"types":["ssn","email"]}}`},
		{"tool arguments, nested", "tool_pre_invoke", `{"name":"t","args":{"x":[{"y":"a@example.com"}],"ssn":"457555462"}}`,
			`{"name":"t","args":{"x":[{"y":"***@example.com"}],"ssn":"***-**-5462"}}`,
			`{"tool_pre_invoke":{"arguments":["args.x[0].y","args.ssn"],"detected":true,"total_count":2,"types":["ssn","email"]}}`},
		{"an MCP result", "tool_post_invoke", piiResult,
			`{"name":"t", "result":{"content":[{"type":"text","text":"***@example.com"},{"type":"resource","resource":{"uri":"mailto:***@example.com","text":"***@example.com"}}],"structuredContent":{"n":9007199254740993,"e":["***@example.com"]}}}`,
			`{"tool_post_invoke":{"detected":true,"fields":["result.content[0].text","result.content[1].resource.uri","result.content[1].resource.text","result.structuredContent.e[0]"],"total_count":4,"types":["email"]}}`},
		{"bare text", "tool_post_invoke", `{"name":"t","result":"a@example.com"}`, `{"name":"t","result":"***@example.com"}`,
			`{"tool_post_invoke":{"detected":true,"fields":["result"],"total_count":1,"types":["email"]}}`},
		{"JSON in text keeps its bytes", "tool_post_invoke", `{"name":"t","result":"{\"e\" : \"x\\na@example.com\", \"n\":1.0, \"api_key\":\"a1b2c3d4e5f6g7h8i9j0\"}"}`,
			`{"name":"t","result":"{\"e\" : \"x\\n***@example.com\", \"n\":1.0, \"api_key\":\"[REDACTED]\"}"}`,
			`{"tool_post_invoke":{"detected":true,"fields":["result(json).e","result(json).api_key"],"total_count":2,"types":["email","api_key"]}}`},
		{"numbers in JSON in text become strings", "tool_post_invoke", `{"name":"t","result":"{\"e\":\"a@example.com\\\"\", \"card\": 4111111111111111,\"n\":9007199254740993,\"ssn\":[457555462]}"}`,
			`{"name":"t","result":"{\"e\":\"***@example.com\\\"\", \"card\": \"****-****-****-1111\",\"n\":9007199254740993,\"ssn\":[\"***-**-5462\"]}"}`,
			`{"tool_post_invoke":{"detected":true,"fields":["result(json).e","result(json)"],"total_count":3,"types":["ssn","credit_card","email"]}}`},
		{"member names in JSON in text", "tool_post_invoke", `{"name":"t","result":"{\"a@example.com\":1}"}`, `{"name":"t","result":"{\"***@example.com\":1}"}`,
			`{"tool_post_invoke":{"detected":true,"fields":["result"],"total_count":1,"types":["email"]}}`},
		{"nothing", "tool_post_invoke", `{"name":"t","result":"fine"}`, ``, ``},
		{"null", "tool_pre_invoke", `{"name":"t","args":null}`, ``, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, details := range []bool{true, false} {
				p := mustPlugin(t, "pii_filter", fmt.Sprintf(`{"include_detection_details":%t}`, details))
				c := &plugin.Context{}
				r, err := p.Invoke(context.Background(), plugin.Hook(tt.hook), json.RawMessage(tt.payload), c)
				if err != nil || !r.Continue || string(r.ModifiedPayload) != tt.want {
					t.Fatalf("got %+v, %v\n%s\nwant %s", r, err, r.ModifiedPayload, tt.want)
				}
				want := tt.detections
				if !details {
					want = ""
				}
				if got := string(c.Metadata["pii_detections"]); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
		})
	}
}

func TestPIIFilterKeepsWhatEarlierHooksFound(t *testing.T) {
	p := mustPlugin(t, "pii_filter", `{}`)
	c := &plugin.Context{}
	for hook, payload := range map[plugin.Hook]string{plugin.ToolPreInvoke: `{"name":"t","args":{"a":"a@example.com"}}`, plugin.ToolPostInvoke: `{"name":"t","result":"192.168.1.1"}`} {
		if _, err := p.Invoke(context.Background(), hook, json.RawMessage(payload), c); err != nil {
			t.Fatal(err)
		}
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(c.Metadata["pii_detections"], &got); err != nil || len(got) != 2 {
		t.Errorf("got %s, %v", c.Metadata["pii_detections"], err)
	}
	if _, err := p.Invoke(context.Background(), plugin.ToolPostInvoke, json.RawMessage(`{"name":"t","result":"x"}`), c); err != nil {
		t.Fatal(err)
	}
	if stats := string(c.Metadata["pii_filter_stats"]); stats != `{"total_detections":2,"total_masked":2}` {
		t.Errorf("stats are %s", stats)
	}
}

func TestPIIFilterBlocks(t *testing.T) {
	tests := []struct{ hook, payload, want string }{
		{"prompt_pre_fetch", `{"prompt_id":"p","args":{"a":"fine","b":"a@example.com 123-45-6789","c":"c@example.com"}}`,
			`PII_DETECTED|PII detected in prompt|Sensitive information detected in argument 'b'|{"count":2,"field":"b","types":["ssn","email"]}`},
		{"prompt_post_fetch", piiPrompt, `PII_DETECTED|PII detected in prompt|Sensitive information detected in prompt message|{"count":1,"field":"message_user","types":["email"]}`},
		{"tool_pre_invoke", `{"name":"t","args":{"a":["a@example.com"],"b":"a@example.com"}}`,
			`PII_DETECTED_IN_TOOL_ARGS|PII detected in tool arguments|Detected PII in tool arguments|{"detected_types":["email"],"total_count":2}`},
		{"tool_post_invoke", piiResult, `PII_DETECTED_IN_TOOL_RESULT|PII detected in tool result|Detected PII in nested tool result data|{"detected_types":["email"],"total_count":4}`},
		{"tool_post_invoke", `{"name":"t","result":"a@example.com 192.168.1.1"}`,
			`PII_DETECTED_IN_TOOL_RESULT|PII detected in tool result|Detected email, ip_address in tool output|{"count":2,"detected_types":["email","ip_address"]}`},
		{"tool_post_invoke", `{"name":"t","result":"fine"}`, ``},
	}
	p := mustPlugin(t, "pii_filter", `{"block_on_detection":true}`)
	for _, tt := range tests {
		r, err := p.Invoke(context.Background(), plugin.Hook(tt.hook), json.RawMessage(tt.payload), &plugin.Context{})
		if err != nil || r.ModifiedPayload != nil || r.Continue != (tt.want == "") {
			t.Fatalf("%s: got %+v, %v", tt.hook, r, err)
		}
		if v := r.Violation; v != nil {
			if got := strings.Join([]string{v.Code, v.Reason, v.Description, string(v.Details)}, "|"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		}
	}
}

func TestPIIFilterConfigFaults(t *testing.T) {
	tests := []struct{ config, want string }{
		{`{"detect_ssn":"maybe"}`, "detect_ssn: not true or false"},
		{`{"default_mask_strategy":"blur"}`, `default_mask_strategy: "blur" is none of redact, partial, hash, tokenize, remove`},
		{`{"custom_patterns":[{"pattern":"a","description":"d"}]}`, "custom_patterns[0].type: required, but missing"},
		{`{"custom_patterns":[{"type":"name","pattern":"a","description":"d"}]}`, `custom_patterns[0].type: "name" is none of ` + strings.Join(piiNames[:], ", ")},
		{`{"custom_patterns":[{"type":"custom","pattern":"a"}]}`, "custom_patterns[0].description: required, but missing"},
		{`{"custom_patterns":[{"type":"custom","pattern":"(","description":"d"}]}`, "custom_patterns[0].pattern: missing ), unterminated subpattern at position 0"},
		{`{"custom_patterns":[{"type":"custom","pattern":"a","description":"d","mask_strategy":"x"}]}`, `custom_patterns[0].mask_strategy: "x" is none of redact, partial, hash, tokenize, remove`},
		{`{"custom_patterns":[{"type":"custom","pattern":"a","description":"d","flags":1}]}`, `custom_patterns[0].flags: unknown key "flags" (known: type, pattern, description, mask_strategy, enabled)`},
		{`{"whitelist_patterns":["a","["]}`, "whitelist_patterns[1]: unterminated character set at position 0"},
	}
	for _, tt := range tests {
		_, err := newPlugin(t, "pii_filter", tt.config)
		if _, ok := errors.AsType[*plugin.ConfigError](err); !ok || err.Error() != tt.want {
			t.Errorf("%s: got %v\nwant %s", tt.config, err, tt.want)
		}
	}
	if _, err := newPlugin(t, "pii_filter", `{"detect_xyz":true}`); err == nil || !strings.HasPrefix(err.Error(), `detect_xyz: unknown key "detect_xyz" (known: detect_ssn,`) {
		t.Errorf("got %v", err)
	}
}

func FuzzPIIScan(f *testing.F) {
	for _, s := range []string{"+1 (555) 123-4567 12", "a@b.co::1 1.2.3.4.5", "DE89 3704 0044 0532 0130 00", "DOB: 1-1-1990 api_key=" + strings.Repeat("a1", 20)} {
		f.Add(s, "ssn")
	}
	var d piiScan
	for kind := range d.on {
		d.on[kind] = true
	}
	m := masker{otherwise: maskPartial, redaction: "[REDACTED]"}
	f.Fuzz(func(t *testing.T, text, key string) {
		end := 0
		for _, s := range settle(d.find(text, key)) {
			if s.start < end || s.end <= s.start || s.end > len(text) {
				t.Fatalf("span %+v after %d of %d", s, end, len(text))
			}
			end = s.end
			m.mask(text[s.start:s.end], s)
		}
	})
}
