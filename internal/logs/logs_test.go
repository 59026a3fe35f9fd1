package logs

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestNewWritesJSONWhereThereIsNoTerminal(t *testing.T) {
	var out bytes.Buffer
	log, err := New(&out, Options{})
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("unseen")
	log.Info("seen")
	var line struct{ Msg string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Msg != "seen" {
		t.Errorf("wrote %q (%v), want one JSON line", out.String(), err)
	}
}

func TestLevels(t *testing.T) {
	for _, test := range []struct {
		name    string
		options Options
		debug   bool
	}{
		{"default is info", Options{Format: "text"}, false},
		{"LOG_LEVEL in any case", Options{Format: "text", Level: "debug"}, true},
		{"verbose beats LOG_LEVEL", Options{Format: "text", Level: "ERROR", Verbose: true}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			log, err := New(&out, test.options)
			if err != nil {
				t.Fatal(err)
			}
			log.Debug("fine print")
			if got := strings.Contains(out.String(), "fine print"); got != test.debug {
				t.Errorf("debug line written: %v, want %v (%q)", got, test.debug, out.String())
			}
			if strings.Contains(out.String(), "\x1b[") {
				t.Errorf("colours where there is no terminal: %q", out.String())
			}
		})
	}
}

func TestPythonsLevelNamesAreKnown(t *testing.T) {
	var out bytes.Buffer
	for level, want := range map[string]string{"Warning": "warn error ", "CRITICAL": "error "} {
		out.Reset()
		log, err := New(&out, Options{Level: level, Format: "json"})
		if err != nil {
			t.Fatal(err)
		}
		log.Info("info")
		log.Warn("warn")
		log.Error("error")
		var got string
		for line := range strings.Lines(out.String()) {
			var record struct{ Msg string }
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatal(err)
			}
			got += record.Msg + " "
		}
		if got != want {
			t.Errorf("LOG_LEVEL=%s lets through %q, want %q", level, got, want)
		}
	}
}

func TestNewRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, test := range []struct {
		options Options
		want    string
	}{
		{Options{Level: "LOUD"}, `LOG_LEVEL: "LOUD" is none of DEBUG, INFO, WARNING, ERROR, CRITICAL`},
		{Options{Format: "xml"}, `--log-format: "xml" is neither text nor json`},
	} {
		if _, err := New(nil, test.options); err == nil || err.Error() != test.want {
			t.Errorf("New(%+v) = %v, want %s", test.options, err, test.want)
		}
	}
}
