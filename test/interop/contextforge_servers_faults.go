package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// What plugins of the tools' hooks alone are, and in a hurry.
const (
	toolsOnly = "    hooks: [tool_pre_invoke, tool_post_invoke]\n"
	hurried   = toolsOnly + "    timeout: 3\n"
)

// faults is what can happen to a server while a gateway counts on it. No call
// may get past it, and no hook may run twice.
type faults struct {
	server     *pythonServer
	all, tools *stage // with all hooks, and those of the tools alone
}

// suffer starts gateways before the server, and then does it all kinds of harm.
func (s *pythonServer) suffer(ctx context.Context) (_ string, err error) {
	defer func() { err = errors.Join(err, s.kill()) }()
	all, err := s.newStage(ctx, s.addr(), "")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, all.close()) }()
	tools, err := s.newStage(ctx, s.addr(), toolsOnly)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, tools.close()) }()
	f := &faults{server: s, all: all, tools: tools}
	for _, step := range []func(context.Context) error{f.late, f.restarted, f.hung, f.killed, f.otherCertificate, f.noClientAuth} {
		if err := step(ctx); err != nil {
			all.failures = append(all.failures, err)
			break // the next one would find another server than it counts on
		}
	}
	if failures := append(all.failures, tools.failures...); len(failures) > 0 {
		return "", fmt.Errorf("%w\nthe gateways complain:\n%s%s", errors.Join(failures...), all.gateway.complaints(), tools.gateway.complaints())
	}
	return "up later than the gateway, restarted, hung, killed, with another plugin's certificate, without client authentication", nil
}

var toolRuns = []string{"tool_pre_invoke", "Second tool_pre_invoke", "tool_post_invoke", "Second tool_post_invoke"}

// passes makes a call that has to get through, judged by all plugins.
func (f *faults) passes(ctx context.Context, try string) error {
	for _, st := range []*stage{f.tools, f.all} {
		r, err := st.ask(ctx, st.client, kinds()[0].call)
		if err != nil {
			return err
		}
		want := toolRuns
		if st == f.all {
			want = kinds()[0].full()
		}
		st.wantRuns(try, r, want...)
		st.wantAsked(try, r, kinds()[0].asked)
		if r.result == nil {
			return fmt.Errorf("%s: refused: %s\n%s", try, r.fault, st.gateway.complaints())
		}
	}
	return nil
}

// refuses makes a call that must not get through.
func (f *faults) refuses(ctx context.Context, try, cause string) error {
	for _, st := range []*stage{f.tools, f.all} {
		r, err := st.ask(ctx, st.client, kinds()[0].call)
		if err != nil {
			return err
		}
		st.wantRuns(try, r)
		st.failedClosed(try, r, cause)
		if st == f.all {
			st.wantStatus(try, r, http.StatusServiceUnavailable)
			if r.header.Get("Retry-After") == "" {
				st.faulty(try, "no Retry-After")
			}
		}
	}
	return nil
}

// failedClosed looks at the refusal where a plugin gave no answer.
func (st *stage) failedClosed(try string, r *reply, cause string) {
	if len(r.asks) > 0 || r.result != nil {
		st.faulty(try, "it got past the plugin: %s", r.result)
	}
	st.want(try, "code", dig(r.fault, "code"), "-32603")
	st.want(try, "cause", dig(r.fault, "data", "cause"), `"`+cause+`"`)
	if text := words(dig(r.fault, "message")); !strings.HasPrefix(text, "Plugin Error: Probe: "+cause+" (request ") {
		st.faulty(try, "the client is told %q", text)
	}
}

// late is a server that comes up after the gateway.
func (f *faults) late(ctx context.Context) error {
	const try = "before the server is up"
	// A client's first words wait for no plugin.
	client, err := dialHTTP(ctx, f.all.url, legacy)
	if err != nil {
		return err
	}
	if err := errors.Join(client.close(), f.refuses(ctx, try, "unreachable")); err != nil {
		return err
	}
	if err := f.server.start(ctx); err != nil {
		return err
	}
	return f.passes(ctx, "now that the server is up")
}

// restarted is a server that has forgotten all sessions, and has been away.
func (f *faults) restarted(ctx context.Context) error {
	if err := f.server.kill(); err != nil {
		return err
	}
	if err := f.refuses(ctx, "while the server is down", "unreachable"); err != nil {
		return err
	}
	if err := f.server.start(ctx); err != nil {
		return err
	}
	before, err := f.server.runs(0)
	if err != nil {
		return err
	}
	const clients = 8
	failed := make([]error, clients)
	var wg sync.WaitGroup
	for i := range failed {
		client, err := dialHTTP(ctx, f.tools.url, modern)
		if err != nil {
			return err
		}
		wg.Go(func() {
			r, err := client.once(ctx, kinds()[0].call)
			if err == nil && r.result == nil {
				err = fmt.Errorf("after a restart: refused: %s", r.fault)
			}
			failed[i] = errors.Join(err, client.close())
		})
	}
	wg.Wait()
	all, err := f.server.runs(len(before))
	if err := errors.Join(append(failed, err)...); err != nil {
		return err
	}
	if want := clients * len(toolRuns); len(all) != want {
		f.tools.faulty("after a restart", "%d hooks have run for %d calls, want %d", len(all), clients, want)
	}
	return f.passes(ctx, "after a restart")
}

// hung is a plugin that does not answer in its time. The others go on.
func (f *faults) hung(ctx context.Context) (err error) {
	st, err := f.server.newStage(ctx, f.server.addr(), hurried)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	r, err := st.ask(ctx, st.client, kinds()[0].call, "X-Do", "Probe:tool_pre_invoke=hang")
	if err != nil {
		return err
	}
	const try = "a plugin that hangs"
	st.wantRuns(try, r, "tool_pre_invoke")
	st.failedClosed(try, r, "timeout")
	if len(st.failures) > 0 {
		return errors.Join(st.failures...)
	}
	return f.passes(ctx, "while another call hangs")
}

// killed is a server that goes while a hook runs: that call is refused and its
// hook never sent again.
func (f *faults) killed(ctx context.Context) error {
	const try = "killed while a hook runs"
	before, err := f.server.runs(0)
	if err != nil {
		return err
	}
	r, err := f.tools.interrupted(ctx, try, f.server.kill)
	if err != nil {
		return err
	}
	if err := f.server.start(ctx); err != nil {
		return err
	}
	if r.runs, err = f.server.runs(len(before)); err != nil {
		return err
	}
	f.tools.wantRuns(try, r, "tool_pre_invoke")
	return f.passes(ctx, "after a crash")
}

// interrupted does something while a hook runs. That call has to be refused.
func (st *stage) interrupted(ctx context.Context, try string, interrupt func() error) (*reply, error) {
	before, err := st.server.runs(0)
	if err != nil {
		return nil, err
	}
	asks := len(st.mirror.since(0))
	client, err := dialHTTP(ctx, st.url, modern)
	if err != nil {
		return nil, err
	}
	client.extra = http.Header{"X-Do": {"Probe:tool_pre_invoke=hang"}}
	var r *reply
	done := make(chan error, 1)
	go func() {
		var err error
		r, err = client.once(ctx, kinds()[0].call)
		done <- errors.Join(err, client.close())
	}()
	err = st.server.await(ctx, len(before), "tool_pre_invoke")
	if err = errors.Join(err, interrupt(), <-done); err != nil {
		return nil, err
	}
	r.asks = st.mirror.since(asks)
	st.failedClosed(try, r, "unreachable")
	return r, nil
}

// otherCertificate is a server in the place of ours that has another plugin's
// certificate, made by the same CA.
func (f *faults) otherCertificate(ctx context.Context) error {
	if err := f.server.kill(); err != nil {
		return err
	}
	f.server.owner = "Other"
	defer func() { f.server.owner = "Probe" }()
	if err := f.server.start(ctx); err != nil {
		return err
	}
	return f.refuses(ctx, "another plugin's certificate", "identity")
}

// noClientAuth is the right server, which lets in anybody: that is its own
// affair.
func (f *faults) noClientAuth(ctx context.Context) error {
	if err := f.server.kill(); err != nil {
		return err
	}
	f.server.reqs = 0
	if err := f.server.start(ctx); err != nil {
		return err
	}
	return f.passes(ctx, "no client authentication")
}
