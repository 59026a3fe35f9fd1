package remote

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

var benchPayload = json.RawMessage(`{"prompt_id":"summarize","args":{"text":"` + strings.Repeat("All work and no play makes Jack a dull boy. ", 9) + `"}}`)

func benchContext() *plugin.Context {
	return &plugin.Context{GlobalContext: plugin.GlobalContext{RequestID: "0123456789abcdef", User: json.RawMessage(`"alice@example.com"`), ServerID: "files"}}
}

func BenchmarkEncode(b *testing.B) {
	f := newForm(&url.URL{Scheme: "http", Host: "h", Path: "/mcp"}, "dev")
	b.ReportAllocs()
	for b.Loop() {
		c, err := encodeContext(benchContext())
		if err != nil {
			b.Fatal(err)
		}
		if err := checkObject("payload", benchPayload); err != nil {
			b.Fatal(err)
		}
		f.body(1, toolInvoke, hookArguments(plugin.PromptPreFetch, "P", benchPayload, c))
	}
}

func BenchmarkDecode(b *testing.B) {
	message := wire.AppendResult(nil, []byte("1"), toolResult(passes))
	b.ReportAllocs()
	for b.Loop() {
		m, err := parse(message, 1<<20)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := decodeAnswer(m.Result, "P"); err != nil {
			b.Fatal(err)
		}
	}
}

// fixed answers every call alike, at the least cost.
func fixed(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header()["Content-Type"] = []string{wire.MediaJSON}
	if r.Header.Get(wire.HeaderName) == "" {
		_, _ = w.Write(wire.AppendResult(nil, []byte("1"), toolResult(passes)))
	}
}

// BenchmarkBarePost is what net/http itself costs, for comparison with
// BenchmarkInvoke, over plain TCP with the server in the same process.
func BenchmarkBarePost(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(fixed))
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 10}}
	body := bytes.Repeat([]byte("x"), 950)
	b.ReportAllocs()
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, srv.URL, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
}

func BenchmarkInvoke(b *testing.B) {
	srv := httptest.NewServer(&fake{})
	defer srv.Close()
	p, err := New(Config{Name: "P", URL: srv.URL + "/mcp"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Invoke(b.Context(), plugin.PromptPreFetch, benchPayload, benchContext()); err != nil {
			b.Fatal(err)
		}
	}
}
