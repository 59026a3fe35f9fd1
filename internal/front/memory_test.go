package front

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestMemoryIsGivenBack(t *testing.T) {
	const size = 128 << 20
	debug.FreeOSMemory() // what earlier tests left, the block would only reuse
	before, _ := memory()
	block := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		block[i] = 1
	}
	runtime.KeepAlive(block)
	peak, _ := memory()
	if peak < before+size/2 {
		t.Fatalf("held %d before, %d with a block of %d", before, peak, size)
	}
	var trim trimmer
	_, trim.cycles = memory()
	trim.cycles -= 2 // as if there had been collections since the last look
	trim.look()
	if now, _ := memory(); now < peak-size/2 {
		t.Errorf("trimmed while it was busy: %d bytes held, %d at the peak", now, peak)
	}
	trim.look()
	if now, _ := memory(); now > peak-size/2 {
		t.Errorf("%d bytes held, %d at the peak", now, peak)
	}
	_, cycles := memory()
	trim.look()
	if _, again := memory(); again != cycles {
		t.Error("it trims again what is in use")
	}
}
