package upstream

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// TestWhatIsAnsweredToDiscover decides the era.
func TestWhatIsAnsweredToDiscover(t *testing.T) {
	rpc := func(code int64, message, data string) string {
		e := &wire.Error{Code: code, Message: message}
		if data != "" {
			e.Data = json.RawMessage(data)
		}
		return string(wire.AppendError(nil, []byte("ID"), e))
	}
	ok := func(result string) string { return `{"jsonrpc":"2.0","id":ID,"result":` + result + `}` }
	for name, c := range map[string]struct {
		status     int
		media      string
		body       string
		initialize int    // the status for it; 0 when it must not be asked
		revision   string // "" when there is none to find
		text       string // of the error then
	}{
		"modern":                      {200, wire.MediaJSON, ok(discovered), 0, wire.Revision2026_07, ""},
		"modern in a stream":          {200, wire.MediaSSE, "data: " + ok(discovered) + "\n\n", 0, wire.Revision2026_07, ""},
		"both":                        {200, wire.MediaJSON, ok(`{"supportedVersions":["2025-11-25","2026-07-28"]}`), 0, wire.Revision2026_07, ""},
		"only legacy revisions":       {200, wire.MediaJSON, ok(`{"supportedVersions":["2025-11-25"]}`), 200, wire.Revision2025_11, ""},
		"something else":              {200, wire.MediaJSON, ok(`{}`), 200, wire.Revision2025_11, ""},
		"only the future":             {200, wire.MediaJSON, ok(`{"supportedVersions":["2031-01-01"]}`), 0, "", "2031-01-01"},
		"the future, refused":         {400, wire.MediaJSON, rpc(-32022, "Unsupported", `{"supported":["2031-01-01"]}`), 0, "", "Unsupported"},
		"legacy, refused as modern":   {400, wire.MediaJSON, rpc(-32022, "Unsupported", `{"supported":["2025-11-25"]}`), 200, wire.Revision2025_11, ""},
		"400 without a word":          {400, "", "", 200, wire.Revision2025_11, ""},
		"400 in text":                 {400, "text/plain", "Bad Request: Missing session ID", 200, wire.Revision2025_11, ""},
		"400 with an error":           {400, wire.MediaJSON, rpc(-32000, "No session", ""), 200, wire.Revision2025_11, ""},
		"404":                         {404, "text/plain", "nope", 200, wire.Revision2025_11, ""},
		"404 with an error":           {404, wire.MediaJSON, rpc(-32601, "Method not found", ""), 200, wire.Revision2025_11, ""},
		"405":                         {405, "", "", 200, wire.Revision2025_11, ""},
		"500":                         {500, "text/plain", "oops", 200, wire.Revision2025_11, ""},
		"200 with an error":           {200, wire.MediaJSON, rpc(-32601, "Method not found", ""), 200, wire.Revision2025_11, ""},
		"neither":                     {404, "text/html", "<h1>Not here", 405, "", "HTTP 405 Method Not Allowed (and to server/discover: HTTP 404"},
		"a page":                      {200, "text/html", "<h1>Welcome", 0, "", `content type "text/html"`},
		"401":                         {401, "text/plain", "who are you", 0, "", "HTTP 401"},
		"429":                         {429, "text/plain", "slowly", 0, "", "HTTP 429"},
		"503":                         {503, "text/plain", "later", 0, "", "HTTP 503"},
		"header mismatch":             {400, wire.MediaJSON, rpc(-32020, "Header mismatch", ""), 0, "", "Header mismatch"},
		"a duplicate key":             {200, wire.MediaJSON, ok(`{"supportedVersions":[],"supportedVersions":["2026-07-28"]}`), 0, "", "duplicate"},
		"an answer to something else": {200, wire.MediaJSON, `{"jsonrpc":"2.0","id":"z","result":{}}`, 0, "", `has id "z"`},
	} {
		t.Run(name, func(t *testing.T) {
			s, url := serve(t, func(w http.ResponseWriter, r *got) {
				switch {
				case r.m.Method == wire.MethodDiscover:
					w.Header()["Content-Type"] = []string{c.media}
					w.WriteHeader(c.status)
					_, _ = w.Write(bytes.ReplaceAll([]byte(c.body), []byte("ID"), r.m.ID))
				case r.m.Method == wire.MethodInitialize && c.initialize == 200:
					send(w, r, initialized)
				case r.m.Method == wire.MethodInitialized:
					w.WriteHeader(http.StatusAccepted)
				default:
					w.WriteHeader(c.initialize)
				}
			})
			info, err := start(t, Config{URL: url}, Options{}).Info(within(t))
			switch {
			case c.revision != "" && (err != nil || info.Revision != c.revision):
				t.Errorf("info %+v, error %v", info, err)
			case c.revision == "" && (err == nil || !strings.Contains(err.Error(), c.text)):
				t.Errorf("error %v, want one with %q", err, c.text)
			}
			if asked := len(s.asked(wire.MethodInitialize)) > 0; asked != (c.initialize != 0) {
				t.Errorf("initialize was asked: %v", asked)
			}
		})
	}
}

func TestBadInitialize(t *testing.T) {
	for name, c := range map[string]struct{ session, body, text string }{
		"a modern revision": {"x", `{"jsonrpc":"2.0","id":ID,"result":{"protocolVersion":"2026-07-28"}}`, `"2026-07-28"`},
		"no revision":       {"x", `{"jsonrpc":"2.0","id":ID,"result":{}}`, "do not know"},
		"an error":          {"x", `{"jsonrpc":"2.0","id":ID,"error":{"code":-32603,"message":"no"}}`, "initialize: no (code -32603)"},
		"a strange session": {"a b", `{"jsonrpc":"2.0","id":ID,"result":` + initialized + `}`, "session id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, url := serve(t, func(w http.ResponseWriter, r *got) {
				if r.m.Method == wire.MethodDiscover {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				w.Header().Set(wire.HeaderSession, c.session)
				sendStatus(w, 200, bytes.ReplaceAll([]byte(c.body), []byte("ID"), r.m.ID))
			})
			_, err := start(t, Config{URL: url}, Options{}).Info(within(t))
			checkError(t, err, BadAnswer, c.text)
		})
	}
}

func TestLegacyRevisionsAreSpokenAsAgreed(t *testing.T) {
	for _, revision := range wire.LegacyRevisions() {
		s, url := serve(t, func(w http.ResponseWriter, r *got) {
			switch r.m.Method {
			case wire.MethodDiscover:
				w.WriteHeader(http.StatusBadRequest)
			case wire.MethodInitialize:
				send(w, r, `{"protocolVersion":"`+revision+`","capabilities":null}`)
			default:
				send(w, r, `{}`)
			}
		})
		u := start(t, Config{URL: url}, Options{})
		call(t, u, "a", `{"name":"a"}`)
		info, err := u.Info(within(t))
		if err != nil || info.Revision != revision || string(info.Capabilities) != "{}" {
			t.Errorf("info %+v, error %v", info, err)
		}
		want := revision
		if revision < wire.Revision2025_06 { // the header is younger
			want = ""
		}
		r := s.asked(wire.MethodToolsCall)[0].http.Header
		if r.Get(wire.HeaderRevision) != want || r.Get(wire.HeaderSession) != "" {
			t.Errorf("headers %v", r)
		}
	}
}

func TestParamsAreAdapted(t *testing.T) {
	f := newForm("gw", "1")
	ours := `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"gw","version":"1"}`
	for _, c := range []struct{ params, token, modern, legacy string }{
		{``, ``, `{"_meta":{` + ours + `}}`, ``},
		{`{}`, ``, `{"_meta":{` + ours + `}}`, `{}`},
		{`{ "a" : 1e2 }`, ``, `{"_meta":{` + ours + `}, "a" : 1e2 }`, `{ "a" : 1e2 }`},
		{`{"_meta":{}}`, ``, `{"_meta":{` + ours + `}}`, `{"_meta":{}}`},
		{`{"_meta":null}`, ``, `{"_meta":{` + ours + `}}`, `{"_meta":null}`},
		{`{"a":1, "_meta": { "traceparent" : "00" } }`, ``, `{"a":1, "_meta": {` + ours + `, "traceparent" : "00" } }`, `{"a":1, "_meta": { "traceparent" : "00" } }`},
		{`{"_meta":{` + ours + `}}`, ``, `{"_meta":{` + ours + `}}`, `{}`},
		{`{"_meta":{"io.modelcontextprotocol/logLevel":"info","x":1,"io.modelcontextprotocol/clientCapabilities":{"sampling":{}}}}`, ``,
			`{"_meta":{` + ours + `,"io.modelcontextprotocol/logLevel":"info","x":1}}`, `{"_meta":{"x":1}}`},
		{`{"_meta":{"progressToken":"t"}}`, `7`, `{"_meta":{` + ours + `,"progressToken":7}}`, `{"_meta":{"progressToken":7}}`},
		{`{"_meta":{"a":1}}`, `7`, `{"_meta":{` + ours + `,"a":1}}`, `{"_meta":{"a":1}}`},
	} {
		var params, token json.RawMessage
		if c.params != "" {
			params = json.RawMessage(c.params)
		}
		if c.token != "" {
			token = json.RawMessage(c.token)
		}
		if diff := cmp.Diff(c.modern, string(f.modern(params, token))); diff != "" {
			t.Errorf("%s in the modern era: %s", c.params, diff)
		}
		if diff := cmp.Diff(c.legacy, string(f.legacy(params, token))); diff != "" {
			t.Errorf("%s in the legacy era: %s", c.params, diff)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		text string
	}{
		"nothing":         {Config{Name: "x"}, "neither a url nor a command"},
		"both":            {Config{Name: "x", URL: "http://h/", Command: "c"}, "both"},
		"no name":         {Config{URL: "http://h/"}, "no name"},
		"a scheme":        {Config{Name: "x", URL: "ftp://h/"}, `scheme "ftp"`},
		"no host":         {Config{Name: "x", URL: "http:///mcp"}, "no host"},
		"a password":      {Config{Name: "x", URL: "http://u:s3cr3t@h/mcp"}, "url http://h/mcp: user and password"},
		"not a url":       {Config{Name: "x", URL: "http://h:s3cr3t/"}, "not a valid URL"},
		"no scheme":       {Config{Name: "x", URL: "localhost:1/mcp"}, "scheme"},
		"a bare path":     {Config{Name: "x", URL: "/mcp?k=s3cr3t"}, "scheme"},
		"query in a name": {Config{Name: "x", URL: "ftp://h/mcp?k=s3cr3t"}, "url ftp://h/mcp: scheme"},
	} {
		_, err := New(c.cfg, nil)
		if err == nil || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: error %v, want %q", name, err, c.text)
		}
	}
}

// FuzzAnswers: whatever an upstream says about itself or on the way is read
// without harm, and params keep their meaning.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{discovered, initialized, hard, `{"supportedVersions":[1,"2026-07-28"]}`,
		`{"_meta":{"progressToken":[],"io.modelcontextprotocol/clientInfo":1}}`, `{"ttlMs":-1}`, "\x1b[31mred\x1b[0m\xff"} {
		f.Add([]byte(s))
	}
	form := newForm("gw", "1")
	f.Fuzz(func(t *testing.T, data []byte) {
		if wire.Check(data) != nil || wire.Kind(data) != '{' {
			return
		}
		if info, err := readDiscover(data); err == nil {
			_ = (&peer{info: info}).stale()
		}
		_, _ = readInitialize(data)
		_, _ = wire.ReadModern(data)
		for _, params := range [][]byte{form.modern(data, []byte("7")), form.legacy(data, []byte("7"))} {
			if err := wire.Check(params); err != nil {
				t.Fatalf("%q became %q: %v", data, params, err)
			}
			for key, value := range wire.Members(data) {
				if string(key) != "_meta" && !bytes.Equal(wire.Member(params, string(key)), value) {
					t.Fatalf("%q became %q", data, params)
				}
			}
		}
		message := wire.AppendRequest(nil, nil, "notifications/progress", data)
		if err := wire.Check(restoreToken(message, data, json.RawMessage(`"t"`))); err != nil {
			t.Fatal(err)
		}
	})
}
