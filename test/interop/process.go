package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a server that runs while things are tried.
type process struct {
	name string
	cmd  *exec.Cmd
	addr string

	found chan string   // the address, once it is known
	rest  chan struct{} // closed when its standard error has ended

	mu   sync.Mutex
	log  bytes.Buffer
	more chan struct{} // closed when a line has come, and made anew
}

// environment is all that a process gets of ours, in the order in which the
// gateway hands it on, so that two of a kind say the same of themselves.
func environment(home string, more ...string) []string {
	return append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}, more...)
}

// start runs cmd until a line of its standard error tells its address.
func start(ctx context.Context, name string, cmd *exec.Cmd) (*process, error) {
	p, err := launch(cmd, name)
	if err != nil {
		return nil, err
	}
	select {
	case p.addr = <-p.found:
		return p, nil
	case <-p.rest:
	case <-time.After(time.Minute):
	case <-ctx.Done():
	}
	err = p.stop()
	return nil, errors.Join(fmt.Errorf("%s did not listen:\n%s", name, p.text()), err)
}

// launch runs cmd and keeps what it writes to standard error.
func launch(cmd *exec.Cmd, name string) (*process, error) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, found: make(chan string, 1), rest: make(chan struct{}), more: make(chan struct{})}
	go p.follow(out)
	return p, nil
}

func (p *process) follow(out io.Reader) {
	defer close(p.rest)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.log.Write(append(lines.Bytes(), '\n'))
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
		var record struct{ Msg, Addr string }
		if json.Unmarshal(lines.Bytes(), &record) == nil && record.Msg == "listening" {
			select {
			case p.found <- record.Addr:
			default: // it listens somewhere else too
			}
		}
	}
	_, _ = io.Copy(io.Discard, out) // a full pipe would stop it
}

// text is what the process has written to standard error so far.
func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// writes waits until what the process has written fulfils a condition: a log is
// written beside what it is about, and may come later.
func (p *process) writes(ctx context.Context, condition func(text string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		p.mu.Lock()
		more := p.more
		p.mu.Unlock()
		if condition(p.text()) {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// complaints are the lines of a log of ours above INFO.
func (p *process) complaints() string {
	var b strings.Builder
	for line := range strings.Lines(p.text()) {
		if !strings.Contains(line, `"level":"INFO"`) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// stop ends the process. Node's servers do not take SIGTERM for a good end.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	// What hangs must not hang everything; that it was killed is an error.
	late := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	<-p.rest
	err := p.cmd.Wait()
	if state, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && state.Signaled() && state.Signal() == syscall.SIGTERM {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s ended badly: %w\n%s", p.name, err, p.text())
	}
	return nil
}
