package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/conformance"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// raw is a plugin that does what a test wants, on these hooks.
type raw struct {
	hooks  []plugin.Hook
	invoke func(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error)
}

func (r raw) Hooks() []plugin.Hook { return r.hooks }

func (r raw) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	return r.invoke(ctx, hook, payload, c)
}

// echo answers each hook with a payload of the right shape.
func echo(_ context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
	answers := map[plugin.Hook]any{
		"custom":                       payload,
		plugin.HTTPPreRequest:          map[string]string{"x-a": "b"},
		plugin.HTTPPostRequest:         map[string]string{"x-a": "b"},
		plugin.HTTPAuthResolveUser:     plugin.User{Email: "a@b", IsActive: true},
		plugin.HTTPAuthCheckPermission: plugin.Permission{Granted: true},
	}
	if answer, ok := answers[hook]; ok {
		return plugin.Modified(answer)
	}
	if slices.Contains(plugin.Hooks(), hook) {
		return plugin.Modified(bytes.Clone(payload))
	}
	return nil, &plugin.Error{Message: "no such hook"}
}

// serve runs p on a plain HTTP server whose answers mangle may change.
func serve(t *testing.T, p plugin.Plugin, mangle func(r *http.Request, sent, answer []byte) []byte) string {
	t.Helper()
	s, err := server.New([]server.Entry{{Name: "Echo", Kind: "echo", Plugin: p, Config: json.RawMessage(`{"api_key":"***","n":1}`)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if mangle == nil {
		return "http://" + l.Addr().String() + "/mcp"
	}
	transport := &http.Transport{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		out, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+l.Addr().String()+r.URL.Path, bytes.NewReader(sent))
		if err != nil {
			t.Error(err)
			return
		}
		out.Header = r.Header
		resp, err := transport.RoundTrip(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		changed := mangle(r, sent, answer)
		if changed == nil { // the test wants it refused
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(changed)
	}))
	t.Cleanup(func() { front.Close(); transport.CloseIdleConnections() })
	return front.URL + "/mcp"
}

func check(t *testing.T, url string) []conformance.Result {
	t.Helper()
	results, err := conformance.Server(t.Context(), conformance.Target{URL: url}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func TestAServerThatKeepsTheRulesPasses(t *testing.T) {
	results := check(t, serve(t, raw{append(plugin.Hooks(), "custom"), echo}, nil))
	names := map[string]bool{}
	for _, r := range results {
		if names[r.Name()] {
			t.Errorf("two results are named %s", r.Name())
		}
		names[r.Name()] = true
		skips := r.Rule == "an unknown session is 404"
		if want := map[bool]conformance.Status{true: conformance.Skip, false: conformance.Pass}[skips]; r.Status != want {
			t.Errorf("%s: %s, want %s: %s", r.Name(), r.Status, want, r.Detail)
		}
	}
	if len(results) < 120 {
		t.Errorf("only %d checks", len(results))
	}
}

// Each rule is broken in one way, and has to be the one that is named.
func TestABrokenRuleOfAServerIsNamed(t *testing.T) {
	replace := func(old, now string) func(*http.Request, []byte, []byte) []byte {
		return func(_ *http.Request, _, answer []byte) []byte {
			return bytes.ReplaceAll(answer, []byte(old), []byte(now))
		}
	}
	when := func(asked, old, now string) func(*http.Request, []byte, []byte) []byte {
		return func(_ *http.Request, sent, answer []byte) []byte {
			if !bytes.Contains(sent, []byte(asked)) {
				return answer
			}
			return bytes.ReplaceAll(answer, []byte(old), []byte(now))
		}
	}
	const fail, warn, skip = conformance.Fail, conformance.Warn, conformance.Skip
	for _, tt := range []struct {
		rule   string
		status conformance.Status
		mangle func(*http.Request, []byte, []byte) []byte
	}{
		{"speaks MCP 2025-11-25", fail, when(`"protocolVersion":"2025-11-25"`, `"serverInfo"`, `"server"`)},
		{"speaks MCP 2025-03-26", warn, when(`"protocolVersion":"2025-03-26"`, `"protocolVersion":"2025-03-26"`, `"protocolVersion":"2025-06-18"`)},
		{"speaks MCP 2026-07-28", fail, func(r *http.Request, _, answer []byte) []byte {
			if strings.HasPrefix(r.UserAgent(), "sallyport") { // else it counts as unreachable
				return answer
			}
			return bytes.ReplaceAll(answer, []byte(`"resultType":"complete"`), []byte(`"resultType":"later"`))
		}},
		{"/health answers", warn, func(r *http.Request, _, answer []byte) []byte {
			if r.URL.Path == "/health" {
				return nil
			}
			return answer
		}},
		{"the three tools are there, text only", fail, when("tools/list", `"name":"get_plugin_config"`, `"name":"get_plugin"`)},
		{"the three tools are there, text only", warn, when("tools/list", `"name":"invoke_hook"`, `"name":"invoke_hook","outputSchema":{}`)},
		{"get_plugin_configs gives one text per plugin and structuredContent", fail, replace(`"structuredContent"`, `"other"`)},
		{"an unknown plugin's config is {}", fail, when("conformance-unknown", `"text":"{}"`, `"text":"null"`)},
		{"a missing argument is a tool error", fail, replace(`"isError":true`, `"isError":false`)},
		{"an unknown tool is a tool error", fail, replace(`"isError":true`, `"isError":false`)},
		{"an unknown plugin is an error with the usual text", fail, replace(`.  Make`, `. Make`)},
		{"get_plugin_config finds it in any case", fail, when(`"name":"eCHO"`, `\"Echo\"`, `\"eCHO\"`)},
		{"its mode is a mode", fail, replace(`\"mode\":\"enforce\"`, `\"mode\":\"on\"`)},
		{"its mode is a mode", warn, replace(`\"mode\":\"enforce\"`, `\"mode\":\"sequential\"`)},
		{"mcp is never sent", fail, replace(`\"kind\":`, `\"mcp\":{},\"kind\":`)},
		{"secrets in its config are masked", warn, replace(`\"***\"`, `\"s3cret\"`)},
		{"its hooks are named, each once", fail, replace(`\"hooks\":[`, `\"hooks\":[\"tool_pre_invoke\",`)},
		{"invoke_hook wants its name in the right case", fail, when(`"plugin_name":"eCHO"`, `Unable`, `Able`)},
		{"a hook that is not declared is an error with the usual text", fail, when(`undeclared`, `"error`, `"failure`)},
		{"each call has a verdict or an error", fail, replace(`\"continue_processing\":true`, `\"continue\":true`)},
		{"modified_payload has the hook's shape", fail, replace(`\"modified_payload\":{`, `\"modified_payload\":{\"name\":1},\"x\":{`)},
		{"numbers and nulls in free-form objects survive", fail, replace(`\"args\":{\"text\":\"Hello, Ada\",\"n\":9007199254740993`, `\"args\":{\"text\":\"Hello, Ada\",\"n\":9007199254740992`)},
		{"numbers and nulls in free-form objects survive", skip, replace(`\"modified_payload\"`, `\"other\"`)},
		{"state that the plugin does not touch comes back", fail, replace(`\"context\":{`, `\"other\":{`)},
		{"state that the plugin does not touch comes back", fail, replace(`\"state\":{\"sallyport_conformance\":{\"n\":9007199254740993`, `\"state\":{\"sallyport_conformance\":{\"n\":9007199254740992`)},
		{"global metadata is read-only", warn, replace(`\"original_name\":\"conformance\"`, `\"original_name\":\"x\"`)},
		{"unknown fields are ignored", fail, func(_ *http.Request, sent, answer []byte) []byte {
			if !bytes.Contains(sent, []byte("sallyport-mcp/unknown")) {
				return answer
			}
			return bytes.ReplaceAll(answer, []byte(`\"result\":{\"continue_processing\":true`), []byte(`\"error\":{\"message\":\"x\"},\"x\":{\"y\":true`))
		}},
		{"user may be an object", fail, when(`"user":{"email"`, `\"result\":{\"continue_processing\":true`, `\"error\":{\"message\":\"no such user\"},\"x\":{\"y\":true`)},
		{"user may be an object", warn, when(`"user":{"email"`, `\"result\":{\"continue_processing\":true`,
			`\"error\":{\"message\":\"1 validation error for PluginContext\\nglobal_context.user\\n  [type=string_type]\"},\"x\":{\"y\":true`)},
		{"calls at the same time do not mix", fail, when(`"request_id":"call-3"`, `call-3`, `call-4`)},
	} {
		t.Run(tt.rule+" "+string(tt.status), func(t *testing.T) {
			url := serve(t, raw{[]plugin.Hook{plugin.ToolPreInvoke}, echo}, tt.mangle)
			results, err := conformance.Server(t.Context(), conformance.Target{URL: url}, nil)
			for _, r := range results {
				if r.Rule == tt.rule && r.Status == tt.status && r.Detail != "" {
					return
				}
			}
			t.Errorf("no %s of that name (%v):\n%+v", tt.status, err, results)
		})
	}
}
