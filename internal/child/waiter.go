package child

import (
	"encoding/json"
	"sync"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// waiter is a request that waits for its answer.
type waiter struct {
	news chan struct{} // has a value when there is something to take

	mu     sync.Mutex
	notes  []note
	answer *wire.Message
	err    error
}

// note is a notification that belongs to a request.
type note struct{ message, params json.RawMessage }

// maxNotes is how many notifications of a call wait for a caller that is slow to
// take them; of further ones the oldest give way.
const maxNotes = 1024

func (p *process) expect(id []byte) *waiter {
	w := &waiter{news: make(chan struct{}, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[string(id)] = w
	return w
}

func (p *process) forget(id []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, string(id))
}

func (p *process) waiter(id []byte) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting[string(id)]
}

// tell changes w and wakes up whoever waits.
func (w *waiter) tell(change func()) {
	w.mu.Lock()
	change()
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *waiter) note(n note) {
	w.tell(func() {
		if len(w.notes) == maxNotes {
			w.notes = w.notes[1:]
		}
		w.notes = append(w.notes, n)
	})
}

func (w *waiter) take() (notes []note, answer *wire.Message, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	notes, w.notes = w.notes, nil
	return notes, w.answer, w.err
}

func (w *waiter) unanswered() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answer == nil && w.err == nil
}
