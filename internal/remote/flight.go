package remote

import (
	"context"
	"sync"
	"time"
)

// flight runs one thing at a time for all who want its outcome. It is not bound
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
// run's context ends after limit, or when closed is.
func (f *flight[T]) do(ctx context.Context, p *Plugin, limit time.Duration, run func(context.Context) (T, error)) (T, error) {
	f.mu.Lock()
	l := f.now
	if l == nil {
		l = &landing[T]{done: make(chan struct{})}
		f.now = l
		p.running.Go(func() {
			own, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
			defer cancel()
			p.running.Go(func() {
				select {
				case <-p.closed:
					cancel()
				case <-own.Done():
				}
			})
			l.value, l.err = run(own)
			f.mu.Lock()
			f.now = nil
			f.mu.Unlock()
			close(l.done)
		})
	}
	f.mu.Unlock()
	select {
	case <-l.done:
		return l.value, l.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}
