package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is a program that serves and logs JSON lines.
type process struct {
	cmd    *exec.Cmd
	log    *logTail
	exited chan error
	addr   string // where it listens
	health string // its health listener, if it has one
}

// begin starts a program and waits until its log says that it listens.
func (d *demo) begin(ctx context.Context, cmd *exec.Cmd) (*process, error) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: newLogTail(), exited: make(chan error, 1)}
	go func() {
		p.log.follow(stderr)
		p.exited <- cmd.Wait()
	}()
	line, err := p.log.await(ctx, 0, func(r record) bool { return r["msg"] == "listening" })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not start: %w\n%s", p, err, p.log.text()), p.kill())
	}
	p.addr, p.health = line.get("addr"), line.get("health")
	return p, nil
}

// String is the program's name and first argument.
func (p *process) String() string {
	name := filepath.Base(p.cmd.Path)
	if len(p.cmd.Args) > 1 {
		name += " " + p.cmd.Args[1]
	}
	return name
}

// stop asks the process to end and reports when it did not end well.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := <-p.exited; err != nil {
		return fmt.Errorf("%s ended badly: %w\n%s", p, err, p.log.text())
	}
	return nil
}

// kill ends the process at once, as a crash would.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.exited //nolint:errcheck // "signal: killed" is what was meant
	return nil
}

// record is one line of a JSON log.
type record map[string]any

func (r record) get(key string) string {
	s, _ := r[key].(string)
	return s
}

// logTail keeps the log lines of a process and lets a reader wait for one.
type logTail struct {
	mu    sync.Mutex
	lines []record
	raw   bytes.Buffer
	ended bool
	more  chan struct{} // closed and replaced at each change
}

func newLogTail() *logTail { return &logTail{more: make(chan struct{})} }

// follow reads r to its end.
func (l *logTail) follow(r io.Reader) {
	dec := json.NewDecoder(io.TeeReader(r, l))
	for {
		var line record
		err := dec.Decode(&line)
		l.mu.Lock()
		if err == nil {
			l.lines = append(l.lines, line)
		} else {
			l.ended = true
		}
		close(l.more)
		l.more = make(chan struct{})
		l.mu.Unlock()
		if err != nil {
			io.Copy(l, r) //nolint:errcheck // what is left is for the error message
			return
		}
	}
}

// Write keeps the log's text as it came.
func (l *logTail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.raw.Write(p)
}

// position is where the next line will stand.
func (l *logTail) position() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// since returns the lines from a position on.
func (l *logTail) since(from int) []record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[from:len(l.lines):len(l.lines)]
}

// await returns the first line at or after from that ok accepts.
func (l *logTail) await(ctx context.Context, from int, ok func(record) bool) (record, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("its log did not say so within 20 s"))
	defer cancel()
	for {
		l.mu.Lock()
		ended, more := l.ended, l.more
		l.mu.Unlock()
		for _, line := range l.since(from) {
			from++
			if ok(line) {
				return line, nil
			}
		}
		if ended {
			return nil, errors.New("its log ended")
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (l *logTail) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.raw.String()
}
