package server

import (
	"context"
	"sync"
	"time"
)

// lazyContext is what context.WithDeadline returns, made only when somebody
// asks for Done: most plugins never do, and it costs more than they.
type lazyContext struct {
	context.Context // the parent
	deadline        time.Time

	mu     sync.Mutex
	real   context.Context
	cancel context.CancelFunc
	final  error // what Err says from end on
}

// Deadline implements [context.Context].
func (c *lazyContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done implements [context.Context].
func (c *lazyContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real == nil {
		c.real, c.cancel = context.WithDeadline(c.Context, c.deadline)
		if c.final != nil {
			c.cancel()
		}
	}
	return c.real.Done()
}

// Err implements [context.Context].
func (c *lazyContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err()
}

func (c *lazyContext) err() error {
	switch {
	case c.final != nil:
		return c.final
	case c.real != nil:
		return c.real.Err()
	case c.Context.Err() != nil:
		return c.Context.Err()
	case !time.Now().Before(c.deadline):
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements [context.Context]. Once there is a real context it is asked,
// so that package context recognizes it as the parent of others.
func (c *lazyContext) Value(key any) any {
	c.mu.Lock()
	real := c.real
	c.mu.Unlock()
	if real != nil {
		return real.Value(key)
	}
	return c.Context.Value(key)
}

// end releases what was made, as a cancel function does.
func (c *lazyContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.final = c.err(); c.final == nil {
		c.final = context.Canceled
	}
	if c.cancel != nil {
		c.cancel()
	}
}
