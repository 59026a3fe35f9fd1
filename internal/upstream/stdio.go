package upstream

import (
	"context"
	"encoding/json"
	"errors"
)

type stdioLink struct{ u *Upstream }

func newStdio(u *Upstream) (*stdioLink, error) { return &stdioLink{u}, nil }
func (s *stdioLink) run(ctx context.Context)   { <-ctx.Done() }
func (s *stdioLink) info(context.Context) (*Info, error) {
	return nil, errors.New("stdio upstreams are not there yet")
}
func (s *stdioLink) do(context.Context, *Call) (*Answer, error) {
	return nil, errors.New("stdio upstreams are not there yet")
}
func (s *stdioLink) notify(context.Context, string, json.RawMessage) error {
	return errors.New("stdio upstreams are not there yet")
}
func (s *stdioLink) where() string { return s.u.cfg.Command }
