package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// lazyContext does what context.WithDeadline's does, whether it is asked for
// Done before, after or not at all.
func TestLazyContext(t *testing.T) {
	for name, asks := range map[string]bool{"asked for Done": true, "never asked": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent, leave := context.WithCancel(context.WithValue(t.Context(), connName{}, "v"))
				defer leave()
				build := func() *lazyContext {
					c := &lazyContext{Context: parent, deadline: time.Now().Add(time.Second)}
					if asks {
						_ = c.Done()
					}
					return c
				}
				late, ended, left := build(), build(), build()
				if d, ok := late.Deadline(); !ok || time.Until(d) != time.Second || late.Err() != nil || late.Value(connName{}) != "v" {
					t.Errorf("at first: deadline %v, error %v, value %v", d, late.Err(), late.Value(connName{}))
				}
				ended.end()
				if !errors.Is(ended.Err(), context.Canceled) {
					t.Errorf("after end: %v", ended.Err())
				}
				<-ended.Done()

				child, stop := context.WithCancel(late)
				defer stop()
				time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
				synctest.Wait()
				if !errors.Is(late.Err(), context.DeadlineExceeded) || !errors.Is(child.Err(), context.DeadlineExceeded) {
					t.Errorf("after the deadline: %v, its child: %v", late.Err(), child.Err())
				}
				if !errors.Is(ended.Err(), context.Canceled) {
					t.Errorf("after end and the deadline: %v", ended.Err())
				}
				<-late.Done()
				late.end()
				if !errors.Is(late.Err(), context.DeadlineExceeded) {
					t.Errorf("after deadline and end: %v", late.Err())
				}

				left.deadline = time.Now().Add(time.Hour)
				leave()
				<-left.Done()
				if asks {
					return // its deadline has passed, too
				}
				if !errors.Is(left.Err(), context.Canceled) {
					t.Errorf("after the parent: %v", left.Err())
				}
				left.end()
			})
		})
	}
}

type connName struct{}
