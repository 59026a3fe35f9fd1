package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/child"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// stdio reaches a plugin server that is our own child process. It is started by
// the first call, and from then on kept running.
type stdio struct {
	p      *Plugin
	server *child.Server

	mu      sync.Mutex
	stop    context.CancelFunc // nil before the start
	stopped bool
}

func newStdio(p *Plugin, version string, cmd *child.Command) *stdio {
	return &stdio{p: p, server: child.New(*cmd, child.Options{
		Logger: p.log.With("plugin", p.cfg.Name), Role: "plugin server", Mask: logs.Mask(maps.Values(cmd.Env)),
		Doubt:   "whether the hook ran is not known",
		Setting: "check cmd, script and cwd of the plugin's entry",
		// server/discover would do as well, but the Python SDK answers what it does
		// not know with a hundred lines on standard error.
		Probe:           child.Probe{Method: wire.MethodToolsCall, Params: p.form.params(toolConfig, p.describeArguments()), Read: wire.ReadModern},
		Initialize:      initializeParams(version),
		StartTimeout:    max(time.Minute, p.cfg.Timeout),
		MaxMessageBytes: p.maxAnswer,
	})}
}

// begin starts the process unless that has been done.
func (s *stdio) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		return errClosed
	case s.stop != nil:
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.p.running.Go(func() { s.server.Run(ctx) })
	return nil
}

// close ends the process; who waits for the plugin's goroutines waits for that.
func (s *stdio) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.stop != nil {
		s.stop()
	}
}

// call calls one tool, once: on a pipe there is no sign that would prove that a
// request was not dispatched, so there is no second time.
func (s *stdio) call(ctx context.Context, deadline time.Time, tool string, arguments []byte) (json.RawMessage, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, &child.Fault{
		Kind: child.Timeout, Err: fmt.Errorf("no answer within %s", s.p.cfg.Timeout),
	})
	defer cancel()
	m, err := s.server.Do(ctx, &child.Request{
		Method: wire.MethodToolsCall, Timeout: s.p.cfg.Timeout,
		Params: func(era wire.Era, _ []byte) []byte {
			if era == wire.Modern {
				return s.p.form.params(tool, arguments)
			}
			return legacyParams(tool, arguments)
		},
	})
	switch {
	case errors.Is(err, child.ErrStopped):
		return nil, errClosed
	case err != nil:
		return nil, err
	case m.Error != nil:
		return nil, m.Error
	}
	return m.Result, nil
}

// overStdio completes a plugin whose server is a child process.
func (p *Plugin) overStdio(version string) error {
	cmd, err := p.cfg.Stdio.command()
	switch {
	case err != nil:
	case p.cfg.URL != "" || p.cfg.UDS != "":
		err = errors.New("both a command and a url or socket")
	case p.cfg.TLS != nil:
		err = errors.New("TLS settings with a plugin server on stdio")
	}
	if err != nil {
		return err
	}
	p.url, p.form = &url.URL{Scheme: "stdio"}, newForm(nil, version)
	p.stdio = newStdio(p, version, cmd)
	p.cfg.URL = "stdio:" + p.stdio.server.Where()
	return nil
}

func (s *Stdio) command() (*child.Command, error) {
	cmd := &child.Command{Script: s.Script, Env: s.Env, Dir: s.Cwd}
	switch {
	case len(s.Cmd) > 0 && s.Script != "":
		return nil, errors.New("both cmd and script")
	case len(s.Cmd) > 0:
		cmd.Name, cmd.Args = s.Cmd[0], s.Cmd[1:]
	case s.Script == "":
		return nil, errors.New("neither cmd nor script")
	}
	return cmd, nil
}

// Check looks for program, script and folder, as a start would. With an error
// it names the field at fault: cmd, script or cwd.
func (s *Stdio) Check() (field string, err error) {
	cmd, err := s.command()
	if err != nil {
		return "cmd", err
	}
	if s.Cwd != "" {
		if err := checkFolder(s.Cwd); err != nil {
			return "cwd", err
		}
	}
	if _, _, err := cmd.Find(); err != nil {
		if s.Script != "" {
			return "script", err
		}
		return "cmd", hint.Add(err, "give the program's full path, or see that PATH has its folder")
	}
	return "", nil
}

func checkFolder(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(abs)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist", abs)
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is no folder", abs)
	}
	return err
}
