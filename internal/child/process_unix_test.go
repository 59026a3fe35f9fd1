//go:build unix

package child

import (
	"log/slog"
	"testing"
)

// TestNoSignalAfterTheEnd: once a process has been reaped, its number may be
// that of another.
func TestNoSignalAfterTheEnd(t *testing.T) {
	s := New(Command{Name: "true"}, Options{Logger: slog.New(slog.DiscardHandler), Role: "server", Mask: func(s string) string { return s }, MaxMessageBytes: 1 << 10})
	p, err := s.launch()
	if err != nil {
		t.Fatal(err)
	}
	<-p.done
	p.signal(func(pid int) { t.Errorf("process %d was sent a signal after its end", pid) })
}
