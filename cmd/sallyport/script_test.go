package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sallyport": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}})
}

// TestScript runs each promise of the command line: the file's name says which.
func TestScript(t *testing.T) {
	pki := scriptPKI(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition:           condition,
		Cmds:                serverCommands(),
		Setup: func(env *testscript.Env) error {
			repo, err := filepath.Abs("../..")
			env.Setenv("REPO", repo)
			env.Setenv("PKI", pki)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // or each process that is stopped waits a second
			return err
		},
	})
}

// condition knows tool:NAME, true when the program is installed. With
// REQUIRE_TOOLS=1, as in CI, a missing one fails the script.
func condition(cond string) (bool, error) {
	tool, ok := strings.CutPrefix(cond, "tool:")
	if !ok {
		return false, fmt.Errorf("unknown condition %q", cond)
	}
	_, err := exec.LookPath(tool)
	if err != nil && os.Getenv("REQUIRE_TOOLS") == "1" {
		return false, fmt.Errorf("%s is not installed and REQUIRE_TOOLS=1", tool)
	}
	return err == nil, nil
}
