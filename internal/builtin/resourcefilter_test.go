package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

func TestResourceFilterJudgesURIs(t *testing.T) {
	const config = `{"blocked_domains":["Evil.example","ports.example:8080","[2001:db8::1]"]}`
	tests := []struct {
		uri, code, details string // code empty: passes
	}{
		{"https://good.example/x", "", ""},
		{"file:///etc/motd", "", ""},
		{"HTTPS://good.example", "", ""},
		{"http://evil.example.org/", "", ""},
		{"http://notevil.example/", "", ""},
		{"http://good.example/http://evil.example", "", ""},
		{"http://good.example?@evil.example", "", ""},
		{"file:///tmp/a report.txt", "", ""},
		{"http://evil.example", "DOMAIN_BLOCKED", `{"domain":"evil.example","uri":"http://evil.example"}`},
		{"http://A.eviL.Example/x", "DOMAIN_BLOCKED", `{"domain":"A.eviL.Example","uri":"http://A.eviL.Example/x"}`},
		{"http://evil.example:81/", "DOMAIN_BLOCKED", `{"domain":"evil.example:81","uri":"http://evil.example:81/"}`},
		{"http://user:pw@evil.example/", "DOMAIN_BLOCKED", `{"domain":"user:pw@evil.example","uri":"http://user:pw@evil.example/"}`},
		{"http://evil.example./", "DOMAIN_BLOCKED", `{"domain":"evil.example.","uri":"http://evil.example./"}`},
		{"http://%65vil.example/", "DOMAIN_BLOCKED", `{"domain":"%65vil.example","uri":"http://%65vil.example/"}`},
		{"http://evil。example/", "DOMAIN_BLOCKED", `{"domain":"evil。example","uri":"http://evil。example/"}`},
		{"http://ｅvil.example/", "DOMAIN_BLOCKED", `{"domain":"ｅvil.example","uri":"http://ｅvil.example/"}`},
		{"http://ports.example/", "", ""},
		{"http://ports.example:8080/", "DOMAIN_BLOCKED", `{"domain":"ports.example:8080","uri":"http://ports.example:8080/"}`},
		{"http://[2001:DB8::1]:80/", "DOMAIN_BLOCKED", `{"domain":"[2001:DB8::1]:80","uri":"http://[2001:DB8::1]:80/"}`},
		{"ftp://good.example", "PROTOCOL_BLOCKED", `{"allowed":["file","http","https"],"protocol":"ftp","uri":"ftp://good.example"}`},
		{"mailto:x", "PROTOCOL_BLOCKED", `{"allowed":["file","http","https"],"protocol":"mailto","uri":"mailto:x"}`},
		{"/etc/passwd", "INVALID_URI", `{"uri":"/etc/passwd"}`},
		{"", "INVALID_URI", `{"uri":""}`},
		{"1a://x", "INVALID_URI", `{"uri":"1a://x"}`},
		{"://x", "INVALID_URI", `{"uri":"://x"}`},
		{"http://[::1", "INVALID_URI", `{"error":"Invalid IPv6 URL","uri":"http://[::1"}`},
		{"http://a]b", "INVALID_URI", `{"error":"Invalid IPv6 URL","uri":"http://a]b"}`},
		{"http://ev\til.example/", "INVALID_URI", `{"error":"a space or control character at byte 9","uri":"http://ev\til.example/"}`},
		{" http://good.example", "INVALID_URI", `{"error":"a space or control character at byte 0","uri":" http://good.example"}`},
		{"http://evil.example /", "INVALID_URI", `{"error":"a space in the host","uri":"http://evil.example /"}`},
		{"http://good.example/x\x7f", "INVALID_URI", `{"error":"a space or control character at byte 21","uri":"http://good.example/x` + "\x7f" + `"}`},
		{`http://evil.example\@good.example/`, "INVALID_URI", `{"error":"a backslash in the host","uri":"http://evil.example\\@good.example/"}`},
		{`http:\\evil.example/`, "INVALID_URI", `{"error":"a backslash before the host","uri":"http:\\\\evil.example/"}`},
		{"http://%zz/", "INVALID_URI", `{"error":"an invalid escape in the host","uri":"http://%zz/"}`},
	}
	p := mustPlugin(t, "plugins.resource_filter.resource_filter.ResourceFilterPlugin", config)
	for _, tt := range tests {
		payload := encode(map[string]string{"uri": tt.uri})
		r, err := p.Invoke(context.Background(), plugin.ResourcePreFetch, payload, &plugin.Context{})
		switch {
		case err != nil || r.Continue != (tt.code == ""):
			t.Errorf("%q: got %+v, %v", tt.uri, r, err)
		case !r.Continue && (r.Violation.Code != tt.code || string(r.Violation.Details) != tt.details):
			t.Errorf("%q: got %s %s\nwant %s %s", tt.uri, r.Violation.Code, r.Violation.Details, tt.code, tt.details)
		}
	}
}

func TestResourceFilterSaysWhyInTheReferencesWords(t *testing.T) {
	p := mustPlugin(t, "resource_filter", `{"blocked_domains":["b.example"],"max_content_size":3}`)
	tests := []struct{ hook, payload, reason, description string }{
		{"resource_pre_fetch", `{"uri":"x"}`, "Invalid URI format", "URI must have a valid scheme (protocol)"},
		{"resource_pre_fetch", `{"uri":"http://["}`, "Invalid URI", "Could not parse resource URI: Invalid IPv6 URL"},
		{"resource_pre_fetch", `{"uri":"FTP://x"}`, "Protocol not allowed", "Protocol 'ftp' is not in allowed list"},
		{"resource_pre_fetch", `{"uri":"http://B.example"}`, "Domain is blocked", "Domain 'B.example' is in blocked list"},
		{"resource_post_fetch", `{"uri":"x","content":{"text":"long"}}`, "Content exceeds maximum size", "Resource content exceeds maximum size of 3 bytes"},
	}
	for _, tt := range tests {
		r, err := p.Invoke(context.Background(), plugin.Hook(tt.hook), json.RawMessage(tt.payload), &plugin.Context{})
		if err != nil || r.Continue || r.Violation.Reason != tt.reason || r.Violation.Description != tt.description {
			t.Errorf("%s: got %+v, %v", tt.payload, r.Violation, err)
		}
	}
}

func TestResourceFilterMarksWhatItHasValidated(t *testing.T) {
	tests := []struct{ payload, user, want string }{
		{`{"uri":"HTTP://a.example/x"}`, ``,
			`{"uri":"HTTP://a.example/x","metadata":{"validated":true,"protocol":"http","request_id":"r1","user":null,"resource_filter_plugin":"pre_fetch_validated","allowed_size":1048576}}`},
		{`{ "uri":"file:///x", "metadata":{"n":9007199254740993, "validated":"?"}, "new":1}`, `{"email":"a"}`,
			`{ "uri":"file:///x", "metadata":{"n":9007199254740993, "validated":true,"protocol":"file","request_id":"r1","user":{"email":"a"},"resource_filter_plugin":"pre_fetch_validated","allowed_size":1048576}, "new":1}`},
		{`{"uri":"file:///x","metadata":null}`, `"ann"`,
			`{"uri":"file:///x","metadata":{"validated":true,"protocol":"file","request_id":"r1","user":"ann","resource_filter_plugin":"pre_fetch_validated","allowed_size":1048576}}`},
	}
	p := mustPlugin(t, "resource_filter", `{}`)
	for _, tt := range tests {
		c := &plugin.Context{GlobalContext: plugin.GlobalContext{RequestID: "r1", User: json.RawMessage(tt.user)}}
		r, err := p.Invoke(context.Background(), plugin.ResourcePreFetch, json.RawMessage(tt.payload), c)
		if err != nil || !r.Continue || string(r.ModifiedPayload) != tt.want || string(r.Metadata) != `{"validation":"passed"}` {
			t.Errorf("got %+v, %v\n%s\nwant %s", r, err, r.ModifiedPayload, tt.want)
		}
		if string(c.State["uri_validated"]) != "true" || c.State["original_uri"] == nil {
			t.Errorf("state is %v", c.State)
		}
	}
}

func TestResourceFilterRewritesTextWithAndWithoutTheHookBefore(t *testing.T) {
	const config = `{"max_content_size":40,"content_filters":[{"pattern":"password\\s*[:=]\\s*\\S+","replacement":"password: [X]"},{"pattern":"(se)cret"}]}`
	tests := []struct {
		name, hook, payload, state string
		want, meta                 string
	}{
		{"an object", "resource_post_fetch", `{"uri":"file:///secret","content":{"uri":"file:///secret","mimeType":"secret","text":"a SECRET, Password=abc"}}`, ``,
			`{"uri":"file:///secret","content":{"uri":"file:///secret","mimeType":"secret","text":"a ***, password: [X]"}}`, `{"filtered":true,"original_uri":"file:///secret"}`},
		{"after the hook before", "resource_post_fetch", `{"uri":"file:///new","content":{"text":"fine"}}`, `"file:///old"`,
			``, `{"filtered":false,"original_uri":"file:///old"}`},
		{"bare text", "resource_post_fetch", `{"uri":"u","content":"secret"}`, ``, `{"uri":"u","content":"***"}`, `{"filtered":true,"original_uri":"u"}`},
		{"several contents", "resource_post_fetch", `{"uri":"u","content":{"contents":[{"uri":"secret","text":"secret"}]}}`, ``,
			`{"uri":"u","content":{"contents":[{"uri":"secret","text":"***"}]}}`, `{"filtered":true,"original_uri":"u"}`},
		{"bytes stay", "resource_post_fetch", `{"uri":"u","content":{"blob":"secret","size":9007199254740993 }}`, ``, ``, `{"filtered":false,"original_uri":"u"}`},
		{"a tool result, where asked", "tool_post_invoke", `{"name":"t","result":{"content":[{"type":"resource","resource":{"uri":"u","text":"secret"}},{"type":"text","text":"secret"}],"structuredContent":{"a":["secret"]}}}`, ``,
			`{"name":"t","result":{"content":[{"type":"resource","resource":{"uri":"u","text":"***"}},{"type":"text","text":"***"}],"structuredContent":{"a":["***"]}}}`, ``},
		{"a prompt, where asked", "prompt_post_fetch", `{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"text","text":"secret"}}]}}`, ``,
			`{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"text","text":"***"}}]}}`, ``},
	}
	p := mustPlugin(t, "resource_filter", config, plugin.ResourcePostFetch, plugin.ToolPostInvoke, plugin.PromptPostFetch)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &plugin.Context{}
			if tt.state != "" {
				c.State = plugin.Object{"uri_validated": json.RawMessage("true"), "original_uri": json.RawMessage(tt.state)}
			}
			r, err := p.Invoke(context.Background(), plugin.Hook(tt.hook), json.RawMessage(tt.payload), c)
			if err != nil || !r.Continue || string(r.ModifiedPayload) != tt.want || string(r.Metadata) != tt.meta {
				t.Errorf("got %+v, %v\n%s %s\nwant %s %s", r, err, r.ModifiedPayload, r.Metadata, tt.want, tt.meta)
			}
		})
	}
}

func TestResourceFilterRefusesWhatIsTooLarge(t *testing.T) {
	tests := []struct{ hook, payload, details string }{
		{"resource_post_fetch", `{"uri":"u","content":{"text":"0123456789"}}`, ""},
		{"resource_post_fetch", `{"content":{"text":"01234567é9"},"uri":"u"}`, `{"max_size":10,"size":11,"uri":"u"}`},
		{"resource_post_fetch", `{"uri":"u","content":{"text":"\u0030\u0031\u0032\u0033"}}`, ""},
		{"resource_post_fetch", `{"uri":"u","content":{"blob":"MDEyMzQ1Njc4OQ=="}}`, ""},
		{"resource_post_fetch", `{"uri":"u","content":{"blob":"MDEyMzQ1Njc4OTA="}}`, `{"max_size":10,"size":11,"uri":"u"}`},
		{"tool_post_invoke", `{"name":"t","result":{"content":[{"type":"resource","resource":{"text":"01234567890"}}]}}`, `{"max_size":10,"size":11}`},
	}
	p := mustPlugin(t, "resource_filter", `{"max_content_size":10}`)
	for _, tt := range tests {
		r, err := p.Invoke(context.Background(), plugin.Hook(tt.hook), json.RawMessage(tt.payload), &plugin.Context{})
		switch {
		case err != nil || r.Continue != (tt.details == ""):
			t.Errorf("%s: got %+v, %v", tt.payload, r, err)
		case !r.Continue && (r.Violation.Code != "CONTENT_TOO_LARGE" || string(r.Violation.Details) != tt.details):
			t.Errorf("%s: got %s %s", tt.payload, r.Violation.Code, r.Violation.Details)
		}
	}
}

func TestResourceFilterConfigFaults(t *testing.T) {
	tests := []struct{ config, want string }{
		{`{"max_content_size":"one"}`, "max_content_size: not a whole number"},
		{`{"max_content_size":-1}`, "max_content_size: -1 is under 0"},
		{`{"max_content_size":null}`, "max_content_size: not a whole number"},
		{`{"allowed_protocols":"http"}`, "allowed_protocols: not a list"},
		{`{"blocked_domains":["a",""]}`, "blocked_domains[1]: empty"},
		{`{"blocked_domains":[null]}`, "blocked_domains[0]: not a string"},
		{`{"content_filters":[{}]}`, "content_filters[0].pattern: required, but missing"},
		{`{"content_filters":[{"pattern":""}]}`, "content_filters[0].pattern: empty"},
		{`{"content_filters":[{"pattern":"a"},{"pattern":"("}]}`, "content_filters[1].pattern: missing ), unterminated subpattern at position 0"},
		{`{"content_filters":[{"pattern":"a","replacement":"\\1"}]}`, "content_filters[0].replacement: invalid group reference 1 at position 0"},
		{`{"content_filters":[{"pattern":"a","flags":"i"}]}`, `content_filters[0].flags: unknown key "flags" (known: pattern, replacement)`},
		{`{"blocked_domain":[]}`, `blocked_domain: unknown key "blocked_domain" (known: max_content_size, allowed_protocols, blocked_domains, content_filters)`},
	}
	for _, tt := range tests {
		_, err := newPlugin(t, "resource_filter", tt.config)
		if _, ok := errors.AsType[*plugin.ConfigError](err); !ok || err.Error() != tt.want {
			t.Errorf("%s: got %v\nwant %s", tt.config, err, tt.want)
		}
	}
}
