package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
)

// contextForgeServers puts ContextForge's plugin servers under the gateway: with
// a plugin of ours on all hooks.
func (l *lab) contextForgeServers(ctx context.Context, t *table) error {
	if err := l.write("python.yaml", "plugins:\n  - {name: Probe, kind: external}\n  - {name: Other, kind: external}\n"); err != nil {
		return err
	}
	if err := l.certs(ctx, "all", "--config", "python.yaml", "--profile", "modern"); err != nil {
		return err
	}
	const peer = "plugin server"
	for _, era := range l.eras(t, peer) {
		name := era.name() + " " + peer
		for _, over := range era.transports() {
			s, err := l.newPython(ctx, era, over)
			if err != nil {
				return err
			}
			seen, err := s.guard(ctx)
			if err == nil && over == overTLS {
				err = l.suffers(ctx, era, over, seen)
			}
			if err != nil {
				t.fault(name, era.version, over, "", err)
				continue
			}
			t.add(name, era.version, over, seen.revision, seen.text)
		}
	}
	return nil
}

// suffers does harm to another server of the same kind.
func (l *lab) suffers(ctx context.Context, era *contextForge, over string, seen *verdicts) error {
	s, err := l.newPython(ctx, era, over)
	if err != nil {
		return err
	}
	text, err := s.suffer(ctx)
	seen.text += "; " + text
	return err
}

// stage is a server under a gateway, in front of the mirror.
type stage struct {
	server   *pythonServer
	mirror   *mirror
	relay    *relay
	gateway  *process
	url      string
	client   *httpPeer
	failures []error
}

// faulty notes what is wrong with a try.
func (st *stage) faulty(try, format string, args ...any) {
	st.failures = append(st.failures, fmt.Errorf("%s: %w", try, fmt.Errorf(format, args...)))
}

// newStage starts a gateway for a server that is reached at addr, and that need
// not run. more are further keys of each entry.
func (s *pythonServer) newStage(ctx context.Context, addr, more string) (*stage, error) {
	var b strings.Builder
	b.WriteString("plugins:\n")
	names := []string{"Probe", "Second", "Third"}
	if s.over == overStdio {
		names = names[:2] // each is a process of its own
	}
	for _, name := range names {
		b.WriteString(s.entry(name, addr, more))
	}
	file := strings.TrimSuffix(s.file, ".yaml") + "-client.yaml"
	if err := s.lab.write(relative(s.lab.dir, file), b.String()); err != nil {
		return nil, err
	}
	m, err := newMirror(ctx)
	if err != nil {
		return nil, err
	}
	st := &stage{server: s, mirror: m}
	head := unguarded + "naming: {prefix: always}\nplugins_file: " + file + "\n"
	st.gateway, st.url, err = s.lab.gateway(ctx, head, upstream{Name: "mirror", URL: m.url})
	if err == nil {
		st.client, err = dialHTTP(ctx, st.url, modern)
	}
	if err != nil {
		return nil, errors.Join(err, st.close())
	}
	return st, nil
}

func relative(dir, path string) string { return strings.TrimPrefix(path, dir+"/") }

func (st *stage) close() (err error) {
	if st.client != nil {
		err = st.client.close()
	}
	if st.gateway != nil {
		err = errors.Join(err, st.server.lab.end(st.gateway))
	}
	return errors.Join(err, st.mirror.close())
}

// reply is what a client of the gateway got, and what happened behind it.
type reply struct {
	status        int
	header        http.Header
	result, fault json.RawMessage
	runs          []ran
	asks          []asked // that reached the upstream
}

// hooks are the hooks that ran, with the plugin's name where it is not Probe.
func (r *reply) hooks() []string {
	var all []string
	for _, run := range r.runs {
		name := run.Hook
		if run.Plugin != "Probe" {
			name = run.Plugin + " " + name
		}
		all = append(all, name)
	}
	return all
}

// of is the run of a hook.
func (r *reply) of(plugin, hook string) *ran {
	for i := range r.runs {
		if r.runs[i].Plugin == plugin && r.runs[i].Hook == hook {
			return &r.runs[i]
		}
	}
	return &ran{}
}

// ask makes one request with these headers. It is for one request at a time.
func (st *stage) ask(ctx context.Context, client *httpPeer, c call, header ...string) (*reply, error) {
	before, err := st.server.runs(0)
	if err != nil {
		return nil, err
	}
	asks := len(st.mirror.since(0))
	client.extra = http.Header{}
	for pair := range slices.Chunk(header, 2) {
		client.extra.Set(pair[0], pair[1])
	}
	r, err := client.once(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", c.method, c.params, err)
	}
	r.asks = st.mirror.since(asks)
	r.runs, err = st.server.runs(len(before))
	return r, err
}

// once makes one request and takes any answer.
func (p *httpPeer) once(ctx context.Context, c call) (*reply, error) {
	p.id++
	response, err := p.post(ctx, request(p.id, c, p.revision), c)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	r, a := &reply{status: response.StatusCode, header: response.Header}, &answer{}
	if media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); media == "text/event-stream" {
		err = a.stream(response.Body, p.id)
	} else {
		var body []byte
		if body, err = io.ReadAll(response.Body); err == nil {
			_, err = a.take(body, p.id)
		}
	}
	r.result, r.fault = a.result, a.fault
	return r, err
}

// want compares JSON with what is expected.
func (st *stage) want(try, what string, got json.RawMessage, want string) {
	if !sameValue(got, []byte(want)) {
		st.faulty(try, "%s\n want: %s\n got:  %s", what, want, got)
	}
}

// wantRuns compares the runs of hooks, in their order.
func (st *stage) wantRuns(try string, r *reply, want ...string) {
	if got := r.hooks(); !slices.Equal(got, want) {
		st.faulty(try, "these hooks have run\n want: %s\n got:  %s", strings.Join(want, ", "), strings.Join(got, ", "))
	}
}
