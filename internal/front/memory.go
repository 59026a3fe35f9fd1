package front

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The memory that a process may hold without being asked to give back what it
// does not use, and how often it is asked.
const (
	spareMemory = 14 << 20
	trimEvery   = 5 * time.Second
)

// MemoryLimit is what a process that relays should make its soft limit of memory
// (debug.SetMemoryLimit) when it lets its heap grow far before it collects: a
// call holds its body some four times over, and what calls have left behind
// would be held three times over again. Bodies are of at most limit bytes.
func MemoryLimit(limit int64) int64 { return 128<<20 + 4*bodyBudget(limit) }

// TrimMemory gives memory back to the system after a peak, such as a flood of
// connections, until ctx ends. By itself Go would keep the most of it: with a
// heap this small the next collection may be minutes away.
func TrimMemory(ctx context.Context) {
	var t trimmer
	ticker := time.NewTicker(trimEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.look()
		case <-ctx.Done():
			return
		}
	}
}

// trimmer decides when it is worth while.
type trimmer struct {
	limit  uint64 // bytes held that are fine
	cycles uint64 // collections at the last look
}

// look trims when more is held than the limit and nothing is going on: while
// there are collections, the runtime gives back by itself what it does not
// need. What is in use then stays so, and raises the limit.
func (t *trimmer) look() {
	held, cycles := memory()
	busy := cycles > t.cycles+1
	t.cycles = cycles
	if busy || held <= max(t.limit, spareMemory) {
		return
	}
	debug.FreeOSMemory()
	held, t.cycles = memory()
	t.limit = held * 3 / 2
}

// memory returns the bytes that the runtime has from the system, and how many
// collections there were.
func memory() (held, cycles uint64) {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64(), samples[2].Value.Uint64()
}
