package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
	"github.com/sallyport-mcp/sallyport/internal/report"
	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// peer is a plugin in this process that reports what a test wants.
type peer struct {
	does
	mu     sync.Mutex
	report *report.Report
	err    error
}

func (p *peer) Known() *report.Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.report
}

func (p *peer) Discover(context.Context) (*report.Report, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.report, p.err
}

func (p *peer) say(r *report.Report, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report, p.err = r, err
}

// open leaves everything to the peer.
var open = pipeline.Learn{Mode: true, OnError: true, Priority: true, Conditions: true}

func newPipeline(t *testing.T, o pipeline.Options, entries ...pipeline.Entry) made {
	t.Helper()
	log := &lines{}
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	p, err := pipeline.New(entries, &o)
	if err != nil {
		t.Fatal(err)
	}
	return made{p, log}
}

// What the peer reports takes effect where the entry leaves it open, and only
// there; what makes the plugin weaker is a warning.
func TestRule_ServersConfigOverlaidByTheGatewaysFile(t *testing.T) {
	all := plugin.Hooks()
	only := []report.Condition{{Tools: []string{"other"}}}
	for _, c := range []struct {
		name     string
		behaves  string
		reported report.Report
		learn    pipeline.Learn
		entry    pipeline.Entry
		always   bool // fail_on_plugin_error
		want     string
		warns    string
	}{
		{"a mode", "refuse", report.Report{Mode: "permissive"}, open, pipeline.Entry{}, false, "would refuse " + given, "mode: permissive"},
		{"a mode that the entry sets", "refuse", report.Report{Mode: "permissive"}, pipeline.Learn{}, pipeline.Entry{}, false, "refused", ""},
		{"a mode of the newer vocabulary", "refuse", report.Report{Mode: "transform"}, open, pipeline.Entry{}, false, "would refuse " + given, "mode: permissive"},
		{"sequential is enforce", "refuse", report.Report{Mode: "sequential"}, open, pipeline.Entry{}, false, "refused", ""},
		{"audit", "change", report.Report{Mode: "audit"}, open, pipeline.Entry{}, false, "would change " + given, "mode: audit"},
		{"enforce_ignore_error", "fail", report.Report{Mode: "enforce_ignore_error"}, open, pipeline.Entry{}, false, "failed, ignored " + given, "mode: enforce_ignore_error"},
		{"enforce_ignore_error, and the entry says fail", "fail", report.Report{Mode: "enforce_ignore_error"}, pipeline.Learn{Mode: true}, pipeline.Entry{OnError: pipeline.Fail}, false, "failed", ""},
		{"enforce_ignore_error, and every error refuses", "fail", report.Report{Mode: "enforce_ignore_error"}, open, pipeline.Entry{}, true, "failed", ""},
		{"permissive, and every error refuses", "fail", report.Report{Mode: "permissive"}, open, pipeline.Entry{}, true, "failed", "mode: permissive"},
		{"on_error", "fail", report.Report{OnError: "ignore"}, open, pipeline.Entry{}, false, "failed, ignored " + given, "on_error: ignore"},
		{"on_error that the entry sets", "fail", report.Report{OnError: "ignore"}, pipeline.Learn{Mode: true}, pipeline.Entry{OnError: pipeline.Fail}, false, "failed", ""},
		{"on_error fail is stricter than the mode", "fail", report.Report{Mode: "transform", OnError: "fail"}, open, pipeline.Entry{}, false, "failed", "mode: permissive"},
		{"conditions", "refuse", report.Report{Conditions: only}, open, pipeline.Entry{}, false, given, `conditions: [{tools=[\"other\"]}]`},
		{"conditions that the entry sets, to none", "refuse", report.Report{Conditions: only}, pipeline.Learn{Mode: true}, pipeline.Entry{Conditions: []pipeline.Condition{}}, false, "refused", ""},
		{"conditions that leave nothing out", "refuse", report.Report{Conditions: []report.Condition{{Tools: []string{"x"}}, {}}}, open, pipeline.Entry{}, false, "refused", ""},
		{"nothing", "refuse", report.Report{}, open, pipeline.Entry{}, false, "refused", ""},
		{"the entry's own mode while nothing else is said", "refuse", report.Report{}, open, pipeline.Entry{Mode: pipeline.Permissive}, false, "would refuse " + given, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.reported.Hooks = all
			e := c.entry
			e.Name, e.Plugin, e.Learn = "P", &peer{does: behaviours[c.behaves], report: &c.reported}, c.learn
			p := newPipeline(t, pipeline.Options{FailOnPluginError: c.always}, e)
			for range 2 {
				if got := describe(p.run(t)); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
			if got := p.log.has("level=WARN", "plugin=P", c.warns, "hint=\"set "); got != (c.warns != "") {
				t.Errorf("warned %v of %q:\n%s", got, c.warns, p.log.text.String())
			}
			if n := strings.Count(p.log.text.String(), "plugin server makes"); n > 1 {
				t.Errorf("it is said %d times", n)
			}
		})
	}
}

// Until the peer is known, and when it is not known any more, the entry's own
// settings hold.
func TestRule_UntilKnownTheEntrysOwn(t *testing.T) {
	q := &peer{does: behaviours["refuse"], err: errors.New("unreachable")}
	p := newPipeline(t, pipeline.Options{}, pipeline.Entry{Name: "P", Plugin: q, Learn: open})
	for _, step := range []struct {
		report *report.Report
		err    error
		want   string
	}{
		{nil, errors.New("unreachable"), "failed"},
		{&report.Report{Hooks: plugin.Hooks(), Mode: "permissive"}, nil, "would refuse " + given},
		{&report.Report{Hooks: plugin.Hooks(), Conditions: []report.Condition{{Tools: []string{"other"}}}}, nil, given},
		{nil, errors.New("bad answer"), "failed"},
		{&report.Report{Hooks: plugin.Hooks()}, nil, "refused"},
	} {
		q.say(step.report, step.err)
		if got := describe(p.run(t)); got != step.want {
			t.Errorf("%+v, %v: got %q, want %q", step.report, step.err, got, step.want)
		}
	}
	if !p.log.has("level=WARN", "mode: permissive") || !p.log.has("level=WARN", "conditions: ") || !p.log.has("level=INFO", "again as the gateway's file has it") {
		t.Errorf("each change is said:\n%s", p.log.text.String())
	}
}

// A caller that gives up while the peer is asked is refused by the entry's own
// settings, and changes nothing for others.
func TestRule_WhoGivesUpIsNotLetThrough(t *testing.T) {
	narrow := &report.Report{Hooks: plugin.Hooks(), Conditions: []report.Condition{{Tools: []string{"other"}}}}
	q := &peer{does: behaviours["pass"], report: narrow}
	p := newPipeline(t, pipeline.Options{}, pipeline.Entry{Name: "P", Plugin: q, Learn: open})
	if got := describe(p.run(t)); got != given {
		t.Fatalf("got %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q.say(nil, ctx.Err())
	out := p.Run(ctx, plugin.ToolPreInvoke, json.RawMessage(given), request())
	if got := describe(out); got != "failed" || len(p.Learned()) != 1 {
		t.Errorf("got %q, and %+v is what others know", got, p.Learned())
	}
}

// A server's priority orders its plugin, equal ones stay in the file's order, and
// a change between calls moves it.
func TestRule_PriorityOfTheServer(t *testing.T) {
	notes := func(name string) does {
		return func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return &plugin.Result{Continue: true, Metadata: json.RawMessage(`{"last":"` + name + `"}`)}, nil
		}
	}
	at := func(n int) *report.Report { return &report.Report{Hooks: plugin.Hooks(), Priority: &n} }
	a, b := &peer{does: notes("a"), report: at(100)}, &peer{does: notes("b"), report: at(100)}
	p := newPipeline(t, pipeline.Options{},
		pipeline.Entry{Name: "A", Plugin: a, Learn: open, Priority: 100}, pipeline.Entry{Name: "B", Plugin: b, Learn: open, Priority: 100},
		pipeline.Entry{Name: "C", Plugin: notes("c"), Priority: 50})
	order := func() string {
		var names []string
		for _, v := range p.run(t).Verdicts {
			names = append(names, v.Plugin)
		}
		return strings.Join(names, "")
	}
	for i, step := range []struct {
		a, b int
		want string
	}{{100, 100, "CAB"}, {100, 1, "BCA"}, {100, 50, "BCA"}, {0, 0, "ABC"}, {100, 100, "CAB"}} {
		a.say(at(step.a), nil)
		b.say(at(step.b), nil)
		if got := order(); got != step.want {
			t.Errorf("priorities %d and %d: order %s, want %s", step.a, step.b, got, step.want)
		}
		if warned := p.log.has("level=WARN", "before others"); warned != (step.b < 100 || i > 1) {
			t.Errorf("priorities %d and %d: warned is %v", step.a, step.b, warned)
		}
	}
	if !p.log.has("level=WARN", "before others", "plugin=B", "priority=1 ", "others=\"[C A]\"") {
		t.Errorf("whom B passes is not said:\n%s", p.log.text.String())
	}
	a.say(at(7), nil)
	if got := order(); got != "ACB" {
		t.Errorf("order %s", got)
	}
	learned := p.Learned()
	if len(learned) != 1 || learned[0].Name != "A" || learned[0].Priority != 7 || !slices.Equal(learned[0].Learned, []string{"priority"}) {
		t.Errorf("learned %+v", learned)
	}
}

// What becomes known while a request is at work moves no plugin of it: each runs
// once, in the order in which the hook began.
func TestRule_OneOrderPerHook(t *testing.T) {
	at := func(n int) *report.Report { return &report.Report{Hooks: plugin.Hooks(), Priority: &n} }
	b := &peer{does: behaviours["pass"], report: at(100)}
	a := &peer{report: at(1)}
	a.does = func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		a.say(at(200), nil)
		b.say(at(0), nil)
		return plugin.Continue(), nil
	}
	p := newPipeline(t, pipeline.Options{}, pipeline.Entry{Name: "A", Plugin: a, Learn: open}, pipeline.Entry{Name: "B", Plugin: b, Learn: open})
	for _, want := range []string{"AB", "BA"} {
		got := ""
		for _, v := range p.run(t).Verdicts {
			got += v.Plugin
		}
		if got != want {
			t.Errorf("order %s, want %s", got, want)
		}
	}
}

// The same over the wire, with a server that is replaced by another.
func TestRule_ServersConfigOverlaidByTheGatewaysFile_Remote(t *testing.T) {
	ca := pkitest.NewCA(t)
	served := func(mode, onError string, priority int, conditions string) server.Entry {
		return server.Entry{Name: "P", Kind: "test", Mode: mode, OnError: onError, Priority: priority, Conditions: json.RawMessage(conditions), Plugin: behaviours["refuse"]}
	}
	addr, stop := serve(t, ca, "", served("permissive", "", 7, `[]`))
	e := pipeline.Entry{Name: "P", Learn: open, Priority: 100}
	e.Plugin = connect(t, ca, addr, e, nil)
	p := newPipeline(t, pipeline.Options{}, e)
	if err := p.Refresh(t.Context(), "P"); err != nil {
		t.Fatal(err)
	}
	if !p.log.has("level=WARN", "plugin=P", "mode: permissive, priority: 7", `hint="set mode: in the plugin's entry of the gateway's file"`) {
		t.Errorf("at the start there is no warning:\n%s", p.log.text.String())
	}
	for i, step := range []struct {
		entry server.Entry
		want  string
	}{
		{served("permissive", "", 7, `[]`), "would refuse " + given},
		{served("enforce", "", 100, `[{"tools":["ot*"],"prompts":null}]`), given},
		{served("sequential", "", 100, `[{"tools":["t"]}]`), "refused"},
		{served("audit", "", 100, "[]"), "would refuse " + given}, // reported as permissive
		{served("", "", 100, "[]"), "refused"},
	} {
		if i > 0 {
			stop()
			_, stop = serve(t, ca, addr, step.entry)
		}
		if got := describe(p.run(t)); got != step.want {
			t.Errorf("%d: got %q, want %q", i, got, step.want)
		}
	}
	stop()
	if out := p.run(t); out.Refusal == nil || out.Refusal.Err == nil {
		t.Errorf("with its server down the plugin is skipped: %+v", out)
	}
}

// A server that reports what nobody knows is a bad answer: the plugin is not
// known, and its entry's mode decides.
func TestRule_GarbageConfigIsNotKnown_Remote(t *testing.T) {
	for name, e := range map[string]server.Entry{
		"mode":       {Mode: "lenient"},
		"conditions": {Conditions: json.RawMessage(`{"tools":["x"]}`)},
		"a list":     {Conditions: json.RawMessage(`[{"tools":"x"}]`)},
		"an element": {Conditions: json.RawMessage(`["x"]`)},
	} {
		t.Run(name, func(t *testing.T) {
			ca := pkitest.NewCA(t)
			e.Name, e.Kind, e.Plugin = "P", "test", behaviours["pass"]
			addr, _ := serve(t, ca, "", e)
			entry := pipeline.Entry{Name: "P", Learn: open}
			entry.Plugin = connect(t, ca, addr, entry, nil)
			out := newPipeline(t, pipeline.Options{}, entry).run(t)
			if out.Refusal == nil || out.Refusal.Err == nil || !strings.Contains(fmt.Sprint(out.Refusal.Err), "bad answer: config.") {
				t.Errorf("%s: %+v", describe(out), out.Refusal)
			}
		})
	}
}

// A server that has disabled the plugin has not switched it off.
func TestRule_DisabledOnTheServerIsRefused_Remote(t *testing.T) {
	ca := pkitest.NewCA(t)
	addr, _ := serve(t, ca, "", server.Entry{Name: "P", Kind: "test", Mode: "disabled", Plugin: behaviours["pass"]})
	log := &lines{}
	e := pipeline.Entry{Name: "P", Learn: open}
	e.Plugin = connect(t, ca, addr, e, slog.New(slog.NewTextHandler(log, nil)))
	p := newPipeline(t, pipeline.Options{}, e)
	if out := p.run(t); out.Refusal == nil || !strings.Contains(fmt.Sprint(out.Refusal.Err), "not declared") {
		t.Errorf("%s: %+v", describe(out), out.Refusal)
	}
	if !log.has("level=WARN", "plugin is disabled on its server") {
		t.Errorf("no warning:\n%s", log.text.String())
	}
}
