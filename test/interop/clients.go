package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// task is what every client does through the gateway, beside listing all.
type task struct {
	URL    string `json:"url"`
	Calls  []ask  `json:"calls"`
	Prompt ask    `json:"prompt"`
	URI    string `json:"uri"`
}

type ask struct {
	Name      string            `json:"name"`
	Arguments map[string]string `json:"arguments"`
}

// report is what a client saw.
type report struct {
	Protocol  string   `json:"protocol"` // that was agreed on, if the client says
	Tools     []string `json:"tools"`
	Prompts   []string `json:"prompts"`
	Resources []string `json:"resources"`
	Templates []string `json:"templates"`
	Calls     []string `json:"calls"`
	Prompt    string   `json:"prompt"`
	Resource  string   `json:"resource"`
}

// client is one way of using one SDK.
type client struct {
	name, version string
	revision      string // that has to be agreed on
	missing       string // why it cannot be tried
	run           func(context.Context, task) (*report, error)
}

// clients puts the official clients in front of a gateway with three upstreams:
// npm's server over stdio and over HTTP, which speak 2025-11-25, and the server
// of examples/notes, which speaks 2026-07-28. So each client meets both eras.
func (l *lab) clients(ctx context.Context, t *table) error {
	upstreams, err := l.upstreams(ctx)
	if err != nil {
		return err
	}
	gateway, url, err := l.gateway(ctx, guarded, upstreams...)
	if err != nil {
		return err
	}
	todo, want, err := l.expected(ctx, url, upstreams)
	if err != nil {
		return fmt.Errorf("what clients have to see: %w\n%s", err, gateway.complaints())
	}
	for _, c := range l.everyClient() {
		if c.missing != "" {
			t.skip(c.name, c.version, c.missing)
			continue
		}
		got, err := tapped(ctx, c, url, todo)
		if err == nil {
			err = compareReports(want, got, c.revision)
		}
		if err != nil {
			t.fault(c.name, c.version, "HTTP", c.revision, err)
			continue
		}
		t.add(c.name, c.version, "HTTP", c.revision, fmt.Sprintf("%d tools, %d prompts, %d resources, %d templates; %d calls, a prompt, a resource as expected",
			len(got.Tools), len(got.Prompts), len(got.Resources), len(got.Templates), len(got.Calls)))
	}
	return nil
}

// tapped runs a client and checks the revision that it speaks on the wire.
func tapped(ctx context.Context, c client, url string, todo task) (_ *report, err error) {
	t, err := newTap(ctx, url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	todo.URL = t.url
	got, err := c.run(ctx, todo)
	if err != nil {
		return nil, err
	}
	if spoken := t.spoken(); !slices.Equal(spoken, []string{c.revision}) {
		return nil, fmt.Errorf("spoke %q", spoken)
	}
	return got, nil
}

func (l *lab) upstreams(ctx context.Context) ([]upstream, error) {
	notes, err := l.notes(ctx)
	if err != nil {
		return nil, err
	}
	if l.tools.noNPM != "" {
		// Something has to be there under the names that clients will call.
		second := notes
		second.Name = "http"
		return []upstream{notes, second}, nil
	}
	over, err := l.everythingHTTP(ctx)
	return []upstream{l.everythingStdio(), over, notes}, err
}

// expected finds what every client has to see: the lists by a bare request, the
// rest from what is known of the servers and the plugin.
func (l *lab) expected(ctx context.Context, url string, upstreams []upstream) (task, *report, error) {
	todo := task{URL: url}
	want := &report{}
	for _, u := range upstreams {
		if u.Name == "notes" || l.tools.noNPM != "" {
			todo.Calls = append(todo.Calls, ask{u.Name + "__write", map[string]string{"text": word}})
			want.Calls = append(want.Calls, ": "+replacement)
			continue
		}
		todo.Calls = append(todo.Calls, ask{u.Name + "__echo", map[string]string{"message": "oh " + word + " 😀"}})
		want.Calls = append(want.Calls, "Echo: oh "+replacement+" 😀")
	}
	if l.tools.noNPM != "" {
		todo.Prompt, want.Prompt = ask{"notes__summarize", map[string]string{"style": word}}, "Summarize these notes, "+replacement
		todo.URI, want.Resource = "notes://all", replacement
	} else {
		todo.Prompt, want.Prompt = ask{"stdio__args-prompt", map[string]string{"city": word}}, "What's weather in "+replacement+"?"
		todo.URI, want.Resource = "demo://resource/static/document/features.md", "# Everything Server - Features"
	}
	p, err := dialHTTP(ctx, url, modern)
	if err != nil {
		return todo, nil, err
	}
	for _, list := range []struct {
		method, member, key string
		names               *[]string
	}{
		{"tools/list", "tools", "name", &want.Tools}, {"prompts/list", "prompts", "name", &want.Prompts},
		{"resources/list", "resources", "uri", &want.Resources}, {"resources/templates/list", "resourceTemplates", "uriTemplate", &want.Templates},
	} {
		a, err := p.do(ctx, call{method: list.method, params: "{}"})
		if err != nil {
			return todo, nil, err
		}
		if *list.names, err = names(a.result, list.member, list.key); err != nil {
			return todo, nil, fmt.Errorf("%s: %w: %s", list.method, err, a.fault)
		}
		if len(*list.names) == 0 && l.tools.noNPM == "" {
			return todo, nil, fmt.Errorf("%s: the list is empty", list.method)
		}
	}
	return todo, want, p.close()
}

// names takes one member of each item of a list.
func names(result json.RawMessage, member, key string) ([]string, error) {
	var lists map[string]json.RawMessage
	if err := json.Unmarshal(result, &lists); err != nil {
		return nil, err
	}
	var items []map[string]json.RawMessage
	if err := json.Unmarshal(lists[member], &items); err != nil {
		return nil, err
	}
	all := make([]string, len(items))
	for i, item := range items {
		if err := json.Unmarshal(item[key], &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func compareReports(want, got *report, revision string) error {
	var faults []error
	if got.Protocol != "" && got.Protocol != revision {
		faults = append(faults, fmt.Errorf("agreed on revision %q", got.Protocol))
	}
	for _, list := range []struct {
		what      string
		want, got []string
	}{
		{"tools", want.Tools, got.Tools}, {"prompts", want.Prompts, got.Prompts},
		{"resources", want.Resources, got.Resources}, {"templates", want.Templates, got.Templates},
	} {
		if !slices.Equal(list.want, list.got) {
			faults = append(faults, fmt.Errorf("%s\n want: %q\n got:  %q", list.what, list.want, list.got))
		}
	}
	// A note is answered with its number, which depends on who came before.
	if len(got.Calls) != len(want.Calls) || !slices.EqualFunc(want.Calls, got.Calls, func(want, got string) bool { return strings.HasSuffix(got, want) }) {
		faults = append(faults, fmt.Errorf("calls\n want: %q\n got:  %q", want.Calls, got.Calls))
	}
	if !strings.HasPrefix(got.Prompt, want.Prompt) {
		faults = append(faults, fmt.Errorf("prompt\n want: %q\n got:  %q", want.Prompt, got.Prompt))
	}
	if !strings.HasPrefix(got.Resource, want.Resource) {
		faults = append(faults, fmt.Errorf("resource\n want: %q…\n got:  %s", want.Resource, clip([]byte(got.Resource))))
	}
	return errors.Join(faults...)
}

// everyClient lists the clients and the ways in which they are used.
func (l *lab) everyClient() []client {
	npm := pinnedNPM()
	all := []client{
		{name: "Go SDK", version: goSDKVersion(), revision: modern, run: goSDK(modern)},
		{name: "Go SDK", version: goSDKVersion(), revision: legacy, run: goSDK(legacy)},
	}
	for _, c := range []struct{ version, script, mode, revision string }{
		{pythonNew, "python_new.py", "auto", modern}, {pythonNew, "python_new.py", "legacy", legacy}, {pythonOld, "python_old.py", "", legacy},
	} {
		all = append(all, client{
			name: strings.TrimSpace("Python SDK " + c.mode), version: c.version, revision: c.revision, missing: l.tools.noPython[c.version],
			run: func(ctx context.Context, todo task) (*report, error) {
				return l.script(ctx, todo, l.tools.python[c.version], l.tools.script(c.script), c.mode)
			},
		})
	}
	for _, c := range []struct{ pkg, mode, revision string }{{npmClient, "auto", modern}, {npmClient, "legacy", legacy}, {npmSDK, "", legacy}} {
		all = append(all, client{
			name: strings.TrimSpace(c.pkg + " " + c.mode), version: npm[c.pkg], revision: c.revision, missing: l.tools.noNPM,
			run: func(ctx context.Context, todo task) (*report, error) {
				return l.script(ctx, todo, l.tools.node(), l.tools.script("typescript.mjs"), c.pkg, c.mode)
			},
		})
	}
	for _, c := range []struct{ mode, revision string }{{"legacy", legacy}, {"auto", modern}, {"modern", modern}} {
		all = append(all, client{
			name: "MCP Inspector --cli " + c.mode, version: npm[npmInspector], revision: c.revision, missing: l.tools.noNPM,
			run: func(ctx context.Context, todo task) (*report, error) { return l.inspector(ctx, todo, c.mode) },
		})
	}
	return all
}

// script runs one of scripts/, which prints a report.
func (l *lab) script(ctx context.Context, todo task, command ...string) (*report, error) {
	text, err := json.Marshal(todo)
	if err != nil {
		return nil, err
	}
	got := &report{}
	return got, output(l.command(ctx, command[0], append(command[1:], string(text))...), got)
}

// output runs a command that prints JSON.
func output(cmd *exec.Cmd, into any) error {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s%s", err, &stdout, &stderr)
	}
	if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
		return fmt.Errorf("its output: %w\n%s%s", err, &stdout, &stderr)
	}
	return nil
}
