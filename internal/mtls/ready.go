package mtls

import (
	"errors"
	"fmt"
	"time"
)

// Ready says why no client can connect right now: the own certificate, or each
// CA that clients are verified by, has expired or is not yet valid. A handshake
// may still fail for a reason that lies with the client.
func (s *Server) Ready() error {
	snap, now := s.snap.Load(), s.o.Now()
	if text := validity(snap.chain[0], now); text != "" {
		return fmt.Errorf("own %s", text)
	}
	if snap.clientAuth == CertNone || len(snap.trust.bundle) == 0 {
		return nil
	}
	for _, ca := range snap.trust.bundle {
		if validity(ca, now) == "" {
			return nil
		}
	}
	return errors.New("every CA in the bundle has expired or is not yet valid")
}

// announce logs the moment from which on no client can connect, for who watches
// nothing but the log. stop ends the waiting for it.
func (s *Server) announce() (stop func() bool) {
	snap := s.snap.Load()
	end := snap.chain[0].NotAfter
	if snap.clientAuth != CertNone && len(snap.trust.bundle) > 0 {
		var last time.Time
		for _, ca := range snap.trust.bundle {
			if ca.NotAfter.After(last) {
				last = ca.NotAfter
			}
		}
		if last.Before(end) {
			end = last
		}
	}
	return time.AfterFunc(end.Add(time.Second).Sub(s.o.Now()), func() {
		if err := s.Ready(); err != nil {
			s.o.Logger.Error("no client can connect any more", "reason", err.Error(),
				"hint", "renew it with `sallyport certs renew`, then start again")
		}
	}).Stop
}
