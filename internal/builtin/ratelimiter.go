package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// rateLimiter refuses prompts and tool calls over so many in a window of time,
// which starts with its first call: for each user, tenant and tool. It counts
// in this process: several replicas together let through a multiple.
type rateLimiter struct {
	user, tenant *rate // nil when unlimited
	tools        map[string]*rate
	store        counterStore
}

var (
	_ plugin.PromptPreFetcher = (*rateLimiter)(nil)
	_ plugin.ToolPreInvoker   = (*rateLimiter)(nil)
)

// rate is so many calls in a window.
type rate struct {
	count  int
	window time.Duration
}

// counterStore counts the calls of each key. It is used by many goroutines.
type counterStore interface {
	// take counts one call under key if its window has room for it, and says
	// how many are left in the window and how long it lasts. A window starts
	// with the first call. An error means that nothing is known.
	take(ctx context.Context, key string, r rate) (usage, error)
}

// usage is the state of a window after a call.
type usage struct {
	allowed   bool
	remaining int
	resetIn   time.Duration // never longer than the window
}

func newRateLimiter(c plugin.Config) (plugin.Plugin, error) {
	s := withForeign(c, []foreign{
		{key: "algorithm", why: "there is only fixed_window, which can let twice the rate through around the end of a window", harmless: []string{`"fixed_window"`}},
		{key: "by_user_per_server", why: "calls are not counted by server: use by_user, by_tenant or by_tool", harmless: []string{"null"}},
		{key: "redis_url"}, {key: "redis_key_prefix"}, {key: "fail_mode"}, // of the backend that is refused below
		{key: "redis_ssl_ca_certs"}, {key: "redis_ssl_certfile"}, {key: "redis_ssl_keyfile"}, {key: "redis_ssl_check_hostname"},
	}, "by_user", "by_tenant", "by_tool", "backend")
	p := &rateLimiter{
		user:   s.rate("by_user"),
		tenant: s.rate("by_tenant"),
		store:  newMemoryCounters(maxCounters),
		tools:  map[string]*rate{},
	}
	switch backend := s.choice("backend", "memory", "memory", "redis"); backend {
	case "redis":
		s.fail("backend", "there are no counters shared through Redis; with memory each process counts for itself")
	default:
	}
	if raw, ok := s.members["by_tool"]; ok && string(raw) != "null" {
		var byTool map[string]json.RawMessage
		s.read("by_tool", "an object of rates", &byTool)
		tools := &settings{path: "by_tool", members: byTool, err: s.err}
		for _, name := range slices.Sorted(maps.Keys(byTool)) {
			p.tools[name] = tools.rate(name)
		}
		s.err = tools.err
	}
	if s.err != nil {
		return nil, s.err
	}
	if p.user == nil && p.tenant == nil && len(p.tools) == 0 {
		c.Logger.Warn("no rates: this plugin lets everything pass")
	}
	return onHooks(plugin.New(p), c.Hooks, plugin.PromptPreFetch, plugin.ToolPreInvoke), nil
}

// rate reads "60/m". Null and empty text, as in the reference, are no limit.
func (s *settings) rate(key string) *rate {
	if string(s.members[key]) == "null" {
		return nil
	}
	v := s.text(key, "")
	if v == "" {
		return nil
	}
	number, unit, ok := strings.Cut(v, "/")
	if !ok {
		s.fail(s.at(key), "%q is no rate such as 60/m", v)
		return nil
	}
	r := &rate{}
	var err error
	if r.count, err = strconv.Atoi(strings.TrimSpace(number)); err != nil || r.count < 1 {
		s.fail(s.at(key), "%q is no rate: before the stroke stands a number from 1 on", v)
	}
	switch strings.ToLower(strings.TrimSpace(unit)) {
	case "s", "sec", "second":
		r.window = time.Second
	case "m", "min", "minute":
		r.window = time.Minute
	case "h", "hr", "hour":
		r.window = time.Hour
	default:
		s.fail(s.at(key), "%q is no rate: its unit is none of s, sec, second, m, min, minute, h, hr, hour", v)
	}
	return r
}

// PromptPreFetch implements [plugin.PromptPreFetcher]. It asks one limit after
// the other: what the user's refuses does not count for the tenant.
func (p *rateLimiter) PromptPreFetch(ctx context.Context, _ *plugin.PromptPre, c *plugin.Context) (*plugin.Result, error) {
	user, tenant := userName(c.GlobalContext.User), tenantName(c)
	okUser, byUser, err := p.take(ctx, "user:"+user, p.user)
	if err != nil {
		return nil, err
	}
	if !okUser {
		return overLimit("User "+user+" rate limit exceeded", byUser), nil
	}
	okTenant, byTenant, err := p.take(ctx, "tenant:"+tenant, p.tenant)
	if err != nil {
		return nil, err
	}
	if !okTenant {
		return overLimit("Tenant "+tenant+" rate limit exceeded", byTenant), nil
	}
	meta := encode(map[string]any{"by_user": byUser, "by_tenant": byTenant})
	return &plugin.Result{Continue: true, Metadata: meta}, nil
}

// ToolPreInvoke implements [plugin.ToolPreInvoker]. It asks all three limits,
// and each counts the call.
func (p *rateLimiter) ToolPreInvoke(ctx context.Context, call *plugin.ToolPre, c *plugin.Context) (*plugin.Result, error) {
	okUser, byUser, err := p.take(ctx, "user:"+userName(c.GlobalContext.User), p.user)
	if err != nil {
		return nil, err
	}
	okTenant, byTenant, err := p.take(ctx, "tenant:"+tenantName(c), p.tenant)
	if err != nil {
		return nil, err
	}
	meta := map[string]any{"by_user": byUser, "by_tenant": byTenant}
	okTool := true
	if name, r, ok := p.toolRate(call.Name, c); ok {
		var byTool map[string]any
		if okTool, byTool, err = p.take(ctx, "tool:"+name, r); err != nil {
			return nil, err
		}
		meta["by_tool"] = byTool
	}
	switch {
	case !okTool:
		return overLimit("Rate limit exceeded for tool "+call.Name, meta), nil
	case !okUser:
		return overLimit("Rate limit exceeded for user", meta), nil
	case !okTenant:
		return overLimit("Rate limit exceeded for tenant", meta), nil
	}
	return &plugin.Result{Continue: true, Metadata: encode(meta)}, nil
}

// toolRate looks the tool up by the name that the client used, and by its
// upstream's own: a prefix must not switch a limit off.
func (p *rateLimiter) toolRate(tool string, c *plugin.Context) (string, *rate, bool) {
	if r, ok := p.tools[tool]; ok {
		return tool, r, true
	}
	var original string
	if ok, err := c.GlobalContext.Metadata.Get("original_name", &original); !ok || err != nil {
		return "", nil, false
	}
	r, ok := p.tools[original]
	return original, r, ok
}

// take counts a call and describes what is left, in the reference's words.
func (p *rateLimiter) take(ctx context.Context, key string, r *rate) (bool, map[string]any, error) {
	if r == nil {
		return true, map[string]any{"limited": false}, nil
	}
	u, err := p.store.take(ctx, key, *r)
	if err != nil {
		return false, nil, fmt.Errorf("count a call: %w", err)
	}
	// Up to the next second: who waits that long finds the window over.
	resetIn := int((u.resetIn + time.Second - 1) / time.Second)
	return u.allowed, map[string]any{"limited": true, "remaining": u.remaining, "reset_in": resetIn}, nil
}

func overLimit(description string, details map[string]any) *plugin.Result {
	return plugin.Refuse(&plugin.Violation{
		Reason:      "Rate limit exceeded",
		Description: description,
		Code:        "RATE_LIMIT",
		Details:     encode(details),
	})
}

func tenantName(c *plugin.Context) string {
	if c.GlobalContext.TenantID == "" {
		return "default"
	}
	return c.GlobalContext.TenantID
}

// userName tells users apart: by their text, by the email of an object, else
// by all of it.
func userName(user json.RawMessage) string {
	var name string
	var object struct {
		Email string `json:"email"`
	}
	switch {
	case json.Unmarshal(user, &name) == nil && name != "":
		return name
	case json.Unmarshal(user, &object) == nil && object.Email != "":
		return object.Email
	case name == "" && (len(user) == 0 || string(user) == "null" || string(user) == `""`):
		return "anonymous"
	default:
		return string(user)
	}
}
