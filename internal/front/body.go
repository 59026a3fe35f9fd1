package front

import (
	"context"
	"errors"
	"io"
	"net/http"

	"golang.org/x/sync/semaphore"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// smallBody is the size up to which a body needs no budget.
const smallBody = 64 << 10

// Bodies bounds the memory of large bodies that are being read or worked on:
// many clients that send a large body slowly wait for each other instead of
// filling the memory. It is for use by many goroutines at once.
type Bodies struct {
	limit int64
	free  *semaphore.Weighted
}

// NewBodies makes a budget for bodies of at most limit bytes each.
func NewBodies(limit int64) *Bodies {
	return &Bodies{limit, semaphore.NewWeighted(max(64<<20, 4*limit))}
}

// take waits until size bytes are free and returns what gives them back. The
// error is ctx's.
func (b *Bodies) take(ctx context.Context, size int64) (done func(), err error) {
	if size <= smallBody {
		return func() {}, nil
	}
	if err := b.free.Acquire(ctx, size); err != nil {
		return func() {}, err
	}
	return func() { b.free.Release(size) }, nil
}

// Read reads the whole body of r. The bytes are the caller's; done, which is
// never nil, gives back what the budget lent for them. A body over the limit is
// a [*wire.TooLargeError].
func (b *Bodies) Read(w http.ResponseWriter, r *http.Request) (body []byte, done func(), err error) {
	size := r.ContentLength
	if size > b.limit {
		return nil, func() {}, &wire.TooLargeError{Size: size, Limit: b.limit}
	}
	if size < 0 { // chunked: it may become as large as is allowed
		if done, err = b.take(r.Context(), b.limit); err != nil {
			return nil, done, err
		}
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, b.limit))
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			err = &wire.TooLargeError{Limit: b.limit}
		}
	} else {
		if done, err = b.take(r.Context(), size); err != nil {
			return nil, done, err
		}
		body = make([]byte, size)
		_, err = io.ReadFull(r.Body, body)
	}
	if err == nil {
		arrived(r.Context())
	}
	return body, done, err
}

// RefuseBody answers a body that could not be read to its end. It returns the
// reason, for a log.
func RefuseBody(w http.ResponseWriter, err error) string {
	w.Header().Set("Connection", "close") // the rest of the body is not read
	large, tooLarge := errors.AsType[*wire.TooLargeError](err)
	if !tooLarge {
		const reason = "the body could not be read"
		Refuse(w, http.StatusBadRequest, reason)
		return reason
	}
	Refuse(w, http.StatusRequestEntityTooLarge, large.Error())
	return large.Error()
}
