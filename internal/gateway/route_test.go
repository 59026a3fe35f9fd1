package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// namesOf lists a member of all items of a list, page by page.
func (s *served) namesOf(t *testing.T, method, list, member string) []string {
	t.Helper()
	names := []string{}
	params := `{}`
	for {
		m := s.modern(t, method, params, "").message(t)
		if m.Error != nil {
			t.Fatal(m.Error)
		}
		for raw := range wire.Elements(wire.Member(m.Result, list)) {
			name, _ := wire.String(wire.Member(raw, member))
			names = append(names, name)
		}
		cursor := wire.Member(m.Result, "nextCursor")
		if cursor == nil {
			return names
		}
		params = `{"cursor":` + string(cursor) + `}`
	}
}

func lister(names ...string) *fakeServer {
	var items []string
	for _, n := range names {
		items = append(items, `{"name":"`+n+`","inputSchema":{"type":"object"}}`)
	}
	return &fakeServer{lists: map[string]string{"tools/list": strings.Join(items, ",")}}
}

func TestNaming(t *testing.T) {
	for name, c := range map[string]struct {
		naming Naming
		one    bool
		want   []string
	}{
		"auto, one":        {Naming{}, true, []string{"a", "b"}},
		"auto, two":        {Naming{Prefix: "auto"}, false, []string{"up__a", "up__b", "up2__b", "up2__c"}},
		"always":           {Naming{Prefix: "always", Separator: "-"}, true, []string{"up-a", "up-b"}},
		"on-conflict":      {Naming{Prefix: "on-conflict"}, false, []string{"a", "up__b", "up2__b", "c"}},
		"never":            {Naming{Prefix: "never"}, false, []string{"a", "b", "c"}},
		"on-conflict, one": {Naming{Prefix: "on-conflict"}, true, []string{"a", "b"}},
	} {
		fakes := []*fakeServer{startFake(t, lister("a", "b"))}
		if !c.one {
			fakes = append(fakes, startFake(t, lister("b", "c")))
		}
		s := serve(t, Config{Naming: c.naming}, nil, fakes...)
		got := s.namesOf(t, "tools/list", "tools", "name")
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for _, tool := range got {
			before := len(fakes[0].calls()) + len(fakes[len(fakes)-1].calls())
			if a := s.modern(t, "tools/call", `{"name":"`+tool+`"}`, ""); a.message(t).Error != nil || len(fakes[0].calls())+len(fakes[len(fakes)-1].calls()) == before {
				t.Errorf("%s: calling %s: %s", name, tool, a.body)
			}
		}
		for _, f := range fakes {
			for _, call := range f.calls() {
				if tool, _ := wire.String(wire.Member([]byte(call.params), "name")); !slices.Contains([]string{"a", "b", "c"}, tool) {
					t.Errorf("%s: the upstream was called by the client's name: %s", name, call.params)
				}
			}
		}
		if a := s.modern(t, "tools/call", `{"name":"nobody"}`, ""); a.message(t).Error == nil || a.message(t).Error.Message != "Unknown tool: nobody" {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	if _, err := New(Config{Naming: Naming{Prefix: "sometimes"}}, nil); err == nil {
		t.Error("a naming that is none of the four was taken")
	}
}

// A list of several pages upstream and here is complete, in order, and each
// page of ours is of a bounded size.
func TestPagination(t *testing.T) {
	var names, items []string
	for i := range 2500 {
		names = append(names, fmt.Sprintf("t%04d", i))
		items = append(items, `{"name":"`+names[i]+`"}`)
	}
	f := startFake(t, &fakeServer{lists: map[string]string{"tools/list": ""}})
	pages := 0
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(wire.HeaderMethod) != "" || r.Method != http.MethodPost {
			f.ServeHTTP(w, r)
			return
		}
		var m struct {
			ID     json.RawMessage
			Method string
			Params struct{ Cursor string }
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		switch m.Method {
		case "initialize":
			f.result(w, &wire.Message{ID: m.ID}, `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"f","version":"1"}}`)
		case "tools/list":
			pages++
			start := 0
			_, _ = fmt.Sscanf(m.Params.Cursor, "page %d", &start)
			next := ""
			if start+400 < len(items) {
				next = fmt.Sprintf(`,"nextCursor":"page %d"`, start+400)
			}
			f.result(w, &wire.Message{ID: m.ID}, `{"tools":[`+strings.Join(items[start:min(start+400, len(items))], ",")+`]`+next+`}`)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	})
	s := serve(t, Config{}, nil, f)
	if diff := cmp.Diff(names, s.namesOf(t, "tools/list", "tools", "name")); diff != "" {
		t.Error(diff)
	}
	if pages != 7 {
		t.Errorf("the upstream was asked for %d pages, want 7 once", pages)
	}
	for _, cursor := range []string{`"x"`, `1`, `"YXQgLTE"`, `"YXQgMA"`} {
		if a := s.modern(t, "tools/list", `{"cursor":`+cursor+`}`, ""); a.message(t).Error == nil || a.message(t).Error.Code != wire.CodeInvalidParams {
			t.Errorf("cursor %s: %s", cursor, a.body)
		}
	}
	if a := s.modern(t, "tools/list", `{"cursor":"`+cursorAt(9999)+`"}`, ""); string(wire.Member(a.message(t).Result, "tools")) != "[]" {
		t.Errorf("beyond the end: %s", a.body)
	}
}

// An upstream that is down degrades its own part, and says why; what it had
// keeps its place.
func TestABrokenUpstreamDegradesItsOwnPart(t *testing.T) {
	good, bad := startFake(t, lister("a")), startFake(t, lister("b"))
	bad.Close()
	s := serve(t, Config{}, nil, good, bad)
	if diff := cmp.Diff([]string{"up__a"}, s.namesOf(t, "tools/list", "tools", "name")); diff != "" {
		t.Error(diff)
	}
	if a := s.modern(t, "tools/call", `{"name":"up__a"}`, ""); a.message(t).Error != nil {
		t.Errorf("%s", a.body)
	}
	a := s.modern(t, "tools/call", `{"name":"up2__b"}`, "")
	if fault := a.message(t).Error; fault == nil || fault.Code != wire.CodeInternal || !strings.HasPrefix(fault.Message, "Upstream Error: up2: unreachable (request ") || strings.Contains(a.body, "127.0.0.1") {
		t.Errorf("%s", a.body)
	}
	if log := s.log.String(); !strings.Contains(log, "an upstream does not list what it has") || !strings.Contains(log, "connection refused") {
		t.Errorf("log:\n%s", log)
	}
	down := s.Degraded()
	if len(down) != 1 || down[0].Upstream != "up2" || !strings.Contains(down[0].Reason, "connection refused") {
		t.Errorf("degraded: %v", down)
	}
}

// A change that the upstream announces is seen by the next list and the next call.
func TestAChangedListIsFetchedAgain(t *testing.T) {
	f := startFake(t, lister("a"))
	s := serve(t, Config{}, nil, f)
	s.namesOf(t, "tools/list", "tools", "name")
	f.lists["tools/list"] = `{"name":"n"}`
	s.Changed("up", "notifications/tools/list_changed")
	if a := s.modern(t, "tools/call", `{"name":"a"}`, ""); a.message(t).Error == nil {
		t.Errorf("what is gone was called: %s", a.body)
	}
	if diff := cmp.Diff([]string{"n"}, s.namesOf(t, "tools/list", "tools", "name")); diff != "" {
		t.Error(diff)
	}
}

// A change that is announced while the list is being fetched is not lost: what
// comes then may be from before it.
func TestAChangeDuringAFetchIsNotLost(t *testing.T) {
	f := startFake(t, lister("a"))
	entered, release := make(chan struct{}), make(chan struct{})
	var first sync.Once
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		f.ServeHTTP(answer, r)
		if strings.Contains(string(body), `"tools/list"`) {
			first.Do(func() { close(entered); <-release })
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
	s := serve(t, Config{}, nil, f)
	got := make(chan []string)
	go func() { got <- s.namesOf(t, "tools/list", "tools", "name") }()
	<-entered
	f.lists = map[string]string{"tools/list": `{"name":"n"}`}
	s.Changed("up", "notifications/tools/list_changed")
	close(release)
	<-got
	if a := s.modern(t, "tools/call", `{"name":"a"}`, ""); a.message(t).Error == nil {
		t.Errorf("what is gone was called: %s", a.body)
	}
	if a := s.modern(t, "tools/call", `{"name":"n"}`, ""); a.message(t).Error != nil {
		t.Errorf("the new tool: %s", a.body)
	}
}

// Resources are found by URI, by template, and else where the only resources are.
func TestResourceRouting(t *testing.T) {
	a := startFake(t, &fakeServer{lists: map[string]string{"resources/list": `{"uri":"mem://a","name":"x"}`, "resources/templates/list": `{"uriTemplate":"file:///{dir}/n{+path}","name":"t"}`}})
	b := startFake(t, &fakeServer{lists: map[string]string{"resources/list": `{"uri":"mem://b","name":"x"},{"uri":"mem://a","name":"late"}`}})
	s := serve(t, Config{}, nil, a, b)
	for uri, want := range map[string]*fakeServer{"mem://a": a, "mem://b": b, "file:///d/n/x/y": a, "file:///d/e/n": nil, "mem://c": nil} {
		before := []int{len(a.calls()), len(b.calls())}
		got := s.modern(t, "resources/read", `{"uri":"`+uri+`"}`, "")
		after := []int{len(a.calls()) - before[0], len(b.calls()) - before[1]}
		switch want {
		case a, b:
			if (want == a) != (after[0] == 1) || after[0]+after[1] != 1 {
				t.Errorf("%s: %v %s", uri, after, got.body)
			}
		default:
			if after[0]+after[1] != 0 || got.message(t).Error == nil || got.message(t).Error.Code != wire.CodeInvalidParams {
				t.Errorf("%s: %v %s", uri, after, got.body)
			}
		}
	}
	only := serve(t, Config{}, nil, a, startFake(t, lister("x")))
	if got := only.modern(t, "resources/read", `{"uri":"mem://hidden"}`, ""); got.message(t).Error != nil {
		t.Errorf("the only upstream with resources: %s", got.body)
	}
}

// A name that a plugin changed is resolved again, and a plugin whose condition
// only the new name meets has its say, before and after; the first one's name
// counts as well.
func TestAChangedNameIsJudgedAgain(t *testing.T) {
	rename := func(to string) plugin.Plugin {
		return &fakePlugin{[]plugin.Hook{plugin.ToolPreInvoke}, func(_ context.Context, _ plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
			return &plugin.Result{Continue: true, ModifiedPayload: wire.SetMember(nil, payload, "name", wire.AppendString(nil, to))}, nil
		}}
	}
	refuses := &fakePlugin{[]plugin.Hook{plugin.ToolPreInvoke, plugin.ToolPostInvoke}, func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		return plugin.Refuse(&plugin.Violation{Description: "guarded"}), nil
	}}
	for name, c := range map[string]struct {
		to        string
		condition pipeline.Condition
		hooks     []plugin.Hook
		priority  int
		want      string
		reached   int
	}{
		"the upstream's new name, before the change": {"up2__b", pipeline.Condition{Tools: []string{"b"}}, refuses.hooks[:1], 1, "guarded", 0},
		"the upstream's new name, after the change":  {"up2__b", pipeline.Condition{Tools: []string{"b"}}, refuses.hooks[:1], 3, "guarded", 0},
		"the client's new name":                      {"up2__b", pipeline.Condition{Tools: []string{"up2__*"}}, refuses.hooks[:1], 1, "guarded", 0},
		"the new server":                             {"up2__b", pipeline.Condition{ServerIDs: []string{"up2"}}, refuses.hooks[:1], 1, "guarded", 0},
		"the new name, of the result":                {"up2__b", pipeline.Condition{Tools: []string{"b"}}, refuses.hooks[1:], 1, "guarded", 1},
		"the old name, of the result":                {"up2__b", pipeline.Condition{Tools: []string{"a"}}, refuses.hooks[1:], 1, "guarded", 1},
		"another name":                               {"up2__b", pipeline.Condition{Tools: []string{"c"}}, nil, 1, "original", 1},
		"to nothing":                                 {"nobody", pipeline.Condition{Tools: []string{"c"}}, nil, 1, "Unknown tool: nobody", 0},
	} {
		a, b := startFake(t, lister("a")), startFake(t, lister("b", "c"))
		s := serve(t, Config{}, []pipeline.Entry{
			{Name: "Rename", Plugin: rename(c.to), Priority: 2, Conditions: []pipeline.Condition{{Tools: []string{"a"}}}},
			{Name: "Guard", Plugin: refuses, Priority: c.priority, Hooks: c.hooks, Conditions: []pipeline.Condition{c.condition}},
		}, a, b)
		got := s.modern(t, "tools/call", `{"name":"up__a"}`, "")
		if !strings.Contains(got.body, c.want) || len(b.calls()) != c.reached || len(a.calls()) != 0 {
			t.Errorf("%s: %d calls, %s", name, len(b.calls()), got.body)
		}
		for _, call := range b.calls() {
			if string(wire.Member([]byte(call.params), "name")) != `"b"` {
				t.Errorf("%s: the upstream got %s", name, call.params)
			}
		}
	}
}
