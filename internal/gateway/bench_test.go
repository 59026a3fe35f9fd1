package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/upstream"
	"github.com/sallyport-mcp/sallyport/internal/wire"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// discard is a client that reads nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkCall is the gateway's own part of a tools/call, with the upstream
// over loopback, without plugin and with one that passes before and after.
func BenchmarkCall(b *testing.B) {
	f := &fakeServer{modern: true, lists: plainLists}
	f.answer = func(f *fakeServer, w http.ResponseWriter, _ *http.Request, m *wire.Message) bool {
		f.mu.Lock()
		f.seen = nil
		f.mu.Unlock()
		return false
	}
	f.Server = httptest.NewServer(f)
	defer f.Close()
	u, err := upstream.New(upstream.Config{Name: "up", URL: f.URL}, nil)
	if err != nil {
		b.Fatal(err)
	}
	text := strings.Repeat("x", 1000)
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"t":"` + text + `"},"_meta":{` + ownMeta + `}}}`
	for name, entries := range map[string][]pipeline.Entry{"no plugin": nil, "one plugin": says(behaviours["pass"], "", plugin.ToolPreInvoke, plugin.ToolPostInvoke)} {
		b.Run(name, func(b *testing.B) {
			pipe, err := pipeline.New(entries, nil)
			if err != nil {
				b.Fatal(err)
			}
			g, err := New(Config{Upstreams: []Upstream{u}, Pipeline: pipe}, nil)
			if err != nil {
				b.Fatal(err)
			}
			h := g.Handler()
			r := httptest.NewRequest(http.MethodPost, path, nil)
			r.Header = http.Header{"Content-Type": {wire.MediaJSON}, "Accept": {wire.AcceptBoth}, "Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"echo"}}
			r.ContentLength = int64(len(body))
			w := &discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(strings.NewReader(body))
				clear(w.h)
				h.ServeHTTP(w, r)
			}
		})
	}
}
