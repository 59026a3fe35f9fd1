package gateway

import (
	"net/http/httptest"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// An answer that takes long becomes a stream that is kept alive; one that comes
// at once is JSON, or the only event for who takes nothing else. After the end
// nothing is written.
func TestReply(t *testing.T) {
	const answer = `{"jsonrpc":"2.0","id":1,"result":{}}`
	for name, c := range map[string]struct {
		plain, sse bool
		long       bool
		want       string
	}{
		"at once":              {true, true, false, answer},
		"at once, events only": {false, true, false, "event: message\ndata: " + answer + "\n\n"},
		"after long":           {true, true, true, ":\n\nevent: message\ndata: " + answer + "\n\n"},
		"after long, JSON":     {true, false, true, answer},
	} {
		w := httptest.NewRecorder()
		r := newReply(w, c.plain, c.sse, &outbox{})
		if c.long && c.sse {
			r.keepAlive()
		}
		r.finish(200, []byte(answer))
		r.notify([]byte(`{"late":1}`))
		r.keepAlive()
		r.finish(500, []byte(`{"late":2}`))
		r.close()
		if got := w.Body.String(); got != c.want || w.Code != 200 {
			t.Errorf("%s: %d %q, want %q", name, w.Code, got, c.want)
		}
		media := wire.MediaSSE
		if c.want == answer {
			media = wire.MediaJSON
		}
		if got := w.Header().Get("Content-Type"); got != media || (media == wire.MediaSSE && w.Header().Get("X-Accel-Buffering") != "no") {
			t.Errorf("%s: headers %v", name, w.Header())
		}
	}
}
