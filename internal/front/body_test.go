package front

import (
	"context"
	"testing"
)

// Large bodies share a budget: one that does not fit waits until another one is
// done, and gives up with its client.
func TestLargeBodiesWaitForEachOther(t *testing.T) {
	b := NewBodies(1 << 20)
	var done []func()
	for range 64 {
		d, err := b.take(t.Context(), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, d)
	}
	if d, err := b.take(t.Context(), smallBody); err != nil {
		t.Error("a small body waits")
	} else {
		d()
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.take(gone, 1<<20); err == nil {
		t.Error("the budget is larger than it says")
	}
	done[0]()
	if _, err := b.take(t.Context(), 1<<20); err != nil {
		t.Error(err)
	}
}
