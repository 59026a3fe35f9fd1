package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// meeting is a place where n plugins wait for each other: none gets on alone.
type meeting struct {
	mu   sync.Mutex
	n    int
	full chan struct{}
}

func meet(n int) *meeting { return &meeting{n: n, full: make(chan struct{})} }

// then does something once all have come.
func (m *meeting) then(next does) does {
	return func(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
		m.mu.Lock()
		if m.n--; m.n == 0 {
			close(m.full)
		}
		m.mu.Unlock()
		select {
		case <-m.full:
			return next(ctx, hook, payload, c)
		case <-ctx.Done():
			return nil, errors.New("nobody came")
		}
	}
}

// long is how long plugins that are to meet wait for each other: it is over only
// when they are not started at the same time.
const long = 5 * time.Second

// together makes n entries of plugins that wait for each other.
func together(mode pipeline.Mode, timeout time.Duration, next ...string) (entries []pipeline.Entry) {
	m := meet(len(next))
	for _, name := range next {
		entries = append(entries, pipeline.Entry{Plugin: m.then(behaviours[name]), Mode: mode, Timeout: timeout})
	}
	return entries
}

// Plugins of mode concurrent run in parallel with their neighbours of that mode:
// they may refuse and may not change, and on_error decides about failures.
func TestRule_Concurrent(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		for want, next := range map[string][]string{
			"pass pass pass " + given:            {"pass", "pass", "pass"},
			"would change would change " + given: {"change", "change"},
			"pass refused":                       {"pass", "refuse"},
			"refused failed":                     {"refuse", "fail"},
			"failed refused":                     {"fail", "refuse"},
		} {
			if got := describe(at.make(t, nil, together(pipeline.Concurrent, long, next...)...).run(t)); got != want {
				t.Errorf("%v: got %q, want %q", next, got, want)
			}
		}
		entries := together(pipeline.Concurrent, long, "fail", "pass")
		entries[0].OnError = pipeline.Ignore
		if got := describe(at.make(t, nil, entries...).run(t)); got != "failed, ignored pass "+given {
			t.Errorf("got %q", got)
		}
	})
}

// Other modes run one after the other: two that wait for each other wait in vain.
func TestRule_OthersRunInTurn(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		for _, mode := range []pipeline.Mode{pipeline.Enforce, pipeline.Permissive, pipeline.Audit} {
			out := at.make(t, nil, together(mode, soon, "pass", "pass")...).run(t)
			if len(out.Verdicts) == 0 || !strings.HasPrefix(out.Verdicts[0].Said, "failed") {
				t.Errorf("%s: %s", mode, describe(out))
			}
		}
	})
}

// With parallel_execution_within_band plugins of equal priority run at the same
// time. Changes of a band are put together; a second writer of one value is
// refused, and both are named.
func TestRule_ParallelBands(t *testing.T) {
	const base = `{"name":"t","args":{"a":"was","b":1.0}}`
	everywhere(t, func(t *testing.T, at place) {
		for _, c := range []struct {
			name           string
			first, second  string
			want, conflict string
		}{
			{"different members", `{"name":"t","args":{"a":"x","b":1}}`, `{"name":"t","args":{"a":"was","b":2}}`, `{"name":"t","args":{"a":"x","b":2}}`, ""},
			{"the same change", `{"name":"t","args":{"a":"x","b":1}}`, `{"name":"t","args":{"a":"x","b":1}}`, `{"name":"t","args":{"a":"x","b":1.0}}`, ""},
			{"one of them only spells differently", `{"args":{"b":1,"a":"was"},"name":"t"}`, `{"name":"t","args":{"a":"y","b":1}}`, `{"name":"t","args":{"a":"y","b":1.0}}`, ""},
			{"a second writer", `{"name":"t","args":{"a":"x","b":1}}`, `{"name":"t","args":{"a":"y","b":1}}`, "", "changes args.a, which plugin P1 of the same band has changed otherwise"},
		} {
			m := meet(2)
			p := at.make(t, &pipeline.Options{ParallelWithinBand: true},
				pipeline.Entry{Plugin: m.then(answers(c.first)), Priority: 5, Timeout: long}, pipeline.Entry{Plugin: m.then(answers(c.second)), Priority: 5, Timeout: long},
				pipeline.Entry{Plugin: behaviours["pass"], Priority: 6})
			out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(base), request())
			switch {
			case c.conflict != "":
				if out.Refusal == nil || out.Refusal.Plugin != "P2" || !strings.Contains(out.Refusal.Err.Error(), c.conflict) {
					t.Errorf("%s: %+v", c.name, out.Refusal)
				}
			case out.Refusal != nil || string(out.Payload) != c.want:
				t.Errorf("%s: %+v %s, want %s", c.name, out.Refusal, out.Payload, c.want)
			}
		}
		// Another band waits.
		m := meet(2)
		out := at.make(t, &pipeline.Options{ParallelWithinBand: true},
			pipeline.Entry{Plugin: m.then(behaviours["pass"]), Priority: 5, Timeout: soon}, pipeline.Entry{Plugin: m.then(behaviours["pass"]), Priority: 6, Timeout: soon}).run(t)
		if out.Refusal == nil {
			t.Error("two bands ran at the same time")
		}
	})
}

// fire_and_forget runs after the answer, on a snapshot; what it says is logged
// and changes nothing.
func TestRule_FireAndForget(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		type saw struct{ hook, payload, state, global string }
		all := make(chan saw, 8)
		look := func(next string) does {
			return func(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
				all <- saw{string(hook), string(payload), string(c.State["n"]), string(c.GlobalContext.State["shared"])}
				c.State["n"] = json.RawMessage("1")
				c.GlobalContext.State["shared"] = json.RawMessage(`"later"`)
				return behaviours[next](ctx, hook, payload, c)
			}
		}
		shares := does(func(_ context.Context, _ plugin.Hook, _ json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
			return plugin.Continue(), c.GlobalContext.State.Set("shared", "after")
		})
		pre := []plugin.Hook{plugin.ToolPreInvoke}
		p := at.make(t, nil,
			pipeline.Entry{Plugin: letter("1"), Hooks: pre},
			pipeline.Entry{Name: "R", Plugin: look("refuse"), Mode: pipeline.FireAndForget},
			pipeline.Entry{Plugin: letter("2"), Hooks: pre}, pipeline.Entry{Plugin: shares})
		req := request()
		out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{"name":"t","args":{"a":""}}`), req)
		if string(out.Payload) != `{"name":"t","args":{"a":"12"}}` || !req.Waits() || len(all) != 0 {
			t.Fatalf("before the answer: %s, waits %v, ran %d times", describe(out), req.Waits(), len(all))
		}
		p.Run(t.Context(), plugin.ToolPostInvoke, json.RawMessage(`{"name":"t","result":1}`), req)
		p.Answered(req)
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []saw{{"tool_pre_invoke", `{"name":"t","args":{"a":"1"}}`, "", ""}, {"tool_post_invoke", `{"name":"t","result":1}`, "1", `"after"`}}
		close(all) // it runs no more
		for _, w := range want {
			if got := <-all; got != w {
				t.Errorf("it saw %+v, want %+v", got, w)
			}
		}
		if string(req.Global.State["shared"]) != `"after"` {
			t.Errorf("what it left is shared: %s", req.Global.State["shared"])
		}
		if !p.log.has("level=WARN", "would block, after the answer", "plugin=R", "code=no") {
			t.Errorf("its verdict is not in the log:\n%s", p.log.text.String())
		}
	})
}

// A fire_and_forget plugin that fails is logged.
func TestRule_FireAndForgetFailsIntoTheLog(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		p := at.make(t, &pipeline.Options{FailOnPluginError: true}, pipeline.Entry{Plugin: behaviours["fail"], Mode: pipeline.FireAndForget})
		req := request()
		if out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), req); out.Refusal != nil {
			t.Errorf("refused: %+v", out.Refusal)
		}
		p.Answered(req)
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !p.log.has("level=WARN", "plugin failed after the answer", "plugin=P1", "boom") {
			t.Errorf("not in the log:\n%s", p.log.text.String())
		}
	})
}

// Two of a band that find different users are like two that change one value: the
// second is refused, and named.
func TestRule_OneUserPerBand(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		for second, conflict := range map[string]bool{`{"email":"a@b"}`: false, `{"email":"c@d"}`: true} {
			m := meet(2)
			p := at.make(t, &pipeline.Options{ParallelWithinBand: true},
				pipeline.Entry{Plugin: m.then(answers(`{"email":"a@b"}`)), Timeout: long}, pipeline.Entry{Plugin: m.then(answers(second)), Timeout: long})
			req := request()
			out := p.Run(t.Context(), plugin.HTTPAuthResolveUser, json.RawMessage(`{"headers":{}}`), req)
			switch {
			case !conflict && (out.Refusal != nil || string(req.Global.User) != `{"email":"a@b"}`):
				t.Errorf("the same user: %+v, %s", out.Refusal, req.Global.User)
			case conflict && (out.Refusal == nil || out.Refusal.Plugin != "P2" || !strings.Contains(out.Refusal.Err.Error(), "contradicts that of plugin P1")):
				t.Errorf("another user: %+v, %s", out.Refusal, req.Global.User)
			}
		}
	})
}

// What runs after the answer runs once on a hook, also when a plugin has directed
// the call elsewhere, and is bounded like the others.
func TestRule_FireAndForgetOnceAndWithinTheLimit(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		runs := make(chan string, 10)
		p := at.make(t, &pipeline.Options{MaxPayloadBytes: len(given)}, pipeline.Entry{Mode: pipeline.FireAndForget, Plugin: does(func(_ context.Context, _ plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
			runs <- string(payload)
			return plugin.Continue(), nil
		})})
		req := request()
		p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), req)
		p.Rest(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), req)
		out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given+" "), req)
		if out.Refusal == nil || out.Refusal.Err == nil || !strings.Contains(out.Refusal.Err.Error(), "bytes, over max_payload_bytes") {
			t.Errorf("over the limit: %+v", out.Refusal)
		}
		p.Answered(req)
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(runs) != 1 {
			t.Errorf("it ran %d times", len(runs))
		}
	})
}
