package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// Position is a place in a configuration file. Line and Column count from 1;
// Line 0 means the file as a whole.
type Position struct {
	File         string
	Line, Column int
}

// String gives FILE:LINE:COLUMN, or FILE alone.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Source is where a value came from. The zero Source is the built-in default.
type Source struct {
	Env  string // the environment variable's name
	Flag string // the flag's name without dashes

	// File, Line and Column are where the value stands in a file.
	File         string
	Line, Column int

	// Peer says that nobody here set the value, so that the plugin's server may:
	// it is the default until the server has answered.
	Peer bool
}

// String gives "flag --NAME", "env NAME", FILE:LINE:COLUMN, or "default" and
// whether that is the last word.
func (s Source) String() string {
	switch {
	case s.Flag != "":
		return "flag --" + s.Flag
	case s.Env != "":
		return "env " + s.Env
	case s.File != "":
		return Position{s.File, s.Line, s.Column}.String()
	case s.Peer:
		return "default, unless the plugin server says otherwise"
	}
	return "default"
}

// IsDefault reports whether nobody set the value.
func (s Source) IsDefault() bool { return s == Source{} }

// Value is a setting and where it came from.
type Value[T any] struct {
	V      T
	Source Source
}

const masked = "***"

// Secret is a password: its text, or the file that holds it. Printed, logged or
// marshalled in any way it gives "***". The zero Secret is not set.
type Secret struct {
	text string // never printed
	file string
}

// NewSecret reads the notation of settings: "@FILE" is the content of a file,
// anything else is the secret itself; a secret that starts with @ is written
// with two of them.
func NewSecret(s string) Secret {
	switch {
	case strings.HasPrefix(s, "@@"):
		return Secret{text: s[1:]}
	case strings.HasPrefix(s, "@"):
		return Secret{file: expandHome(s[1:])}
	}
	return Secret{text: s}
}

// IsSet reports whether there is a secret; its file may still be missing.
func (s Secret) IsSet() bool { return s.text != "" || s.file != "" }

// File is the path the secret is read from, empty when it was given as text.
func (s Secret) File() string { return s.file }

// Resolve returns the secret, reading its file if it has one; one line end at
// the end of the file does not count. Not set gives nil. The slice is the
// caller's.
func (s Secret) Resolve() ([]byte, error) {
	if s.file == "" {
		if s.text == "" {
			return nil, nil
		}
		return []byte(s.text), nil
	}
	data, err := readFile(s.file, maxSecretBytes, "a secret")
	if err != nil {
		abs, absErr := filepath.Abs(s.file)
		if absErr != nil {
			abs = s.file
		}
		return nil, hint.Add(fmt.Errorf("reading the secret's file %s: %w", abs, pathless(err)),
			"@FILE names a file; a secret that itself starts with @ is written @@…")
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return nil, fmt.Errorf("the secret's file %s is empty", s.file)
	}
	return []byte(text), nil
}

// String gives "***", or nothing when the secret is not set.
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return masked
}

// GoString gives what String gives.
func (s Secret) GoString() string { return s.String() }

// Format prints what String gives, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue gives what String gives.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText gives what String gives, in JSON and elsewhere.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Problem is one thing that is wrong in a configuration, or, with Warning,
// worth saying. It is an error.
type Problem struct {
	File         string // empty when no file is at fault
	Line, Column int    // from 1; 0 when the file as a whole is meant
	Message      string
	Hint         string // what to do next, or empty
	Warning      bool
}

// Error gives FILE:LINE:COLUMN: message, as far as they are known.
func (p *Problem) Error() string {
	if p.File == "" {
		return p.Message
	}
	return Position{p.File, p.Line, p.Column}.String() + ": " + p.Message
}

// Problems is an error that holds every problem found, in file order.
type Problems []*Problem

// Error gives one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the problems with their hints attached (internal/hint).
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i, one := range p {
		errs[i] = one
		if one.Hint != "" {
			errs[i] = hint.Add(one, one.Hint)
		}
	}
	return errs
}

// Errors returns the problems that are not warnings; nil when there are none.
func (p Problems) Errors() Problems { return p.pick(false) }

// Warnings returns the problems that are warnings; nil when there are none.
func (p Problems) Warnings() Problems { return p.pick(true) }

func (p Problems) pick(warning bool) Problems {
	var out Problems
	for _, one := range p {
		if one.Warning == warning {
			out = append(out, one)
		}
	}
	return out
}

// err returns p's errors as an error, nil when there are none: a nil Problems
// in an error interface would not be nil.
func (p Problems) err() error {
	if errs := p.Errors(); len(errs) > 0 {
		return errs
	}
	return nil
}

// expandHome replaces a leading ~ by the user's home directory. Where there is
// none, the path stays as it is and opening it says so.
func expandHome(path string) string {
	if path != "~" && !strings.HasPrefix(path, "~/") {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return home + path[1:]
}
