package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/report"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// counted is a plugin that passes and counts.
func counted(n *int) fake {
	return func(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		*n++
		return plugin.Continue(), nil
	}
}

// Rest runs those whose condition is met only now, and nobody a second time.
func TestRestRunsWhoHasNotRun(t *testing.T) {
	var always, later, never int
	p := mustNew(t, nil,
		Entry{Plugin: counted(&always)},
		Entry{Plugin: counted(&later), Conditions: []Condition{{Tools: []string{"new"}}}},
		Entry{Plugin: counted(&never), Conditions: []Condition{{Tools: []string{"other"}}}})
	req := &Request{}
	p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), req)
	req.OriginalName, req.FormerNames = "new", []string{"t"}
	for range 2 {
		p.Rest(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), req)
	}
	if always != 1 || later != 1 || never != 0 {
		t.Errorf("ran %d, %d and %d times", always, later, never)
	}
	p.Run(t.Context(), plugin.ToolPostInvoke, json.RawMessage(`{"name":"x","result":1}`), req)
	if always != 2 || later != 2 {
		t.Errorf("after the call: ran %d and %d times", always, later)
	}
	req = &Request{FormerNames: []string{"other"}}
	p.Run(t.Context(), plugin.ToolPostInvoke, json.RawMessage(`{"name":"x","result":1}`), req)
	if never != 1 {
		t.Error("a former name does not count")
	}
}

// learned is a plugin whose hooks a peer tells, or does not.
type learned struct {
	fake
	hooks []plugin.Hook
	err   error
}

func (l learned) Known() *report.Report { return nil }

func (l learned) Discover(context.Context) (*report.Report, error) {
	if l.err != nil {
		return nil, l.err
	}
	return &report.Report{Hooks: l.hooks}, nil
}

func TestGuards(t *testing.T) {
	unknown := errors.New("unreachable")
	for name, c := range map[string]struct {
		entry Entry
		want  bool
	}{
		"a plugin":                   {Entry{Plugin: fake(pass)}, true},
		"one that may only watch":    {Entry{Plugin: fake(pass), Mode: Audit}, false},
		"one that may change":        {Entry{Plugin: fake(pass), Mode: Permissive}, true},
		"a disabled one":             {Entry{Plugin: fake(pass), Mode: Disabled}, false},
		"one of another hook":        {Entry{Plugin: fake(pass), Hooks: []plugin.Hook{plugin.PromptPreFetch}}, false},
		"one of another tool":        {Entry{Plugin: fake(pass), Conditions: []Condition{{Tools: []string{"x"}}}}, false},
		"one that is not known":      {Entry{Plugin: learned{err: unknown}}, true},
		"one that is known":          {Entry{Plugin: learned{hooks: []plugin.Hook{plugin.PromptPreFetch}}}, false},
		"one with a strange hook":    {Entry{Plugin: learned{err: unknown}, Hooks: []plugin.Hook{"tool_post_invok"}}, true},
		"one whose strange hook is":  {Entry{Plugin: learned{hooks: []plugin.Hook{"own"}}, Hooks: []plugin.Hook{"own"}}, false},
		"an unknown one of another":  {Entry{Plugin: learned{err: unknown}, Hooks: []plugin.Hook{plugin.PromptPreFetch}}, false},
		"a known one with that hook": {Entry{Plugin: learned{hooks: plugin.Hooks()}, Hooks: []plugin.Hook{plugin.ToolPostInvoke}}, true},
	} {
		p := mustNew(t, nil, c.entry)
		if got := p.Guards(t.Context(), plugin.ToolPostInvoke, json.RawMessage(`{"name":"t"}`), &Request{}); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestFailOnErrorRefusesInEveryMode(t *testing.T) {
	for _, mode := range []Mode{Enforce, EnforceIgnoreError, Permissive, Audit} {
		p := mustNew(t, nil, Entry{Plugin: fake(fail), Mode: mode, OnError: Fail}, Entry{Plugin: fake(pass)})
		out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{})
		if out.Refusal == nil || !errors.Is(out.Refusal.Err, errBoom) || len(out.Verdicts) != 1 {
			t.Errorf("%s: %+v", mode, out.Refusal)
		}
	}
}
