package gateway

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// startHandler starts a server with the certificate of leaf that is no plugin
// server, and returns its address.
func (r *rig) startHandler(t *testing.T, leaf *pkitest.Leaf, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{leaf.TLS()}, ClientCAs: r.ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// For each cause of the closed list, and on each kind of hook, the client is told
// the plugin, that word and the request's id, and no address, subject or path;
// the log has the rest.
func TestRule_TheClientIsToldNoAddressSubjectOrPath(t *testing.T) {
	r := newRig(t)
	other := pkitest.PluginSpec("P")
	other.CN = "secret-subject"
	listening := func(t *testing.T, leaf *pkitest.Leaf, name string) string {
		addr := address(t)
		r.start(t, addr, leaf, marks(name))
		return addr
	}
	for cause, addr := range map[string]string{
		"unreachable":  address(t),
		"tls":          listening(t, r.ca.Wrong(t, other, pkitest.Expired), "P"),
		"identity":     listening(t, r.ca.Plugin(t, "secret-subject"), "P"),
		"not declared": listening(t, r.ca.Plugin(t, "P"), "secret-subject"),
		"bad answer": r.startHandler(t, r.ca.Plugin(t, "P"), func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "secret-subject at /secret/path", http.StatusInternalServerError)
		}),
		"timeout": r.startHandler(t, r.ca.Plugin(t, "P"), func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}),
	} {
		for i, hook := range []plugin.Hook{plugin.ToolPreInvoke, plugin.HTTPPreRequest} {
			e := pipeline.Entry{Name: "P", Plugin: r.remote(t, addr, hook), Hooks: []plugin.Hook{hook}}
			if cause == "timeout" {
				e.Timeout = 300 * time.Millisecond
			}
			s := serve(t, Config{}, []pipeline.Entry{e}, startFake(t, &fakeServer{}))
			a := s.modern(t, "tools/call", `{"name":"echo"}`, "")
			m := a.message(t)
			if m.Error == nil {
				t.Fatalf("%s, %s: %s", cause, hook, a.body)
			}
			id, _ := wire.String(wire.Member(m.Error.Data, "request_id"))
			want := fmt.Sprintf(`{"jsonrpc":"2.0","id":"m1","error":{"code":-32603,"message":"Plugin Error: P: %s (request %s)","data":{"plugin_name":"P","cause":"%s","request_id":"%s"}}}`, cause, id, cause, id)
			if a.body != want || id == "" || a.status != []int{http.StatusOK, http.StatusServiceUnavailable}[i] {
				t.Errorf("%s, %s: %d\n%s, want\n%s", cause, hook, a.status, a.body, want)
			}
			_, port, _ := net.SplitHostPort(addr)
			all := fmt.Sprint(a.header) + a.body
			for _, secret := range []string{port, "127.0.0.1", "localhost", "secret", r.dir, "x509", "certificate"} {
				if strings.Contains(strings.ReplaceAll(all, id, ""), secret) {
					t.Errorf("%s, %s: the client is told %q: %s", cause, hook, secret, all)
				}
			}
			if log := s.log.String(); !strings.Contains(log, addr) || !strings.Contains(log, "request_id="+id) {
				t.Errorf("%s, %s: the log does not say where:\n%s", cause, hook, log)
			}
		}
	}
}

// A plugin of an HTTP hook that fails, or is not known, is a 503 with
// Retry-After, never a 401 or 403 that would be the client's fault.
func TestRule_FailuresOfHTTPHooksAre503(t *testing.T) {
	hooks := []plugin.Hook{plugin.HTTPPreRequest, plugin.HTTPAuthResolveUser, plugin.HTTPAuthCheckPermission, plugin.HTTPPostRequest}
	check := func(t *testing.T, hook plugin.Hook, p plugin.Plugin) {
		t.Helper()
		f := startFake(t, &fakeServer{})
		a := serve(t, Config{}, []pipeline.Entry{{Name: "P", Plugin: p, Hooks: []plugin.Hook{hook}}}, f).modern(t, "tools/call", `{"name":"echo"}`, "")
		m := a.message(t)
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != retryAfter || a.header.Get("WWW-Authenticate") != "" ||
			m.Error == nil || m.Error.Code != wire.CodeInternal || !strings.HasPrefix(m.Error.Message, "Plugin Error: ") || strings.Contains(a.body, "original") {
			t.Errorf("%s: %d %v %s", hook, a.status, a.header, a.body)
		}
		if n := len(f.calls()); n != 0 && hook != plugin.HTTPPostRequest {
			t.Errorf("%s: %d calls reached the upstream", hook, n)
		}
	}
	inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
		status := http.StatusForbidden
		for name, do := range map[string]func() (*plugin.Result, error){
			"an error":               func() (*plugin.Result, error) { return nil, &plugin.Error{Message: "boom", MCPCode: -32001} },
			"an answer that is none": modified(`{"granted":"yes","email":1,"x":1}`),
		} {
			for _, hook := range hooks {
				if hook == plugin.HTTPAuthResolveUser && name != "an error" {
					continue // any object is a user
				}
				d.mu.Lock()
				d.do = map[plugin.Hook]func() (*plugin.Result, error){hook: do}
				d.mu.Unlock()
				check(t, hook, p)
			}
		}
		d.mu.Lock()
		d.do = map[plugin.Hook]func() (*plugin.Result, error){plugin.HTTPAuthResolveUser: refusal403(plugin.Violation{HTTPStatus: &status, HTTPHeaders: map[string]string{"X-Why": "who"}, Description: "no"})}
		d.mu.Unlock()
		a := serve(t, Config{}, entryOf(p), startFake(t, &fakeServer{})).modern(t, "tools/call", `{"name":"echo"}`, "")
		if a.status != http.StatusForbidden || a.header.Get("X-Why") != "who" || a.header.Get("Retry-After") != "" {
			t.Errorf("a refusal with a status of its own: %d %v", a.status, a.header)
		}
	})
	t.Run("not known", func(t *testing.T) {
		r := newRig(t)
		for _, hook := range hooks {
			check(t, hook, r.remote(t, address(t), hook))
		}
	})
}

// max_payload_bytes bounds the payload of every hook: over it both sizes are
// named, no plugin runs, and nothing comes through.
func TestRule_PayloadLimitOfEveryHook(t *testing.T) {
	const limit = 1000
	large := strings.Repeat("x", limit)
	inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
		f := startFake(t, &fakeServer{answer: func(f *fakeServer, w http.ResponseWriter, _ *http.Request, m *wire.Message) bool {
			if strings.Contains(string(m.Params), "grow") || m.Method == wire.MethodResourcesRead {
				f.result(w, m, strings.ReplaceAll(plainResults[m.Method], "original", "original "+large))
				return true
			}
			return false
		}})
		for hook, c := range map[plugin.Hook]struct {
			method, params string
			header         string
			status         int
			code           int64
			reached        int
		}{
			plugin.ToolPreInvoke:           {"tools/call", `{"name":"echo","arguments":{"a":"` + large + `"}}`, "", 200, wire.CodeInvalidParams, 0},
			plugin.ToolPostInvoke:          {"tools/call", `{"name":"echo","arguments":{"a":"grow"}}`, "", 200, wire.CodeInternal, 1},
			plugin.PromptPreFetch:          {"prompts/get", `{"name":"greet","arguments":{"a":"` + large + `"}}`, "", 200, wire.CodeInvalidParams, 0},
			plugin.PromptPostFetch:         {"prompts/get", `{"name":"greet","arguments":{"a":"grow"}}`, "", 200, wire.CodeInternal, 1},
			plugin.ResourcePreFetch:        {"resources/read", `{"uri":"mem://t/` + large + `"}`, "", 200, wire.CodeInvalidParams, 0},
			plugin.ResourcePostFetch:       {"resources/read", `{"uri":"mem://a"}`, "", 200, wire.CodeInternal, 1},
			plugin.HTTPPreRequest:          {"tools/call", `{"name":"echo"}`, "X-Large: " + large, 413, wire.CodeInvalidParams, 0},
			plugin.HTTPAuthResolveUser:     {"tools/call", `{"name":"echo"}`, "X-Large: " + large, 413, wire.CodeInvalidParams, 0},
			plugin.HTTPAuthCheckPermission: {"tools/call", `{"name":"echo"}`, "User-Agent: " + large, 413, wire.CodeInvalidParams, 0},
			plugin.HTTPPostRequest:         {"tools/call", `{"name":"echo"}`, "X-Large: " + large, 413, wire.CodeInvalidParams, 1},
		} {
			s := serveWith(t, Config{}, pipeline.Options{MaxPayloadBytes: limit}, []pipeline.Entry{{Name: "P", Plugin: p, Hooks: []plugin.Hook{hook}}}, f)
			before := len(f.calls())
			var headers []string
			if c.header != "" {
				headers = append(headers, c.header)
			}
			a := s.modern(t, c.method, c.params, "", headers...)
			m := a.message(t)
			if a.status != c.status || m.Error == nil || m.Error.Code != c.code || strings.Contains(a.body, "original") ||
				!strings.Contains(m.Error.Message, "the payload has 1") || !strings.HasSuffix(m.Error.Message, " bytes, over max_payload_bytes 1000") {
				t.Errorf("%s: %d %.300s", hook, a.status, a.body)
			}
			if n := len(f.calls()) - before; n != c.reached {
				t.Errorf("%s: %d calls reached the upstream", hook, n)
			}
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.seen) != 0 {
			t.Errorf("the plugin saw %.300s", d.seen)
		}
	})
}

// The listener takes bodies of max_payload_bytes and 1 MiB, and no more.
func TestRule_BodyLimitFollowsThePayloads(t *testing.T) {
	const limit = 5000 + 1<<20
	s := serve(t, Config{MaxPayloadBytes: 5000}, nil, startFake(t, &fakeServer{}))
	session := s.open(t, wire.Revision2025_11)
	const call = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo"}}`
	if a := s.post(t, call+strings.Repeat(" ", limit-len(call)), session); a.status != http.StatusOK || a.message(t).Error != nil {
		t.Errorf("at the limit: %d %s", a.status, a.body)
	}
	a := s.post(t, call+strings.Repeat(" ", limit-len(call)+1), session)
	if a.status != http.StatusRequestEntityTooLarge || !strings.Contains(a.body, fmt.Sprint(limit)) {
		t.Errorf("over it: %d %s", a.status, a.body)
	}
}
