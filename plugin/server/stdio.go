package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Bounds of one stdio client. Its requests are read while others run, or what
// ends those would not be seen; so that they do not fill the memory, those that
// have not been answered may have so many bytes in all, each with an overhead
// beside its text.
const (
	maxConcurrent   = 64 // requests that run at a time; more wait
	maxUnanswered   = 64 << 20
	requestOverhead = 4 << 10
)

// ServeStdio answers MCP messages, one per line of in, on out, until in or ctx
// ends; calls in flight then may finish. The end of in before a first message
// is an error: then nobody was there to talk to. When ctx ends, a pending Read
// of in may outlive ServeStdio.
func (s *Server) ServeStdio(ctx context.Context, in io.Reader, out io.Writer) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	c := &stdio{
		Server: s, out: out, calls: map[string]context.CancelFunc{},
		slots: make(chan struct{}, maxConcurrent), unanswered: semaphore.NewWeighted(max(maxUnanswered, 4*s.maxBody())),
	}
	ended := make(chan error, 1)
	go func() { ended <- c.read(work, in) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	c.end()
	finished := make(chan struct{})
	go func() { c.running.Wait(); close(finished) }()
	drained, cancelDrain := context.WithTimeout(context.WithoutCancel(ctx), s.o.DrainTimeout)
	defer cancelDrain()
	select {
	case <-finished:
	case <-drained.Done():
		s.log.Warn("shut down with calls in flight")
	}
	return err
}

// stdio is one client on stdin and stdout.
type stdio struct {
	*Server
	slots      chan struct{}
	unanswered *semaphore.Weighted
	running    sync.WaitGroup // lines that are worked on; see enter

	writing sync.Mutex
	out     io.Writer

	mu    sync.Mutex
	ended bool                          // no line is taken any more
	calls map[string]context.CancelFunc // requests that have not been answered by their id
}

var errNoMessage = hint.Add(errors.New("stdin ended before a first message: the transport is stdio, and no client is there"),
	"set PLUGINS_TRANSPORT=http to serve over HTTP")

// read takes message after message until in ends or nothing is taken any more.
func (c *stdio) read(ctx context.Context, in io.Reader) error {
	lines := wire.NewLines(in, c.maxBody())
	for first := true; ; first = false {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			if first {
				return errNoMessage
			}
			return nil
		}
		if _, tooLarge := errors.AsType[*wire.TooLargeError](err); err != nil && !tooLarge {
			return err
		}
		if !c.enter() {
			return nil
		}
		c.take(ctx, bytes.Clone(line), err)
	}
}

// enter counts a line as worked on, unless it is too late for that.
func (c *stdio) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.running.Add(1)
	}
	return !c.ended
}

// end takes no more lines: running only goes down from here.
func (c *stdio) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}

// take answers one line, a request in a goroutine of its own. Everything else
// is dealt with here: behind requests that wait it would come too late.
func (c *stdio) take(ctx context.Context, line []byte, fault error) {
	b := &buffers{}
	run, id, err := c.open(line, fault, b)
	cost := int64(len(line)) + requestOverhead
	switch {
	case err != nil || run == nil:
	case !c.unanswered.TryAcquire(cost):
		err = wire.Errorf(wire.CodeInternal, "too many requests wait for an answer")
	default:
		callCtx, forget, ok := c.begin(ctx, string(id))
		if ok {
			go func() {
				defer c.running.Done()
				defer c.unanswered.Release(cost)
				defer forget()
				if !c.await(ctx, callCtx) {
					return
				}
				defer func() { <-c.slots }()
				run(callCtx)
				forget() // before the answer: with that the client may use the id again
				c.write(b.body)
			}()
			return
		}
		c.unanswered.Release(cost)
		err = wire.Errorf(wire.CodeInvalidRequest, "Invalid request: the id belongs to a request that has not been answered")
	}
	if err != nil {
		appendRefusal(b, &wire.Message{ID: id}, err)
		c.write(b.body)
	}
	c.running.Done()
}

// open reads a line and returns what runs it; nil when there is nothing to
// answer. The error is a refusal, for the id if there is one.
func (c *stdio) open(line []byte, fault error, b *buffers) (run func(context.Context), id []byte, err error) {
	if fault != nil {
		return nil, nil, fault
	}
	if wire.IsBatch(line) {
		return func(ctx context.Context) {
			if _, err := c.appendBatch(ctx, line, nil, b); err != nil {
				b.body = nil // ctx ended: nobody waits
			}
		}, nil, nil
	}
	m, err := wire.Parse(line, c.maxBody())
	switch {
	case err != nil && m != nil:
		return nil, m.ID, err
	case err != nil:
		return nil, nil, err
	case m.Method == wire.MethodCancelled:
		c.cancel(string(wire.Member(m.Params, "requestId")))
	}
	if !m.IsRequest() {
		return nil, nil, nil
	}
	return func(ctx context.Context) {
		if _, err := c.answer(ctx, m, nil, b); err != nil {
			b.body = nil // cancelled: the client wants no answer
		}
	}, m.ID, nil
}

// await waits for a slot, which the caller gives back. It reports false when
// the call has been cancelled or nothing may begin any more.
func (c *stdio) await(ctx, callCtx context.Context) bool {
	select {
	case c.slots <- struct{}{}:
	case <-callCtx.Done():
		return false
	}
	// A slot that is free because ctx has ended may be seen before callCtx, which
	// comes from ctx, has: ServeStdio has returned then.
	if ctx.Err() != nil || callCtx.Err() != nil {
		<-c.slots
		return false
	}
	return true
}

// begin makes a request known under its id, so that it can be cancelled. It
// reports false when the id is in use.
func (c *stdio) begin(ctx context.Context, id string) (_ context.Context, forget func(), ok bool) {
	ctx, cancel := context.WithCancel(ctx)
	if id == "" { // a batch
		return ctx, cancel, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls[id] != nil {
		cancel()
		return nil, nil, false
	}
	c.calls[id] = cancel
	return ctx, sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.calls, id)
		cancel()
	}), true
}

func (c *stdio) cancel(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel := c.calls[id]; cancel != nil {
		cancel()
	}
}

func (c *stdio) write(body []byte) {
	if len(body) == 0 {
		return
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if _, err := c.out.Write(wire.AppendLine(nil, body)); err != nil {
		c.log.Error("answer lost", "error", err)
	}
}
