package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// handshakers is how many connect at a time.
const handshakers = 8

// handshakes compares full handshakes of our listener with those of crypto/tls
// alone. The client is crypto/tls alone for both.
func (s *settings) handshakes(ctx context.Context) error {
	config, err := s.bareClient()
	if err != nil {
		return err
	}
	kinds := []struct{ kind, name string }{
		{bareHandshake, "bare crypto/tls"}, {ourHandshake, "internal/mtls"},
	}
	servers := make([]*process, len(kinds))
	results := make([]*sample, len(kinds))
	for i, k := range kinds {
		if servers[i], err = s.startSelf(ctx, k.kind); err != nil {
			return err
		}
		results[i] = &sample{name: k.name}
	}
	for range s.rounds {
		for i := range kinds {
			if err := results[i].measure(ctx, handshakers, s.duration, func(ctx context.Context) error { return shake(ctx, servers[i].addr, config) }); err != nil {
				return fmt.Errorf("%s: %w", results[i].name, err)
			}
		}
	}
	fmt.Printf("\nfull handshakes, both sides with P-256 certificates, %d at a time\n", handshakers)
	t := newTable("", "handshakes/s", "ratio", "server CPU per handshake")
	for i, r := range results {
		state, err := servers[i].stop()
		if err != nil {
			return err
		}
		cpu := (state.UserTime() + state.SystemTime()) / max(1, time.Duration(r.calls))
		t.row(r.name, fmt.Sprintf("%.0f", r.perSecond()), fmt.Sprintf("%.2f", r.perSecond()/results[0].perSecond()), micro(cpu))
	}
	t.flush()
	return nil
}

// shake connects and reads one byte: only then has the server seen our
// certificate.
func shake(ctx context.Context, addr string, config *tls.Config) error {
	c, err := (&tls.Dialer{NetDialer: &net.Dialer{}, Config: config}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Read(make([]byte, 1))
	return err
}
