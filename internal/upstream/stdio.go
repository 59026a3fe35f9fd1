package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"maps"

	"github.com/sallyport-mcp/sallyport/internal/child"
	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// stdioLink talks to a child process.
type stdioLink struct {
	u      *Upstream
	server *child.Server
}

func newStdio(u *Upstream) *stdioLink {
	s := &stdioLink{u: u}
	s.server = child.New(child.Command{Name: u.cfg.Command, Args: u.cfg.Args, Env: u.cfg.Env, Dir: u.cfg.Cwd}, child.Options{
		Logger: u.log, Role: "upstream", Mask: logs.Mask(maps.Values(u.cfg.Env)),
		Doubt:        "whether the request was carried out is not known",
		Setting:      "check command and cwd of the entry",
		Probe:        child.Probe{Method: wire.MethodDiscover, Params: u.form.modern(nil, nil), Read: wire.ReadDiscover},
		Initialize:   u.form.initialize(),
		StartTimeout: u.o.StartTimeout, ProbeTimeout: u.o.ProbeTimeout, StopTimeout: u.o.StopTimeout,
		MaxMessageBytes: u.o.MaxMessageBytes,
		OnStart:         u.restarted,
		OnUp:            s.up,
		OnDown:          func(err error) { u.setState(u.explain(context.Background(), "running it", err)) },
		OnNotify:        s.heard,
	})
	return s
}

func (s *stdioLink) up(_ *Info, again bool) {
	s.u.setState(nil)
	if again {
		s.u.o.OnChange("")
	}
}

// heard takes a notification that belongs to no call.
func (s *stdioLink) heard(m *wire.Message, raw json.RawMessage) {
	if isChange(m.Method) {
		s.u.o.OnChange(m.Method)
		return
	}
	s.u.o.OnNotify(raw)
}

func (s *stdioLink) where() string { return s.server.Where() }

func (s *stdioLink) run(ctx context.Context) { s.server.Run(ctx) }

func (s *stdioLink) info(ctx context.Context) (*Info, error) {
	info, err := s.server.Introduction(ctx)
	return info, orStopped(err)
}

// orStopped puts the upstream's reason in place of the child's.
func orStopped(err error) error {
	if errors.Is(err, child.ErrStopped) {
		return errStopped
	}
	return err
}

// do sends one request, once. Calls share the pipe, so their progress tokens are
// replaced by the id.
func (s *stdioLink) do(ctx context.Context, c *Call) (*Answer, error) {
	r := &child.Request{Method: c.Method, Timeout: s.u.o.Timeout}
	token := tokenOf(c.Params)
	r.Params = func(era wire.Era, id []byte) []byte {
		if token == nil {
			id = nil
		}
		return s.params(era, c.Params, id)
	}
	if token != nil && c.Notify != nil {
		r.Progress = func(message, params json.RawMessage) { c.Notify(restoreToken(message, params, token)) }
	}
	m, err := s.server.Do(ctx, r)
	if err != nil {
		return nil, orStopped(err)
	}
	return &Answer{Result: m.Result, Error: m.Error}, nil
}

func (s *stdioLink) params(era wire.Era, params json.RawMessage, token []byte) []byte {
	if era == wire.Modern {
		return s.u.form.modern(params, token)
	}
	return s.u.form.legacy(params, token)
}

func (s *stdioLink) notify(ctx context.Context, method string, params json.RawMessage) error {
	return orStopped(s.server.Notify(ctx, method, s.u.o.Timeout, func(era wire.Era) []byte { return s.params(era, params, nil) }))
}
