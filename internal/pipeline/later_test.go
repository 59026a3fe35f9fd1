package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// A plugin of mode fire_and_forget runs after the answer, on a snapshot, keeps
// its state from hook to hook, and changes nothing.
func TestFireAndForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saw []string
		watch := takes(func(_ context.Context, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
			saw = append(saw, fmt.Sprintf("%s %s %s", payload, c.State["n"], c.GlobalContext.State["by"]))
			_ = c.GlobalContext.State.Set("by", "the watcher")
			if err := c.State.Set("n", len(saw)); err != nil {
				return nil, err
			}
			return refuse(t.Context(), nil, nil)
		})
		p := mustNew(t, nil, Entry{Plugin: appends("x")}, Entry{Plugin: watch, Mode: FireAndForget}, Entry{Plugin: appends("y")})
		given := []byte(`{"name":"t","args":{"a":""}}`)
		req := &Request{}
		for _, hook := range []plugin.Hook{plugin.ToolPreInvoke, plugin.AgentPreInvoke} {
			if hook == plugin.AgentPreInvoke {
				p = mustNew(t, nil, p.entries[1])
				given = []byte(`{"agent_id":"a","messages":[]}`)
			}
			out := p.Run(t.Context(), hook, given, req)
			if out.Refusal != nil || len(out.Verdicts) != 2 && hook == plugin.ToolPreInvoke {
				t.Fatalf("%+v", out)
			}
			req.Global.State = plugin.Object{"by": json.RawMessage(`"later"`)}
		}
		copy(given, "garbage") // the snapshot is not the caller's memory
		synctest.Wait()
		if len(saw) != 0 {
			t.Errorf("ran before the answer: %q", saw)
		}
		p.Answered(req)
		p.Answered(req) // once only
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		want := []string{`{"name":"t","args":{"a":"x"}}  `, `{"agent_id":"a","messages":[]} 1 "later"`}
		if fmt.Sprint(saw) != fmt.Sprint(want) {
			t.Errorf("saw %q, want %q", saw, want)
		}
		if got := string(req.Global.State["by"]); got != `"later"` {
			t.Errorf("shared state was changed to %s", got)
		}
	})
}

func TestCloseWaitsSoLongAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, nil, Entry{Plugin: fake(hang), Mode: FireAndForget, OnError: Disable})
		req := &Request{}
		p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), req)
		again := req.Fork()
		p.Run(t.Context(), plugin.ToolPostInvoke, json.RawMessage(`{"name":"t","result":1}`), again)
		p.Answered(req)
		if len(req.later.tasks) != 0 {
			t.Error("what a fork left to do was not started")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if len(p.Off()) != 0 {
			t.Error("the end of the process has disabled the plugin")
		}
		p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), req)
		p.Answered(req) // left out: the next Close has nothing to wait for
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatWaitsForTheAnswerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		count := fake(func(ctx context.Context, _ json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
			n++
			<-ctx.Done()
			return nil, ctx.Err()
		})
		p := mustNew(t, &Options{MaxPayloadBytes: maxLater}, Entry{Plugin: count, Mode: FireAndForget})
		large := json.RawMessage(`{"name":"` + strings.Repeat("a", 20<<20) + `"}`)
		for range 2 {
			req := &Request{}
			p.Run(t.Context(), plugin.ToolPreInvoke, large, req)
			p.Answered(req)
			synctest.Wait()
		}
		if n != 1 {
			t.Errorf("%d ran at a time", n)
		}
		if err := p.Close(t.Context()); err != nil { // the entry's own timeout ends it
			t.Error(err)
		}
	})
}
