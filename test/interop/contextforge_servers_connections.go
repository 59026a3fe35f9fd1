package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// crowd makes many requests at once. Each has to get its own answer, the hooks
// run once for each, and connections are kept.
func (st *stage) crowd(ctx context.Context) error {
	const rounds, at = 4, 8
	before, err := st.server.runs(0)
	if err != nil {
		return err
	}
	connections := st.relay.connections()
	failed := make([]error, at)
	var wg sync.WaitGroup
	for i := range failed {
		client, err := dialHTTP(ctx, st.url, modern)
		if err != nil {
			return err
		}
		wg.Go(func() {
			defer func() { _ = client.close() }()
			for n := range rounds {
				text := fmt.Sprintf("client %d, call %d", i, n)
				client.extra = http.Header{"X-Do": {"Probe:tool_post_invoke=modify"}}
				r, err := client.once(ctx, tool("mirror__echo", fmt.Sprintf(`{"text":%q}`, text)))
				if err == nil && words(dig(r.result, "content", 0, "text")) != text+" (seen)" {
					err = fmt.Errorf("%s was answered with %s%s", text, r.result, r.fault)
				}
				if err != nil {
					failed[i] = err
					return
				}
			}
		})
	}
	wg.Wait()
	all, err := st.server.runs(len(before))
	if err = errors.Join(append(failed, err)...); err != nil {
		return err
	}
	if want := rounds * at * len(kinds()[0].full()); len(all) != want {
		st.faulty("crowd", "%d hooks have run for %d calls, want %d", len(all), rounds*at, want)
	}
	// Two plugins, each with at most a connection per call at a time; more only
	// where the server has closed idle ones, as it does after five seconds.
	if opened := st.relay.connections() - connections; opened > len(all)/4 {
		st.faulty("crowd", "%d connections for %d calls of %d clients", opened, rounds*at, at)
	}
	return nil
}

// cut ends the connections while a hook runs and the server stays: a hook that
// is sent again would run again.
func (st *stage) cut(ctx context.Context) error {
	const try = "connections cut while a hook runs"
	before, err := st.server.runs(0)
	if err != nil {
		return err
	}
	if _, err := st.interrupted(ctx, try, st.relay.cut); err != nil {
		return err
	}
	st.client.extra = nil
	next, err := st.client.once(ctx, kinds()[0].call)
	if err != nil {
		return err
	}
	if next.result == nil {
		st.faulty("after connections were cut", "refused: %s", next.fault)
	}
	all, err := st.server.runs(len(before))
	if err != nil {
		return err
	}
	// The last hook of the call may have been cut as well, or come late.
	first, second := &reply{}, &reply{}
	for _, run := range all {
		switch {
		case string(dig(run.Context, "global_context", "request_id")) != string(dig(all[0].Context, "global_context", "request_id")):
			second.runs = append(second.runs, run)
		case run.Hook != "http_post_request":
			first.runs = append(first.runs, run)
		}
	}
	full := kinds()[0].full()
	st.wantRuns(try, first, full[:slices.Index(full, "tool_pre_invoke")+1]...)
	st.wantRuns("after connections were cut", second, full...)
	return nil
}

// forgotten has the server end all sessions behind the gateway's back, on
// connections that stay.
func (st *stage) forgotten(ctx context.Context) error {
	const try = "sessions that the server has ended"
	sessions := st.relay.sessions()
	if (len(sessions) == 0) != (st.server.era.era == alone) { // which is called without
		st.faulty(try, "the sessions are %q", sessions)
	}
	for _, id := range sessions {
		if err := st.endSession(ctx, id); err != nil {
			return err
		}
	}
	for _, k := range kinds() {
		r, err := st.ask(ctx, st.client, k.call)
		if err != nil {
			return err
		}
		st.wantRuns(try, r, k.full()...)
		if r.result == nil {
			st.faulty(try, "refused: %s", r.fault)
		}
	}
	if now := st.relay.sessions(); len(sessions) > 0 && len(now) <= len(sessions) {
		st.faulty(try, "there are no new ones: %q", now)
	}
	return nil
}

func (st *stage) endSession(ctx context.Context, id string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodDelete, st.server.url(st.server.addr()), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Mcp-Session-Id", id)
	r.Header.Set("MCP-Protocol-Version", legacy)
	r.Header.Set("Accept", "application/json, text/event-stream")
	response, err := st.client.client.Do(r)
	if err != nil {
		return err
	}
	// The gateway may have ended it before, for one that it likes better.
	known := response.StatusCode == http.StatusOK || response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusBadRequest
	if err := response.Body.Close(); err != nil || !known {
		return errors.Join(err, fmt.Errorf("ending a session: HTTP %s", response.Status))
	}
	return nil
}
