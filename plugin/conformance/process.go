package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/child"
	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Command starts a plugin server that is spoken to over its standard input and
// output. The checks start it several times.
type Command struct {
	Args   []string // a program, found by PATH, and its arguments
	Script string   // or a file to run: .py with python3, .sh with sh, or executable

	// Env is all that it gets of an environment beside PATH and a few more that
	// every program counts on. Values are secrets.
	Env map[string]string

	Dir string // its working directory; empty means ours
}

func (c *Command) stdio() *remote.Stdio {
	if c == nil {
		return nil
	}
	return &remote.Stdio{Cmd: c.Args, Script: c.Script, Env: c.Env, Cwd: c.Dir}
}

// where is what messages call the server.
func (t *Target) where() string {
	switch {
	case t.Command != nil && t.Command.Script != "":
		return "stdio:" + filepath.Base(t.Command.Script)
	case t.Command != nil && len(t.Command.Args) > 0:
		return "stdio:" + filepath.Base(t.Command.Args[0])
	case t.UDS != "":
		return "unix:" + t.UDS
	}
	return t.URL
}

// process is a plugin server that runs as long as the session with it.
type process struct {
	server  *child.Server
	timeout time.Duration
	stop    context.CancelFunc
	ended   chan struct{}
}

// startProcess starts the server of a command that package remote has started
// before, so that it is known to be sound.
func startProcess(c *Command, timeout time.Duration, log *slog.Logger) *session {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cmd := child.Command{Script: c.Script, Env: c.Env, Dir: c.Dir}
	if c.Script == "" {
		cmd.Name, cmd.Args = c.Args[0], c.Args[1:]
	}
	p := &process{timeout: timeout, ended: make(chan struct{})}
	p.server = child.New(cmd, child.Options{
		Logger: log, Role: "plugin server", Mask: logs.Mask(maps.Values(c.Env)),
		Doubt: "whether it was carried out is not known", Setting: "check the command",
		Probe:        child.Probe{Method: wire.MethodToolsCall, Params: modern([]byte(`{"name":"get_plugin_configs","arguments":{}}`)), Read: wire.ReadModern},
		Initialize:   opening(wire.Revision2025_11),
		StartTimeout: timeout, MaxMessageBytes: maxAnswer,
	})
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	go func() {
		defer close(p.ended)
		p.server.Run(ctx)
	}()
	return &session{process: p}
}

func (p *process) close() {
	p.stop()
	<-p.ended
}

// request sends one request in the form of the server's era.
func (p *process) request(ctx context.Context, method string, params []byte) (*reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, fmt.Errorf("no answer within %s", p.timeout))
	defer cancel() // the timeout below begins anew with each word of the server
	m, err := p.server.Do(ctx, &child.Request{Method: method, Timeout: p.timeout, Params: func(era wire.Era, _ []byte) []byte {
		if era == wire.Modern {
			return modern(params)
		}
		return params
	}})
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusOK, media: wire.MediaJSON, result: m.Result, rpc: m.Error}, nil
}

// endpoint is §1 where there is no HTTP.
func (p *process) endpoint(ctx context.Context, r report) error {
	i, err := p.server.Introduction(ctx)
	if err != nil {
		return err
	}
	r.add("§1", "speaks MCP "+i.Revision+" over its pipes", pass)
	return nil
}

// modern adds to params what makes a call stand alone.
func modern(params json.RawMessage) []byte {
	return wire.SetMember(nil, params, "_meta", []byte(`{"`+wire.MetaRevision+`":"`+wire.Revision2026_07+`","`+wire.MetaCapabilities+`":{}}`))
}
