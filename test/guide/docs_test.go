package guide

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryCommandOfTheGuideIsRun: a command that docs/guide.md prints is one
// that a script runs, line by line.
func TestEveryCommandOfTheGuideIsRun(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	run := map[string]bool{
		// How the commands come to be on the path: the scripts' environment.
		`make build`:                   true,
		`export PATH="$PWD/bin:$PATH"`: true,
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			run[strings.TrimSpace(line)] = true
		}
	}
	guide, err := os.ReadFile(root + "/docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	block, commands := "", 0
	for line := range strings.Lines(string(guide)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			block = strings.TrimPrefix(line, "```")
		case block != "sh", line == "", strings.HasPrefix(line, "#"):
		case !run[line]:
			t.Errorf("docs/guide.md prints %q, and no script runs it", line)
		default:
			commands++
		}
	}
	if commands < 40 {
		t.Errorf("found only %d command lines in docs/guide.md", commands)
	}
}
