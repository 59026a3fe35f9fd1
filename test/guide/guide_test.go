//go:build unix

// Package guide runs the guide's command blocks as printed, each in a fresh
// shell, in a fresh checkout. Its scripts are named after the guide's headings.
// It uses the guide's ports, 8000 and 9000, so nothing here is parallel.
package guide

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

const root = "../.."

// serial runs the scripts of testscript one after the other.
type serial struct{ *testing.T }

func (serial) Parallel()     {}
func (serial) Verbose() bool { return testing.Verbose() }
func (t serial) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(serial{t}) })
}

func TestGuide(t *testing.T) {
	if testing.Short() {
		t.Skip("makes RSA keys and needs ports 8000 and 9000; not with -short")
	}
	lockPorts(t)
	trees := newTrees(t)
	testscript.RunT(serial{t}, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition:           condition,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Join(env.WorkDir, "sallyport", "bin")+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Vars = append(env.Vars, trees.goEnv...)
			shells := &shells{env: slices.Clone(env.Vars)}
			env.Values[shellsKey{}] = shells
			env.Defer(shells.killAll)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"checkout": trees.checkout,
			"block":    block,
			"serve":    serve,
			"await":    await,
			"quit":     quit,

			"documented": documented,
		},
	})
}

// lockPorts waits for another run of this test on the same machine, which needs
// the same ports.
func lockPorts(t *testing.T) {
	t.Helper()
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "sallyport-test-guide.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatalf("locking %s: %v", lock.Name(), err)
	}
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

// trees are the checkouts that scripts start from.
type trees struct {
	fresh    string                 // what git tracks, nothing else
	prepared func() (string, error) // that, after make certs-mcp-all: made once, RSA keys are slow
	goEnv    []string
}

func newTrees(t *testing.T) *trees {
	t.Helper()
	dir := t.TempDir()
	tr := &trees{fresh: filepath.Join(dir, "fresh")}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOFLAGS", "GOPROXY", "GOTOOLCHAIN"} {
		out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		if err != nil {
			t.Fatalf("go env %s: %v", name, err)
		}
		tr.goEnv = append(tr.goEnv, name+"="+strings.TrimSpace(string(out)))
	}
	if err := copyTracked(t, tr.fresh); err != nil {
		t.Fatal(err)
	}
	tr.prepared = sync.OnceValues(func() (string, error) {
		prepared := filepath.Join(dir, "prepared")
		if err := copyTree(tr.fresh, prepared); err != nil {
			return "", err
		}
		cmd := exec.Command("make", "certs-mcp-all")
		cmd.Dir, cmd.Env = prepared, append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, tr.goEnv...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("make certs-mcp-all: %w\n%s", err, out)
		}
		return prepared, nil
	})
	return tr
}

// copyTracked copies what a clone would hold.
func copyTracked(t *testing.T, to string) error {
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		from, target := filepath.Join(root, name), filepath.Join(to, name)
		info, err := os.Stat(from)
		if os.IsNotExist(err) {
			continue // deleted, not committed yet
		}
		if err != nil {
			return err
		}
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, data, info.Mode()); err != nil {
			return err
		}
	}
	return nil
}

// copyTree keeps the modes, which are part of what is tested.
func copyTree(from, to string) error {
	if out, err := exec.Command("cp", "-Rp", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("cp -Rp %s %s: %w\n%s", from, to, err, out)
	}
	return nil
}

// checkout [with-certificates] makes $WORK/sallyport a fresh checkout, or one
// after make certs-mcp-all, and changes into it.
func (tr *trees) checkout(ts *testscript.TestScript, neg bool, args []string) {
	from := tr.fresh
	switch {
	case neg, len(args) > 1, len(args) == 1 && args[0] != "with-certificates":
		ts.Fatalf("usage: checkout [with-certificates]")
	case len(args) == 1:
		var err error
		from, err = tr.prepared()
		ts.Check(err)
	}
	dir := filepath.Join(ts.Getenv("WORK"), "sallyport")
	ts.Check(copyTree(from, dir))
	ts.Check(ts.Chdir(dir))
}
