package gateway

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Methods that wire has no name for.
const (
	methodComplete  = "completion/complete"
	methodSetLevel  = "logging/setLevel"
	methodProgress  = "notifications/progress"
	methodLog       = "notifications/message"
	methodChangedIn = "notifications/%s/list_changed"
)

// dispatch runs a request. Exactly one of result and fault is set, unless err is
// not nil: then the client has gone. A method that stands here is served and
// guarded; any other is refused, so that no answer can come from an upstream
// around the plugins.
func (g *Gateway) dispatch(ctx context.Context, q *request) (result []byte, fault *wire.Error, err error) {
	switch method := q.m.Method; {
	case method == wire.MethodToolsCall:
		return g.guarded(ctx, q, toolGuard{})
	case method == wire.MethodPromptsGet:
		return g.guarded(ctx, q, promptGuard{})
	case method == wire.MethodResourcesRead:
		return g.guarded(ctx, q, resourceGuard{})
	case method == methodComplete:
		return g.complete(ctx, q)
	case listed(method):
		result, fault = g.list(ctx, q)
	case method == wire.MethodDiscover && q.era == wire.Modern:
		result = g.hello.discover
	case method == wire.MethodInitialize && q.era == wire.Legacy:
		result, fault = g.initialize(q)
	case method == wire.MethodPing && q.era == wire.Legacy:
		result = []byte("{}")
	case method == methodSetLevel && q.era == wire.Legacy:
		result, fault = q.setLevel()
	default:
		q.status = http.StatusNotFound
		return nil, wire.Errorf(wire.CodeMethodNotFound, "Method not found: %s", clip(method)), nil
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return result, fault, nil
}

// levels of log messages, least severe first.
var levels = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// setLevel takes the least level of log messages that a legacy client wants.
func (q *request) setLevel() ([]byte, *wire.Error) {
	level, _ := wire.String(wire.Member(q.m.Params, "level"))
	if !slices.Contains(levels, level) {
		return nil, wire.Errorf(wire.CodeInvalidParams, "Invalid params: level is none of %s", strings.Join(levels, ", "))
	}
	q.session.setLevel(level)
	return []byte("{}"), nil
}

// wantsLog reports whether the client wants log messages of this level.
func (q *request) wantsLog(level string) bool {
	least := ""
	if q.era == wire.Modern {
		asked, ok := wire.String(wire.Member(q.c.Meta.Raw, "io.modelcontextprotocol/logLevel"))
		if !ok {
			return false // the modern era logs on request only
		}
		least = asked
	} else {
		least = q.session.logLevel()
	}
	return slices.Index(levels, cmp.Or(level, "info")) >= slices.Index(levels, least)
}

// hello are the answers to a client's first request.
type hello struct {
	version  string
	info     string
	discover []byte
}

// capabilities are the gateway's own, whatever the upstreams have at the moment:
// one that is down now may be up later. Changes of lists are not announced.
const capabilities = `{"tools":{},"prompts":{},"resources":{},"completions":{},"logging":{}}`

func newHello(version string) hello {
	info := string(wire.AppendString([]byte(`{"name":"sallyport","version":`), cmp.Or(version, "dev"))) + "}"
	return hello{
		version: version,
		info:    info,
		discover: []byte(`{"resultType":"complete","_meta":{"` + wire.MetaServerInfo + `":` + info + `},"ttlMs":3600000,"cacheScope":"private",` +
			`"supportedVersions":["` + strings.Join(supported(), `","`) + `"],"capabilities":` + capabilities + `}`),
	}
}

// initialize opens a session on the client's revision when it is a legacy one,
// else offers the newest of them.
func (g *Gateway) initialize(q *request) ([]byte, *wire.Error) {
	revision, ok := wire.String(wire.Member(q.m.Params, "protocolVersion"))
	if !ok {
		return nil, wire.Errorf(wire.CodeInvalidParams, "Invalid params: protocolVersion is missing")
	}
	if !slices.Contains(legacy(), revision) {
		revision = wire.Revision2025_11
	}
	q.reply.w.Header().Set(wire.HeaderSession, g.sessions.open(revision).id)
	return []byte(`{"protocolVersion":"` + revision + `","capabilities":` + capabilities + `,"serverInfo":` + g.hello.info + `}`), nil
}
