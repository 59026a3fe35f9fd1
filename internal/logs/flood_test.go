package logs

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// take returns what was written since the last take.
func (b *buffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.buf.Reset()
	return b.buf.String()
}

func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		f := NewFlood(slog.New(slog.NewTextHandler(&out, nil)), 3, "more like these")
		lines := func() []string {
			synctest.Wait()
			return strings.Split(strings.TrimSpace(out.take()), "\n")
		}
		for i := range 1000 {
			f.Log(slog.LevelInfo, "refused", slog.Int("number", i))
		}
		if got := lines(); len(got) != 3 || !strings.Contains(got[2], "number=2") {
			t.Errorf("at once: %q", got)
		}
		f.Log(slog.LevelDebug, "not enabled")
		<-time.After(time.Second)
		if got := lines(); len(got) != 1 || !strings.HasSuffix(got[0], `level=INFO msg="more like these" count=997 last.number=999`) {
			t.Errorf("after a second: %q", got)
		}
		<-time.After(time.Minute)
		if got := lines(); got[0] != "" {
			t.Errorf("after the flood: %q", got)
		}
		for range 5 {
			f.Log(slog.LevelInfo, "refused")
		}
		f.Flush()
		if got := lines(); len(got) != 4 || !strings.Contains(got[3], "count=2") {
			t.Errorf("at the end: %q", got)
		}
	})
}
