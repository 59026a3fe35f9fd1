package builtin

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

func TestHeaderFilter(t *testing.T) {
	tests := []struct{ name, config, hook, payload, want string }{
		{"the defaults, in any case", `{}`, "tool_pre_invoke",
			`{"name":"t","args":{"authorization":"stays"},"headers":{"AUTHORIZATION":"a","cookie":"b","X-Vault-Tokens":"c","x-api-key":"d","X-Auth-Token":"e","Proxy-Authorization":"f","www-authenticate":"g","Set-Cookie":"h","X-Trace":"stays"}}`,
			`{"name":"t","args":{"authorization":"stays"},"headers":{"X-Trace":"stays"}}`},
		{"the rest keeps its bytes", `{"filter_headers":["B"]}`, "tool_pre_invoke",
			`{ "name":"t", "headers" : { "a" : "\u0041" , "b" : "x",  "c":"1\/2" }, "args":{"n":9007199254740993} }`,
			`{ "name":"t", "headers" : {"a" : "\u0041","c":"1\/2"}, "args":{"n":9007199254740993} }`},
		{"passthrough wins", `{"allow_passthrough_headers":["authorization"]}`, "tool_pre_invoke",
			`{"name":"t","headers":{"Authorization":"a","Cookie":"b"}}`, `{"name":"t","headers":{"Authorization":"a"}}`},
		{"a list of one's own replaces the defaults", `{"filter_headers":["X-Mine"]}`, "tool_pre_invoke",
			`{"name":"t","headers":{"x-mine":"a","Cookie":"b"}}`, `{"name":"t","headers":{"Cookie":"b"}}`},
		{"spaces around the name", `{}`, "tool_pre_invoke", `{"name":"t","headers":{" Cookie ":"a"}}`, `{"name":"t","headers":{}}`},
		{"an escaped name", `{}`, "tool_pre_invoke", `{"name":"t","headers":{"\u0043ookie":"a"}}`, `{"name":"t","headers":{}}`},
		{"another spelling of headers hides nothing", `{}`, "tool_pre_invoke", `{"name":"t","headers":{"Cookie":"a"},"HEADERS":null}`, `{"name":"t","headers":{},"HEADERS":null}`},
		{"agents", `{}`, "agent_pre_invoke", `{"agent_id":"a","messages":[],"headers":{"Cookie":"a","X":"b"}}`, `{"agent_id":"a","messages":[],"headers":{"X":"b"}}`},
		{"nothing to remove", `{}`, "tool_pre_invoke", `{"name":"t","headers":{"X":"b"}}`, ``},
		{"no headers", `{}`, "tool_pre_invoke", `{"name":"t"}`, ``},
		{"null", `{}`, "agent_pre_invoke", `{"agent_id":"a","messages":[],"headers":null}`, ``},
		{"an empty set", `{"allow_passthrough_headers":{}}`, "tool_pre_invoke", `{"name":"t","headers":{"Cookie":"b"}}`, `{"name":"t","headers":{}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustPlugin(t, "plugins.header_filter.header_filter_plugin.HeaderFilter", tt.config)
			if got, metadata, violation := verdict(t, p, tt.hook, tt.payload, nil); got != tt.want || metadata != "" || violation != "" {
				t.Errorf("got %s %s %s\nwant %s", got, metadata, violation, tt.want)
			}
		})
	}
}

func TestHeaderFilterFailsOnHeadersItCannotRead(t *testing.T) {
	p := mustPlugin(t, "header_filter", `{}`)
	for _, payload := range []string{`{"name":"t","headers":["Cookie"]}`, `{"name":"t","headers":"Cookie"}`, `[]`} {
		if r, err := p.Invoke(context.Background(), plugin.ToolPreInvoke, json.RawMessage(payload), &plugin.Context{}); err == nil {
			t.Errorf("%s: got %+v", payload, r)
		}
	}
}

// The log names what was removed, and never its value.
func TestHeaderFilterLogsNamesOnly(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                               `level=INFO msg="filtered headers" hook=tool_pre_invoke target=t headers="Authorization, cookie"`,
		`{"log_filtered_headers":"false"}`: ``,
	} {
		var log strings.Builder
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		p, err := newHeaderFilter(plugin.Config{Raw: json.RawMessage(config), Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		verdict(t, p, "tool_pre_invoke", `{"name":"t","headers":{"cookie":"hush","Authorization":"hush"}}`, nil)
		if got := strings.TrimSpace(log.String()); got != want {
			t.Errorf("%s: got %s\nwant %s", config, got, want)
		}
	}
}
