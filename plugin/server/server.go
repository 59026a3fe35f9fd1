package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Options are the parts of a [Server] that have defaults. A nil *Options is the
// zero value.
type Options struct {
	// Logger gets what plugins do wrong, and each hook call at debug level. Nil
	// logs nothing.
	Logger *slog.Logger

	// MaxPayloadBytes bounds the payload of a hook; zero means 1,000,000. A
	// whole message may be 1 MiB larger.
	MaxPayloadBytes int64

	// DrainTimeout is how long calls in flight may go on after the end of the
	// context; zero means 10 s.
	DrainTimeout time.Duration

	// Version is reported to clients; empty means "dev".
	Version string
}

func (o *Options) filled() Options {
	var f Options
	if o != nil {
		f = *o
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	if f.MaxPayloadBytes <= 0 {
		f.MaxPayloadBytes = 1_000_000
	}
	if f.DrainTimeout <= 0 {
		f.DrainTimeout = 10 * time.Second
	}
	if f.Version == "" {
		f.Version = "dev"
	}
	return f
}

// Server answers MCP requests for a set of plugins. It is used by many
// goroutines at once.
type Server struct {
	o       Options
	log     *slog.Logger
	plugins []*served
	static  statics
	buffers sync.Pool // of *buffers
	bodies  *front.Bodies
	limits  front.Limits
}

// New makes a server of these plugins. It does not own them: close them after
// the last call of Serve or ServeStdio has returned.
func New(entries []Entry, o *Options) (*Server, error) {
	s := &Server{o: o.filled(), limits: front.DefaultLimits()}
	s.log = s.o.Logger
	s.buffers.New = func() any { return new(buffers) }
	s.bodies = front.NewBodies(s.maxBody())
	if len(entries) == 0 {
		return nil, errors.New("there is no plugin to serve")
	}
	for _, e := range entries {
		p, err := newServed(e)
		if err != nil {
			return nil, err
		}
		if other := s.findFold(p.Name); other != nil {
			return nil, fmt.Errorf("two plugins are named %s and %s: names differ in more than case", other.Name, p.Name)
		}
		s.plugins = append(s.plugins, p)
	}
	s.static = newStatics(s.o.Version, s.plugins)
	return s, nil
}

// maxBody bounds a whole message.
func (s *Server) maxBody() int64 { return s.o.MaxPayloadBytes + 1<<20 }

// stuck counts the calls of each plugin that have not returned.
func (s *Server) stuck(name string) int64 {
	if p := s.find(name); p != nil {
		return p.running.Load()
	}
	return 0
}

// buffers are what one answer is built in.
type buffers struct {
	text, body []byte
	turn       *turn // nil unless a plugin may run in the request's own goroutine
}

// maxPooled is the largest buffer that is kept for the next answer.
const maxPooled = 64 << 10

func (s *Server) takeBuffers() *buffers { return s.buffers.Get().(*buffers) }

func (s *Server) giveBuffers(b *buffers) {
	b.turn = nil
	if cap(b.text) <= maxPooled && cap(b.body) <= maxPooled {
		s.buffers.Put(b)
	}
}

// answer adds the response to one request to b.body and returns the HTTP status
// that goes with it. A notification and a response add nothing; their status is
// 202. h is nil on stdio. The error is ctx's.
func (s *Server) answer(ctx context.Context, m *wire.Message, h http.Header, b *buffers) (status int, err error) {
	if !m.IsRequest() {
		return http.StatusAccepted, nil
	}
	c, fault := m.Call()
	era := wire.EraOf(m, &c, h)
	if fault == nil && era == wire.Modern {
		fault = wire.CheckModern(m, &c, h, []string{wire.Revision2026_07})
		if fault != nil && fault.Code == wire.CodeUnsupportedRevision {
			requested, _ := wire.String(c.Meta.Revision)
			fault = wire.Unsupported(wire.Revisions(), requested)
		}
		if fault != nil {
			b.body = wire.AppendError(b.body, m.ID, fault)
			return http.StatusBadRequest, nil
		}
	}
	if fault == nil {
		fault, err = s.dispatch(ctx, m, &c, era, b)
	}
	if err != nil {
		return 0, err
	}
	if fault == nil {
		return http.StatusOK, nil
	}
	b.body = wire.AppendError(b.body, m.ID, fault)
	if era == wire.Modern && fault.Code == wire.CodeMethodNotFound {
		return http.StatusNotFound, nil
	}
	return http.StatusOK, nil
}

// dispatch runs a request whose form has been checked and adds its result.
func (s *Server) dispatch(ctx context.Context, m *wire.Message, c *wire.Call, era wire.Era, b *buffers) (*wire.Error, error) {
	switch {
	case m.Method == wire.MethodToolsCall:
		return nil, s.callTool(ctx, m, c, era, b)
	case m.Method == wire.MethodToolsList:
		if cursor := wire.Member(m.Params, "cursor"); !wire.IsNull(cursor) {
			return wire.Errorf(wire.CodeInvalidParams, "Invalid params: the list has one page, there is no cursor"), nil
		}
		b.body = wire.AppendResult(b.body, m.ID, s.static.tools[era])
	case m.Method == wire.MethodDiscover && era == wire.Modern:
		b.body = wire.AppendResult(b.body, m.ID, s.static.discover)
	case m.Method == wire.MethodInitialize && era == wire.Legacy:
		return s.initialize(m, b), nil
	case m.Method == wire.MethodPing && era == wire.Legacy:
		b.body = wire.AppendResult(b.body, m.ID, []byte("{}"))
	default:
		return wire.Errorf(wire.CodeMethodNotFound, "Method not found: %s", clip(m.Method)), nil
	}
	return nil, nil
}

// initialize agrees on the client's revision when it is a legacy one, else
// offers the newest of them. No session is opened: no call depends on another,
// so there is nothing to keep, and nothing to lose when this process restarts.
func (s *Server) initialize(m *wire.Message, b *buffers) *wire.Error {
	revision, ok := wire.String(wire.Member(m.Params, "protocolVersion"))
	if !ok {
		return wire.Errorf(wire.CodeInvalidParams, "Invalid params: protocolVersion is missing")
	}
	if !slices.Contains(wire.LegacyRevisions(), revision) {
		revision = wire.Revision2025_11
	}
	b.body = wire.AppendResult(b.body, m.ID, s.static.initialize(revision))
	return nil
}

// callTool runs one of the three tools. What is wrong with the call itself is
// said as a tool result that is an error, as ContextForge's servers do.
func (s *Server) callTool(ctx context.Context, m *wire.Message, c *wire.Call, era wire.Era, b *buffers) error {
	refuse := func(text string) error {
		b.body = s.appendToolText(b.body, m.ID, era, []byte(text), true)
		return nil
	}
	switch c.Name {
	case toolInvoke:
		call, err := readHookCall(c.Arguments)
		if err != nil {
			return refuse(err.Error())
		}
		if b.turn != nil {
			b.turn.id, b.turn.era = m.ID, era
		}
		if b.text, err = s.invokeHook(ctx, call, b.turn, b.text[:0]); err != nil {
			return err
		}
		b.body = s.appendToolText(b.body, m.ID, era, b.text, false)
	case toolConfig:
		name, ok := wire.String(wire.Member(c.Arguments, "name"))
		if !ok {
			return refuse("invalid arguments for get_plugin_config: name must be a string")
		}
		config := json.RawMessage("{}")
		if p := s.findFold(name); p != nil {
			config = p.config
		}
		b.body = s.appendToolText(b.body, m.ID, era, config, false)
	case toolConfigs:
		b.body = wire.AppendResult(b.body, m.ID, s.static.configs[era])
	case "":
		return refuse("the name of the tool is missing")
	default:
		return refuse("Unknown tool: " + clip(c.Name))
	}
	return nil
}

// appendToolText adds the response whose result is one block of text.
func (s *Server) appendToolText(dst, id []byte, era wire.Era, text []byte, isError bool) []byte {
	dst = append(append(append(dst, `{"jsonrpc":"2.0","id":`...), id...), `,"result":{`...)
	dst = append(dst, s.static.head[era]...)
	dst = append(dst, `"content":[{"type":"text","text":`...)
	dst = wire.AppendString(dst, text)
	if isError {
		return append(dst, `}],"isError":true}}`...)
	}
	return append(dst, `}],"isError":false}}`...)
}

func clip(s string) string {
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}
