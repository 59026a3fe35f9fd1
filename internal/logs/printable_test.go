package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		`plain "quoted" C:\x – café, 漢字`:  `plain "quoted" C:\x – café, 漢字`,
		"\x1b[31mred\x1b[0m":              `\x1b[31mred\x1b[0m`,
		"a\nsallyport: hint: do\r\tevil":  `a\nsallyport: hint: do\r\tevil`,
		"\u009b31m \u202ebidi \x7f\u2028": `\u009b31m \u202ebidi \x7f\u2028`,
		"not \xff UTF-8, and \ufffd":      "not \\xff UTF-8, and \ufffd",
		"\U000e0041":                      `\U000e0041`,
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// A log in JSON means what it meant, and steers no terminal that shows it.
func TestJSONLogsSteerNoTerminal(t *testing.T) {
	const name = "evil\x1b[31m\u009b31m\u202e\u2066\u200f\x7f\u2028\n café 漢字"
	var out bytes.Buffer
	log, err := New(&out, Options{})
	if err != nil {
		t.Fatal(err)
	}
	log.Info(name, "name", name)
	for _, r := range out.String() {
		if r < ' ' && r != '\n' || steersRaw(r) {
			t.Errorf("%U is in the log: %s", r, out.Bytes())
		}
	}
	var line struct{ Msg, Name string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Msg != name || line.Name != name {
		t.Errorf("%v: %q, want %q", err, line, name)
	}
	if bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Errorf("more than a line: %q", out.Bytes())
	}
}

// One line cannot fill a disk, whatever somebody has answered.
func TestLinesAreBounded(t *testing.T) {
	long := strings.Repeat("é", 1<<20)
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := New(&out, Options{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		log.Info(long, "text", long, "error", errors.New(long), "names", []string{"a", long}, "few", []string{"a", "b"}, "short", "kept", "whole", errors.New("whole error"))
		if n := out.Len(); n > 5*maxValue || strings.Count(out.String(), "(2097152 bytes)") != 3 || !strings.Contains(out.String(), "(2097156 bytes)") {
			t.Errorf("%s: a line of %d bytes", format, n)
		}
		if !strings.Contains(out.String(), "kept") || !strings.Contains(out.String(), "whole error") {
			t.Errorf("%s: short values are lost", format)
		}
	}
}
