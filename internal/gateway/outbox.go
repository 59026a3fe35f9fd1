package gateway

import (
	"container/list"
	"sync"
	"time"
)

const (
	// smallAnswer is the size up to which answers are not counted.
	smallAnswer = 64 << 10

	// takeTime is what a client has to take a large answer, whatever others do.
	takeTime = time.Second
)

// outbox bounds the memory of large answers that clients are slow to take: when
// they come to more than the limit, those that have been longest on their way
// are given up, one after the other. It is for use by many goroutines at once.
type outbox struct {
	limit int64

	mu    sync.Mutex
	bytes int64
	slow  list.List // of *parcel, the one that has been longest on its way in front
	timer *time.Timer
}

// parcel is an answer on its way.
type parcel struct {
	size  int64
	since time.Time
	w     deadliner
	place *list.Element // nil when it has been given up
}

// deadliner is an http.ResponseController.
type deadliner interface{ SetWriteDeadline(time.Time) error }

// send counts an answer of so many bytes until the function that it returns is
// called, which has to be before the handler returns.
func (o *outbox) send(size int, w deadliner) (sent func()) {
	if size <= smallAnswer {
		return func() {}
	}
	p := &parcel{size: int64(size), since: time.Now(), w: w}
	o.mu.Lock()
	defer o.mu.Unlock()
	p.place = o.slow.PushBack(p)
	o.bytes += p.size
	o.spare()
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.drop(p)
	}
}

func (o *outbox) drop(p *parcel) {
	if p.place == nil {
		return
	}
	o.slow.Remove(p.place)
	p.place = nil
	o.bytes -= p.size
}

// spare gives up what has had its time, as long as there is too much, and comes
// back when the next has.
func (o *outbox) spare() {
	for o.bytes > o.limit {
		p := o.slow.Front().Value.(*parcel)
		if left := takeTime - time.Since(p.since); left > 0 {
			if o.timer == nil {
				o.timer = time.AfterFunc(left, o.again)
			}
			return
		}
		o.drop(p)
		_ = p.w.SetWriteDeadline(time.Unix(1, 0)) // its Write fails, and ends the connection
	}
}

func (o *outbox) again() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.timer = nil
	o.spare()
}
