package upstream

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errStopped is what calls get after Run has returned.
var errStopped = errors.New("the gateway is stopping")

// crew runs what outlives the call that caused it, and ends with the upstream.
type crew struct {
	done    chan struct{} // closed when it stops
	mu      sync.Mutex
	stopped bool
	next    int
	cancels map[int]context.CancelFunc
	running sync.WaitGroup
}

// start runs f in a goroutine, with a context that ends after limit or when the
// crew stops. It reports false when that has happened already.
func (c *crew) start(limit time.Duration, f func(ctx context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return false
	}
	if c.cancels == nil {
		c.cancels = map[int]context.CancelFunc{}
	}
	c.next++
	id := c.next
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	c.cancels[id] = cancel
	c.running.Go(func() {
		defer func() {
			c.mu.Lock()
			delete(c.cancels, id)
			c.mu.Unlock()
			cancel()
		}()
		f(ctx)
	})
	return true
}

// ended reports whether the crew has stopped.
func (c *crew) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// stop ends all that runs and waits for it.
func (c *crew) stop() {
	c.mu.Lock()
	if !c.stopped {
		c.stopped = true
		close(c.done)
	}
	for _, cancel := range c.cancels {
		cancel()
	}
	c.mu.Unlock()
	c.running.Wait()
}

// flight does one thing at a time for all who want its outcome. It is not bound
// to the one who came first: that one may give up while others wait.
type flight[T any] struct {
	mu  sync.Mutex
	now *landing[T]
}

type landing[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// do waits for the outcome of run, which is started unless it is under way.
func (f *flight[T]) do(ctx context.Context, c *crew, limit time.Duration, run func(context.Context) (T, error)) (T, error) {
	var zero T
	f.mu.Lock()
	l := f.now
	if l == nil {
		l = &landing[T]{done: make(chan struct{})}
		started := c.start(limit, func(own context.Context) {
			l.value, l.err = run(own)
			f.mu.Lock()
			f.now = nil
			f.mu.Unlock()
			close(l.done)
		})
		if !started {
			f.mu.Unlock()
			return zero, errStopped
		}
		f.now = l
	}
	f.mu.Unlock()
	select {
	case <-l.done:
		return l.value, l.err
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}
