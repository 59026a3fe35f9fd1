package main

import (
	"context"
	"net/http"
	"slices"
)

// customers looks at what a plugin says of the user.
func (st *stage) customers(ctx context.Context) error {
	const try = "http_auth_resolve_user modify"
	k := kinds()[0]
	r, err := st.ask(ctx, st.client, k.call, "X-Do", "Probe:http_auth_resolve_user=modify", "Authorization", "Bearer "+token)
	if err != nil {
		return err
	}
	st.wantRuns(try, r, k.full()...)
	asked := r.of("Probe", "http_auth_check_permission").Payload
	st.want(try, "user_email", dig(asked, "user_email"), `"ada@example.com"`)
	st.want(try, "permission", dig(asked, "permission"), `"tools.execute"`)
	st.want(try, "resource_type", dig(asked, "resource_type"), `"tool"`)
	user := `{"email":"ada@example.com","full_name":null,"is_admin":false,"is_active":true}`
	if st.server.era.era == seed {
		user = `"ada@example.com"` // all that its models take
	}
	for _, run := range []*ran{r.of("Probe", k.pre), r.of("Second", k.post), r.of("Probe", "http_post_request")} {
		st.want(try, "the user of "+run.Hook, dig(run.Context, "global_context", "user"), user)
	}
	r, err = st.ask(ctx, st.client, k.call)
	if err != nil {
		return err
	}
	st.wantRuns("anonymous", r, k.full()...)
	st.want("anonymous", "user_email", dig(r.of("Probe", "http_auth_check_permission").Payload, "user_email"), `""`)
	return nil
}

// permissions asks for what each method needs, and lets it be denied.
func (st *stage) permissions(ctx context.Context) error {
	names := map[string]string{"tools/call": "tools.execute", "prompts/get": "prompts.read", "resources/read": "resources.read"}
	for _, k := range kinds() {
		try := "http_auth_check_permission deny, " + k.call.method
		r, err := st.ask(ctx, st.client, k.call, "X-Do", "Probe:http_auth_check_permission=deny")
		if err != nil {
			return err
		}
		st.wantRuns(try, r, "http_pre_request", "http_auth_resolve_user", "http_auth_check_permission", "http_post_request")
		st.want(try, "permission", dig(r.of("Probe", "http_auth_check_permission").Payload, "permission"), `"`+names[k.call.method]+`"`)
		st.wantStatus(try, r, http.StatusForbidden)
		st.want(try, "the error's message", dig(r.fault, "message"), `"Plugin Violation: not on a Tuesday"`)
		if len(r.asks) > 0 {
			st.faulty(try, "it reached the upstream")
		}
	}
	r, err := st.ask(ctx, st.client, kinds()[0].call, "X-Do", "Probe:http_auth_check_permission=modify")
	if err != nil {
		return err
	}
	st.wantRuns("http_auth_check_permission granted", r, kinds()[0].full()...)
	return nil
}

func (st *stage) wantStatus(try string, r *reply, want int) {
	if r.status != want {
		st.faulty(try, "HTTP %d, want %d: %s%s", r.status, want, r.result, r.fault)
	}
}

// statuses are those of refusals on the HTTP hooks, and headers that are set.
func (st *stage) statuses(ctx context.Context) error {
	k := kinds()[0]
	limit := http.StatusTooManyRequests
	if st.server.era.era == seed {
		limit = http.StatusForbidden // its models have no http_status_code
	}
	// The first era's server runs a hook that fails a second time.
	for _, c := range []struct {
		hook, action string
		status       int
	}{
		{"http_pre_request", "violate", http.StatusForbidden},
		{"http_pre_request", "violate_http", limit},
		{"http_pre_request", "raise", http.StatusServiceUnavailable},
		{"http_auth_resolve_user", "violate", http.StatusUnauthorized},
		{"http_auth_resolve_user", "raise", http.StatusServiceUnavailable},
		{"http_auth_check_permission", "violate", http.StatusForbidden},
		{"http_auth_check_permission", "raise", http.StatusServiceUnavailable},
		{"http_post_request", "violate", http.StatusForbidden},
	} {
		try := c.hook + " " + c.action
		r, err := st.ask(ctx, st.client, k.call, "X-Do", "Probe:"+c.hook+"="+c.action)
		if err != nil {
			return err
		}
		st.wantStatus(try, r, c.status)
		if before := c.hook != "http_post_request"; before && len(r.asks) > 0 {
			st.faulty(try, "it reached the upstream")
		}
		if r.result != nil {
			st.faulty(try, "a result has come through: %s", r.result)
		}
		switch c.status {
		case http.StatusServiceUnavailable:
			if r.header.Get("Retry-After") == "" {
				st.faulty(try, "no Retry-After")
			}
		case http.StatusTooManyRequests:
			if got := r.header.Get("Retry-After") + r.header.Get("X-Plugin"); got != "17no" {
				st.faulty(try, "the violation's headers have become %q", got)
			}
		case http.StatusUnauthorized:
			if r.header.Get("WWW-Authenticate") == "" {
				st.faulty(try, "no WWW-Authenticate")
			}
		}
	}
	r, err := st.ask(ctx, st.client, k.call, "X-Do", "Probe:http_post_request=modify")
	if err != nil {
		return err
	}
	if got := r.header.Get("X-Plugin"); got != "response" || r.header.Get("Content-Type") != "application/json" {
		st.faulty("http_post_request modify", "the answer's headers are %q", r.header)
	}
	return nil
}

// newer looks at what results of today's framework say besides: to call the tool
// again, three times at most, and to set headers of the answer.
func (st *stage) newer(ctx context.Context) error {
	const try = "retry_delay_ms and http_headers"
	k := kinds()[0]
	r, err := st.ask(ctx, st.client, k.call, "X-Do", "Probe:tool_post_invoke=newer")
	if err != nil {
		return err
	}
	full := k.full()
	judged := []string{"tool_post_invoke", "Second tool_post_invoke"}
	want := slices.Clone(full[:slices.Index(full, "tool_post_invoke")])
	want = append(append(want, slices.Repeat(judged, 4)...), "http_post_request")
	st.wantRuns(try, r, want...)
	if len(r.asks) != 4 || r.result == nil {
		st.faulty(try, "the tool was called %d times: %s%s", len(r.asks), r.result, r.fault)
	}
	if r.header.Get("X-Plugin") != "result" || r.header.Get("Content-Length") == "1" {
		st.faulty(try, "the answer's headers are %q", r.header)
	}
	return nil
}
