package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// doorman is a plugin with all hooks that remembers what it was given and does
// what a test says for some.
type doorman struct {
	mu   sync.Mutex
	seen []string // "hook: payload"
	path string   // the hooks as the plugin's own state has them

	global plugin.GlobalContext // of tool_pre_invoke

	do map[plugin.Hook]func() (*plugin.Result, error)
}

func (d *doorman) Hooks() []plugin.Hook { return plugin.Hooks() }

func (d *doorman) Invoke(_ context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var path string
	if _, err := c.State.Get("path", &path); err != nil {
		return nil, err
	}
	d.path = path + "/" + string(hook)
	d.seen = append(d.seen, string(hook)+": "+string(payload)+" user "+string(c.GlobalContext.User))
	if hook == plugin.ToolPreInvoke {
		d.global = c.GlobalContext
	}
	if err := c.State.Set("path", d.path); err != nil {
		return nil, err
	}
	if do := d.do[hook]; do != nil {
		return do()
	}
	return plugin.Continue(), nil
}

func (d *doorman) saw(hook plugin.Hook) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, line := range d.seen {
		if strings.HasPrefix(line, string(hook)+": ") {
			return line
		}
	}
	return ""
}

// inBoth runs a test with the plugin in this process and behind its server.
func inBoth(t *testing.T, test func(t *testing.T, d *doorman, p plugin.Plugin)) {
	t.Run("in process", func(t *testing.T) { d := &doorman{}; test(t, d, d) })
	t.Run("remote", func(t *testing.T) {
		d := &doorman{}
		r, addr := newRig(t), address(t)
		r.start(t, addr, r.ca.Plugin(t, "P"), server.Entry{Name: "P", Kind: "test", Plugin: d})
		test(t, d, r.remote(t, addr))
	})
}

func modified(v string) func() (*plugin.Result, error) {
	return func() (*plugin.Result, error) { return plugin.Modified(json.RawMessage(v)) }
}

func refusal403(v plugin.Violation) func() (*plugin.Result, error) {
	return func() (*plugin.Result, error) { return plugin.Refuse(&v), nil }
}

// One request passes all hooks in order, with one context; the user that one
// finds is what the next ones and conditions see; no credential is shown but to
// whom it is meant for.
func TestHTTPHooksAroundACall(t *testing.T) {
	inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
		d.do = map[plugin.Hook]func() (*plugin.Result, error){
			plugin.HTTPPreRequest:          modified(`{"authorization":"Bearer stolen","x-team":"blue","user-agent":"tester","mcp-method":"tools/list"}`),
			plugin.HTTPAuthResolveUser:     modified(`{"email":"alice@x","is_admin":true}`),
			plugin.HTTPAuthCheckPermission: modified(`{"granted":true}`),
			plugin.HTTPPostRequest:         modified(`{"x-seen":"yes","content-type":"text/html"}`),
		}
		f := startFake(t, &fakeServer{})
		no := pipeline.Entry{Name: "Bob", Plugin: &fakePlugin{plugin.Hooks()[:6], func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return plugin.Refuse(&plugin.Violation{Description: "bob only"}), nil
		}}, Conditions: []pipeline.Condition{{UserPatterns: []string{"bob"}}}}
		s := serve(t, Config{}, []pipeline.Entry{{Name: "P", Plugin: p}, no}, f)
		a := s.modern(t, "tools/call", `{"name":"echo"}`, "", "Authorization: Bearer s3cret", "X-Team: red", "X-Left: out", "User-Agent: tester")
		if m := a.message(t); a.status != http.StatusOK || m.Error != nil || !strings.Contains(string(m.Result), "original") {
			t.Fatalf("%d %s", a.status, a.body)
		}
		want := "/http_pre_request/http_auth_resolve_user/http_auth_check_permission/tool_pre_invoke/tool_post_invoke/http_post_request"
		if d.path != want {
			t.Errorf("the hooks were %s, want %s", d.path, want)
		}
		for hook, parts := range map[plugin.Hook][]string{
			plugin.HTTPPreRequest:          {`"path":"/mcp","method":"POST","client_host":"127.0.0.1","client_port":`, `"x-team":"red"`},
			plugin.HTTPAuthResolveUser:     {`"credentials":{"scheme":"Bearer","credentials":"s3cret"}`, `"client_host":"127.0.0.1"`},
			plugin.HTTPAuthCheckPermission: {`{"user_email":"alice@x","permission":"tools.execute","resource_type":"tool","is_admin":true,"client_host":"127.0.0.1","user_agent":"`, `user {"email":"alice@x"`},
			plugin.ToolPreInvoke:           {`"X-Team":"blue"`, `"X-Left":"out"`, `user {"email":"alice@x"`},
			plugin.HTTPPostRequest:         {`"status_code":200`, `"response_headers":{`},
		} {
			for _, part := range parts {
				if got := d.saw(hook); !strings.Contains(got, part) {
					t.Errorf("%s was not given %s", got, part)
				}
			}
			if got := d.saw(hook); hook != plugin.HTTPAuthResolveUser && (strings.Contains(got, "s3cret") || strings.Contains(got, "stolen")) {
				t.Errorf("a credential was shown: %s", got)
			}
		}
		if a.header.Get("X-Seen") != "yes" || !strings.HasPrefix(a.header.Get("Content-Type"), wire.MediaJSON) {
			t.Errorf("headers of the answer: %v", a.header)
		}
	})
}

// A request without credentials has none in the payload: absent, not null.
func TestRule_AbsentFieldsAreOmitted(t *testing.T) {
	inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
		s := serve(t, Config{}, entryOf(p), startFake(t, &fakeServer{}))
		if m := s.modern(t, "tools/call", `{"name":"echo"}`, "", "Authorization: Basic eA==").message(t); m.Error != nil {
			t.Fatal(m.Error)
		}
		for _, hook := range []plugin.Hook{plugin.HTTPPreRequest, plugin.HTTPAuthResolveUser, plugin.HTTPAuthCheckPermission, plugin.ToolPreInvoke, plugin.ToolPostInvoke, plugin.HTTPPostRequest} {
			if got := d.saw(hook); got == "" || strings.Contains(got, "null") || strings.Contains(got, "eA==") {
				t.Errorf("%s: %q", hook, got)
			}
		}
		if got := d.saw(plugin.HTTPAuthResolveUser); !strings.HasPrefix(got, `http_auth_resolve_user: {"client_host":"127.0.0.1","client_port":`) {
			t.Errorf("got %s", got)
		}
	})
}

// What a refusal on each HTTP hook answers, and that nothing reaches the upstream.
func TestRefusalsOfHTTPHooks(t *testing.T) {
	teapot := http.StatusTeapot
	ok, before, last, beyond := http.StatusOK, 399, 599, 600
	for name, c := range map[string]struct {
		hook   plugin.Hook
		do     func() (*plugin.Result, error)
		status int
		header string
	}{
		"a request":               {plugin.HTTPPreRequest, refusal403(plugin.Violation{Description: "not this"}), 403, ""},
		"a user":                  {plugin.HTTPAuthResolveUser, refusal403(plugin.Violation{Description: "not this"}), 401, "Www-Authenticate: Bearer"},
		"a permission":            {plugin.HTTPAuthCheckPermission, modified(`{"granted":false,"reason":"not this"}`), 403, ""},
		"an answer":               {plugin.HTTPPostRequest, refusal403(plugin.Violation{Description: "not this"}), 403, ""},
		"with a status":           {plugin.HTTPPreRequest, refusal403(plugin.Violation{Description: "not this", HTTPStatus: &teapot, HTTPHeaders: map[string]string{"X-Why": "tea", "Content-Length": "1", "X-Bad": "a\nb"}}), 418, "X-Why: tea"},
		"with one that is none":   {plugin.HTTPPreRequest, refusal403(plugin.Violation{Description: "not this", HTTPStatus: &ok}), 403, ""},
		"with one before errors":  {plugin.HTTPAuthResolveUser, refusal403(plugin.Violation{Description: "not this", HTTPStatus: &before}), 401, "Www-Authenticate: Bearer"},
		"with the last one":       {plugin.HTTPAuthResolveUser, refusal403(plugin.Violation{Description: "not this", HTTPStatus: &last}), 599, ""},
		"with one beyond":         {plugin.HTTPPreRequest, refusal403(plugin.Violation{Description: "not this", HTTPStatus: &beyond}), 403, ""},
		"with a challenge":        {plugin.HTTPAuthResolveUser, refusal403(plugin.Violation{Description: "not this", HTTPHeaders: map[string]string{"www-authenticate": "Basic"}}), 401, "Www-Authenticate: Basic"},
		"a plugin that fails":     {plugin.HTTPPreRequest, func() (*plugin.Result, error) { return nil, &plugin.Error{Message: "not this"} }, 503, "Retry-After: " + retryAfter},
		"an answer nobody judges": {plugin.HTTPPostRequest, func() (*plugin.Result, error) { return nil, &plugin.Error{Message: "not this"} }, 503, "Retry-After: " + retryAfter},
	} {
		t.Run(name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
				d.do = map[plugin.Hook]func() (*plugin.Result, error){c.hook: c.do}
				f := startFake(t, &fakeServer{})
				s := serve(t, Config{}, []pipeline.Entry{{Name: "P", Plugin: p}}, f)
				a := s.modern(t, "tools/call", `{"name":"echo"}`, "")
				if m := a.message(t); a.status != c.status || m.Error == nil || !strings.Contains(m.Error.Message, "not this") || strings.Contains(a.body, "original") {
					t.Errorf("%d %s", a.status, a.body)
				}
				if key, value, _ := strings.Cut(c.header, ": "); key != "" && a.header.Get(key) != value {
					t.Errorf("headers %v, want %s", a.header, c.header)
				}
				if a.header.Get("X-Bad") != "" {
					t.Errorf("headers %v", a.header)
				}
				if n := len(f.calls()); n != 0 && c.hook != plugin.HTTPPostRequest {
					t.Errorf("%d calls reached the upstream", n)
				}
			})
		})
	}
}

// A plugin of http_post_request sees what the other HTTP hooks refuse, and may add
// headers; the refusal stands, whatever it says. Where one has failed it is not
// asked.
func TestTheAnswerToWhatIsTurnedAway(t *testing.T) {
	refusal := refusal403(plugin.Violation{Description: "not this"})
	failure := func() (*plugin.Result, error) { return nil, &plugin.Error{Message: "not this"} }
	for name, c := range map[string]struct {
		first, last func() (*plugin.Result, error)
		status      int
		seen        bool
	}{
		"it passes":                  {refusal, modified(`{"x-seen":"yes"}`), 401, true},
		"it would refuse, too":       {refusal, refusal403(plugin.Violation{Description: "nor that"}), 401, true},
		"it fails":                   {refusal, failure, 401, true},
		"the one before had failed":  {failure, modified(`{"x-seen":"yes"}`), 503, false},
		"and the last would say 403": {failure, refusal, 503, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBoth(t, func(t *testing.T, d *doorman, p plugin.Plugin) {
				d.do = map[plugin.Hook]func() (*plugin.Result, error){plugin.HTTPAuthResolveUser: c.first, plugin.HTTPPostRequest: c.last}
				s := serve(t, Config{}, []pipeline.Entry{{Name: "P", Plugin: p}}, startFake(t, &fakeServer{}))
				a := s.modern(t, "tools/call", `{"name":"echo"}`, "")
				if m := a.message(t); a.status != c.status || m.Error == nil || !strings.Contains(m.Error.Message, "not this") {
					t.Errorf("%d %s", a.status, a.body)
				}
				if got := d.saw(plugin.HTTPPostRequest); strings.Contains(got, `"status_code":401`) != c.seen || (got != "") != c.seen {
					t.Errorf("the last hook saw %q", got)
				}
				if got := a.header.Get("X-Seen"); (got == "yes") != (name == "it passes") {
					t.Errorf("X-Seen is %q", got)
				}
				if got := a.header.Get("WWW-Authenticate"); (got == "Bearer") != (c.status == 401) {
					t.Errorf("WWW-Authenticate is %q", got) // no plugin named it
				}
			})
		})
	}
}

// While a plugin that may have HTTP hooks is not known, requests get 503, but
// for a client's first words and probes.
func TestWhatWaitsForNoPlugin(t *testing.T) {
	r := newRig(t)
	f := startFake(t, &fakeServer{})
	for name, hooks := range map[string][]plugin.Hook{"hooks of the entry": {plugin.HTTPPreRequest, plugin.HTTPPostRequest}, "hooks of the server": nil} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Config{}, []pipeline.Entry{{Name: "P", Plugin: r.remote(t, address(t), hooks...), Hooks: hooks}}, f)
			for _, method := range []string{"tools/call", "tools/list"} {
				a := s.modern(t, method, `{"name":"echo"}`, "")
				m := a.message(t)
				why, _ := wire.String(wire.Member(m.Error.Data, "cause"))
				if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != retryAfter || why != "unreachable" {
					t.Errorf("%s: %d %s", method, a.status, a.body)
				}
			}
			if a := s.modern(t, "server/discover", `{}`, ""); a.status != http.StatusOK {
				t.Errorf("server/discover: %d %s", a.status, a.body)
			}
			session := s.open(t, "2025-11-25")
			if a := s.legacy(t, session, "ping", `{}`); a.status != http.StatusOK {
				t.Errorf("ping: %d %s", a.status, a.body)
			}
			if a := s.post(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, session); a.status != http.StatusAccepted {
				t.Errorf("notification: %d %s", a.status, a.body)
			}
			if a := send(t, "GET", strings.TrimSuffix(s.url, path)+"/health", ""); a.status != http.StatusOK {
				t.Errorf("/health: %d", a.status)
			}
			session = s.open(t, "2025-03-26")
			batch := `[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"tools/list"}]`
			if a := s.post(t, batch, session); a.status != http.StatusServiceUnavailable {
				t.Errorf("a batch with a call in it: %d %s", a.status, a.body)
			}
		})
	}
}

// Each message of a batch asks for its permission, and one that is not granted
// refuses all.
func TestPermissionsOfABatch(t *testing.T) {
	d := &doorman{}
	d.do = map[plugin.Hook]func() (*plugin.Result, error){plugin.HTTPAuthCheckPermission: func() (*plugin.Result, error) {
		last := d.seen[len(d.seen)-1]
		return plugin.Modified(json.RawMessage(fmt.Sprintf(`{"granted":%v}`, !strings.Contains(last, "prompts.read"))))
	}}
	f := startFake(t, &fakeServer{})
	s := serve(t, Config{}, entryOf(d), f)
	session := s.open(t, "2025-03-26")
	call := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}`
	if a := s.post(t, "["+call+`,{"jsonrpc":"2.0","id":2,"method":"prompts/get","params":{"name":"greet"}}]`, session); a.status != http.StatusForbidden || len(f.calls()) != 0 {
		t.Errorf("%d %s, %d calls", a.status, a.body, len(f.calls()))
	}
	if a := s.post(t, "["+call+"]", session); a.status != http.StatusOK || len(f.calls()) != 1 {
		t.Errorf("%d %s, %d calls", a.status, a.body, len(f.calls()))
	}
}
