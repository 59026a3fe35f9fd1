package gateway

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// retryAfter is what a client is told where a plugin of an HTTP hook is not
// known or has failed, in seconds.
const retryAfter = "5"

// visit is one HTTP request and the plugins of the HTTP hooks around it.
type visit struct {
	g       *Gateway
	r       *http.Request
	shared  *pipeline.Request
	lenient bool            // all its messages are free
	id      json.RawMessage // of the only message, for the body of a refusal
}

func (g *Gateway) visit(r *http.Request) *visit {
	return &visit{g: g, r: r, shared: &pipeline.Request{Global: plugin.GlobalContext{RequestID: requestID()}}}
}

// of says which messages the request has.
func (v *visit) of(messages []*wire.Message) {
	if len(messages) == 1 && messages[0] != nil {
		v.id = messages[0].ID
	}
}

// watch returns what the answer is to be written to, and what to call when the
// last message has been worked on.
func (v *visit) watch(w http.ResponseWriter) (http.ResponseWriter, func()) {
	if !v.g.pipe.Has(plugin.HTTPPostRequest) {
		return w, func() {}
	}
	// A stream may begin while a call is at work with the shared context.
	seen := &watched{ResponseWriter: w, v: v, ctx: v.r.Context(), headers: v.head(), shared: v.shared.Fork()}
	seen.shared.Lenient = v.lenient
	return seen, func() { v.shared.Lenient = v.lenient; seen.ended(v.shared) }
}

// free are the methods that wait for no plugin which is down or not known.
func free(m *wire.Message) bool {
	return !m.IsRequest() || m.Method == wire.MethodInitialize || m.Method == wire.MethodDiscover || m.Method == wire.MethodPing
}

// permissions are what the methods need, in ContextForge's words, and of which
// kind of thing.
var permissions = map[string][2]string{
	wire.MethodToolsCall:       {"tools.execute", "tool"},
	wire.MethodPromptsGet:      {"prompts.read", "prompt"},
	wire.MethodResourcesRead:   {"resources.read", "resource"},
	"tools/list":               {"tools.read", "tool"},
	"prompts/list":             {"prompts.read", "prompt"},
	"resources/list":           {"resources.read", "resource"},
	"resources/templates/list": {"resources.read", "resource"},
}

// permissionOf is what a message needs; ok is false where it needs nothing.
func permissionOf(m *wire.Message) (permission, kind string, ok bool) {
	if m.Method == methodComplete {
		if t, _ := wire.String(wire.Member(wire.Member(m.Params, "ref"), "type")); t == "ref/prompt" {
			return "prompts.read", "prompt", true
		}
		return "resources.read", "resource", true
	}
	p, ok := permissions[m.Method]
	return p[0], p[1], ok && m.IsRequest()
}

// admit runs the hooks before anything is done about messages. It reports
// whether they may go on; where not, the answer has been given.
func (v *visit) admit(w http.ResponseWriter, messages []*wire.Message) bool {
	pipe := v.g.pipe
	v.lenient = !slices.ContainsFunc(messages, func(m *wire.Message) bool { return m != nil && !free(m) })
	v.shared.Lenient = v.lenient
	defer func() { v.shared.Lenient = false }()
	if pipe.Has(plugin.HTTPPreRequest) {
		before := append(v.head(), '}')
		out := pipe.Run(v.r.Context(), plugin.HTTPPreRequest, before, v.shared)
		if out.Refusal != nil {
			v.turnAway(w, out.Refusal, http.StatusForbidden)
			return false
		}
		v.setHeaders(before, out.Payload)
		setAllowed(w.Header(), out.HTTPHeaders)
	}
	if pipe.Has(plugin.HTTPAuthResolveUser) {
		out := pipe.Run(v.r.Context(), plugin.HTTPAuthResolveUser, v.credentials(), v.shared)
		if out.Refusal != nil {
			v.turnAway(w, out.Refusal, http.StatusUnauthorized)
			return false
		}
		setAllowed(w.Header(), out.HTTPHeaders)
	}
	if !pipe.Has(plugin.HTTPAuthCheckPermission) {
		return true
	}
	asked := map[string]bool{}
	for _, m := range messages {
		if m == nil {
			continue
		}
		permission, kind, ok := permissionOf(m)
		if !ok || asked[permission] {
			continue
		}
		asked[permission] = true
		out := pipe.Run(v.r.Context(), plugin.HTTPAuthCheckPermission, v.permission(permission, kind), v.shared)
		if out.Refusal != nil {
			v.turnAway(w, out.Refusal, http.StatusForbidden)
			return false
		}
		setAllowed(w.Header(), out.HTTPHeaders)
	}
	return true
}

// turnAway refuses before anything is done about messages. Plugins of
// http_post_request see that answer like any other, as ContextForge's do, but not
// where a plugin has failed: then it may well be theirs that is down.
func (v *visit) turnAway(w http.ResponseWriter, r *pipeline.Refusal, status int) {
	if r.Violation != nil {
		seen, ended := v.watch(w)
		ended()
		w = seen
	}
	v.refuse(w, r, status)
}

// head is the payload of the request hooks, without its closing brace.
func (v *visit) head() []byte {
	dst := wire.AppendString([]byte(`{"path":`), v.r.URL.Path)
	dst = wire.AppendString(append(dst, `,"method":`...), v.r.Method)
	return v.peer(dst)
}

func (v *visit) peer(dst []byte) []byte {
	if host, port, err := net.SplitHostPort(v.r.RemoteAddr); err == nil {
		dst = wire.AppendString(append(dst, `,"client_host":`...), host)
		if n, err := strconv.Atoi(port); err == nil {
			dst = strconv.AppendInt(append(dst, `,"client_port":`...), int64(n), 10)
		}
	}
	return appendHeaders(append(dst, `,"headers":`...), lower(v.r.Header))
}

// lower are headers as ContextForge's plugins know them.
func lower(h http.Header) map[string]string {
	all := make(map[string]string, len(h))
	for name, values := range h {
		all[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return all
}

// setHeaders makes the headers as plugins left them the request's, for plugins
// that come later. What steers HTTP and MCP stays the client's.
func (v *visit) setHeaders(before, after json.RawMessage) {
	if string(wire.Member(before, "headers")) == string(wire.Member(after, "headers")) {
		return
	}
	h := http.Header{}
	for name, value := range wire.Members(wire.Member(after, "headers")) {
		if text, ok := wire.String(value); ok && isHeader(string(name), text) && !steers(http.CanonicalHeaderKey(string(name))) {
			h.Set(string(name), text)
		}
	}
	for name, values := range v.r.Header {
		if steers(name) {
			h[name] = values
		}
	}
	v.r.Header = h
}

// setAllowed sets headers of a plugin, as far as a plugin may.
func setAllowed(h http.Header, headers map[string]string) {
	for name, value := range headers {
		if key := http.CanonicalHeaderKey(name); isHeader(key, value) && !steers(key) {
			h.Set(key, value)
		}
	}
}

// steers reports whether a header is HTTP's or MCP's own, or has a web server in
// front of us send a file of its own for our answer.
func steers(name string) bool {
	return slices.Contains(hopHeaders, name) || strings.HasPrefix(name, "Mcp-") || name == "Host" || name == "Origin" ||
		strings.HasPrefix(name, "X-Accel-") || name == "X-Sendfile" || name == "X-Lighttpd-Send-File"
}

func (v *visit) credentials() []byte {
	rest := append(v.peer(nil), '}') // begins with a comma
	scheme, value, ok := strings.Cut(strings.TrimSpace(v.r.Header.Get("Authorization")), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return append([]byte{'{'}, rest[1:]...)
	}
	dst := wire.AppendString([]byte(`{"credentials":{"scheme":`), scheme)
	dst = append(wire.AppendString(append(dst, `,"credentials":`...), strings.TrimSpace(value)), '}')
	return append(dst, rest...)
}

func (v *visit) permission(permission, kind string) []byte {
	var user struct {
		Email   string `json:"email"`
		IsAdmin bool   `json:"is_admin"`
		Team    string `json:"team_id"`
		Method  string `json:"auth_method"`
	}
	_ = json.Unmarshal(v.shared.Global.User, &user) // an anonymous one has none of it
	dst := wire.AppendString([]byte(`{"user_email":`), user.Email)
	dst = wire.AppendString(append(dst, `,"permission":`...), permission)
	dst = wire.AppendString(append(dst, `,"resource_type":`...), kind)
	dst = strconv.AppendBool(append(dst, `,"is_admin":`...), user.IsAdmin)
	host, _, _ := net.SplitHostPort(v.r.RemoteAddr)
	for _, f := range [][2]string{{"team_id", user.Team}, {"auth_method", user.Method}, {"client_host", host}, {"user_agent", v.r.UserAgent()}} {
		if f[1] != "" {
			dst = wire.AppendString(append(dst, `,"`+f[0]+`":`...), f[1])
		}
	}
	return append(dst, '}')
}

// refuse answers with the status of a violation, or with 503 where a plugin has
// failed: then it is not the client's fault, and never 401 or 403.
func (v *visit) refuse(w http.ResponseWriter, r *pipeline.Refusal, status int) {
	if seen, ok := w.(*watched); ok {
		seen.refused = true
	}
	j := &job{g: v.g, shared: v.shared}
	var fault *wire.Error
	switch {
	case r.Violation != nil:
		if s := r.Violation.HTTPStatus; s != nil && *s >= 400 && *s <= 599 {
			status = *s
		}
		setAllowed(w.Header(), r.Violation.HTTPHeaders)
		if status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		fault = violationFault(r.Plugin, r.Violation)
	case r.Plugin == "":
		status, fault = http.StatusRequestEntityTooLarge, wire.Errorf(wire.CodeInvalidParams, "%s", r.Err)
	default:
		v.g.log.Warn("a plugin of an HTTP hook failed and its mode refuses then", "plugin", r.Plugin, "error", r.Err.Error(),
			"hint", strings.Join(hint.Of(r.Err), "; "), "request_id", j.id())
		status, fault = http.StatusServiceUnavailable, j.pluginError(r.Plugin, r.Err)
		w.Header().Set("Retry-After", retryAfter)
	}
	v.g.log.Info("request refused", "peer", v.r.RemoteAddr, "plugin", r.Plugin, "status", status, "request_id", j.id())
	front.Write(w, status, wire.AppendError(nil, v.id, fault), true)
}

// watched is the answer to a request that plugins of http_post_request see
// before its first byte goes out.
type watched struct {
	http.ResponseWriter
	v       *visit
	ctx     context.Context
	headers []byte // the payload's beginning
	mu      sync.Mutex
	shared  *pipeline.Request // what the hook knows: all, once the call has ended
	sent    bool
	refused bool // what is sent is a refusal, which stands
	stop    bool // refused: what was to be sent is dropped
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ended says that nobody uses the request's context any more.
func (w *watched) ended(shared *pipeline.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shared = shared
}

// WriteHeader asks the plugins and sends the headers as they left them.
func (w *watched) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sent {
		return
	}
	w.sent = true
	own := w.Header()
	shown := lower(own)
	maps.DeleteFunc(shown, func(name, _ string) bool { return steers(http.CanonicalHeaderKey(name)) })
	payload := appendHeaders(append(w.headers, `,"response_headers":`...), shown)
	payload = append(strconv.AppendInt(append(payload, `,"status_code":`...), int64(status), 10), '}')
	out := w.v.g.pipe.Run(w.ctx, plugin.HTTPPostRequest, payload, w.shared)
	if out.Refusal != nil && w.refused {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if out.Refusal != nil {
		w.stop = true
		clear(own)
		w.v.refuse(w.ResponseWriter, out.Refusal, http.StatusForbidden)
		return
	}
	for name, value := range wire.Members(wire.Member(out.Payload, "response_headers")) {
		key := http.CanonicalHeaderKey(string(name))
		text, ok := wire.String(value)
		if ok && isHeader(key, text) && !steers(key) && shown[strings.ToLower(key)] != text {
			own.Set(key, text)
		}
	}
	setAllowed(own, out.HTTPHeaders)
	w.ResponseWriter.WriteHeader(status)
}

// Write drops what belongs to an answer that was refused.
func (w *watched) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.stop {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}
