package conformance

import (
	"context"
	"net/http"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// endpoint checks §1.
func (c *checker) endpoint(ctx context.Context, r report) {
	for _, revision := range wire.LegacyRevisions() {
		s := c.session.fresh()
		got, err := s.open(ctx, revision)
		v := pass
		switch {
		case err != nil:
			v = failf("%v", err)
		case s.revision != revision:
			v = warnf("it offers %q", s.revision)
		case wire.Kind(wire.Member(got.result, "serverInfo")) != '{':
			v = failf("initialize gives no serverInfo")
		}
		r.add("§1", "speaks MCP "+revision, v)
		if revision == wire.Revision2025_06 && err == nil {
			r.add("§1", "answers are application/json", checkMedia(got))
			r.add("§1", "an unknown session is 404", s.unknownSession(ctx))
		}
	}
	r.add("§1", "speaks MCP "+wire.Revision2026_07, c.session.fresh().modern(ctx))
	r.add("§1", "/health answers", c.session.health(ctx))
}

func checkMedia(got *reply) verdict {
	if got.media == wire.MediaSSE {
		return warnf("%s: ContextForge's client opens a connection for each call then", got.media)
	}
	if got.media != wire.MediaJSON {
		return failf("%q", got.media)
	}
	return pass
}

func (s *session) unknownSession(ctx context.Context) verdict {
	if s.id == "" {
		return skipf("the server keeps no sessions")
	}
	other := *s
	other.id = "sallyport-conformance-unknown"
	got, err := other.request(ctx, wire.MethodToolsList, []byte(`{}`), nil)
	switch {
	case err != nil:
		return failf("%v", err)
	case got.status == http.StatusBadRequest:
		return warnf("it is 400")
	case got.status != http.StatusNotFound:
		return failf("it is %d", got.status)
	}
	return pass
}

// modern makes a call that stands alone.
func (s *session) modern(ctx context.Context) verdict {
	h := http.Header{}
	wire.SetModern(h, wire.Revision2026_07, wire.MethodToolsCall, "get_plugin_configs")
	got, err := s.request(ctx, wire.MethodToolsCall, modern([]byte(`{"name":"get_plugin_configs","arguments":{}}`)), h)
	switch {
	case err != nil:
		return failf("%v", err)
	case got.status >= 400 && got.status < 500:
		return skipf("HTTP %d: a server of the legacy era, which gateways open a session with", got.status)
	case got.err() != nil:
		return failf("%v", got.err())
	}
	if kind, _ := wire.String(wire.Member(got.result, "resultType")); kind != "complete" {
		return failf("the result has no resultType complete")
	}
	return pass
}

func (s *session) health(ctx context.Context) verdict {
	base, ok := strings.CutSuffix(s.url, "/mcp")
	if !ok {
		return skipf("the endpoint's path is not /mcp")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/health", nil)
	if err != nil {
		return failf("%v", err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return failf("%v", err)
	}
	_ = resp.Body.Close() // nothing of it is wanted
	if resp.StatusCode != http.StatusOK {
		return warnf("HTTP %d on the MCP port", resp.StatusCode)
	}
	return pass
}
