package main

import (
	"math"
	"runtime/debug"
	"testing"
)

// A heap that may grow to four times what lives in it has a bound: 300 callers
// with large arguments at once would take a gigabyte for a few seconds.
func TestGatewayMemoryIsBounded(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	defer func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) }()
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "1GiB")
	if tuneGC(1_000_000) || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		t.Error("what the environment says is changed")
	}
	t.Setenv("GOMEMLIMIT", "")
	if got := tuneGC(1_000_000); !got || debug.SetMemoryLimit(-1) != 384<<20 {
		t.Errorf("memory limit %d", debug.SetMemoryLimit(-1))
	}
	// Large payloads that the file allows are not collected all the time.
	if tuneGC(100_000_000); debug.SetMemoryLimit(-1) != 128<<20+1_600_000_000 {
		t.Errorf("memory limit %d for payloads of 100 MB", debug.SetMemoryLimit(-1))
	}
}
