package logs

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		f := NewFlood(slog.New(slog.NewTextHandler(&out, nil)), 3, "more like these")
		lines := func() []string {
			synctest.Wait()
			defer out.Reset()
			return strings.Split(strings.TrimSpace(out.String()), "\n")
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
