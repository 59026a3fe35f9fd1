package gateway

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// talking makes a fake answer as a stream: progress and a log message first,
// then the result.
func talking(f *fakeServer, w http.ResponseWriter, _ *http.Request, m *wire.Message) bool {
	w.Header().Set("Content-Type", wire.MediaSSE)
	token := wire.Member(wire.Member(m.Params, "_meta"), "progressToken")
	if token == nil {
		token = []byte(`"nobody's"`)
	}
	for _, note := range []string{
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":` + string(token) + `,"progress":1,"total":2.50,"message":"secret half"}}`,
		`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"secret log"}}`,
		`{"jsonrpc":"2.0","method":"notifications/strange","params":{"data":"secret surprise"}}`,
	} {
		_, _ = w.Write(wire.AppendEvent(nil, "message", []byte(note)))
	}
	_, _ = w.Write(wire.AppendEvent(nil, "message", wire.AppendResult(nil, m.ID, []byte(plainResults[m.Method]))))
	return true
}

// says is an entry whose plugin runs on hooks and behaves like b.
func says(b behaviour, mode pipeline.Mode, hooks ...plugin.Hook) []pipeline.Entry {
	return []pipeline.Entry{{Name: "P", Mode: mode, Plugin: &fakePlugin{hooks, func(ctx context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		return b(ctx, hook, payload)
	}}}}
}

// What comes before a result has not been judged: where a plugin judges the
// result, only the numbers of progress pass.
func TestNothingComesBeforeTheVerdict(t *testing.T) {
	pass, refuse := behaviours["pass"], behaviours["refuse"]
	for name, c := range map[string]struct {
		entries  []pipeline.Entry
		progress string
		log      bool
		result   string
	}{
		"no plugin":                  {nil, `"progress":1,"total":2.50,"message":"secret half"}`, true, "original"},
		"a plugin before":            {says(pass, "", plugin.ToolPreInvoke), `"message":"secret half"}`, true, "original"},
		"a plugin of another hook":   {says(refuse, "", plugin.PromptPostFetch), `"message":"secret half"}`, true, "original"},
		"a plugin that only watches": {says(refuse, pipeline.Audit, plugin.ToolPostInvoke), `"message":"secret half"}`, true, "original"},
		"a plugin that passes":       {says(pass, "", plugin.ToolPostInvoke), `{"progressToken":"t1","progress":1,"total":2.50}`, false, "original"},
		"a plugin that refuses":      {says(refuse, "", plugin.ToolPostInvoke), `{"progressToken":"t1","progress":1,"total":2.50}`, false, "Plugin Violation"},
		"a plugin that fails":        {says(behaviours["error"], "", plugin.ToolPostInvoke), `{"progressToken":"t1","progress":1,"total":2.50}`, false, "Plugin Error"},
	} {
		f := startFake(t, &fakeServer{modern: true, answer: talking})
		s := serve(t, Config{}, c.entries, f)
		a := s.modern(t, "tools/call", `{"name":"echo"}`, `"progressToken":"t1","io.modelcontextprotocol/logLevel":"debug"`)
		if !strings.Contains(a.body, c.progress) || strings.Index(a.body, "notifications/progress") > strings.Index(a.body, `"id":"m1"`) {
			t.Errorf("%s: progress is not there, or late: %s", name, a.body)
		}
		if got := strings.Contains(a.body, "secret log"); got != c.log {
			t.Errorf("%s: log message: %v, want %v", name, got, c.log)
		}
		if strings.Contains(a.body, "secret surprise") || !strings.Contains(a.body, c.result) {
			t.Errorf("%s: %s", name, a.body)
		}
		if !c.log && (strings.Contains(a.body, "secret") || (c.result != "original" && strings.Contains(a.body, "original"))) {
			t.Errorf("%s: something came around the plugin: %s", name, a.body)
		}
	}
}

// A modern client gets log messages only when it asks, a legacy one those of its
// level; without a token there is no progress.
func TestNotificationsThatNobodyAskedFor(t *testing.T) {
	f := startFake(t, &fakeServer{answer: talking})
	s := serve(t, Config{}, nil, f)
	if a := s.modern(t, "tools/call", `{"name":"echo"}`, ""); strings.Contains(a.body, "secret") || a.header.Get("Content-Type") != wire.MediaJSON {
		t.Errorf("modern: %s", a.body)
	}
	session := s.open(t, wire.Revision2025_11)
	if a := s.legacy(t, session, "tools/call", `{"name":"echo"}`); !strings.Contains(a.body, "secret log") {
		t.Errorf("legacy: %s", a.body)
	}
	if a := s.legacy(t, session, "logging/setLevel", `{"level":"error"}`); string(a.message(t).Result) != `{}` {
		t.Errorf("setLevel: %s", a.body)
	}
	if a := s.legacy(t, session, "tools/call", `{"name":"echo"}`); strings.Contains(a.body, "secret log") {
		t.Errorf("legacy, errors only: %s", a.body)
	}
	plain := send(t, "POST", s.url, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{"progressToken":1}}}`,
		"Content-Type: application/json", "Accept: application/json", session)
	if strings.Contains(plain.body, "secret") || plain.header.Get("Content-Type") != wire.MediaJSON {
		t.Errorf("a client that takes JSON only: %s", plain.body)
	}
}

// completion/complete has no hook: where a plugin judges the prompt or resource,
// neither what was typed nor what would be suggested passes.
func TestCompletionsAreWithheldWhereAPluginJudges(t *testing.T) {
	for name, c := range map[string]struct {
		entries []pipeline.Entry
		ref     string
		asked   bool
	}{
		"a prompt, no plugin":             {nil, `{"type":"ref/prompt","name":"greet"}`, true},
		"a prompt, a plugin of tools":     {says(behaviours["pass"], "", plugin.ToolPreInvoke, plugin.ToolPostInvoke), `{"type":"ref/prompt","name":"greet"}`, true},
		"a prompt, a plugin before":       {says(behaviours["pass"], "", plugin.PromptPreFetch), `{"type":"ref/prompt","name":"greet"}`, false},
		"a prompt, a plugin after":        {says(behaviours["pass"], "", plugin.PromptPostFetch), `{"type":"ref/prompt","name":"greet"}`, false},
		"a template, a plugin of prompts": {says(behaviours["pass"], "", plugin.PromptPreFetch), `{"type":"ref/resource","uri":"mem://t/{id}"}`, true},
		"a template, a plugin after":      {says(behaviours["pass"], "", plugin.ResourcePostFetch), `{"type":"ref/resource","uri":"mem://t/{id}"}`, false},
	} {
		f := startFake(t, &fakeServer{lists: withCompletions()})
		s := serve(t, Config{}, c.entries, f)
		a := s.modern(t, "completion/complete", `{"ref":`+c.ref+`,"argument":{"name":"x","value":"typed"}}`, "")
		if got := len(f.calls()) == 1; got != c.asked || strings.Contains(a.body, "original") != c.asked {
			t.Errorf("%s: %d calls, %s", name, len(f.calls()), a.body)
		}
		if wire.Kind(wire.Member(wire.Member(a.message(t).Result, "completion"), "values")) != '[' {
			t.Errorf("%s: no completion: %s", name, a.body)
		}
	}
}

func withCompletions() map[string]string {
	lists := map[string]string{"completions/x": ""}
	maps.Copy(lists, plainLists)
	return lists
}

// Methods that are not served are refused, whatever the upstream would say.
func TestUnknownMethodsAreNotForwarded(t *testing.T) {
	f := startFake(t, &fakeServer{})
	s := serve(t, Config{}, nil, f)
	session := s.open(t, wire.Revision2025_11)
	for _, method := range []string{"resources/subscribe", "tasks/get", "tasks/result", "sampling/createMessage", "tools/call2", "subscriptions/listen", "x/y"} {
		if a := s.legacy(t, session, method, `{"uri":"mem://a","name":"echo"}`); a.status != http.StatusOK || a.message(t).Error == nil || a.message(t).Error.Code != wire.CodeMethodNotFound {
			t.Errorf("legacy %s: %d %s", method, a.status, a.body)
		}
		if a := s.modern(t, method, `{"uri":"mem://a","name":"echo"}`, ""); a.status != http.StatusNotFound || a.message(t).Error.Code != wire.CodeMethodNotFound {
			t.Errorf("modern %s: %d %s", method, a.status, a.body)
		}
	}
	if calls := f.calls(); len(calls) != 0 {
		t.Errorf("reached the upstream: %v", calls)
	}
}

// A batch is guarded message by message.
func TestBatchesAreGuarded(t *testing.T) {
	f := startFake(t, &fakeServer{})
	s := serve(t, Config{}, says(behaviours["refuse"], "", plugin.ToolPreInvoke), f)
	session := s.open(t, wire.Revision2025_03)
	batch := `[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}},{"jsonrpc":"2.0","method":"notifications/initialized"},` +
		`{"jsonrpc":"2.0","id":2,"method":"prompts/get","params":{"name":"greet"}},{"jsonrpc":"2.0","id":3,"method":"initialize","params":{}},{"x":1}]`
	a := s.post(t, batch, session)
	if a.status != http.StatusOK || !strings.HasPrefix(a.body, `[{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Plugin Violation`) ||
		!strings.Contains(a.body, `{"jsonrpc":"2.0","id":2,"result":{"messages"`) || !strings.Contains(a.body, `"id":3,"error":{"code":-32600`) || !strings.Contains(a.body, `"id":null,"error":{"code":-32600`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if calls := f.calls(); len(calls) != 1 || calls[0].method != "prompts/get" {
		t.Errorf("reached the upstream: %v", calls)
	}
	if a := s.post(t, `[{"jsonrpc":"2.0","method":"notifications/initialized"}]`, session); a.status != http.StatusAccepted {
		t.Errorf("notifications only: %d %s", a.status, a.body)
	}
	for name, headers := range map[string][]string{
		"no session":         nil,
		"a newer session":    {s.open(t, wire.Revision2025_06)},
		"a newer revision":   {session, "Mcp-Protocol-Version: 2025-11-25"},
		"an unknown session": {"Mcp-Session-Id: nobody"},
	} {
		if a := s.post(t, batch, headers...); a.status != http.StatusBadRequest && a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	modern := `[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{` + ownMeta + `}}}]`
	if a := s.post(t, modern, session); !strings.Contains(a.body, "has no batches") {
		t.Errorf("modern in a batch: %s", a.body)
	}
	if len(f.calls()) != 1 {
		t.Error("a refused batch has reached the upstream")
	}
}

// A result that has no contents is judged as a whole.
func TestAResourceWithoutContentsIsJudged(t *testing.T) {
	for _, result := range []string{`{"contents":[],"note":"original"}`, `{"resultType":"input_required","inputRequests":{"q":"original"}}`, `{"contents":{"text":"original"}}`} {
		f := startFake(t, &fakeServer{modern: true, answer: answering(result)})
		a := serve(t, Config{}, says(behaviours["refuse"], "", plugin.ResourcePostFetch), f).modern(t, "resources/read", `{"uri":"mem://a"}`, "")
		if a.message(t).Error == nil || strings.Contains(a.body, "original") {
			t.Errorf("%s came through: %s", result, a.body)
		}
	}
}

// A refused content of a resource takes the others with it.
func TestOneRefusedContentRefusesTheResource(t *testing.T) {
	f := startFake(t, &fakeServer{answer: answering(`{"contents":[{"uri":"mem://a","text":"fine"},{"uri":"mem://a","text":"bad"}]}`)})
	refuseBad := func(_ context.Context, _ plugin.Hook, payload json.RawMessage) (*plugin.Result, error) {
		if strings.Contains(string(payload), "bad") {
			return plugin.Refuse(&plugin.Violation{Description: "no", MCPCode: new(-32021)}), nil
		}
		return plugin.Continue(), nil
	}
	a := serve(t, Config{}, says(refuseBad, "", plugin.ResourcePostFetch), f).modern(t, "resources/read", `{"uri":"mem://a"}`, "")
	if fault := a.message(t).Error; fault == nil || fault.Code != wire.CodeInvalidParams || strings.Contains(a.body, "fine") {
		t.Errorf("%s", a.body)
	}
}

// The client's end reaches the upstream, and its end of the call the client's
// session.
func TestCancellation(t *testing.T) {
	entered, gone := make(chan struct{}), make(chan struct{})
	f := startFake(t, &fakeServer{modern: true, answer: func(_ *fakeServer, _ http.ResponseWriter, r *http.Request, _ *wire.Message) bool {
		close(entered)
		<-r.Context().Done()
		close(gone)
		return true
	}})
	s := serve(t, Config{}, nil, f)
	session := s.open(t, wire.Revision2025_11)
	ended := make(chan got)
	go func() { ended <- s.legacy(t, session, "tools/call", `{"name":"echo"}`) }()
	<-entered
	if a := s.post(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`, session); a.status != http.StatusAccepted {
		t.Errorf("cancelled: %d", a.status)
	}
	<-gone
	if a := <-ended; strings.Contains(a.body, "jsonrpc") {
		t.Errorf("a cancelled request was answered: %s", a.body)
	}
	if log := s.log.String(); !strings.Contains(log, "outcome=cancelled") || strings.Contains(log, "gave no answer") {
		t.Errorf("log:\n%s", log)
	}

	entered, gone = make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", s.url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{`+ownMeta+`}}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {wire.MediaJSON}, "Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"echo"}}
	go func() {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		ended <- got{}
	}()
	<-entered
	cancel()
	<-gone
	<-ended
}
