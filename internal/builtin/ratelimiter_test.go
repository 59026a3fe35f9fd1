package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// rateCall is one call and what the limiter must say.
type rateCall struct {
	hook, user, tenant, tool string // user is JSON; hook is tool_pre_invoke when empty
	original                 string
	after                    time.Duration // waited before it
	refused                  string        // description of the violation; empty: passes
	want                     string        // details or metadata
}

func TestRateLimiterCountsByUserTenantAndTool(t *testing.T) {
	tests := []struct {
		name, config string
		calls        []rateCall
	}{
		{"no limits", `{}`, []rateCall{
			{tool: "t", want: `{"by_tenant":{"limited":false},"by_user":{"limited":false}}`},
			{hook: "prompt_pre_fetch", want: `{"by_tenant":{"limited":false},"by_user":{"limited":false}}`},
		}},
		{"by user, window from the first call", `{"by_user":"2/m"}`, []rateCall{
			{user: `"ann"`, want: `{"by_tenant":{"limited":false},"by_user":{"limited":true,"remaining":1,"reset_in":60}}`},
			{user: `"ann"`, after: 50 * time.Second, want: `{"by_tenant":{"limited":false},"by_user":{"limited":true,"remaining":0,"reset_in":10}}`},
			{user: `"ann"`, after: 9500 * time.Millisecond, refused: "Rate limit exceeded for user", want: `{"by_tenant":{"limited":false},"by_user":{"limited":true,"remaining":0,"reset_in":1}}`},
			{user: `"bob"`, want: `{"by_tenant":{"limited":false},"by_user":{"limited":true,"remaining":1,"reset_in":60}}`},
			{user: `"ann"`, after: 500 * time.Millisecond, want: `{"by_tenant":{"limited":false},"by_user":{"limited":true,"remaining":1,"reset_in":60}}`},
		}},
		{"anonymous is one user, whatever the form", `{"by_user":"1/h"}`, []rateCall{
			{want: `{"by_tenant":{"limited":false},"by_user":{"limited":true,"remaining":0,"reset_in":3600}}`},
			{user: `null`, refused: "Rate limit exceeded for user", want: `{"by_tenant":{"limited":false},"by_user":{"limited":true,"remaining":0,"reset_in":3600}}`},
			{user: `""`, refused: "Rate limit exceeded for user", want: `{"by_tenant":{"limited":false},"by_user":{"limited":true,"remaining":0,"reset_in":3600}}`},
			{hook: "prompt_pre_fetch", refused: "User anonymous rate limit exceeded", want: `{"limited":true,"remaining":0,"reset_in":3600}`},
		}},
		{"a user object by its email, else whole", `{"by_user":"1/s"}`, []rateCall{
			{user: `{"email":"a@example.com","full_name":"A"}`, want: `{"by_tenant":{"limited":false},"by_user":{"limited":true,"remaining":0,"reset_in":1}}`},
			{user: `"a@example.com"`, refused: "Rate limit exceeded for user", want: `{"by_tenant":{"limited":false},"by_user":{"limited":true,"remaining":0,"reset_in":1}}`},
			{user: `{"id":1}`, want: `{"by_tenant":{"limited":false},"by_user":{"limited":true,"remaining":0,"reset_in":1}}`},
			{user: `{"id":2}`, want: `{"by_tenant":{"limited":false},"by_user":{"limited":true,"remaining":0,"reset_in":1}}`},
		}},
		{"by tenant, default too", `{"by_tenant":"1/min"}`, []rateCall{
			{hook: "prompt_pre_fetch", want: `{"by_tenant":{"limited":true,"remaining":0,"reset_in":60},"by_user":{"limited":false}}`},
			{hook: "prompt_pre_fetch", tenant: "default", refused: "Tenant default rate limit exceeded", want: `{"limited":true,"remaining":0,"reset_in":60}`},
			{tenant: "default", refused: "Rate limit exceeded for tenant", want: `{"by_tenant":{"limited":true,"remaining":0,"reset_in":60},"by_user":{"limited":false}}`},
			{tenant: "other", want: `{"by_tenant":{"limited":true,"remaining":0,"reset_in":60},"by_user":{"limited":false}}`},
		}},
		{"a prompt that the user's limit refuses does not count for the tenant", `{"by_user":"1/m","by_tenant":"2/m"}`, []rateCall{
			{hook: "prompt_pre_fetch", user: `"a"`, want: `{"by_tenant":{"limited":true,"remaining":1,"reset_in":60},"by_user":{"limited":true,"remaining":0,"reset_in":60}}`},
			{hook: "prompt_pre_fetch", user: `"a"`, refused: "User a rate limit exceeded", want: `{"limited":true,"remaining":0,"reset_in":60}`},
			{hook: "prompt_pre_fetch", user: `"b"`, want: `{"by_tenant":{"limited":true,"remaining":0,"reset_in":60},"by_user":{"limited":true,"remaining":0,"reset_in":60}}`},
		}},
		{"by tool, across users", `{"by_tool":{"search":"1/hr"}}`, []rateCall{
			{tool: "search", user: `"a"`, want: `{"by_tenant":{"limited":false},"by_tool":{"limited":true,"remaining":0,"reset_in":3600},"by_user":{"limited":false}}`},
			{tool: "search", user: `"b"`, refused: "Rate limit exceeded for tool search", want: `{"by_tenant":{"limited":false},"by_tool":{"limited":true,"remaining":0,"reset_in":3600},"by_user":{"limited":false}}`},
			{tool: "other", want: `{"by_tenant":{"limited":false},"by_user":{"limited":false}}`},
			{tool: "up-search", original: "search", refused: "Rate limit exceeded for tool up-search", want: `{"by_tenant":{"limited":false},"by_tool":{"limited":true,"remaining":0,"reset_in":3600},"by_user":{"limited":false}}`},
		}},
		{"a prompt has no tool", `{"by_tool":{"p":"1/m"}}`, []rateCall{
			{hook: "prompt_pre_fetch", tool: "p", want: `{"by_tenant":{"limited":false},"by_user":{"limited":false}}`},
			{hook: "prompt_pre_fetch", tool: "p", want: `{"by_tenant":{"limited":false},"by_user":{"limited":false}}`},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := mustPlugin(t, "plugins.rate_limiter.rate_limiter.RateLimiterPlugin", tt.config)
				for i, call := range tt.calls {
					time.Sleep(call.after) //nolint:forbidigo // the bubble's clock
					checkRateCall(t, p, i, call)
				}
			})
		})
	}
}

func checkRateCall(t *testing.T, p plugin.Plugin, i int, call rateCall) {
	t.Helper()
	hook, payload := plugin.ToolPreInvoke, encode(map[string]string{"name": call.tool})
	if call.hook != "" {
		hook, payload = plugin.PromptPreFetch, encode(map[string]string{"prompt_id": call.tool})
	}
	c := &plugin.Context{GlobalContext: plugin.GlobalContext{User: json.RawMessage(call.user), TenantID: call.tenant}}
	if call.original != "" {
		c.GlobalContext.Metadata = plugin.Object{"original_name": encode(call.original)}
	}
	r, err := p.Invoke(context.Background(), hook, payload, c)
	switch {
	case err != nil || r.ModifiedPayload != nil || r.Continue != (call.refused == ""):
		t.Fatalf("call %d: got %+v, %v", i, r, err)
	case r.Continue && string(r.Metadata) != call.want:
		t.Errorf("call %d: got %s\nwant %s", i, r.Metadata, call.want)
	case !r.Continue && (r.Violation.Code != "RATE_LIMIT" || r.Violation.Reason != "Rate limit exceeded" ||
		r.Violation.Description != call.refused || string(r.Violation.Details) != call.want):
		t.Errorf("call %d: got %+v\n%s\nwant %s", i, r.Violation, r.Violation.Details, call.want)
	}
}

func TestRateLimiterConfigFaults(t *testing.T) {
	tests := []struct{ config, want string }{
		{`{"by_user":"60"}`, `by_user: "60" is no rate such as 60/m`},
		{`{"by_user":"x/m"}`, `by_user: "x/m" is no rate: before the stroke stands a number from 1 on`},
		{`{"by_tenant":"0/m"}`, `by_tenant: "0/m" is no rate: before the stroke stands a number from 1 on`},
		{`{"by_user":"1/day"}`, `by_user: "1/day" is no rate: its unit is none of s, sec, second, m, min, minute, h, hr, hour`},
		{`{"by_user":60}`, `by_user: not a string`},
		{`{"by_tool":{"a":"1/m","b":"1"}}`, `by_tool.b: "1" is no rate such as 60/m`},
		{`{"by_tool":["a"]}`, `by_tool: not an object of rates`},
		{`{"by_usr":"1/m"}`, `by_usr: unknown key "by_usr" (known: by_user, by_tenant, by_tool, backend)`},
		{`{"backend":"redis"}`, `backend: there are no counters shared through Redis; with memory each process counts for itself`},
		{`{"backend":"disk"}`, `backend: "disk" is none of memory, redis`},
	}
	for _, tt := range tests {
		_, err := newPlugin(t, "rate_limiter", tt.config)
		if _, ok := errors.AsType[*plugin.ConfigError](err); !ok || err.Error() != tt.want {
			t.Errorf("%s: got %v\nwant %s", tt.config, err, tt.want)
		}
	}
	mustPlugin(t, "rate_limiter", `{"by_user":null,"by_tenant":"","by_tool":null,"backend":"memory","x-note":1}`)
	mustPlugin(t, "rate_limiter", `{"by_user":" 5 / Second "}`)
}

func TestRateLimiterTakesABrokenPayloadForAnError(t *testing.T) {
	p := mustPlugin(t, "rate_limiter", `{"by_tool":{"t":"1/m"}}`)
	if r, err := p.Invoke(context.Background(), plugin.ToolPreInvoke, json.RawMessage(`{"name":5}`), &plugin.Context{}); err == nil {
		t.Errorf("got %+v", r)
	}
}

// brokenCounters is a store that cannot be reached.
type brokenCounters struct{}

var errNoCounters = errors.New("no store")

func (brokenCounters) take(context.Context, string, rate) (usage, error) {
	return usage{}, errNoCounters
}

func TestRateLimiterFailsWithItsStore(t *testing.T) {
	p := plugin.New(&rateLimiter{user: &rate{1, time.Second}, store: brokenCounters{}})
	for hook, payload := range map[plugin.Hook]string{plugin.ToolPreInvoke: `{"name":"t"}`, plugin.PromptPreFetch: `{"prompt_id":"p"}`} {
		if r, err := p.Invoke(context.Background(), hook, json.RawMessage(payload), &plugin.Context{}); !errors.Is(err, errNoCounters) {
			t.Errorf("%s: got %+v, %v", hook, r, err)
		}
	}
}

func TestCountersAreBoundedAndForgetTheFirstToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemoryCounters(3)
		take := func(name string, r rate) usage {
			u, err := m.take(context.Background(), name, r)
			if err != nil {
				t.Fatal(err)
			}
			return u
		}
		hour, minute := rate{1, time.Hour}, rate{1, time.Minute}
		take("long", hour)
		for i := range 10 {
			if u := take(fmt.Sprint("short", i), minute); !u.allowed {
				t.Fatalf("short%d: refused", i)
			}
			if len(m.windows) > 3 || len(m.ends) != len(m.windows) {
				t.Fatalf("%d windows, %d ends", len(m.windows), len(m.ends))
			}
		}
		if take("long", hour).allowed {
			t.Error("the longest window was forgotten before shorter ones")
		}
		if !take("long", minute).allowed {
			t.Error("another length of window is not another window")
		}
		time.Sleep(2 * time.Hour) //nolint:forbidigo // the bubble's clock
		take("last", minute)
		if len(m.windows) != 1 {
			t.Errorf("%d windows after all but one ended", len(m.windows))
		}
	})
}
