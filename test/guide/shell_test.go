//go:build unix

package guide

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 15 * time.Second
	blockTimeout = 5 * time.Minute // RSA-4096 keys on a busy machine
)

type shellsKey struct{}

// shells are the shells of one script. Each starts with the same environment:
// nothing that one exports reaches the next.
type shells struct {
	env     []string
	running []*shell
}

// shell is one block: a process group, so that a server started with & is
// found again. Its output ends when the last of its processes has ended.
type shell struct {
	cmd    *exec.Cmd
	stdout output
	stderr output
	exited chan error
}

// output collects what a pipe brings and tells who waits that there is more.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // capacity 1
	eof  chan struct{}
}

func (o *output) follow(r io.ReadCloser) {
	defer close(o.eof)
	defer r.Close()
	chunk := make([]byte, 4096)
	for {
		n, err := r.Read(chunk)
		o.mu.Lock()
		o.buf.Write(chunk[:n])
		o.mu.Unlock()
		select {
		case o.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start runs a file of commands in a shell of its own.
func (s *shells) start(dir, file string) (*shell, error) {
	sh := &shell{cmd: exec.Command("sh", file), exited: make(chan error, 1)}
	sh.cmd.Dir, sh.cmd.Env = dir, s.env
	sh.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var writers []*os.File
	for _, o := range []struct {
		to  *output
		set *io.Writer
	}{{&sh.stdout, &sh.cmd.Stdout}, {&sh.stderr, &sh.cmd.Stderr}} {
		// An *os.File, so that Wait waits for the shell only and not for the
		// servers that inherit it.
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		*o.set = w
		writers = append(writers, w)
		o.to.more, o.to.eof = make(chan struct{}, 1), make(chan struct{})
		go o.to.follow(r)
	}
	err := sh.cmd.Start()
	for _, w := range writers {
		w.Close()
	}
	if err != nil {
		return nil, err
	}
	s.running = append(s.running, sh)
	go func() { sh.exited <- sh.cmd.Wait() }()
	return sh, nil
}

// ended waits until no process of the shell is left.
func (sh *shell) ended(timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for _, eof := range []chan struct{}{sh.stdout.eof, sh.stderr.eof} {
		select {
		case <-eof:
		case <-timer.C:
			return fmt.Errorf("still running after %s", timeout)
		}
	}
	return nil
}

// end asks all processes of the shell to end, then makes them.
func (sh *shell) end() error {
	signal := func(sig syscall.Signal) error {
		if err := syscall.Kill(-sh.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		return nil
	}
	if err := signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := sh.ended(stopTimeout)
	if err == nil {
		return nil
	}
	if killErr := signal(syscall.SIGKILL); killErr != nil {
		return killErr
	}
	return fmt.Errorf("SIGTERM: %w", err)
}

// killAll is the last resort of a script that failed half way.
func (s *shells) killAll() {
	for _, sh := range s.running {
		_ = sh.end()
	}
}

func of(ts *testscript.TestScript) *shells {
	return ts.Value(shellsKey{}).(*shells)
}

// block FILE runs a block to its end. What it printed is there for stdout and
// stderr; ! expects it to fail.
func block(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] block FILE")
	}
	sh, err := of(ts).start(ts.MkAbs("."), ts.MkAbs(args[0]))
	ts.Check(err)
	if err := sh.ended(blockTimeout); err != nil {
		ts.Fatalf("%s: %v\n%s%s", args[0], err, sh.stdout.String(), sh.stderr.String())
	}
	err = <-sh.exited
	out, errOut := sh.stdout.String(), sh.stderr.String()
	fmt.Fprint(ts.Stdout(), out)
	fmt.Fprint(ts.Stderr(), errOut)
	switch {
	case err == nil && neg:
		ts.Fatalf("%s: succeeded, should have failed", args[0])
	case err != nil && !neg:
		ts.Fatalf("%s: %v", args[0], err)
	}
}

// serve FILE [REGEXP] starts a block that leaves a server running, in the
// foreground or with &, and waits until its log matches.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: serve FILE [REGEXP]")
	}
	for _, port := range []string{"8000", "9000"} {
		var listen net.ListenConfig
		l, err := listen.Listen(context.Background(), "tcp", "127.0.0.1:"+port)
		if err != nil {
			ts.Fatalf("port %s is taken, and the guide needs it (lsof -i :%s): %v", port, port, err)
		}
		l.Close()
	}
	pattern := `"msg":"listening"`
	if len(args) == 2 {
		pattern = args[1]
	}
	sh, err := of(ts).start(ts.MkAbs("."), ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(sh.await(pattern))
}

func (sh *shell) await(pattern string) error {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	for !re.MatchString(sh.stderr.String()) {
		select {
		case <-sh.stderr.more:
		case <-sh.stderr.eof:
			if re.MatchString(sh.stderr.String()) {
				return nil
			}
			return fmt.Errorf("ended without %q in its log:\n%s", pattern, sh.stderr.String())
		case <-timer.C:
			return fmt.Errorf("no %q in the log after %s:\n%s", pattern, startTimeout, sh.stderr.String())
		}
	}
	return nil
}

func (s *shells) last() (*shell, error) {
	if len(s.running) == 0 {
		return nil, errors.New("nothing was served")
	}
	for _, sh := range slices.Backward(s.running) {
		select {
		case <-sh.stderr.eof:
		default:
			return sh, nil
		}
	}
	return nil, errors.New("no server is running any more")
}

// await REGEXP waits until the running server's log matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await REGEXP")
	}
	sh, err := of(ts).last()
	ts.Check(err)
	ts.Check(sh.await(args[0]))
}

// quit ends the running server with SIGTERM; its log is there for stderr.
func quit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: quit")
	}
	sh, err := of(ts).last()
	ts.Check(err)
	err = sh.end()
	fmt.Fprint(ts.Stdout(), sh.stdout.String())
	fmt.Fprint(ts.Stderr(), sh.stderr.String())
	ts.Check(err)
}
