package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// deadlines is a ResponseWriter that notes when writing ends.
type deadlines struct {
	*httptest.ResponseRecorder
	end time.Time
}

func (d *deadlines) SetWriteDeadline(end time.Time) error {
	d.end = end
	return nil
}

// A batch may take about as long as two calls, and writing its answer longer
// than that: what would run after the first call's time is refused instead.
func TestABatchEnds(t *testing.T) {
	var calls atomic.Int32
	e := entry(func(ctx context.Context, _ plugin.Hook, _ json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		calls.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	e.Timeout = 20 * time.Millisecond
	s, err := New([]Entry{e}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var batch []string
	for id := range 5 {
		batch = append(batch, strings.TrimSpace(numbered(id, `{}`)))
	}
	batch = append(batch, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/mcp", strings.NewReader("["+strings.Join(batch, ",")+"]"))
	r.Header.Set("Content-Type", wire.MediaJSON)
	w := &deadlines{httptest.NewRecorder(), time.Time{}}
	start := time.Now()
	(&face{s, &health{}, true}).ServeHTTP(w, r)
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls ran", n)
	}
	if least := start.Add(2*e.Timeout + lateGrace + s.limits.Write); w.end.Before(least) {
		t.Errorf("writing ends %s after the start", w.end.Sub(start))
	}
	var answers []wireAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &answers); err != nil || len(answers) != 5 {
		t.Fatalf("%d answers, error %v: %s", len(answers), err, w.Body)
	}
	for i, a := range answers {
		ran := i == 0
		if a.ID != i || (a.Error == nil) != ran || (!ran && a.Error.Message != "not run: the batch has taken 20ms already") {
			t.Errorf("answer %d: %+v", i, a)
		}
	}
}

type wireAnswer struct {
	ID    int
	Error *wire.Error
}

// This server opens no sessions: a batch of one is meant for another server.
func TestABatchOfAForeignSession(t *testing.T) {
	base := start(t, nil, entry(passes))
	batch := `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`
	if a := post(t, base, batch, "Mcp-Session-Id: x"); a.status != http.StatusNotFound || !strings.Contains(a.body, "Session not found") {
		t.Errorf("answer %d %s", a.status, a.body)
	}
	if a := post(t, base, batch); a.status != http.StatusOK {
		t.Errorf("without a session: answer %d %s", a.status, a.body)
	}
}
