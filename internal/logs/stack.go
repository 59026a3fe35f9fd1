package logs

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
)

// deferred is what Go adds to the name of a function for a literal in it.
var deferred = regexp.MustCompile(`(\.func\d+|\.\d+)$`)

// maxFrames bounds a stack of a plugin that calls itself without end.
const maxFrames = 50

// Stack tells where a panic came from: the calls between the panic and the
// function that recovers, the innermost first, one a line. It is to be called
// by a function literal which that function defers. What lies below is the
// server's own and says nothing about a plugin.
func Stack() string {
	pc := make([]uintptr, 4*maxFrames)
	frames := runtime.CallersFrames(pc[:runtime.Callers(2, pc)])
	frame, more := frames.Next()
	end := deferred.ReplaceAllString(frame.Function, "")
	var b strings.Builder
	for n := 0; more; {
		if frame, more = frames.Next(); frame.Function == end {
			break
		}
		if n == 0 && strings.HasPrefix(frame.Function, "runtime.") {
			continue // how it panicked
		}
		if n++; n > maxFrames {
			b.WriteString("…\n")
			break
		}
		fmt.Fprintf(&b, "%s (%s:%d)\n", frame.Function, frame.File, frame.Line)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
