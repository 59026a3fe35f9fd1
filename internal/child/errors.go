package child

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says in one word why a server gave no answer.
type Kind string

// The kinds of [Fault].
const (
	Unreachable Kind = "unreachable" // it could not be started, or ended before an answer
	Timeout     Kind = "timeout"     // no answer in time
	BadAnswer   Kind = "bad answer"  // an answer came, but none that can be used
)

// Fault is a request that brought no answer, or a server that does not come up.
type Fault struct {
	Kind Kind
	Err  error // never nil
}

// Error is the cause's.
func (f *Fault) Error() string { return f.Err.Error() }

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Err }

func faultf(kind Kind, format string, args ...any) error {
	return &Fault{kind, fmt.Errorf(format, args...)}
}

// ErrStopped is what requests get after Run has returned.
var ErrStopped = errors.New("the process has been stopped")

const maxSnippet = 200

// snippet is the beginning of a text for an error message, on one line.
func snippet(text string) string {
	return clip(strings.Join(strings.Fields(strings.ToValidUTF8(text[:min(len(text), 2*maxSnippet)], "")), " "))
}

func clip(s string) string {
	if len(s) <= maxSnippet {
		return s
	}
	return strings.ToValidUTF8(s[:maxSnippet], "") + "…"
}
