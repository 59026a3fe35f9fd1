package upstream

import (
	"encoding/json"
	"sync"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// waiter is a request that waits for its answer.
type waiter struct {
	news chan struct{} // has a value when there is something to take

	mu     sync.Mutex
	token  json.RawMessage // the client's; nil when it wants no progress
	notes  []json.RawMessage
	answer *wire.Message
	err    error
}

// maxNotes is how many notifications of a call wait for a caller that is slow to
// take them; of further ones the oldest give way.
const maxNotes = 1024

func (p *process) expect(id int64, token json.RawMessage) *waiter {
	w := &waiter{news: make(chan struct{}, 1), token: token}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[string(appendID(id))] = w
	return w
}

func (p *process) forget(id int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, string(appendID(id)))
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

func (w *waiter) note(message json.RawMessage) {
	w.tell(func() {
		if len(w.notes) == maxNotes {
			w.notes = w.notes[1:]
		}
		w.notes = append(w.notes, message)
	})
}

func (w *waiter) take() (notes []json.RawMessage, answer *wire.Message, err error) {
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
