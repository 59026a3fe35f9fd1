package front

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

const (
	smallBody  = 64 << 10        // a body up to this size needs no budget
	firstBody  = 4 << 10         // what is made for one of unknown size
	budgetWait = 5 * time.Second // for budget, in all: the time to read a request goes on meanwhile
)

// Bodies bounds the memory of large bodies that are being read or worked on:
// when there are too many clients that send one, some have to come again. It is
// for use by many goroutines at once.
type Bodies struct {
	limit int64
	free  *semaphore.Weighted

	// last admits one body at a time beyond the budget: bodies keep what they
	// have while they wait for more, so that many at once could all wait for
	// each other.
	last chan struct{}
}

// NewBodies makes a budget for bodies of at most limit bytes each.
func NewBodies(limit int64) *Bodies {
	return &Bodies{limit, semaphore.NewWeighted(bodyBudget(limit)), make(chan struct{}, 1)}
}

func bodyBudget(limit int64) int64 { return max(64<<20, 4*limit) }

// errBusy is the error of a body for which there is no budget.
var errBusy = errors.New("too many large requests at a time")

// Read reads the whole body of r. The bytes are the caller's; done, which is
// never nil, gives back what the budget lent for them. A body over the limit is
// a [*wire.TooLargeError].
//
// The budget lends as the body arrives, at most twice as much: what a header
// promises takes nothing from others.
func (b *Bodies) Read(w http.ResponseWriter, r *http.Request) (body []byte, done func(), err error) {
	size := r.ContentLength
	if size >= 0 && size <= min(smallBody, b.limit) { // nearly always
		body = make([]byte, size)
		if _, err = io.ReadFull(r.Body, body); err == nil {
			arrived(r.Context())
		}
		return body, func() {}, err
	}
	l := &loan{ctx: r.Context(), free: b.free, last: b.last}
	switch {
	case size > b.limit:
		return nil, l.end, &wire.TooLargeError{Size: size, Limit: b.limit}
	case size >= 0:
		body, err = l.read(r.Body, smallBody, size)
		if errors.Is(err, io.EOF) && int64(len(body)) < size {
			err = io.ErrUnexpectedEOF
		}
	default: // chunked
		body, err = l.read(http.MaxBytesReader(w, r.Body, b.limit), min(firstBody, b.limit), b.limit+1)
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			err = &wire.TooLargeError{Limit: b.limit}
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, l.end, err
	}
	arrived(r.Context())
	return body, l.end, nil
}

// loan is what one body has of the budget.
type loan struct {
	ctx   context.Context // of the request
	free  *semaphore.Weighted
	bytes int64
	until time.Time // when to give up waiting; zero before the first wait

	last   chan struct{} // of Bodies
	beyond bool          // it is the one that goes beyond the budget
}

func (l *loan) end() {
	l.free.Release(l.bytes)
	l.bytes = 0
	if l.beyond {
		<-l.last
		l.beyond = false
	}
}

// read reads size bytes, or up to the end, into a buffer of first bytes that
// doubles when it is full.
func (l *loan) read(in io.Reader, first, size int64) ([]byte, error) {
	body := make([]byte, 0, first)
	for int64(len(body)) < size {
		if len(body) == cap(body) {
			next := min(2*int64(cap(body)), size)
			if err := l.grow(next); err != nil {
				return nil, err
			}
			body = append(make([]byte, 0, next), body...)
		}
		n, err := in.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err != nil {
			return body, err
		}
	}
	return body, nil
}

// grow makes the loan one for size bytes.
func (l *loan) grow(size int64) error {
	if size <= smallBody || l.beyond {
		return nil
	}
	if more := size - l.bytes; !l.free.TryAcquire(more) {
		if err := l.wait(more); err != nil || l.beyond {
			return err
		}
	}
	l.bytes = size
	return nil
}

// wait waits for more of the budget, or to be the one that goes beyond it.
func (l *loan) wait(more int64) error {
	if l.until.IsZero() {
		l.until = time.Now().Add(budgetWait)
	}
	ctx, cancel := context.WithDeadline(l.ctx, l.until)
	defer cancel()
	lent := make(chan error, 1)
	go func() { lent <- l.free.Acquire(ctx, more) }()
	select {
	case err := <-lent:
		if err == nil {
			return nil
		}
		if err := l.ctx.Err(); err != nil {
			return err
		}
		return errBusy
	case l.last <- struct{}{}:
		l.beyond = true
		cancel()
		if <-lent == nil {
			l.free.Release(more)
		}
		return nil
	}
}

// RefuseBody answers a body that could not be read to its end. It returns the
// reason, for a log.
func RefuseBody(w http.ResponseWriter, err error) string {
	w.Header().Set("Connection", "close") // the rest of the body is not read
	if errors.Is(err, errBusy) {
		w.Header().Set("Retry-After", "1")
		Refuse(w, http.StatusServiceUnavailable, errBusy.Error())
		return errBusy.Error()
	}
	large, tooLarge := errors.AsType[*wire.TooLargeError](err)
	if !tooLarge {
		const reason = "the body could not be read"
		Refuse(w, http.StatusBadRequest, reason)
		return reason
	}
	Refuse(w, http.StatusRequestEntityTooLarge, large.Error())
	return large.Error()
}
