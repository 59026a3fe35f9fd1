package logs_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/logs"
)

func recovering(f func()) (stack string) {
	defer func() {
		recover() //nolint:errcheck // also called where nothing panics
		stack = logs.Stack()
	}()
	f()
	return ""
}

func inner(m map[string]int) { m["a"] = 1 }

func outer() { inner(nil) }

func TestStackEndsWhereThePanicIsRecovered(t *testing.T) {
	lines := strings.Split(recovering(outer), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "logs_test.inner (") || !strings.Contains(lines[1], "logs_test.outer (") ||
		!strings.Contains(lines[0], "stack_test.go:") {
		t.Errorf("got %q", lines)
	}
}

func TestStackOfARuntimeError(t *testing.T) {
	stack := recovering(func() {
		var p *struct{ n int }
		p.n = 1
	})
	if !strings.HasPrefix(stack, "github.com/sallyport-mcp/sallyport/internal/logs_test.TestStackOfARuntimeError.func1 (") {
		t.Errorf("got %q", stack)
	}
}

func TestStackOfAGoroutineThatEndsItself(t *testing.T) {
	got := make(chan string)
	go func() {
		defer close(got)
		func() {
			defer func() { got <- logs.Stack() }()
			runtime.Goexit()
		}()
	}()
	if stack := <-got; strings.Contains(stack, "runtime.") {
		t.Errorf("got %q", stack)
	}
}

func TestStackIsBounded(t *testing.T) {
	stack := recovering(func() { deepPanic(1000) })
	if n := strings.Count(stack, "\n"); n != 50 || !strings.HasSuffix(stack, "\n…") {
		t.Errorf("%d lines, the last %q", n+1, stack[strings.LastIndex(stack, "\n")+1:])
	}
}

func deepPanic(n int) int {
	if n == 0 {
		panic("deep")
	}
	return deepPanic(n-1) + 1
}
