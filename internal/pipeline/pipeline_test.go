package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/report"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// fake is a plugin made of one function.
type fake func(ctx context.Context, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error)

func (fake) Hooks() []plugin.Hook { return plugin.Hooks() }

func (f fake) Invoke(ctx context.Context, _ plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	return f(ctx, payload, c)
}

func pass(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
	return plugin.Continue(), nil
}

func change(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
	return plugin.Modified(json.RawMessage(`{"name":"t","args":{"a":"changed"}}`))
}

func refuse(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
	return plugin.Refuse(&plugin.Violation{Code: "no", Description: "not this"}), nil
}

var errBoom = errors.New("boom")

func fail(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
	return nil, errBoom
}

func hang(ctx context.Context, _ json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

const payload = `{"name":"t","args":{"a":"was"}}`
const changed = `{"name":"t","args":{"a":"changed"}}`

func mustNew(t *testing.T, o *Options, entries ...Entry) *Pipeline {
	t.Helper()
	for i := range entries {
		if entries[i].Name == "" {
			entries[i].Name = "P" + string(rune('1'+i))
		}
	}
	p, err := New(entries, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestModes: each mode × what the plugin does.
func TestModes(t *testing.T) {
	behaviours := map[string]fake{"pass": pass, "change": change, "refuse": refuse, "fail": fail, "hang": hang}
	for mode, want := range map[Mode]map[string]string{
		Enforce:            {"pass": "pass " + payload, "change": "changed " + changed, "refuse": "refused", "fail": "failed", "hang": "failed"},
		"":                 {"pass": "pass " + payload, "change": "changed " + changed, "refuse": "refused", "fail": "failed", "hang": "failed"},
		EnforceIgnoreError: {"pass": "pass " + payload, "change": "changed " + changed, "refuse": "refused", "fail": "failed, ignored " + payload, "hang": "failed, ignored " + payload},
		Permissive:         {"pass": "pass " + payload, "change": "changed " + changed, "refuse": "would refuse " + payload, "fail": "failed, ignored " + payload, "hang": "failed, ignored " + payload},
		Audit:              {"pass": "pass " + payload, "change": "would change " + payload, "refuse": "would refuse " + payload, "fail": "failed, ignored " + payload, "hang": "failed, ignored " + payload},
		Disabled:           {"pass": payload, "change": payload, "refuse": payload, "fail": payload, "hang": payload},
	} {
		for name, behaviour := range behaviours {
			t.Run(string(mode)+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := mustNew(t, nil, Entry{Plugin: behaviour, Mode: mode})
					out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{})
					if got := describe(out); got != want[name] {
						t.Errorf("got %q, want %q", got, want[name])
					}
				})
			})
		}
	}
}

// describe puts an outcome into words.
func describe(out *Outcome) string {
	var words []string
	for _, v := range out.Verdicts {
		words = append(words, v.Said)
	}
	if out.Refusal == nil {
		words = append(words, string(out.Payload))
	}
	return strings.Join(words, " ")
}

func TestFailOnPluginErrorRefusesInEveryMode(t *testing.T) {
	for _, mode := range []Mode{Enforce, EnforceIgnoreError, Permissive, Audit} {
		p := mustNew(t, &Options{FailOnPluginError: true}, Entry{Plugin: fake(fail), Mode: mode})
		out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{})
		if out.Refusal == nil || !errors.Is(out.Refusal.Err, errBoom) {
			t.Errorf("%s: refusal = %+v, want boom", mode, out.Refusal)
		}
	}
}

func TestTimeoutIsTheEntrysElseTheOptions(t *testing.T) {
	for _, test := range []struct {
		entry, options, want time.Duration
	}{
		{0, 0, 30 * time.Second},
		{0, 7 * time.Second, 7 * time.Second},
		{2 * time.Second, 7 * time.Second, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := mustNew(t, &Options{Timeout: test.options}, Entry{Plugin: fake(hang), Timeout: test.entry})
			start := time.Now()
			out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{})
			if took := time.Since(start); took != test.want {
				t.Errorf("took %s, want %s", took, test.want)
			}
			if out.Refusal == nil || !errors.Is(out.Refusal.Err, context.DeadlineExceeded) {
				t.Errorf("refusal = %+v, want a deadline", out.Refusal)
			}
		})
	}
}

// appends returns a plugin that appends a letter to args.a.
func appends(letter string) fake {
	return func(_ context.Context, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		var p struct {
			Name string            `json:"name"`
			Args map[string]string `json:"args"`
		}
		if err := json.Unmarshal(payload, &p); err != nil {
			return nil, err
		}
		p.Args["a"] += letter
		return plugin.Modified(p)
	}
}

func TestOrderIsByPriorityAndFileAndEachSeesTheMergedPayload(t *testing.T) {
	p := mustNew(t, nil,
		Entry{Plugin: appends("c"), Priority: 100},
		Entry{Plugin: appends("d"), Priority: 100},
		Entry{Plugin: appends("a"), Priority: 1},
		Entry{Plugin: appends("b"), Priority: 50},
	)
	out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{"name":"t","args":{"a":""}}`), &Request{})
	if got := string(out.Payload); got != `{"name":"t","args":{"a":"abcd"}}` {
		t.Errorf("payload = %s", got)
	}
}

func TestNothingRunsAfterARefusal(t *testing.T) {
	p := mustNew(t, nil, Entry{Plugin: fake(refuse)}, Entry{Plugin: fake(func(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		t.Error("the second plugin ran")
		return plugin.Continue(), nil
	})})
	out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{})
	if out.Refusal == nil || out.Refusal.Plugin != "P1" || out.Refusal.Violation.Code != "no" {
		t.Errorf("refusal = %+v", out.Refusal)
	}
}

func TestWhatAPluginMayNotAnswerIsItsFailure(t *testing.T) {
	for name, test := range map[string]struct {
		behaviour fake
		want      string
	}{
		"no result": {func(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) { return nil, nil }, "the plugin gave no result"},
		"a panic":   {func(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) { panic("secret") }, "the plugin panicked"},
		"garbage": {func(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return &plugin.Result{Continue: true, ModifiedPayload: []byte("{")}, nil
		}, "modified_payload: jsontext: unexpected EOF"},
		"metadata no object": {func(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return &plugin.Result{Continue: true, Metadata: []byte("[]")}, nil
		}, "metadata is not an object"},
	} {
		t.Run(name, func(t *testing.T) {
			out := mustNew(t, nil, Entry{Plugin: test.behaviour}).Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{})
			if out.Refusal == nil || out.Refusal.Err == nil || !strings.Contains(out.Refusal.Err.Error(), test.want) {
				t.Errorf("refusal = %+v, want %q", out.Refusal, test.want)
			}
			if out.Refusal != nil && out.Refusal.Err != nil && strings.Contains(out.Refusal.Err.Error(), "secret") {
				t.Error("the panic's text is in the error")
			}
		})
	}
}

func TestOversizedPayloadIsRefusedBeforeAnyPluginRuns(t *testing.T) {
	p := mustNew(t, &Options{MaxPayloadBytes: 10}, Entry{Plugin: fake(func(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		t.Error("the plugin ran")
		return plugin.Continue(), nil
	})})
	out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{})
	if out.Refusal == nil || out.Refusal.Err.Error() != "the payload has 31 bytes, over max_payload_bytes 10" {
		t.Errorf("refusal = %+v", out.Refusal)
	}
}

func TestAPluginThatIsNotKnownCounts(t *testing.T) {
	for _, test := range []struct {
		name  string
		entry Entry
		want  string
	}{
		{"on every hook when its entry lists none", Entry{Plugin: learned{pass, nil, errBoom}}, "failed"},
		{"on those its entry lists", Entry{Plugin: learned{pass, nil, errBoom}, Hooks: []plugin.Hook{plugin.ToolPreInvoke}}, "failed"},
		{"not on others", Entry{Plugin: learned{pass, nil, errBoom}, Hooks: []plugin.Hook{plugin.PromptPreFetch}}, payload},
		{"by its mode", Entry{Plugin: learned{pass, nil, errBoom}, Mode: Permissive}, "failed, ignored " + payload},
		{"once known, on what its peer reports", Entry{Plugin: learned{refuse, []plugin.Hook{plugin.PromptPreFetch}, nil}}, payload},
		{"disabled, not at all", Entry{Plugin: learned{pass, nil, errBoom}, Mode: Disabled}, payload},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := mustNew(t, nil, test.entry).Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{})
			if got := describe(out); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestContextIsKeptFromHookToHook(t *testing.T) {
	counts := func(_ context.Context, _ json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
		var n, shared int
		if _, err := c.State.Get("n", &n); err != nil {
			return nil, err
		}
		if _, err := c.GlobalContext.State.Get("shared", &shared); err != nil {
			return nil, err
		}
		c.GlobalContext.Metadata["leak"] = json.RawMessage(`1`)
		delete(c.GlobalContext.State, "host")
		r := plugin.Continue()
		r.Metadata, _ = json.Marshal(map[string]int{"seen": n, "shared": shared})
		return r, errors.Join(c.State.Set("n", n+1), c.GlobalContext.State.Set("shared", shared+1))
	}
	p := mustNew(t, nil, Entry{Name: "A", Plugin: fake(counts)}, Entry{Name: "B", Plugin: fake(counts)})
	req := &Request{Global: plugin.GlobalContext{State: plugin.Object{"host": json.RawMessage(`1`)}}}
	p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), req)
	out := p.Run(t.Context(), plugin.ToolPostInvoke, json.RawMessage(`{"name":"t","result":{}}`), req)

	want := plugin.Object{"seen": json.RawMessage(`1`), "shared": json.RawMessage(`3`)}
	if diff := cmp.Diff(want, out.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if _, leaked := req.Global.Metadata["leak"]; leaked {
		t.Error("global metadata is not read-only")
	}
	if _, ok := req.Global.State["host"]; !ok {
		t.Error("a plugin deleted shared state")
	}
}

func TestSecretHeadersAreWithheldAndPutBack(t *testing.T) {
	const given = `{"name":"t","headers":{"Authorization":"Bearer x","X-Team":"blue","x-mine":"s"}}`
	var saw string
	look := func(_ context.Context, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		saw = string(payload)
		return plugin.Modified(json.RawMessage(`{"name":"t","headers":{"X-Team":"red","authorization":"mine","X-New":"1"}}`))
	}
	p := mustNew(t, &Options{SecretHeaders: []string{"X-Mine"}}, Entry{Plugin: fake(look)})
	out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), &Request{})
	if want := `{"name":"t","headers":{"X-Team":"blue"}}`; saw != want {
		t.Errorf("the plugin saw %s, want %s", saw, want)
	}
	if want := `{"name":"t","headers":{"Authorization":"Bearer x","X-Team":"red","x-mine":"s","X-New":"1"}}`; string(out.Payload) != want {
		t.Errorf("payload = %s, want %s", out.Payload, want)
	}

	p = mustNew(t, nil, Entry{Plugin: fake(look), ExposeHeaders: []string{"authorization"}})
	p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), &Request{})
	if saw != given {
		t.Errorf("with expose_headers the plugin saw %s", saw)
	}
}

func TestConditions(t *testing.T) {
	user := func(s string) *Request { return &Request{Global: plugin.GlobalContext{User: json.RawMessage(s)}} }
	for _, test := range []struct {
		name       string
		hook       plugin.Hook
		conditions []Condition
		req        *Request
		want       bool
	}{
		{"none: always", plugin.ToolPreInvoke, nil, &Request{}, true},
		{"the tool's name", plugin.ToolPreInvoke, []Condition{{Tools: []string{"t"}}}, &Request{}, true},
		{"another tool's name", plugin.ToolPreInvoke, []Condition{{Tools: []string{"u"}}}, &Request{}, false},
		{"the upstream's own name", plugin.ToolPreInvoke, []Condition{{Tools: []string{"plain"}}}, &Request{OriginalName: "plain"}, true},
		{"a pattern", plugin.ToolPreInvoke, []Condition{{Tools: []string{"pl*n"}}}, &Request{OriginalName: "plain"}, true},
		{"any of several", plugin.ToolPreInvoke, []Condition{{Tools: []string{"u"}}, {Tools: []string{"t"}}}, &Request{}, true},
		{"all of one", plugin.ToolPreInvoke, []Condition{{Tools: []string{"t"}, ServerIDs: []string{"s"}}}, &Request{Global: plugin.GlobalContext{ServerID: "x"}}, false},
		{"tools on a prompt hook cannot be evaluated", plugin.PromptPreFetch, []Condition{{Tools: []string{"u"}}}, &Request{}, true},
		{"an unknown tenant", plugin.ToolPreInvoke, []Condition{{TenantIDs: []string{"x"}}}, &Request{}, true},
		{"an anonymous user", plugin.ToolPreInvoke, []Condition{{UserPatterns: []string{"alice"}}}, &Request{}, true},
		{"part of a user's name", plugin.ToolPreInvoke, []Condition{{UserPatterns: []string{"alice"}}}, user(`"alice@x"`), true},
		{"another user", plugin.ToolPreInvoke, []Condition{{UserPatterns: []string{"alice"}}}, user(`"bob"`), false},
		{"a user object", plugin.ToolPreInvoke, []Condition{{UserPatterns: []string{"*@x"}}}, user(`{"email":"bob@x"}`), true},
		{"a resource pattern over slashes", plugin.ResourcePreFetch, []Condition{{Resources: []string{"file://*.txt"}}}, &Request{}, true},
		{"a media type", plugin.ResourcePostFetch, []Condition{{ContentTypes: []string{"text/plain"}}}, &Request{}, true},
		{"another media type", plugin.ResourcePostFetch, []Condition{{ContentTypes: []string{"image/png"}}}, &Request{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			payload := `{"name":"t","prompt_id":"p","uri":"file:///a/b.txt","content":{"mimeType":"text/plain; charset=utf-8"}}`
			s := newSubject(test.hook, json.RawMessage(payload))
			if got := s.concerns(&Entry{Conditions: test.conditions}, test.req); got != test.want {
				t.Errorf("concerns = %v, want %v", got, test.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for want, entries := range map[string][]Entry{
		`plugin A: the name stands twice`:             {{Name: "A", Plugin: fake(pass)}, {Name: "A", Plugin: fake(pass)}},
		`plugin A: mode "enforced" is not known here`: {{Name: "A", Plugin: fake(pass), Mode: "enforced"}},
	} {
		if _, err := New(entries, nil); err == nil || err.Error() != want {
			t.Errorf("err = %v, want %s", err, want)
		}
	}
}

// slow is a plugin whose peer takes its time to say what hooks it has.
type slow struct{ fake }

func (slow) Known() *report.Report { return nil }

func (slow) Discover(ctx context.Context) (*report.Report, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(4 * time.Second):
		return &report.Report{Hooks: plugin.Hooks()}, nil
	}
}

func TestDiscoveryAndHookShareOneTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, nil, Entry{Plugin: slow{hang}, Timeout: 5 * time.Second})
		start := time.Now()
		out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{})
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("took %s, want 5s", took)
		}
		if out.Refusal == nil || !errors.Is(out.Refusal.Err, context.DeadlineExceeded) {
			t.Errorf("refusal = %+v, want a deadline", out.Refusal)
		}
	})
}
