package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// maxCallers is the most calls at a time.
const maxCallers = 32

// callerCounts are how many call at a time.
var callerCounts = []int{1, maxCallers}

// sample is what one kind of call achieved.
type sample struct {
	name    string
	calls   int
	elapsed time.Duration
	cpu     time.Duration // of this process
	took    []time.Duration
}

func (s *sample) perSecond() float64 { return float64(s.calls) / s.elapsed.Seconds() }

// quantile expects took to be sorted.
func (s *sample) quantile(q float64) time.Duration {
	return s.took[min(int(q*float64(len(s.took))), len(s.took)-1)]
}

// measure lets callers call one for d and adds what came of it to s.
func (s *sample) measure(ctx context.Context, callers int, d time.Duration, one func(context.Context) error) error {
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	took := make([][]time.Duration, callers)
	start, spent := time.Now(), cpuTime()
	for i := range callers {
		all.Go(func() {
			for ctx.Err() == nil && time.Since(start) < d && failed.Load() == nil {
				begin := time.Now()
				if err := one(ctx); err != nil {
					failed.Store(&err)
					return
				}
				took[i] = append(took[i], time.Since(begin))
			}
		})
	}
	all.Wait()
	s.elapsed += time.Since(start)
	s.cpu += cpuTime() - spent
	for _, t := range took {
		s.calls += len(t)
		s.took = append(s.took, t...)
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return ctx.Err()
}
