package wire

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// The specification's own messages are read, told apart and, when they are
// requests, pass the modern checks with the headers that a client sets.
func TestTheSpecificationsExamples(t *testing.T) {
	files, err := filepath.Glob("testdata/mcp-2026-07-28/*.json")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d examples, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Parse(text, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if !m.IsRequest() {
				return
			}
			c, failure := m.Call()
			if failure != nil {
				t.Fatal(failure)
			}
			if c.Meta.Raw == nil { // requests that are embedded in an answer
				return
			}
			h := http.Header{}
			SetModern(h, Revision2026_07, m.Method, c.Name)
			if EraOf(m, &c, h) != Modern {
				t.Error("era is legacy")
			}
			if err := CheckModern(m, &c, h, []string{Revision2026_07}); err != nil {
				t.Error(err)
			}
		})
	}
}
