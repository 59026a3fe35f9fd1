package conformance_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/conformance"
)

// python puts a server of ours behind the manners of ContextForge's: sessions,
// events, no modern era, no /health, newer names of modes.
func python(t *testing.T, inner string) http.Handler {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	fail := func(w http.ResponseWriter, status int, message string) {
		w.Header().Set("Content-Type", wire.MediaJSON)
		w.WriteHeader(status)
		_, _ = w.Write(wire.AppendError(nil, []byte(`"server-error"`), wire.Errorf(wire.CodeInvalidRequest, "%s", message)))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch id := r.Header.Get(wire.HeaderSession); {
		case r.Method != http.MethodPost:
			http.NotFound(w, r)
			return
		case r.Header.Get(wire.HeaderRevision) >= wire.FirstModern:
			fail(w, http.StatusBadRequest, "Bad Request: Unsupported protocol version")
			return
		case bytes.Contains(body, []byte(`"initialize"`)):
			w.Header().Set(wire.HeaderSession, "s")
		case id != "s":
			fail(w, http.StatusNotFound, "Session not found")
			return
		}
		out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, inner, bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		out.Header = r.Header.Clone()
		out.Header.Del(wire.HeaderSession)
		resp, err := transport.RoundTrip(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		answer = bytes.ReplaceAll(answer, []byte(`\"mode\":\"enforce\"`), []byte(`\"mode\":\"sequential\"`))
		if len(answer) == 0 {
			w.WriteHeader(resp.StatusCode)
			return
		}
		w.Header().Set("Content-Type", wire.MediaSSE)
		note := wire.AppendEvent(nil, "message", []byte(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}`))
		_, _ = w.Write(wire.AppendEvent(append([]byte(": ping\n\n"), note...), "message", answer))
	})
}

// A server of the legacy era is worth warnings where something is slow or lost,
// and no failure.
func TestALegacyServerPassesWithWarnings(t *testing.T) {
	srv := httptest.NewServer(python(t, serve(t, raw{plugin.Hooks(), echo}, nil)))
	t.Cleanup(srv.Close)
	want := map[string]conformance.Status{
		"speaks MCP 2026-07-28":        conformance.Skip,
		"answers are application/json": conformance.Warn,
		"/health answers":              conformance.Warn,
		"its mode is a mode":           conformance.Warn,
	}
	for _, r := range check(t, srv.URL+"/mcp") {
		status := conformance.Pass
		if w, ok := want[r.Rule]; ok {
			status = w
			delete(want, r.Rule)
		}
		if r.Status != status {
			t.Errorf("%s: %s, want %s: %s", r.Name(), r.Status, status, r.Detail)
		}
	}
	if len(want) > 0 {
		t.Errorf("not checked: %s", fmt.Sprint(want))
	}
}
