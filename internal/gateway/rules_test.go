package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// plain decodes an answer for a comparison, numbers as they are written.
func plain(t *testing.T, raw string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return v
}

// What the client of a refused call sees (plugin protocol §8), whatever the side
// of the upstream on which the plugin refuses.
func TestRule_WhatTheClientSees(t *testing.T) {
	code := func(n int) *int { return &n }
	const details = `{"n":9007199254740993,"z":null}`
	violation := func(n *int) func() (*plugin.Result, error) {
		return refusal403(plugin.Violation{Reason: "Not allowed", Description: "not this", Code: "no", Details: json.RawMessage(details), MCPCode: n})
	}
	boom := func() (*plugin.Result, error) {
		return nil, &plugin.Error{Message: "boom", Code: "broken", Details: json.RawMessage(details), MCPCode: -32602, Plugin: "Q"}
	}
	asError := func(n int) string {
		return fmt.Sprintf(`{"code":%d,"message":"Plugin Violation: not this","data":{"description":"not this","details":%s,"plugin_error_code":"no","plugin_name":"P"}}`, n, details)
	}
	const asResult = `{"resultType":"complete","content":[{"type":"text","text":"Plugin Violation: not this"}],"isError":true,"_meta":{"io.github.sallyport-mcp/violation":{"code":"no","plugin":"P","reason":"Not allowed","details":` + details + `}}}`
	const failed = `{"code":-32603,"message":"Plugin Error: boom","data":{"plugin_name":"P","plugin_error_code":"broken","details":` + details + `,"request_id":"ID"}}`
	for _, c := range []struct {
		name      string
		pre, post plugin.Hook
		call      [2]string
		do        func() (*plugin.Result, error)
		result    bool
		want      string
	}{
		{"a tool refused", plugin.ToolPreInvoke, plugin.ToolPostInvoke, [2]string{"tools/call", `{"name":"echo"}`}, violation(nil), true, asResult},
		{"a tool refused, code 0 is none", plugin.ToolPreInvoke, plugin.ToolPostInvoke, [2]string{"tools/call", `{"name":"echo"}`}, violation(code(0)), true, asResult},
		{"a tool refused with a code", plugin.ToolPreInvoke, plugin.ToolPostInvoke, [2]string{"tools/call", `{"name":"echo"}`}, violation(code(-32603)), false, asError(-32603)},
		{"a code that MCP reserves, the first", plugin.ToolPreInvoke, plugin.ToolPostInvoke, [2]string{"tools/call", `{"name":"echo"}`}, violation(code(-32000)), false, asError(-32602)},
		{"a code that MCP reserves, the last", plugin.ToolPreInvoke, plugin.ToolPostInvoke, [2]string{"tools/call", `{"name":"echo"}`}, violation(code(-32099)), false, asError(-32602)},
		{"a code that MCP reserves, within", plugin.ToolPreInvoke, plugin.ToolPostInvoke, [2]string{"tools/call", `{"name":"echo"}`}, violation(code(-32019)), false, asError(-32602)},
		{"a code that MCP reserves, of its own errors", plugin.PromptPreFetch, plugin.PromptPostFetch, [2]string{"prompts/get", `{"name":"greet"}`}, violation(code(-32020)), false, asError(-32602)},
		{"a code before", plugin.ResourcePreFetch, plugin.ResourcePostFetch, [2]string{"resources/read", `{"uri":"mem://a"}`}, violation(code(-31999)), false, asError(-31999)},
		{"a code far beyond", plugin.ToolPreInvoke, plugin.ToolPostInvoke, [2]string{"tools/call", `{"name":"echo"}`}, violation(code(-32768)), false, asError(-32768)},
		{"a violation of a reason alone", plugin.PromptPreFetch, plugin.PromptPostFetch, [2]string{"prompts/get", `{"name":"greet"}`}, refusal403(plugin.Violation{Reason: "Not allowed", Code: "no"}), false,
			`{"code":-32602,"message":"Plugin Violation: Not allowed","data":{"description":"","details":{},"plugin_error_code":"no","plugin_name":"P"}}`},
		{"a code beyond", plugin.ToolPreInvoke, plugin.ToolPostInvoke, [2]string{"tools/call", `{"name":"echo"}`}, violation(code(-32100)), false, asError(-32100)},
		{"a code of one's own", plugin.ToolPreInvoke, plugin.ToolPostInvoke, [2]string{"tools/call", `{"name":"echo"}`}, violation(code(429)), false, asError(429)},
		{"a prompt refused", plugin.PromptPreFetch, plugin.PromptPostFetch, [2]string{"prompts/get", `{"name":"greet"}`}, violation(nil), false, asError(-32602)},
		{"a resource refused", plugin.ResourcePreFetch, plugin.ResourcePostFetch, [2]string{"resources/read", `{"uri":"mem://a"}`}, violation(code(42)), false, asError(42)},
		{"a plugin that fails closed", plugin.ToolPreInvoke, plugin.ToolPostInvoke, [2]string{"tools/call", `{"name":"echo"}`}, boom, false, failed},
		{"a resource's plugin that fails closed", plugin.ResourcePreFetch, plugin.ResourcePostFetch, [2]string{"resources/read", `{"uri":"mem://a"}`}, boom, false, failed},
		{"a prompt's plugin that fails closed", plugin.PromptPreFetch, plugin.PromptPostFetch, [2]string{"prompts/get", `{"name":"greet"}`}, boom, false, failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
				f := startFake(t, &fakeServer{})
				s := serve(t, Config{}, entryOf(p), f)
				for i, hook := range []plugin.Hook{c.pre, c.post} {
					d.mu.Lock()
					d.do = map[plugin.Hook]func() (*plugin.Result, error){hook: c.do}
					d.mu.Unlock()
					m := s.modern(t, c.call[0], c.call[1], "").message(t)
					got := string(m.Result)
					if !c.result {
						raw, err := json.Marshal(m.Error)
						if m.Error == nil || err != nil {
							t.Fatalf("%s: no error: %s", hook, m.Result)
						}
						got = string(raw)
						if id, ok := wire.String(wire.Member(m.Error.Data, "request_id")); ok {
							got = strings.ReplaceAll(got, `"`+id+`"`, `"ID"`)
						}
					}
					if diff := cmp.Diff(plain(t, c.want), plain(t, got)); diff != "" {
						t.Errorf("%s (-want +got):\n%s", hook, diff)
					}
					if n := len(f.calls()); n != i {
						t.Errorf("%s: the upstream was called %d times", hook, n)
					}
				}
			})
		})
	}
}

// Names are the client's, server_id is the upstream's key, and metadata has the
// upstream's own name and what the upstream says of the tool, and nothing else.
func TestRule_NamesAndMetadata(t *testing.T) {
	inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
		s := serve(t, Config{}, entryOf(p), startFake(t, &fakeServer{}), startFake(t, lister("b")))
		if m := s.modern(t, "tools/call", `{"name":"up__echo"}`, "").message(t); m.Error != nil {
			t.Fatal(m.Error)
		}
		if got := d.saw(plugin.ToolPreInvoke); !strings.HasPrefix(got, `tool_pre_invoke: {"name":"up__echo",`) {
			t.Errorf("the plugin saw %s", got)
		}
		d.mu.Lock()
		global := d.global
		d.mu.Unlock()
		raw, _ := json.Marshal(global.Metadata)
		want := `{"original_name":"echo","tool":{"name":"up__echo","description":"Says it again.","annotations":{"readOnlyHint":true},"input_schema":{"type":"object"}}}`
		if diff := cmp.Diff(plain(t, want), plain(t, string(raw))); diff != "" {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
		if global.ServerID != "up" {
			t.Errorf("server_id is %q", global.ServerID)
		}
	})
}

// A name that a plugin changed is resolved again, the upstream is told it in
// Mcp-Name too, and one that is not there is a refusal.
func TestRule_AChangedNameIsResolvedAgain(t *testing.T) {
	inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
		f := startFake(t, &fakeServer{modern: true})
		s := serve(t, Config{}, entryOf(p), f)
		d.do = map[plugin.Hook]func() (*plugin.Result, error){plugin.ToolPreInvoke: modified(`{"name":"other","args":{}}`)}
		if m := s.modern(t, "tools/call", `{"name":"echo","arguments":{}}`, "").message(t); m.Error != nil {
			t.Fatal(m.Error)
		}
		calls := f.calls()
		if len(calls) != 1 || calls[0].header.Get("Mcp-Name") != "other" || !strings.Contains(calls[0].params, `"name":"other"`) {
			t.Errorf("the upstream was told %+v", calls)
		}
		d.mu.Lock()
		d.do[plugin.ToolPreInvoke] = modified(`{"name":"nowhere","args":{}}`)
		d.mu.Unlock()
		if m := s.modern(t, "tools/call", `{"name":"echo","arguments":{}}`, "").message(t); m.Error == nil || len(f.calls()) != 1 {
			t.Errorf("it went somewhere: %s, %d calls", m.Result, len(f.calls()))
		}
	})
}

// The client is told the plugin, one word of the cause and the request's id;
// where that was is in the log, under the same id.
func TestRule_TheClientIsToldTheCauseAndNoMore(t *testing.T) {
	g := newGuarded(t, plugin.ToolPreInvoke)
	_, port, _ := strings.Cut(g.addr, ":")
	for i, what := range []string{"unreachable", "not declared"} {
		if i > 0 {
			g.start(t, g.addr, g.ca.Plugin(t, "P"), marks("Q"))
		}
		a := g.modern(t, "tools/call", `{"name":"echo"}`, "")
		m := a.message(t)
		if m.Error == nil {
			t.Fatalf("%s: %s", what, a.body)
		}
		id, _ := wire.String(wire.Member(m.Error.Data, "request_id"))
		want := fmt.Sprintf(`{"code":-32603,"message":"Plugin Error: P: %s (request %s)","data":{"plugin_name":"P","cause":"%s","request_id":"%s"}}`, what, id, what, id)
		raw, _ := json.Marshal(m.Error)
		if diff := cmp.Diff(plain(t, want), plain(t, string(raw))); diff != "" || id == "" || strings.Contains(a.body, port) {
			t.Errorf("(-want +got):\n%s\n%s", diff, a.body)
		}
		if log := g.log.String(); !strings.Contains(log, g.addr) || !strings.Contains(log, "request_id="+id) {
			t.Errorf("the log does not say where:\n%s", log)
		}
	}
}

// The newer fields of a result: http_headers go onto the answer, as far as a
// plugin may set them, and retry_delay_ms has the tool called again, thrice at
// most, each result being judged.
func TestRule_NewerResultFields(t *testing.T) {
	inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
		var judged atomic.Int64
		until := int64(3)
		d.do = map[plugin.Hook]func() (*plugin.Result, error){
			plugin.ToolPostInvoke: func() (*plugin.Result, error) {
				r := plugin.Continue()
				r.HTTPHeaders = map[string]string{"x-remaining": "7", "Content-Type": "text/html", "x-accel-redirect": "/internal", "X-Sendfile": "/etc/passwd", "Mcp-Session-Id": "mine"}
				if judged.Add(1) < until {
					ms := int64(1)
					r.RetryDelayMS = &ms
				}
				return r, nil
			},
			plugin.HTTPPreRequest: func() (*plugin.Result, error) {
				return &plugin.Result{Continue: true, HTTPHeaders: map[string]string{"X-Early": "1"}}, nil
			},
		}
		f := startFake(t, &fakeServer{})
		s := serve(t, Config{}, entryOf(p), f)
		a := s.modern(t, "tools/call", `{"name":"echo"}`, "")
		if m := a.message(t); m.Error != nil || judged.Load() != 3 || len(f.calls()) != 3 {
			t.Errorf("%s: judged %d times, called %d times", a.body, judged.Load(), len(f.calls()))
		}
		if a.header.Get("X-Remaining") != "7" || a.header.Get("X-Early") != "1" || a.header.Get("Content-Type") != wire.MediaJSON ||
			a.header.Get("Mcp-Session-Id") != "" || a.header.Get("X-Accel-Redirect") != "" || a.header.Get("X-Sendfile") != "" {
			t.Errorf("headers %v", a.header)
		}
		judged.Store(0)
		until = 100
		if m := s.modern(t, "tools/call", `{"name":"echo"}`, "").message(t); m.Error != nil || judged.Load() != 1+maxRetries || len(f.calls()) != 3+1+maxRetries {
			t.Errorf("judged %d times, called %d times", judged.Load(), len(f.calls()))
		}
		if a := s.modern(t, "prompts/get", `{"name":"greet"}`, ""); a.status != http.StatusOK || a.header.Get("X-Remaining") != "" {
			t.Errorf("%d %v", a.status, a.header)
		}
		// They are for the answer that a call has, not for its refusal.
		d.mu.Lock()
		d.do[plugin.ToolPostInvoke] = func() (*plugin.Result, error) {
			return &plugin.Result{HTTPHeaders: map[string]string{"X-Remaining": "0"}, Violation: &plugin.Violation{Description: "not this"}}, nil
		}
		d.mu.Unlock()
		if a := s.modern(t, "tools/call", `{"name":"echo"}`, ""); !strings.Contains(a.body, "not this") || a.header.Get("X-Remaining") != "" {
			t.Errorf("refused: %v %s", a.header, a.body)
		}
	})
}
