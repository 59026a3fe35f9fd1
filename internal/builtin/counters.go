package builtin

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// maxCounters bounds the windows that are kept: about 20 MB. Names of users can
// come from outside.
const maxCounters = 100_000

// memoryCounters is the counterStore of one process. When it is full, the
// window that would end first gives way.
type memoryCounters struct {
	limit int

	mu      sync.Mutex
	windows map[windowKey]*window
	ends    windowHeap // the same windows, by their end
}

// windowKey is of one size however long a name is. A key counts anew for
// another length of window.
type windowKey struct {
	name   [sha256.Size]byte
	length time.Duration
}

type window struct {
	key   windowKey
	count int
	ends  time.Time
}

func newMemoryCounters(limit int) *memoryCounters {
	return &memoryCounters{limit: limit, windows: map[windowKey]*window{}}
}

// take implements counterStore.
func (m *memoryCounters) take(_ context.Context, name string, r rate) (usage, error) {
	key := windowKey{sha256.Sum256([]byte(name)), r.window}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.ends) > 0 && !m.ends[0].ends.After(now) {
		m.drop()
	}
	w := m.windows[key]
	if w == nil {
		if len(m.ends) >= m.limit {
			m.drop()
		}
		w = &window{key: key, ends: now.Add(r.window)}
		m.windows[key] = w
		heap.Push(&m.ends, w)
	}
	u := usage{allowed: w.count < r.count, resetIn: w.ends.Sub(now)}
	if u.allowed {
		w.count++
	}
	u.remaining = r.count - w.count
	return u, nil
}

// drop forgets the window that ends first.
func (m *memoryCounters) drop() {
	w, ok := heap.Pop(&m.ends).(*window)
	if ok {
		delete(m.windows, w.key)
	}
}

// windowHeap implements [heap.Interface]: the first ends first.
type windowHeap []*window

func (h windowHeap) Len() int           { return len(h) }
func (h windowHeap) Less(i, j int) bool { return h[i].ends.Before(h[j].ends) }
func (h windowHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements [heap.Interface].
func (h *windowHeap) Push(x any) {
	if w, ok := x.(*window); ok {
		*h = append(*h, w)
	}
}

// Pop implements [heap.Interface].
func (h *windowHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return w
}
