package gateway

import (
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stalled is a client that takes nothing: writing to it ends with its deadline.
type stalled struct {
	http.ResponseWriter
	mu    sync.Mutex
	until time.Time
	moved chan struct{}
	began time.Time
	took  time.Duration
}

func (s *stalled) Header() http.Header { return http.Header{} }
func (s *stalled) WriteHeader(int)     {}

func (s *stalled) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = t
	select {
	case s.moved <- struct{}{}:
	default:
	}
	return nil
}

func (s *stalled) Write([]byte) (int, error) {
	for {
		s.mu.Lock()
		left := time.Until(s.until)
		s.mu.Unlock()
		if left <= 0 {
			s.took = time.Since(s.began)
			return 0, os.ErrDeadlineExceeded
		}
		select {
		case <-s.moved:
		case <-time.After(left):
		}
	}
}

// answerStalled sends answers of so many bytes to clients that take none, one
// every interval, and returns how long each was held.
func answerStalled(out *outbox, size, clients int, interval time.Duration) (held []time.Duration) {
	var sending sync.WaitGroup
	all := make([]*stalled, clients)
	for i := range all {
		w := &stalled{moved: make(chan struct{}, 1), began: time.Now()}
		all[i] = w
		sending.Go(func() { newReply(w, true, false, out).finish(http.StatusOK, make([]byte, size)) })
		synctest.Wait() // it is on its way before the next
		<-time.After(interval)
	}
	sending.Wait()
	for _, w := range all {
		held = append(held, w.took)
	}
	return held
}

// Clients that do not take large answers cannot make the gateway hold them all.
func TestLargeAnswersThatNobodyTakesAreGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		size, clients int
		interval      time.Duration
		want          []time.Duration // of the first ones; all others have writeLimit
	}{
		"few":                   {1 << 20, 4, time.Millisecond, nil},
		"many at once":          {1 << 20, 7, 0, []time.Duration{takeTime, takeTime, takeTime}},
		"one after the other":   {1 << 20, 6, 2 * time.Second, []time.Duration{8 * time.Second, 8 * time.Second}},
		"many that are small":   {smallAnswer, 200, 0, nil},
		"one that is too large": {5 << 20, 1, 0, []time.Duration{takeTime}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &outbox{limit: 4 << 20}
				for i, held := range answerStalled(out, c.size, c.clients, c.interval) {
					want := writeLimit
					if i < len(c.want) {
						want = c.want[i]
					}
					if held != want {
						t.Errorf("answer %d was held %s, want %s", i, held, want)
					}
				}
				if out.bytes != 0 || out.slow.Len() != 0 {
					t.Errorf("%d bytes, %d answers are left", out.bytes, out.slow.Len())
				}
			})
		})
	}
}
