package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/builtin"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// hookBody is a hook call of 900 bytes in the form that our gateway sends.
func hookBody() string {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
		`"io.modelcontextprotocol/clientCapabilities":{}},"name":"invoke_hook","arguments":{"hook_type":"tool_pre_invoke","plugin_name":"P",` +
		`"payload":{"name":"search","args":{"q":"FILL","limit":10}},"context":{"state":{},"global_context":{"request_id":"0123456789abcdef",` +
		`"user":"alice@example.com","server_id":"time","state":{},"metadata":{}},"metadata":{}}}}}`
	return strings.Replace(body, "FILL", strings.Repeat("some words ", 100)[:900-len(body)+4], 1)
}

func benchRequest(body string) *http.Request {
	r := httptest.NewRequest("POST", "/mcp", strings.NewReader(body))
	r.Host = "127.0.0.1:8000"
	r.Header = http.Header{"Content-Type": {wire.MediaJSON}, "Accept": {wire.AcceptBoth}}
	wire.SetModern(r.Header, wire.Revision2026_07, wire.MethodToolsCall, toolInvoke)
	return r
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkHookCall is what one hook call costs inside the server, without
// connection and net/http: a plugin that does nothing, and search_replace with
// two words that do not occur.
func BenchmarkHookCall(b *testing.B) {
	kind := builtin.Kinds()[0]
	words, err := kind.New(plugin.Config{Name: "P", Raw: []byte(`{"words":[{"search":"crap","replace":"crud"},{"search":"crud","replace":"yikes"}]}`)})
	if err != nil {
		b.Fatal(err)
	}
	for name, e := range map[string]Entry{"nothing": entry(passes), "search_replace": {Name: "P", Plugin: words}} {
		b.Run(name, func(b *testing.B) {
			s, err := New([]Entry{e}, nil)
			if err != nil {
				b.Fatal(err)
			}
			h := &face{s, &health{}, false}
			text := hookBody()
			r, body := benchRequest(text), strings.NewReader(text)
			w := &discard{http.Header{}}
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				body.Reset(text)
				r.Body = io.NopCloser(body)
				clear(w.h)
				h.ServeHTTP(w, r)
			}
		})
	}
}
