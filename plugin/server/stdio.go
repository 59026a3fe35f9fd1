package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// maxConcurrent bounds the requests of one stdio client that run at a time.
const maxConcurrent = 64

// ServeStdio answers MCP messages, one per line of in, on out, until in or ctx
// ends; calls in flight then may finish. The end of in before a first message
// is an error: then nobody was there to talk to. When ctx ends, a pending Read
// of in may outlive ServeStdio.
func (s *Server) ServeStdio(ctx context.Context, in io.Reader, out io.Writer) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	c := &stdio{Server: s, out: out, slots: make(chan struct{}, maxConcurrent), calls: map[string]context.CancelFunc{}}
	ended := make(chan error, 1)
	stop := make(chan struct{})
	go func() { ended <- c.read(work, in, stop) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	close(stop)
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
	slots   chan struct{}
	running sync.WaitGroup

	writing sync.Mutex
	out     io.Writer

	mu    sync.Mutex
	calls map[string]context.CancelFunc // requests at work by their id
}

var errNoMessage = hint.Add(errors.New("stdin ended before a first message: the transport is stdio, and no client is there"),
	"set PLUGINS_TRANSPORT=http to serve over HTTP")

// read takes message after message until in ends.
func (c *stdio) read(ctx context.Context, in io.Reader, stop <-chan struct{}) error {
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
		select {
		case <-stop:
			return nil
		case c.slots <- struct{}{}:
		}
		c.running.Add(1)
		c.take(ctx, bytes.Clone(line), err)
	}
}

// take answers one line in a goroutine of its own. A cancellation is applied
// here: behind other calls it would come too late.
func (c *stdio) take(ctx context.Context, line []byte, fault error) {
	b := &buffers{}
	done := func() {
		c.write(b.body)
		<-c.slots
		c.running.Done()
	}
	if fault != nil {
		appendRefusal(b, nil, fault)
		done()
		return
	}
	if wire.IsBatch(line) {
		go func() {
			defer done()
			_, _ = c.appendBatch(ctx, line, nil, b) // ctx ended: nobody waits
		}()
		return
	}
	m, err := wire.Parse(line, c.maxBody())
	if err != nil {
		appendRefusal(b, m, err)
		done()
		return
	}
	if m.Method == wire.MethodCancelled {
		c.cancel(string(wire.Member(m.Params, "requestId")))
	}
	ctx, forget := c.begin(ctx, string(m.ID))
	go func() {
		defer done()
		defer forget()
		if status, err := c.answer(ctx, m, nil, b); err != nil || status == http.StatusAccepted {
			b.body = nil // cancelled: the client wants no answer
		}
	}()
}

// begin makes a request known under its id, so that it can be cancelled.
func (c *stdio) begin(ctx context.Context, id string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	if id == "" {
		return ctx, cancel
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[id] = cancel
	return ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.calls, id)
		cancel()
	}
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
