package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// What is wrong with a request's form is said with the status and code that its
// era has for it, and nothing of it reaches an upstream.
func TestForms(t *testing.T) {
	f := startFake(t, &fakeServer{})
	s := serve(t, Config{}, nil, f)
	session := s.open(t, wire.Revision2025_11)
	call := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{` + ownMeta + `}}}`
	head := []string{"Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: echo"}
	for name, c := range map[string]struct {
		body    string
		headers []string
		status  int
		code    int64
	}{
		"not JSON":                 {`{"a":1,}`, head, 400, wire.CodeParse},
		"twice the same member":    {`{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}`, head, 400, wire.CodeParse},
		"another name in a header": {call, []string{head[0], head[1], "Mcp-Name: other"}, 400, wire.CodeHeaderMismatch},
		"no Mcp-Name":              {call, head[:2], 400, wire.CodeHeaderMismatch},
		"no headers":               {call, nil, 400, wire.CodeHeaderMismatch},
		"a revision of tomorrow":   {strings.Replace(call, "2026-07-28", "2027-01-01", 1), []string{"Mcp-Protocol-Version: 2027-01-01", head[1], head[2]}, 400, wire.CodeUnsupportedRevision},
		"no capabilities":          {`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, []string{head[0], "Mcp-Method: tools/list"}, 400, wire.CodeInvalidParams},
		"no name":                  {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`, []string{session}, 200, wire.CodeInvalidParams},
		"arguments are no object":  {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":[1]}}`, []string{session}, 200, wire.CodeInvalidParams},
		"no session":               {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}`, nil, 400, wire.CodeServerError},
		"an unknown session":       {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}`, []string{"Mcp-Session-Id: nobody"}, 404, wire.CodeServerError},
		"an unknown revision":      {`{"jsonrpc":"2.0","id":1,"method":"ping"}`, []string{session, "Mcp-Protocol-Version: 2025-01-01"}, 400, wire.CodeUnsupportedRevision},
		"a name like another":      {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","Arguments":{}}}`, []string{session}, 200, wire.CodeInvalidParams},
		"initialize of nothing":    {`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`, nil, 200, wire.CodeInvalidParams},
	} {
		a := s.post(t, c.body, c.headers...)
		if fault := a.message(t).Error; a.status != c.status || fault == nil || fault.Code != c.code {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	for name, c := range map[string]struct {
		method  string
		headers []string
		status  int
	}{
		"GET":              {"GET", nil, 405},
		"PUT":              {"PUT", nil, 405},
		"a form":           {"POST", []string{"Content-Type: text/plain"}, 415},
		"packed":           {"POST", []string{"Content-Type: application/json", "Content-Encoding: gzip"}, 415},
		"an image, please": {"POST", []string{"Content-Type: application/json", "Accept: image/png"}, 406},
	} {
		if a := send(t, c.method, s.url, call, c.headers...); a.status != c.status {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	ping := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	for _, c := range []struct {
		method, header string
		status         int
	}{{"POST", session, 200}, {"DELETE", "X: y", 405}, {"DELETE", "Mcp-Session-Id: nobody", 404}, {"DELETE", session, 204}, {"DELETE", session, 404}, {"POST", session, 404}} {
		if a := send(t, c.method, s.url, ping, "Content-Type: application/json", c.header); a.status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.header, a.status, a.body, c.status)
		}
	}
	if len(f.calls()) != 0 {
		t.Errorf("reached the upstream: %v", f.calls())
	}
}

func TestInitializeAgreesOnARevision(t *testing.T) {
	s := serve(t, Config{}, nil)
	for asked, want := range map[string]string{"2025-03-26": "2025-03-26", "2025-06-18": "2025-06-18", "2025-11-25": "2025-11-25", "2024-11-05": "2025-11-25", "2030-01-01": "2025-11-25"} {
		a := s.post(t, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+asked+`"}}`)
		if got, _ := wire.String(wire.Member(a.message(t).Result, "protocolVersion")); got != want {
			t.Errorf("%s: %s", asked, a.body)
		}
	}
	a := s.modern(t, "server/discover", `{}`, "")
	if a.status != 200 || !strings.Contains(a.body, `"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"]`) {
		t.Errorf("%s", a.body)
	}
	if got := s.namesOf(t, "tools/list", "tools", "name"); len(got) != 0 {
		t.Errorf("without upstreams: %v", got)
	}
}

// Sessions end by age and by number, the one unused longest first.
func TestSessionsEnd(t *testing.T) {
	now := time.Now()
	s := newSessions()
	s.now = func() time.Time { return now }
	first := s.open("r")
	for range maxSessions {
		s.open("r")
	}
	if s.find(first.id) != nil || len(s.byID) != maxSessions || s.used.Len() != maxSessions {
		t.Errorf("%d sessions", len(s.byID))
	}
	used := s.open("r")
	now = now.Add(sessionIdle / 2)
	if s.find(used.id) == nil {
		t.Error("a session ended too soon")
	}
	now = now.Add(sessionIdle/2 + time.Second)
	if s.find(used.id) == nil || len(s.byID) != 1 || s.used.Len() != 1 {
		t.Errorf("%d sessions, want the used one", len(s.byID))
	}
}

// Plugins are told what protocol §5 says, see no secret header, and what they
// set goes to the upstream; what the client sent to us does not.
func TestWhatPluginsAreToldAndMaySet(t *testing.T) {
	var told, second string
	p := &fakePlugin{plugin.Hooks()[:2], func(_ context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
		if hook == plugin.ToolPostInvoke {
			second = string(c.State["seen"]) + string(c.GlobalContext.State["shared"]) + c.GlobalContext.RequestID
			return plugin.Continue(), nil
		}
		told = string(payload) + " " + c.GlobalContext.ServerID + string(c.GlobalContext.Metadata["original_name"]) + string(c.GlobalContext.Metadata["tool"])
		c.State = plugin.Object{"seen": json.RawMessage(`"` + c.GlobalContext.RequestID + `"`)}
		c.GlobalContext.State = plugin.Object{"shared": json.RawMessage(`1`)}
		headers := wire.SetMember(nil, wire.Member(payload, "headers"), "X-Set", []byte(`"by plugin"`))
		headers = wire.SetMember(nil, headers, "Mcp-Session-Id", []byte(`"stolen"`))
		return &plugin.Result{Continue: true, ModifiedPayload: wire.SetMember(nil, payload, "headers", headers)}, nil
	}}
	f := startFake(t, &fakeServer{})
	s := serve(t, Config{Naming: Naming{Prefix: "always"}}, entryOf(p), f)
	session := s.open(t, wire.Revision2025_11)
	a := s.post(t, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"up__echo","arguments":{"a":1}}}`, session,
		"Authorization: Bearer secret", "X-Api-Key: secret", "X-Team: blue", "Cookie: secret")
	if a.message(t).Error != nil {
		t.Fatal(a.body)
	}
	want := `{"name":"up__echo","args":{"a":1},"headers":{"User-Agent":"Go-http-client/1.1","X-Team":"blue"}} up"echo"` +
		`{"name":"up__echo","description":"Says it again.","annotations":{"readOnlyHint":true},"input_schema":{"type":"object"}}`
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	if id := strings.Trim(strings.TrimSuffix(second, second[len(second)-26:]), `1"`); len(second) != 28+1+26 || !strings.Contains(second, id) {
		t.Errorf("from pre to post: %s", second)
	}
	h := f.calls()[0].header
	if h.Get("X-Set") != "by plugin" || h.Get("Authorization")+h.Get("X-Api-Key")+h.Get("X-Team")+h.Get("Cookie")+h.Get("Mcp-Session-Id") != "" {
		t.Errorf("the upstream got headers %v", h)
	}
	if strings.Contains(s.log.String(), "secret") {
		t.Errorf("log:\n%s", s.log)
	}
}

// x-mcp-header: the client's headers are compared with its arguments, and the
// upstream's are made from the arguments as plugins left them.
func TestParamHeaders(t *testing.T) {
	lists := map[string]string{"tools/list": `{"name":"echo","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},` +
		`"deep":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"Count"}}}}}},` +
		`{"name":"broken","inputSchema":{"type":"object","properties":{"a":{"type":"array","x-mcp-header":"A"}}}}`}
	change := func(_ context.Context, _ plugin.Hook, payload json.RawMessage) (*plugin.Result, error) {
		text := strings.NewReplacer("köln", "bonn", `"tell"`, `"told"`).Replace(string(payload))
		headers := wire.SetMember(nil, wire.Member([]byte(text), "headers"), "Mcp-Param-Removed", nil)
		return &plugin.Result{Continue: true, ModifiedPayload: wire.SetMember(nil, []byte(text), "headers", headers)}, nil
	}
	f := startFake(t, &fakeServer{modern: true, lists: lists})
	s := serve(t, Config{}, says(change, "", plugin.ToolPreInvoke), f)
	if diff := cmp.Diff([]string{"echo"}, s.namesOf(t, "tools/list", "tools", "name")); diff != "" {
		t.Error(diff)
	}
	params := `{"name":"echo","arguments":{"region":"köln","deep":{"n":42}}}`
	right := []string{"Mcp-Param-Region: " + wire.EncodeHeader("köln"), "Mcp-Param-Count: 42.0", "Mcp-Param-Other: kept", "Mcp-Param-Changed: tell", "Mcp-Param-Removed: x"}
	if a := s.modern(t, "tools/call", params, "", right...); a.message(t).Error != nil {
		t.Fatal(a.body)
	}
	h := f.calls()[0].header
	if h.Get("Mcp-Param-Region") != "bonn" || h.Get("Mcp-Param-Count") != "42" || h.Get("Mcp-Param-Other") != "kept" || h.Get("Mcp-Param-Changed") != "told" || h.Get("Mcp-Param-Removed") != "" {
		t.Errorf("the upstream got headers %v", h)
	}
	for name, headers := range map[string][]string{
		"none":            nil,
		"one is missing":  right[:1],
		"another value":   {right[0], "Mcp-Param-Count: 43"},
		"there twice":     {right[0], right[1], right[1]},
		"broken encoding": {"Mcp-Param-Region: =?base64?!?=", right[1]},
	} {
		if a := s.modern(t, "tools/call", params, "", headers...); a.status != 400 || a.message(t).Error.Code != wire.CodeHeaderMismatch {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := s.modern(t, "tools/call", `{"name":"echo","arguments":{}}`, "", right[0]); a.status != 400 {
		t.Errorf("a header without its argument: %s", a.body)
	}
	if len(f.calls()) != 1 {
		t.Errorf("%d calls reached the upstream", len(f.calls()))
	}
}

// Trace context and what else _meta holds reaches the upstream.
func TestTraceContextPasses(t *testing.T) {
	const trace = `"traceparent":"00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"`
	f := startFake(t, &fakeServer{modern: true})
	s := serve(t, Config{}, nil, f)
	s.modern(t, "tools/call", `{"name":"echo"}`, trace+`,"x.example/k":1.0`)
	if got := f.calls()[0].params; !strings.Contains(got, trace) || !strings.Contains(got, `"x.example/k":1.0`) {
		t.Errorf("the upstream got %s", got)
	}
	if !strings.Contains(s.log.String(), "traceparent=00-0af7651916cd43dd8448eb211c80319c") {
		t.Errorf("log:\n%s", s.log)
	}
}

// What an upstream says is wrong passes as it is.
func TestTheUpstreamsErrorsPass(t *testing.T) {
	f := startFake(t, &fakeServer{answer: func(f *fakeServer, w http.ResponseWriter, _ *http.Request, m *wire.Message) bool {
		f.fault(w, m, &wire.Error{Code: -32042, Message: "say \"please\"", Data: json.RawMessage(`{"b":1.0,"a":9007199254740993}`)})
		return true
	}})
	a := serve(t, Config{}, nil, f).modern(t, "tools/call", `{"name":"echo"}`, "")
	if a.status != 200 || a.body != `{"jsonrpc":"2.0","id":"m1","error":{"code":-32042,"message":"say \"please\"","data":{"b":1.0,"a":9007199254740993}}}` {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A capability that the client lacks has a status of its own in the modern era,
// and none in the old one.
func TestAMissingCapabilityIsABadRequest(t *testing.T) {
	f := startFake(t, &fakeServer{modern: true, answer: func(f *fakeServer, w http.ResponseWriter, _ *http.Request, m *wire.Message) bool {
		w.Header().Set("Content-Type", wire.MediaJSON)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(wire.AppendError(nil, m.ID, &wire.Error{Code: wire.CodeMissingCapability, Message: "sampling", Data: json.RawMessage(`{"requiredCapabilities":{"sampling":{}}}`)}))
		return true
	}})
	s := serve(t, Config{}, nil, f)
	const fault = `"error":{"code":-32021,"message":"sampling","data":{"requiredCapabilities":{"sampling":{}}}}}`
	if a := s.modern(t, "tools/call", `{"name":"echo"}`, ""); a.status != http.StatusBadRequest || a.body != `{"jsonrpc":"2.0","id":"m1",`+fault {
		t.Errorf("modern: %d %s", a.status, a.body)
	}
	if a := s.legacy(t, s.open(t, wire.Revision2025_11), "tools/call", `{"name":"echo"}`); a.status != http.StatusOK || a.body != `{"jsonrpc":"2.0","id":7,`+fault {
		t.Errorf("legacy: %d %s", a.status, a.body)
	}
}

// A payload over the limit is refused before any plugin sees it, on both sides.
func TestLargePayloadsAreRefused(t *testing.T) {
	large := strings.Repeat("x", 1_000_001)
	f := startFake(t, &fakeServer{answer: answering(`{"content":[{"type":"text","text":"` + large + `"}]}`)})
	for hook, code := range map[plugin.Hook]int64{plugin.ToolPreInvoke: wire.CodeInvalidParams, plugin.ToolPostInvoke: wire.CodeInternal} {
		text := "small"
		if hook == plugin.ToolPreInvoke {
			text = large
		}
		s := serve(t, Config{}, says(behaviours["timeout"], "", hook), f)
		a := s.modern(t, "tools/call", `{"name":"echo","arguments":{"t":"`+text+`"}}`, "")
		if fault := a.message(t).Error; fault == nil || fault.Code != code || !strings.Contains(fault.Message, "1000") || !strings.Contains(fault.Message, "max_payload_bytes 1000000") {
			t.Errorf("%s: %.300s", hook, a.body)
		}
	}
}

// Answers to an upstream's questions are content that no plugin can judge yet.
func TestInputResponsesAreRefusedWhereAPluginJudges(t *testing.T) {
	f := startFake(t, &fakeServer{modern: true})
	params := `{"name":"echo","inputResponses":{"q":{"action":"accept"}},"requestState":"s"}`
	if a := serve(t, Config{}, says(behaviours["pass"], "", plugin.ToolPreInvoke), f).modern(t, "tools/call", params, ""); a.message(t).Error == nil || len(f.calls()) != 0 {
		t.Errorf("%s", a.body)
	}
	if a := serve(t, Config{}, says(behaviours["pass"], "", plugin.ToolPostInvoke), f).modern(t, "tools/call", params, ""); a.message(t).Error != nil || !strings.Contains(f.calls()[0].params, `"requestState":"s"`) {
		t.Errorf("%s", a.body)
	}
}

// A page that may call is told so, in the browser's words.
func TestPagesAreAnswered(t *testing.T) {
	s := serve(t, Config{}, nil)
	a := send(t, "OPTIONS", s.url, "", "Origin: https://app.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type,mcp-param-x")
	if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "https://app.example" || a.header.Get("Access-Control-Allow-Headers") != "content-type,mcp-param-x" {
		t.Errorf("%d %v", a.status, a.header)
	}
	a = s.modern(t, "tools/list", `{}`, "", "Origin: https://app.example")
	if a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "https://app.example" || !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "Mcp-Session-Id") {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a = send(t, "OPTIONS", s.url, ""); a.status != 405 || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("no page: %d %v", a.status, a.header)
	}
}

func TestAdmin(t *testing.T) {
	s := serve(t, Config{Degraded: func() []Degraded { return []Degraded{{Plugin: "P", Reason: "down"}} }}, nil, startFake(t, &fakeServer{}))
	var listener error
	admin := httptest.NewServer(s.Admin(func() error { return listener }))
	defer admin.Close()
	s.Warm(t.Context())
	for path, want := range map[string]string{"/livez": `{"status":"alive"}`, "/readyz": `{"status":"ready","degraded":[{"plugin":"P","reason":"down"}]}`} {
		if a := send(t, "GET", admin.URL+path, ""); a.status != 200 || a.body != want {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	listener = errors.New("own certificate has expired")
	if a := send(t, "GET", admin.URL+"/readyz", ""); a.status != 503 || a.body != `{"status":"not ready","reason":"own certificate has expired"}` {
		t.Errorf("nobody can connect: %d %s", a.status, a.body)
	}
	if a := send(t, "GET", admin.URL+"/livez", ""); a.status != 200 {
		t.Errorf("alive: %d %s", a.status, a.body)
	}
	listener = nil
	s.Drain()
	if a := send(t, "GET", admin.URL+"/readyz", ""); a.status != 503 {
		t.Errorf("draining: %d %s", a.status, a.body)
	}
	if a := send(t, "GET", strings.TrimSuffix(s.url, path)+"/health", ""); a.status != 200 || a.body != `{"status":"healthy"}` {
		t.Errorf("health: %d %s", a.status, a.body)
	}
}
