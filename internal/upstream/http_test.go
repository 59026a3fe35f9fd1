package upstream

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// hard is what a parser that decodes and encodes again would change.
const hard = `{"z":9007199254740993,"a":1.0,"e":1e2,"deep":{"b":[ 1 , 2.50 ],"a":"\u00e9\ud83d"},"content":[{"type":"hologram","x":null}]}`

func TestModernCall(t *testing.T) {
	s, url := serve(t, modern(func(w http.ResponseWriter, r *got) { send(w, r, hard) }))
	u := start(t, Config{URL: url, Headers: map[string]string{"x-team": "blue"}}, Options{ClientVersion: "7"})
	c := tool("naïve", `{"name":"naïve", "arguments":`+hard+`,"_meta":{"progressToken":"p","io.modelcontextprotocol/clientInfo":{"name":"theirs"},"traceparent":"00-1"}}`)
	c.Headers = http.Header{"Mcp-Param-Region": {"eu"}, "X-Plugin": {"1"}, "Mcp-Session-Id": {"theirs"}, "accept": {"x"}}
	answer, err := u.Do(within(t), c)
	if err != nil {
		t.Fatal(err)
	}
	if string(answer.Result) != hard || answer.Error != nil {
		t.Errorf("answer %+v", answer)
	}
	r := s.asked(wire.MethodToolsCall)[0]
	want := `{"name":"naïve", "arguments":` + hard + `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"sallyport","version":"7"},"progressToken":"p","traceparent":"00-1"}}`
	if diff := cmp.Diff(want, r.params); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{
		"X-Team": "blue", "X-Plugin": "1", "Mcp-Param-Region": "eu", "Mcp-Session-Id": "", "Accept": wire.AcceptBoth,
		"Mcp-Method": "tools/call", "Mcp-Name": wire.EncodeHeader("naïve"), "Mcp-Protocol-Version": "2026-07-28", "User-Agent": "sallyport/7",
	} {
		if got := r.http.Header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	info, err := u.Info(within(t))
	if err != nil || info.Era != wire.Modern || info.Revision != wire.Revision2026_07 || info.Instructions != "be kind" ||
		string(info.ServerInfo) != `{"name":"s","version":"1"}` || string(info.Capabilities) != `{"tools":{}}` || string(info.Raw) != discovered {
		t.Errorf("info %+v, error %v", info, err)
	}
	if n := len(s.asked(wire.MethodDiscover)); n != 1 {
		t.Errorf("discovered %d times", n)
	}
	if st := u.State(); !st.Up || st.Err != nil || st.Since.IsZero() {
		t.Errorf("state %+v", st)
	}
}

func TestLegacyCall(t *testing.T) {
	l := &legacy{next: func(w http.ResponseWriter, r *got) {
		token := string(wire.Member(wire.Member(r.m.Params, "_meta"), "progressToken"))
		stream(w, r, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1.0,"progressToken":`+token+`}}`,
			`{"jsonrpc":"2.0","id":"srv-1","method":"ping"}`,
			`{"jsonrpc":"2.0","id":2,"method":"sampling/createMessage","params":{}}`,
			`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`,
			`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":1e2}}`,
			`{"jsonrpc":"2.0","id":ID,"result":`+hard+`}`)
	}}
	s, url := serve(t, l.answer)
	changes := make(chan string, 1)
	u := start(t, Config{URL: url}, Options{OnChange: func(method string) { changes <- method }})
	var notes []string
	c := tool("x", `{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/logLevel":"info","progressToken":"theirs","io.modelcontextprotocol/related-task":{"taskId":"1"}},"arguments":{}}`)
	c.Headers = http.Header{"Mcp-Param-Region": {"eu"}}
	c.Notify = func(m json.RawMessage) { notes = append(notes, string(m)) }
	answer, err := u.Do(within(t), c)
	if err != nil {
		t.Fatal(err)
	}
	if string(answer.Result) != hard {
		t.Errorf("answer %+v", answer)
	}
	r := s.asked(wire.MethodToolsCall)[0]
	id := string(r.m.ID)
	if want := `{"name":"x","_meta":{"progressToken":` + id + `,"io.modelcontextprotocol/related-task":{"taskId":"1"}},"arguments":{}}`; r.params != want {
		t.Errorf("params %s, want %s", r.params, want)
	}
	for name, want := range map[string]string{"Mcp-Session-Id": "session-1", "Mcp-Protocol-Version": "2025-11-25", "Mcp-Param-Region": "", "Mcp-Method": ""} {
		if got := r.http.Header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	if diff := cmp.Diff([]string{
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1.0,"progressToken":"theirs"}}`,
		`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":1e2}}`,
	}, notes); diff != "" {
		t.Error(diff)
	}
	if got := <-changes; got != "notifications/tools/list_changed" {
		t.Errorf("change %s", got)
	}
	info, err := u.Info(within(t))
	if err != nil || info.Era != wire.Legacy || info.Revision != wire.Revision2025_11 || string(info.ServerInfo) != `{"name":"old","version":"1"}` {
		t.Errorf("info %+v, error %v", info, err)
	}
	if n := len(s.asked(wire.MethodInitialized)); n != 1 {
		t.Errorf("%d notifications/initialized", n)
	}
}

func TestJSONRPCErrorsAreAnswers(t *testing.T) {
	data := `{"code":-32602,"message":"Unknown tool: \u0061","data":{"n":1.0}}`
	for name, status := range map[string]int{"200": 200, "400": 400, "404": 404} {
		s, url := serve(t, modern(func(w http.ResponseWriter, r *got) {
			sendStatus(w, status, []byte(`{"jsonrpc":"2.0","id":`+string(r.m.ID)+`,"error":`+data+`}`))
		}))
		answer, err := start(t, Config{URL: url}, Options{}).Do(within(t), tool("a", `{"name":"a"}`))
		if err != nil || answer.Error == nil || answer.Error.Code != -32602 || string(answer.Error.Data) != `{"n":1.0}` {
			t.Errorf("%s: answer %+v, error %v", name, answer, err)
		}
		if n := len(s.asked(wire.MethodToolsCall)); n != 1 {
			t.Errorf("%s: called %d times", name, n)
		}
	}
}

// TestBadAnswers: each costs the one call, which is sent once.
func TestBadAnswers(t *testing.T) {
	const id = "ID"
	for name, c := range map[string]struct {
		media, body string
		status      int
		kind        Kind
		text        string
	}{
		"HTML":                {"text/html", "<html><b>Sign in</b>", 200, BadAnswer, `content type "text/html"`},
		"an HTML error page":  {"text/html", "<h1>Oops</h1>\n<p>x", 500, BadAnswer, `HTTP 500 Internal Server Error: "<h1>Oops</h1> <p>x"`},
		"a proxy's 502":       {"text/html", "<h1>Bad Gateway", 502, Unreachable, "HTTP 502"},
		"a leak":              {"text/plain", "you sent Bearer tok-s3cr3t-en", 400, BadAnswer, `"you sent ***"`},
		"part of a leak":      {"text/plain", "token tok-s3cr3t-en is no good", 500, BadAnswer, `"token *** is no good"`},
		"401":                 {"text/plain", "who are you", 401, BadAnswer, "HTTP 401"},
		"duplicate keys":      {wire.MediaJSON, `{"jsonrpc":"2.0","id":ID,"result":{"a":1,"a":2}}`, 200, BadAnswer, "duplicate"},
		"duplicate id":        {wire.MediaJSON, `{"jsonrpc":"2.0","id":ID,"id":5,"result":{}}`, 200, BadAnswer, "duplicate"},
		"another id":          {wire.MediaJSON, `{"jsonrpc":"2.0","id":"x","result":{}}`, 200, BadAnswer, `the answer has id "x"`},
		"another id, stream":  {wire.MediaSSE, "data: {\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}\n\n", 200, BadAnswer, "the answer has id 0"},
		"trailing bytes":      {wire.MediaJSON, `{"jsonrpc":"2.0","id":ID,"result":{}}{}`, 200, BadAnswer, "more than one value"},
		"invalid UTF-8":       {wire.MediaJSON, "{\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":\"\xff\"}", 200, BadAnswer, "UTF-8"},
		"a request":           {wire.MediaJSON, `{"jsonrpc":"2.0","id":ID,"method":"ping"}`, 200, BadAnswer, "a ping message instead of an answer"},
		"no body":             {wire.MediaJSON, ``, 200, BadAnswer, "empty"},
		"202":                 {wire.MediaJSON, ``, 202, BadAnswer, "HTTP 202"},
		"too large":           {wire.MediaJSON, `{"jsonrpc":"2.0","id":ID,"result":"` + strings.Repeat("x", 5000) + `"}`, 200, BadAnswer, "larger than the limit of 4096 bytes"},
		"too large, stream":   {wire.MediaSSE, "data: " + strings.Repeat("x", 5000), 200, BadAnswer, "larger than the limit of 4096 bytes"},
		"stream ends early":   {wire.MediaSSE, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n", 200, Unreachable, "ended before the answer; whether the request was carried out is not known"},
		"stream ends in half": {wire.MediaSSE, "data: {\"jsonrpc\":\"2.0\",\"id\":ID", 200, Unreachable, "whether the request was carried out is not known"},
		"stream of nonsense":  {wire.MediaSSE, "data: hello\n\n", 200, BadAnswer, "not a JSON-RPC message"},
	} {
		t.Run(name, func(t *testing.T) {
			s, url := serve(t, modern(func(w http.ResponseWriter, r *got) {
				w.Header()["Content-Type"] = []string{c.media}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(strings.ReplaceAll(c.body, id, string(r.m.ID))))
			}))
			log := &logText{}
			u := start(t, Config{URL: url, Headers: map[string]string{"Authorization": "Bearer tok-s3cr3t-en"}}, Options{MaxMessageBytes: 4096, Logger: log.logger()})
			_, err := u.Do(within(t), tool("a", `{"name":"a"}`))
			var e *Error
			if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %q with %q", err, c.kind, c.text)
			}
			if strings.Contains(err.Error()+log.String(), "s3cr3t") {
				t.Errorf("secret in error %v or log:\n%s", err, log)
			}
			if n := len(s.asked(wire.MethodToolsCall)); n != 1 {
				t.Errorf("called %d times", n)
			}
		})
	}
}

// TestHeadersThatCannotBe are refused, and say nothing about the upstream.
func TestHeadersThatCannotBe(t *testing.T) {
	s, url := serve(t, modern(func(w http.ResponseWriter, r *got) { send(w, r, `{}`) }))
	if _, err := New(Config{Name: "up", URL: url, Headers: map[string]string{"X-A": "a\r\nX-B: s3cr3t"}}, nil); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("error %v", err)
	}
	u := start(t, Config{URL: url}, Options{})
	call(t, u, "a", `{"name":"a"}`)
	for name, value := range map[string]string{"X-A": "a\r\nX-B: b", "X A": "a", "X:": "a", "": "a", "X-\u00e9": "a", "X-B": "\x00"} {
		c := tool("a", `{"name":"a"}`)
		c.Headers = http.Header{name: {value}}
		_, err := u.Do(within(t), c)
		if e, ok := errors.AsType[*Error](err); err == nil || ok {
			t.Errorf("header %q: error %v", name, e)
		}
	}
	if n := len(s.asked(wire.MethodToolsCall)); n != 1 || !u.State().Up {
		t.Errorf("%d calls arrived, state %+v", n, u.State())
	}
}

func TestTheNameIsReadFromParams(t *testing.T) {
	s, url := serve(t, modern(func(w http.ResponseWriter, r *got) { send(w, r, `{}`) }))
	u := start(t, Config{URL: url}, Options{})
	for method, params := range map[string]string{wire.MethodToolsCall: `{"name":"n"}`, wire.MethodResourcesRead: `{"name":"x","uri":"n"}`, wire.MethodPromptsGet: `{"name":"\u006e"}`} {
		if _, err := u.Do(within(t), Call{Method: method, Params: json.RawMessage(params)}); err != nil {
			t.Error(err)
		} else if got := s.asked(method)[0].http.Header.Get(wire.HeaderName); got != "n" {
			t.Errorf("%s: name %q", method, got)
		}
	}
}
