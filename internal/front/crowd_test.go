package front

import (
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A young connection does not give way, an older one that said nothing does.
func TestCrowdGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(1, time.Second, slog.New(slog.DiscardHandler))
		a, other := net.Pipe()
		b, another := net.Pipe()
		defer other.Close()
		defer another.Close()
		c.track(a, http.StateNew)
		c.track(b, http.StateNew) // a is too young to give way
		if _, err := b.Write(nil); err == nil {
			t.Error("the second connection was taken")
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // the bubble's clock
		c.track(b, http.StateNew)
		if _, err := a.Write(nil); err == nil {
			t.Error("the first connection did not give way")
		}
		a.Close()
		b.Close()
	})
}
