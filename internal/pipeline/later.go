package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// maxLater bounds the payloads that wait for plugins of mode FireAndForget, in
// bytes; each counts with taskCost on top.
const (
	maxLater = 32 << 20
	taskCost = 1 << 10
)

// backlog are the runs of one request that wait for its answer, in order.
type backlog struct {
	mu    sync.Mutex // forks of a request share it
	tasks []task
	bytes int
}

// task is a run of a FireAndForget plugin: a snapshot of what it would have seen.
type task struct {
	e       *Entry
	hook    plugin.Hook
	payload []byte
	global  plugin.GlobalContext
}

// aftermath is what runs for requests that are answered.
type aftermath struct {
	ctx     context.Context // of the runs; ends when Close waits no longer
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	bytes  int // of what waits and runs
}

// postpone notes that e is to run after the answer, on the payload as it is now.
func (s *round) postpone(e *Entry) {
	if len(s.out.Payload) > s.p.o.MaxPayloadBytes {
		s.refuse(&Refusal{Err: fmt.Errorf("the payload has %d bytes, over max_payload_bytes %d", len(s.out.Payload), s.p.o.MaxPayloadBytes)})
		return
	}
	s.req.setRan(e.Name, s.hook)
	if s.req.later == nil {
		s.req.later = &backlog{}
	}
	global := s.req.Global
	global.State, global.Metadata = cloned(global.State), cloned(global.Metadata)
	s.req.later.mu.Lock()
	defer s.req.later.mu.Unlock()
	s.req.later.tasks = append(s.req.later.tasks, task{e, s.hook, bytes.Clone(s.out.Payload), global})
	s.req.later.bytes += len(s.out.Payload) + taskCost
}

// Waits reports whether anything waits for the answer to r.
func (r *Request) Waits() bool {
	if r.later == nil {
		return false
	}
	r.later.mu.Lock()
	defer r.later.mu.Unlock()
	return len(r.later.tasks) > 0
}

// Answered starts what is to run after the answer to req, and does not wait for
// it. Its caller has sent the answer. When too much waits already, or the
// pipeline is closed, the runs are dropped with a warning.
func (p *Pipeline) Answered(req *Request) {
	if req.later == nil {
		return
	}
	req.later.mu.Lock()
	tasks, size := req.later.tasks, req.later.bytes
	req.later.tasks, req.later.bytes = nil, 0
	req.later.mu.Unlock()
	if len(tasks) == 0 {
		return
	}
	p.after.mu.Lock()
	defer p.after.mu.Unlock()
	if p.after.closed || p.after.bytes+size > maxLater {
		p.o.Logger.Warn("plugins that run after the answer are left out: too much waits for them already, or the process ends",
			"runs", len(tasks), "request_id", req.Global.RequestID)
		return
	}
	p.after.bytes += size
	p.after.running.Go(func() {
		p.catchUp(tasks)
		p.after.mu.Lock()
		defer p.after.mu.Unlock()
		p.after.bytes -= size
	})
}

// catchUp runs the tasks of one request in order, so that a plugin's state goes
// from hook to hook. Nothing of it reaches any other plugin.
func (p *Pipeline) catchUp(tasks []task) {
	req := &Request{}
	for _, t := range tasks {
		if t.e.off.Load() || p.after.ctx.Err() != nil {
			continue
		}
		req.Global = t.global
		log := p.o.Logger.With("plugin", t.e.Name, "hook", string(t.hook), "request_id", t.global.RequestID)
		s := &round{p: p, hook: t.hook, req: req}
		a := s.attempt(p.after.ctx, t.e, t.payload)
		switch {
		case a == nil:
		case a.err != nil && p.onError(t.e) == Disable && p.disable(p.after.ctx, a):
		case a.err != nil:
			log.Warn("plugin failed after the answer", "err", a.err)
		case !a.result.Continue:
			log.Warn("plugin would block, after the answer", "code", violationOf(a.result).Code)
			fallthrough
		default:
			log.Debug("plugin ran after the answer", "duration", a.took)
			req.keep(t.e.Name, a.c)
		}
	}
}

// Close waits for what runs after answers, until ctx ends; then it cuts that
// off and says so. Nothing is started any more.
func (p *Pipeline) Close(ctx context.Context) error {
	p.after.mu.Lock()
	p.after.closed = true
	p.after.mu.Unlock()
	defer p.after.cancel()
	done := make(chan struct{})
	go func() { defer close(done); p.after.running.Wait() }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	p.after.cancel()
	<-done
	return fmt.Errorf("cutting off plugins that ran after the answer: %w", context.Cause(ctx))
}
