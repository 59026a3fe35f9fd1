package mtls

import (
	"errors"
	"fmt"
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
