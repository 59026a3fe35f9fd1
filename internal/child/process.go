package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

const (
	// drainTime is how long the pipes of a process that has ended are read on. A
	// process that left its group could keep them open for good.
	drainTime = time.Second

	// queueOut is how many messages may wait for a process to read them before
	// senders wait.
	queueOut = 16

	// maxUnsent is how many messages that nobody waits for may wait for that;
	// further ones are left out.
	maxUnsent = 256
)

// process is one run of the command. Whoever launches it waits for done.
type process struct {
	s      *Server
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	stderr *os.File
	out    chan []byte
	poke   chan struct{}  // has a value when there is something in unsent
	pipes  sync.WaitGroup // who reads its pipes
	writer sync.WaitGroup // who writes to it
	quit   chan struct{}  // closed to end the writer
	done   chan struct{}  // closed when it has ended and all is joined
	exit   error          // how it ended; set before done is closed
	closer *time.Timer    // kills it after it closed its output; guarded by mu

	mu      sync.Mutex
	reaped  bool               // its number may be another process's
	waiting map[string]*waiter // by id
	unsent  [][]byte           // what nobody waits for: answers to its requests, cancellations
	garbage string             // the first line that was no message
	last    string             // the last line of its standard error
}

// launch starts the command in a process group of its own.
func (s *Server) launch() (*process, error) {
	path, args, err := s.cmd.Find()
	if err != nil {
		return nil, s.unstarted(err)
	}
	s.warnWritable(path, args)
	p := &process{s: s, out: make(chan []byte, queueOut), poke: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}), waiting: map[string]*waiter{}}
	p.cmd = &exec.Cmd{
		Path: path, Args: args,
		Env: environment(s.cmd.Env), Dir: s.cmd.Dir, SysProcAttr: ownGroup(),
	}
	theirs, err := p.connect()
	if err == nil {
		err = p.cmd.Start()
	}
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		p.closePipes()
		return nil, s.unstarted(err)
	}
	s.o.Logger.Info(s.o.Role+" process started", "command", s.Where(), "pid", p.cmd.Process.Pid)
	p.pipes.Go(p.read)
	p.pipes.Go(p.listen)
	p.writer.Go(p.write)
	go p.reap()
	return p, nil
}

// unstarted says why there is no process, and where to look.
func (s *Server) unstarted(err error) error {
	return hint.Add(fmt.Errorf("starting %s: %w", s.Where(), err), s.o.Setting+"; programs are found by PATH")
}

// connect makes the pipes and returns their other ends.
func (p *process) connect() (theirs []*os.File, err error) {
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
		}
		return r, w
	}
	in, stdin := pipe()
	stdout, out := pipe()
	stderr, errs := pipe()
	p.stdin, p.stdout, p.stderr = stdin, stdout, stderr
	if err == nil {
		p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, out, errs
	}
	return slices.DeleteFunc([]*os.File{in, out, errs}, func(f *os.File) bool { return f == nil }), err
}

func (p *process) closePipes() {
	for _, f := range []*os.File{p.stdin, p.stdout, p.stderr} {
		if f != nil {
			f.Close()
		}
	}
}

// reap waits for the end, of which the whole group is part.
func (p *process) reap() {
	pid := p.cmd.Process.Pid
	if waitDead(pid) {
		killGroup(pid) // it is not reaped yet, so the number is still its own
		p.mu.Lock()    // see signal; it is dead, so this does not take long
		p.exit, p.reaped = p.cmd.Wait(), true
		p.mu.Unlock()
	} else {
		p.exit = p.cmd.Wait()
		killGroup(pid)
		p.mu.Lock()
		p.reaped = true
		p.mu.Unlock()
	}
	cut := time.AfterFunc(drainTime, func() {
		p.stdout.Close()
		p.stderr.Close()
	})
	p.pipes.Wait() // what it has said is still heard
	cut.Stop()
	p.mu.Lock()
	if p.closer != nil {
		p.closer.Stop()
	}
	p.mu.Unlock()
	p.closePipes()
	close(p.quit)
	p.writer.Wait()
	p.s.o.Logger.Info(p.s.o.Role+" process ended", "pid", pid, "how", p.how())
	close(p.done)
}

// signal does something to the process's group, as long as the number is its own.
func (p *process) signal(step func(pid int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		step(p.cmd.Process.Pid)
	}
}

func (p *process) how() string {
	if p.exit == nil {
		return "exit status 0"
	}
	return p.exit.Error()
}

// alive reports whether it has not ended.
func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// ended says how the process ended, to somebody who waited for an answer.
func (p *process) ended(more string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf("the process ended (%s)%s", p.how(), more)
	if p.last != "" {
		text += fmt.Sprintf("; its last line on standard error: %q", p.last)
	}
	return faultf(Unreachable, "%s%s", text, p.noise())
}

// muttered adds to err what the process wrote instead of messages.
func (p *process) muttered(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if noise := p.noise(); noise != "" {
		return fmt.Errorf("%w%s", err, noise)
	}
	return err
}

func (p *process) noise() string {
	if p.garbage == "" {
		return ""
	}
	return fmt.Sprintf("; it wrote to standard output what is no MCP message: %q", p.garbage)
}

// stop ends the process: its input is closed, then its group is asked to end,
// then it is killed.
func (p *process) stop(ctx context.Context) {
	p.stdin.Close()
	for _, step := range []func(pid int){endGroup, killGroup} {
		timer := time.NewTimer(p.s.o.StopTimeout)
		select {
		case <-p.done:
			timer.Stop()
			return
		case <-timer.C:
			p.s.o.Logger.WarnContext(ctx, p.s.o.Role+" process does not end by itself", "pid", p.cmd.Process.Pid)
			p.signal(step)
		}
	}
}

// errSlow is a process that does not read what it is sent.
var errSlow = errors.New("the process does not read its input, the request was not sent")

// send hands a message to the process, or to its queue.
func (p *process) send(ctx context.Context, late <-chan time.Time, message []byte) error {
	select {
	case p.out <- wire.AppendLine(make([]byte, 0, len(message)+1), message):
		return nil
	case <-p.done:
		return p.ended("; the request was not sent")
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late:
		return errSlow
	}
}

// later sends a message for which nobody waits, if the process reads it at all.
func (p *process) later(message []byte) {
	p.mu.Lock()
	if len(p.unsent) < maxUnsent {
		p.unsent = append(p.unsent, wire.AppendLine(make([]byte, 0, len(message)+1), message))
	}
	p.mu.Unlock()
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// write writes what is sent, until the process has ended. A failure means that
// it has closed its input: its end will tell more.
func (p *process) write() {
	for {
		select {
		case line := <-p.out:
			_, _ = p.stdin.Write(line)
		case <-p.poke:
			p.mu.Lock()
			lines := p.unsent
			p.unsent = nil
			p.mu.Unlock()
			for _, line := range lines {
				_, _ = p.stdin.Write(line)
			}
		case <-p.quit:
			return
		}
	}
}
