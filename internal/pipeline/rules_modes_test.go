package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// soon is the time limit of plugins that do not answer. None that does has it:
// how fast a machine is decides no test.
const soon = 30 * time.Millisecond

// What each mode makes of what a plugin does.
func TestRule_Modes(t *testing.T) {
	refuses := map[string]string{"pass": "pass " + given, "change": "changed " + changed, "refuse": "refused", "fail": "failed", "hang": "failed"}
	for mode, want := range map[pipeline.Mode]map[string]string{
		"":                          refuses,
		pipeline.Enforce:            refuses,
		pipeline.EnforceIgnoreError: {"pass": "pass " + given, "change": "changed " + changed, "refuse": "refused", "fail": "failed, ignored " + given, "hang": "failed, ignored " + given},
		pipeline.Permissive:         {"pass": "pass " + given, "change": "changed " + changed, "refuse": "would refuse " + given, "fail": "failed, ignored " + given, "hang": "failed, ignored " + given},
		pipeline.Audit:              {"pass": "pass " + given, "change": "would change " + given, "refuse": "would refuse " + given, "fail": "failed, ignored " + given, "hang": "failed, ignored " + given},
		pipeline.Concurrent:         {"pass": "pass " + given, "change": "would change " + given, "refuse": "refused", "fail": "failed", "hang": "failed"},
		pipeline.FireAndForget:      {"pass": given, "change": given, "refuse": given, "fail": given, "hang": given},
		pipeline.Disabled:           {"pass": given, "change": given, "refuse": given, "fail": given, "hang": given},
	} {
		t.Run("mode "+string(mode), func(t *testing.T) {
			everywhere(t, func(t *testing.T, at place) {
				for name, behaviour := range behaviours {
					e := pipeline.Entry{Plugin: behaviour, Mode: mode}
					if name == "hang" {
						e.Timeout = soon
					}
					p := at.make(t, nil, e)
					out := p.run(t)
					if got := describe(out); got != want[name] {
						t.Errorf("%s: got %q, want %q", name, got, want[name])
					}
					if strings.Contains(want[name], "would") && !p.log.has("plugin=P1", "would") {
						t.Errorf("%s: that it would is not in the log:\n%s", name, p.log.text.String())
					}
					if strings.Contains(want[name], "ignored") && !p.log.has("level=WARN", "plugin failed", "plugin=P1") {
						t.Errorf("%s: the failure is not in the log:\n%s", name, p.log.text.String())
					}
				}
			})
		})
	}
}

// A violation of a plugin in the refusing modes comes with all that it said.
func TestRule_ViolationIsTheRefusal(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		code, status := -32001, 429
		v := plugin.Violation{
			Reason: "r", Description: "d", Code: "c", Details: json.RawMessage(`{"n":9007199254740993,"z":null}`),
			MCPCode: &code, HTTPStatus: &status, HTTPHeaders: map[string]string{"Retry-After": "7"},
		}
		out := at.make(t, nil, pipeline.Entry{Plugin: does(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return plugin.Refuse(&v), nil
		})}).run(t)
		if out.Refusal == nil || out.Refusal.Plugin != "P1" || out.Refusal.Violation == nil {
			t.Fatalf("refusal = %+v", out.Refusal)
		}
		got, _ := json.Marshal(out.Refusal.Violation)
		want, _ := json.Marshal(&v)
		if string(got) != string(want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// A failure of a plugin is told as the plugin chose to tell it (§6).
func TestRule_ErrorIsThePluginsOwnWords(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		out := at.make(t, nil, pipeline.Entry{Plugin: does(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return nil, &plugin.Error{Message: "boom", Code: "broken", Details: json.RawMessage(`{"n":9007199254740993}`), MCPCode: -32050}
		})}).run(t)
		var said *plugin.Error
		if out.Refusal == nil || !errors.As(out.Refusal.Err, &said) {
			t.Fatalf("refusal = %+v", out.Refusal)
		}
		if said.Message != "boom" || said.Code != "broken" || string(said.Details) != `{"n":9007199254740993}` || said.MCPCode != -32050 {
			t.Errorf("error = %+v", said)
		}
	})
}

// on_error decides about failures and timeouts apart from the mode.
func TestRule_OnError(t *testing.T) {
	for _, c := range []struct {
		mode          pipeline.Mode
		onError       pipeline.OnError
		first, second string
	}{
		{pipeline.Enforce, pipeline.Fail, "failed", "failed"},
		{pipeline.Enforce, pipeline.Ignore, "failed, ignored " + given, "failed, ignored " + given},
		{pipeline.Enforce, pipeline.Disable, "failed, disabled " + given, "disabled after a failure " + given},
		{pipeline.Permissive, pipeline.Fail, "failed", "failed"},
		{pipeline.Permissive, pipeline.Disable, "failed, disabled " + given, "disabled after a failure " + given},
		{pipeline.Audit, pipeline.Fail, "failed", "failed"},
		{pipeline.Concurrent, pipeline.Fail, "failed", "failed"},
		{pipeline.Concurrent, pipeline.Ignore, "failed, ignored " + given, "failed, ignored " + given},
		{pipeline.Concurrent, pipeline.Disable, "failed, disabled " + given, "disabled after a failure " + given},
		{pipeline.EnforceIgnoreError, pipeline.Fail, "failed", "failed"},
	} {
		t.Run(string(c.mode)+" "+string(c.onError), func(t *testing.T) {
			everywhere(t, func(t *testing.T, at place) {
				for _, how := range []string{"fail", "hang"} {
					e := pipeline.Entry{Plugin: behaviours[how], Mode: c.mode, OnError: c.onError}
					if how == "hang" {
						e.Timeout = soon
					}
					p := at.make(t, nil, e)
					if got := describe(p.run(t)); got != c.first {
						t.Errorf("%s: got %q, want %q", how, got, c.first)
					}
					if got := describe(p.run(t)); got != c.second {
						t.Errorf("%s, again: got %q, want %q", how, got, c.second)
					}
				}
			})
		})
	}
}

// With fail_on_plugin_error every error and timeout refuses.
func TestRule_FailOnPluginError(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		for _, mode := range []pipeline.Mode{pipeline.Enforce, pipeline.EnforceIgnoreError, pipeline.Permissive, pipeline.Audit, pipeline.Concurrent} {
			for _, onError := range []pipeline.OnError{"", pipeline.Ignore, pipeline.Disable} {
				for _, how := range []string{"fail", "hang"} {
					e := pipeline.Entry{Plugin: behaviours[how], Mode: mode, OnError: onError}
					if how == "hang" {
						e.Timeout = soon
					}
					p := at.make(t, &pipeline.Options{FailOnPluginError: true}, e)
					for range 2 { // nothing is disabled, either
						if out := p.run(t); out.Refusal == nil || out.Refusal.Err == nil {
							t.Errorf("%s %s, %s: %s", mode, onError, how, describe(out))
						}
					}
				}
			}
		}
	})
}

// The time limit is the entry's, else that of the settings, and a plugin that
// has outlived it is called no second time: a hook runs once, also when it fails.
func TestRule_TimeoutsAndOneRunPerHook(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		for name, c := range map[string]struct {
			behaviour        string
			entry, settings  time.Duration
			timedOut, passes bool
		}{
			"the entry's":               {"hang", soon, time.Hour, true, false},
			"the settings'":             {"hang", 0, soon, true, false},
			"the entry's over settings": {"pass", time.Hour, time.Nanosecond, false, true},
			"a failure":                 {"fail", 0, 0, false, false},
			"a refusal":                 {"refuse", 0, 0, false, false},
		} {
			var runs atomic.Int32
			counted := does(func(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c2 *plugin.Context) (*plugin.Result, error) {
				runs.Add(1)
				return behaviours[c.behaviour](ctx, hook, payload, c2)
			})
			p := at.make(t, &pipeline.Options{Timeout: c.settings}, pipeline.Entry{Plugin: counted, Timeout: c.entry})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // far from all limits that count
			out := p.Run(ctx, plugin.ToolPreInvoke, json.RawMessage(given), request())
			if ctx.Err() != nil {
				t.Errorf("%s: the limit does not hold", name)
			}
			cancel()
			if (out.Refusal == nil) != c.passes {
				t.Errorf("%s: %s", name, describe(out))
			}
			if c.timedOut && !isTimeout(out.Refusal) {
				t.Errorf("%s: no timeout: %+v", name, out.Refusal)
			}
			if n := runs.Load(); n > 1 || n == 0 && !c.timedOut { // its time may be over before it comes to run
				t.Errorf("%s: the hook ran %d times", name, n)
			}
		}
	})
}

func isTimeout(r *pipeline.Refusal) bool {
	var known interface{ Cause() string }
	return r != nil && r.Err != nil && (errors.Is(r.Err, context.DeadlineExceeded) || errors.As(r.Err, &known) && known.Cause() == "timeout")
}

// Disabled plugins are not run, and their servers not contacted.
func TestRule_DisabledIsNotContacted(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	contacted := make(chan bool, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_ = conn.Close()
		}
		contacted <- err == nil
	}()
	e := pipeline.Entry{Name: "P", Mode: pipeline.Disabled, Learn: open}
	e.Plugin = connect(t, pkitest.NewCA(t), l.Addr().String(), e, nil)
	p := newPipeline(t, pipeline.Options{}, e)
	if got := describe(p.run(t)); got != given {
		t.Errorf("got %q", got)
	}
	if p.Guards(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), request()) || p.Has(plugin.ToolPreInvoke) {
		t.Error("it counts")
	}
	if err := errors.Join(p.Refresh(t.Context(), "P"), l.Close()); err != nil {
		t.Error(err)
	}
	if <-contacted {
		t.Error("its server was contacted")
	}
}

// letter appends one to args.a.
func letter(s string) does {
	return func(_ context.Context, _ plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		var p struct {
			Name string            `json:"name"`
			Args map[string]string `json:"args"`
		}
		if err := json.Unmarshal(payload, &p); err != nil {
			return nil, err
		}
		p.Args["a"] += s
		r, err := plugin.Modified(p)
		if err == nil {
			r.Metadata = json.RawMessage(`{"` + s + `":true,"last":"` + s + `","n":9007199254740993}`)
		}
		return r, err
	}
}

// The lowest priority first, equal ones as in the file; each sees the payload as
// merged so far; metadata is one flat object in which later keys win.
func TestRule_OrderMergedPayloadAndMetadata(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		out := at.make(t, nil,
			pipeline.Entry{Plugin: letter("c"), Priority: 100}, pipeline.Entry{Plugin: letter("d"), Priority: 100},
			pipeline.Entry{Plugin: letter("a"), Priority: -1}, pipeline.Entry{Plugin: letter("b"), Priority: 50},
			pipeline.Entry{Plugin: letter("x"), Priority: 60, Mode: pipeline.Audit},
		).Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{"name":"t","args":{"a":""}}`), request())
		if got := string(out.Payload); got != `{"name":"t","args":{"a":"abcd"}}` {
			t.Errorf("payload %s", got)
		}
		metadata, _ := json.Marshal(out.Metadata)
		if want := `{"a":true,"b":true,"c":true,"d":true,"last":"d","n":9007199254740993,"x":true}`; string(metadata) != want {
			t.Errorf("metadata %s\nwant     %s", metadata, want)
		}
	})
}

// After a refusal nothing runs any more.
func TestRule_ARefusalStops(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		out := at.make(t, nil, pipeline.Entry{Plugin: behaviours["refuse"]}, pipeline.Entry{Plugin: behaviours["pass"]}).run(t)
		if got := describe(out); got != "refused" {
			t.Errorf("got %q", got)
		}
	})
}

// Over max_payload_bytes the request is refused with both sizes named, on every
// kind of hook and before any plugin runs.
func TestRule_PayloadLimit(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		var runs atomic.Int32
		p := at.make(t, &pipeline.Options{MaxPayloadBytes: 40}, pipeline.Entry{Plugin: does(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			runs.Add(1)
			return plugin.Continue(), nil
		})})
		for _, hook := range (does)(nil).Hooks() {
			for _, size := range []int{40, 41} {
				payload := `{"x":"` + strings.Repeat("x", size-8) + `"}`
				out := p.Run(t.Context(), hook, json.RawMessage(payload), request())
				if (out.Refusal != nil) != (size > 40) {
					t.Errorf("%s with %d bytes: %+v", hook, size, out.Refusal)
				}
				if want := fmt.Sprintf("%d bytes, over max_payload_bytes 40", size); size > 40 && !strings.Contains(fmt.Sprint(out.Refusal.Err), want) {
					t.Errorf("%s: %v, want %s", hook, out.Refusal.Err, want)
				}
			}
		}
		if got := int(runs.Load()); got != len((does)(nil).Hooks()) {
			t.Errorf("the plugin ran %d times", got)
		}
	})
}

// A verdict that comes with a change: where it refuses, the change counts for
// nothing; where it only would, the change is what the mode makes of changes.
func TestRule_AVerdictThatComesWithAChange(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		both := does(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return &plugin.Result{ModifiedPayload: json.RawMessage(changed), Violation: &plugin.Violation{Reason: "r", Description: "d", Code: "c"}}, nil
		})
		for mode, want := range map[pipeline.Mode]string{
			pipeline.Enforce: "refused", pipeline.EnforceIgnoreError: "refused", pipeline.Concurrent: "refused",
			pipeline.Permissive: "would refuse " + changed, pipeline.Audit: "would refuse " + given,
		} {
			out := at.make(t, nil, pipeline.Entry{Plugin: both, Mode: mode}).run(t)
			if got := describe(out); got != want || out.Refusal != nil && string(out.Payload) != given {
				t.Errorf("%s: %q, %s, want %q", mode, got, out.Payload, want)
			}
		}
	})
}
