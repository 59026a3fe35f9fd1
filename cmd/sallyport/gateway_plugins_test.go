package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/pipeline"
)

// What an entry does not set is its plugin server's to say; a mode of the older
// vocabulary says what an error does as well.
func TestWhatAnEntryLeavesOpen(t *testing.T) {
	all := pipeline.Learn{Mode: true, OnError: true, Priority: true, Conditions: true}
	without := func(change func(*pipeline.Learn)) pipeline.Learn {
		l := all
		change(&l)
		return l
	}
	for entry, want := range map[string]pipeline.Learn{
		``:                      all,
		`mode: null, tags: [a]`: all,
		`mode: enforce`:         without(func(l *pipeline.Learn) { l.Mode, l.OnError = false, false }),
		`mode: permissive`:      without(func(l *pipeline.Learn) { l.Mode, l.OnError = false, false }),
		`mode: sequential`:      without(func(l *pipeline.Learn) { l.Mode = false }),
		`on_error: fail`:        without(func(l *pipeline.Learn) { l.OnError = false }),
		`priority: 100`:         without(func(l *pipeline.Learn) { l.Priority = false }),
		`conditions: []`:        without(func(l *pipeline.Learn) { l.Conditions = false }),
	} {
		if entry != "" {
			entry = ", " + entry
		}
		file := filepath.Join(t.TempDir(), "c.yaml")
		text := "plugins: [{name: P, kind: external, mcp: {url: http://127.0.0.1:9/mcp}" + entry + "}]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.LoadClient(file, config.Options{Env: func(string) (string, bool) { return "", false }})
		if err != nil {
			t.Fatal(err)
		}
		a := &app{log: slog.New(slog.DiscardHandler), stdout: io.Discard}
		e, err := a.pipelineEntry(&c.Plugins[0], &c.Settings)
		if err != nil {
			t.Fatal(err)
		}
		if e.Learn != want {
			t.Errorf("{%s}: learns %+v, want %+v", entry, e.Learn, want)
		}
		if e.Mode == "" || e.Priority != 100 {
			t.Errorf("{%s}: mode %q and priority %d until the server has answered", entry, e.Mode, e.Priority)
		}
	}
}
