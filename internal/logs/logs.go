// Package logs makes the process's logger as the command line promises it:
// text on a terminal, JSON elsewhere, LOG_LEVEL and NO_COLOR honoured; and masks
// secrets in the texts of others.
package logs

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// Options chooses level and form. The zero value is INFO, and text on a
// terminal, JSON elsewhere.
type Options struct {
	// Verbose means DEBUG whatever Level says.
	Verbose bool

	// Level is that of LOG_LEVEL: DEBUG, INFO, WARN, ERROR, or Python's WARNING
	// and CRITICAL, in any case; empty means INFO.
	Level string

	// Format is text, json or empty.
	Format string

	// NoColor leaves out colours on a terminal (https://no-color.org).
	NoColor bool
}

// New returns a logger that writes to w. An unknown level or format is an error.
func New(w io.Writer, o Options) (*slog.Logger, error) {
	level, err := parseLevel(o.Level)
	if err != nil {
		return nil, err
	}
	if o.Verbose {
		level = slog.LevelDebug
	}
	switch {
	case o.Format != "" && o.Format != "text" && o.Format != "json":
		return nil, fmt.Errorf("--log-format: %q is neither text nor json", o.Format)
	case o.Format == "json" || (o.Format == "" && !IsTerminal(w)):
		return slog.New(slog.NewJSONHandler(jsonWriter{w}, &slog.HandlerOptions{Level: level, ReplaceAttr: bounded})), nil
	default:
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, ReplaceAttr: bounded, NoColor: o.NoColor || !IsTerminal(w)})), nil
	}
}

func parseLevel(name string) (slog.Level, error) {
	switch strings.ToUpper(name) {
	case "":
		return slog.LevelInfo, nil
	case "WARNING":
		return slog.LevelWarn, nil
	case "CRITICAL":
		return slog.LevelError, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return 0, fmt.Errorf("LOG_LEVEL: %q is none of DEBUG, INFO, WARNING, ERROR, CRITICAL", name)
	}
	return level, nil
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
