//go:build unix

package guide

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
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

// documented wants each error, hint and warning of the last command's stderr,
// and each reason of a refusal in it, to stand in
// docs/differences-from-the-guide.md word by word.
func documented(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: documented")
	}
	text, err := os.ReadFile(root + "/docs/differences-from-the-guide.md")
	ts.Check(err)
	lines := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		lines[strings.TrimSpace(line)] = true
	}
	found := 0
	for line := range strings.Lines(ts.ReadFile("stderr")) {
		message := said(strings.TrimSpace(line))
		if message == "" {
			continue
		}
		found++
		message = strings.ReplaceAll(message, ts.Getenv("WORK")+"/sallyport", "/srv/sallyport")
		message = expiry.ReplaceAllString(message, "on DATE")
		message = lifetime.ReplaceAllString(message, "DATE, DAYS days")
		message = timestamp.ReplaceAllString(message, "DATE")
		if !lines[message] {
			ts.Fatalf("docs/differences-from-the-guide.md does not have this line:\n%s", message)
		}
	}
	if found == 0 {
		ts.Fatalf("nothing to document:\n%s", ts.ReadFile("stderr"))
	}
}

// What differs from day to day, and stands as DATE and DAYS on the page.
var (
	expiry    = regexp.MustCompile(`on [A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} [0-9]{4} GMT`)
	lifetime  = regexp.MustCompile(`DATE, [0-9]+ days`)
	timestamp = regexp.MustCompile(`20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z`)
)

// said returns what a line of stderr tells a person: an error, a hint, a
// warning, the reason of a refusal. Progress and other log lines are "".
func said(line string) string {
	if strings.HasPrefix(line, "sallyport: ") {
		return line
	}
	var log struct {
		Level  string `json:"level"`
		Msg    string `json:"msg"`
		Reason string `json:"reason"`
	}
	if json.Unmarshal([]byte(line), &log) != nil {
		return ""
	}
	switch {
	case log.Level == "WARN", log.Level == "ERROR":
		return log.Msg
	case log.Msg == "refused a TLS connection":
		return log.Reason
	}
	return ""
}
