package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// payloads looks at all that the plugin was given during one request of each
// kind.
func (st *stage) payloads(ctx context.Context) error {
	for _, k := range kinds() {
		r, err := st.ask(ctx, st.client, k.call, "X-Team", "blue", "X-Do", "Probe:http_pre_request=modify", "Authorization", "Bearer "+token)
		if err != nil {
			return err
		}
		st.wantRuns(k.pre, r, k.full()...)
		st.request(k.pre, r)
		st.kept(k.pre, k, r)
		switch k.pre {
		case "tool_pre_invoke":
			st.toolPayloads(r)
		case "prompt_pre_fetch":
			st.want(k.pre, "payload", r.of("Probe", k.pre).Payload, `{"prompt_id":"mirror__greet","args":{"who":"Ada"}}`)
			after := r.of("Probe", k.post).Payload
			st.want(k.post, "prompt_id", dig(after, "prompt_id"), `"mirror__greet"`)
			st.want(k.post, "description", dig(after, "result", "description"), `"A greeting"`)
			st.want(k.post, "messages", dig(after, "result", "messages"), prompted("Hello, Ada"))
		default:
			st.want(k.pre, "payload", r.of("Probe", k.pre).Payload, `{"uri":"mirror://note","metadata":{}}`)
			st.want(k.post, "payload", r.of("Probe", k.post).Payload, `{"uri":"mirror://note","content":`+
				`{"uri":"mirror://note","mimeType":"text/plain","text":"This is mirror://note","_meta":{"mirror/n":1}}}`)
		}
	}
	return nil
}

func (st *stage) toolPayloads(r *reply) {
	before := r.of("Probe", "tool_pre_invoke").Payload
	st.want("tool_pre_invoke", "name", dig(before, "name"), `"mirror__echo"`)
	st.want("tool_pre_invoke", "args", dig(before, "args"), pythonArguments)
	var headers map[string]string
	if err := json.Unmarshal(dig(before, "headers"), &headers); err != nil {
		st.faulty("tool_pre_invoke", "headers: %w", err)
	}
	lower := http.Header{}
	for name, value := range headers {
		lower.Set(name, value)
	}
	if lower.Get("X-Team") != "blue" || lower.Get("X-Plugin") != "request" || lower.Get("Authorization") != "" {
		st.faulty("tool_pre_invoke", "headers are %q", headers)
	}
	after := r.of("Probe", "tool_post_invoke").Payload
	st.want("tool_post_invoke", "name", dig(after, "name"), `"mirror__echo"`)
	st.want("tool_post_invoke", "content", dig(after, "result", "content"), `[{"type":"text","text":"Hello"},{"type":"image","data":"cG5n","mimeType":"image/png"}]`)
	st.want("tool_post_invoke", "structuredContent", dig(after, "result", "structuredContent"), pythonArguments)
	st.want("tool_post_invoke", "_meta", dig(after, "result", "_meta", "mirror/n"), "1")
	metadata := dig(r.of("Second", "tool_post_invoke").Context, "global_context", "metadata")
	st.want("tool_post_invoke", "metadata.original_name", dig(metadata, "original_name"), `"echo"`)
	st.want("tool_post_invoke", "metadata.tool.annotations", dig(metadata, "tool", "annotations", "readOnlyHint"), "true")
}

// request looks at what the HTTP hooks were given.
func (st *stage) request(try string, r *reply) {
	before := r.of("Probe", "http_pre_request").Payload
	st.want(try, "path and method", fmt.Appendf(nil, "[%s,%s]", dig(before, "path"), dig(before, "method")), `["/mcp","POST"]`)
	st.want(try, "client_host", dig(before, "client_host"), `"127.0.0.1"`)
	st.want(try, "a header", dig(before, "headers", "x-team"), `"blue"`)
	user := r.of("Probe", "http_auth_resolve_user").Payload
	st.want(try, "credentials", dig(user, "credentials"), `{"scheme":"Bearer","credentials":"`+token+`"}`)
	// What http_pre_request has set.
	st.want(try, "a header that a plugin has set", dig(user, "headers", "x-plugin"), `"request"`)
	after := r.of("Probe", "http_post_request").Payload
	st.want(try, "status_code", dig(after, "status_code"), "200")
	for _, run := range r.runs {
		if run.Hook != "http_auth_resolve_user" && strings.Contains(string(run.Payload)+string(run.Context), token) {
			st.faulty(try, "%s of %s was shown the client's token: %s", run.Hook, run.Plugin, run.Payload)
		}
	}
}

// kept looks at what plugins left for each other and for themselves.
func (st *stage) kept(try string, k kind, r *reply) {
	trail, _ := json.Marshal(slices.DeleteFunc(k.full()[:slices.Index(k.full(), k.post)], func(s string) bool { return strings.HasPrefix(s, "Second") }))
	c := r.of("Probe", k.post).Context
	st.want(try, "state of the hooks before", dig(c, "state", "trail"), string(trail))
	st.want(try, "a number and a null in state", dig(c, "state", "big"), `{"n":9007199254740993,"z":null}`)
	st.want(try, "the plugin's metadata", dig(c, "metadata", "last"), `"`+k.pre+`"`)
	st.want(try, "server_id", dig(c, "global_context", "server_id"), `"mirror"`)
	var ids []string
	for _, run := range r.runs {
		if id := string(dig(run.Context, "global_context", "request_id")); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) != 1 || len(ids[0]) < 10 {
		st.faulty(try, "the hooks of one request had the ids %q", ids)
	}
	if k.pre != "tool_pre_invoke" {
		return
	}
	second := r.of("Second", k.pre).Context
	st.want(try, "shared state", dig(second, "global_context", "state"), `{"from Probe":"tool_pre_invoke"}`)
	st.want(try, "another plugin's state", fmt.Appendf(nil, "[%s]", dig(second, "state", "trail")), "[]")
	second = r.of("Second", k.post).Context
	st.want(try, "its own state", dig(second, "state", "trail"), `["tool_pre_invoke"]`)
	st.want(try, "shared state", dig(second, "global_context", "state"), `{"from Probe":"tool_post_invoke","from Second":"tool_pre_invoke"}`)
}
