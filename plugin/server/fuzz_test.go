package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// FuzzMessage gives the endpoint any body in either era. Whatever comes, the
// answer has a status that means something and is one JSON value that our own
// reader accepts.
func FuzzMessage(f *testing.F) {
	f.Add(hookMessage(`{"name":"t","args":{"a":"\ud83d"}}`, testContext), false)
	f.Add(hookMessage(`{}`, `{"state":null,"global_context":{"request_id":"1","user":{}},"metadata":{"x":[1,null]}}`), false)
	f.Add(hookBody(), true)
	f.Add(`[{"jsonrpc":"2.0","id":1,"method":"ping"},1,{"jsonrpc":"2.0","method":"x"}]`, false)
	f.Add(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}`, false)
	f.Add(`{"jsonrpc":"2.0","id":null,"method":"tools/list","params":[]}`, true)
	s, err := New([]Entry{entry(func(_ context.Context, _ plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
		_ = c.State.Set("seen", 1)
		return &plugin.Result{Continue: true, ModifiedPayload: payload, Metadata: json.RawMessage(`{}`)}, nil
	})}, nil)
	if err != nil {
		f.Fatal(err)
	}
	h := &face{s, &health{}, false}
	f.Fuzz(func(t *testing.T, body string, modern bool) {
		r := httptest.NewRequest(http.MethodPost, "/mcp", strings.NewReader(body))
		r.Header = http.Header{"Content-Type": {wire.MediaJSON}, "Accept": {wire.AcceptBoth}}
		if modern {
			wire.SetModern(r.Header, wire.Revision2026_07, wire.MethodToolsCall, toolInvoke)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusAccepted:
			if w.Body.Len() > 0 {
				t.Errorf("202 with a body: %s", w.Body)
			}
			return
		case http.StatusOK, http.StatusBadRequest, http.StatusNotFound:
		default:
			t.Errorf("status %d", w.Code)
		}
		if err := wire.Check(w.Body.Bytes()); err != nil {
			t.Errorf("answer %s: %v", w.Body, err)
		}
		if wire.IsBatch(w.Body.Bytes()) {
			return
		}
		m, err := wire.Parse(w.Body.Bytes(), 1<<30)
		if err != nil || !m.IsResponse() {
			t.Errorf("answer %s: %v", w.Body, err)
		}
	})
}
