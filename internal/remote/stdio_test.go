package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// logText is a logger whose text a test can read.
type logText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logText) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// says runs a hook that passes and returns what the server said in the metadata.
func says(t *testing.T, p *Plugin, hook plugin.Hook, payload string) string {
	t.Helper()
	r, err := p.Invoke(t.Context(), hook, json.RawMessage(payload), nil)
	if err != nil {
		t.Fatalf("%s: %v", hook, err)
	}
	var metadata struct{ Said string }
	if err := json.Unmarshal(r.Metadata, &metadata); err != nil || !r.Continue {
		t.Fatalf("%s: result %+v, error %v", hook, r, err)
	}
	return metadata.Said
}

// refuses runs a hook that must bring no result.
func refuses(t *testing.T, p *Plugin, hook plugin.Hook, kind Kind, texts ...string) {
	t.Helper()
	r, err := p.Invoke(t.Context(), hook, json.RawMessage(`{}`), nil)
	if r != nil {
		t.Errorf("%s: result %+v", hook, r)
	}
	for _, text := range append(texts, "stdio:", string(hook)) {
		wantKind(t, err, kind, text)
	}
	if strings.Contains(err.Error(), childKey) {
		t.Errorf("%s: error %v holds a secret", hook, err)
	}
}

func serverFile(t *testing.T, s *Stdio, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Cwd, "server.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestStdioPluginServer talks to the plugin server that we ship.
func TestStdioPluginServer(t *testing.T) {
	s := spawn(t, "server")
	serverFile(t, s, "plugins: [{name: P, kind: search_replace, hooks: [tool_pre_invoke], config: {words: [{search: crap, replace: crud}]}}]\n")
	p := stdioClient(t, s)
	wantHooks(t, p, plugin.ToolPreInvoke)
	c := &plugin.Context{State: plugin.Object{"n": json.RawMessage("9007199254740993")}}
	r, err := p.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{"name":"t","args":{"a":"crap","n":9007199254740993}}`), c)
	if err != nil || !strings.Contains(string(r.ModifiedPayload), `"a":"crud","n":9007199254740993`) {
		t.Errorf("result %+v, error %v", r, err)
	}
	if string(c.State["n"]) != "9007199254740993" {
		t.Errorf("state %s", c.State)
	}
	if _, err := p.Invoke(t.Context(), "no_such_hook", json.RawMessage(`{}`), nil); !strings.Contains(fmt.Sprint(err), "Unable to find no_such_hook for plugin P") {
		t.Errorf("error %v", err)
	}
	if infos, err := p.List(t.Context()); err != nil || len(infos) != 1 || infos[0].Name != "P" {
		t.Errorf("list %+v, error %v", infos, err)
	}
	_, err = stdioClient(t, s, func(c *Config, _ *Options) { c.Name = "Q" }).Discover(t.Context())
	wantKind(t, err, NotDeclared, "does not have this plugin")
}

// TestStdioPluginServerThatDoesNotStart: its own words reach the operator, and so
// does the advice that a small environment calls for.
func TestStdioPluginServerThatDoesNotStart(t *testing.T) {
	s := spawn(t, "server")
	serverFile(t, s, "plugins: []\n")
	_, err := invoke(t, stdioClient(t, s), `{}`)
	wantKind(t, err, Unreachable, "the process ended (exit status 1)")
	if hints := strings.Join(hint.Of(err), " "); !strings.Contains(hints, "name what else it needs under env") {
		t.Errorf("hints %q", hints)
	}
	s.Cmd = []string{"no-such-program"}
	_, err = invoke(t, stdioClient(t, s), `{}`)
	wantKind(t, err, Unreachable, "executable file not found")
	if hints := strings.Join(hint.Of(err), " "); !strings.Contains(hints, "check cmd, script and cwd") {
		t.Errorf("hints %q", hints)
	}
}

// TestStdioEras: which era a server is of is found out without a hook, and the
// hook that was waiting for that runs once.
func TestStdioEras(t *testing.T) {
	for mode, want := range map[string][]string{
		"modern": {"start", "config", "hook x", "config"},
		"legacy": {"start", "refused tools/call get_plugin_config", "initialize", "hook x", "config"},
		"sloppy": {"start", "config", "initialize", "hook x", "config"}, // answers at once, but as no modern server does
		"chatty": {"start", "config", "hook x", "config"},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := spawn(t, mode)
			p := stdioClient(t, s)
			params := says(t, p, "x", `{"n":1.0}`)
			if modern := strings.Contains(params, `"io.modelcontextprotocol/protocolVersion":"2026-07-28"`); modern == (mode == "legacy" || mode == "sloppy") {
				t.Errorf("params %s", params)
			}
			if !strings.Contains(params, `"name":"invoke_hook","arguments":{"hook_type":"x","plugin_name":"P","payload":{"n":1.0},"context":{`) {
				t.Errorf("params %s", params)
			}
			if _, err := p.Describe(t.Context()); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(want, asked(t, s)); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStdioCallsShareTheProcess, and each gets its own answer, in whatever order
// they come.
func TestStdioCallsShareTheProcess(t *testing.T) {
	p := stdioClient(t, spawn(t, "modern"))
	var all sync.WaitGroup
	for i := range 10 { // five are held at a time
		all.Go(func() {
			payload := fmt.Sprintf(`{"n":%d}`, i)
			r, err := p.Invoke(t.Context(), "hold", json.RawMessage(payload), nil)
			if err != nil || !strings.Contains(string(r.Metadata), strings.ReplaceAll(payload, `"`, `\"`)) {
				t.Errorf("call %d: result %+v, error %v", i, r, err)
			}
		})
		if i == 4 {
			all.Wait()
		}
	}
	all.Wait()
}

// TestStdioBadAnswersNeverPass, and cost the one call.
func TestStdioBadAnswersNeverPass(t *testing.T) {
	p := stdioClient(t, spawn(t, "modern"), func(_ *Config, o *Options) { o.MaxAnswer = 50_000 })
	pid := says(t, p, "pid", `{}`)
	for hook, text := range map[plugin.Hook]string{
		"duplicate member": "not a JSON-RPC message: ",
		"no JSON":          "not a JSON-RPC message: ",
		"huge":             "larger than the limit of 50000 bytes",
		"rpc error":        "no (code -32603)",
		"another's":        `an answer of plugin "Q"`,
		"no verdict":       "no continue_processing",
		"null":             "",
	} {
		refuses(t, p, hook, BadAnswer, text)
	}
	if now := says(t, p, "pid", `{}`); now != pid {
		t.Errorf("process %s has become %s", pid, now)
	}
}

// TestStdioDeathUnderACall: the call fails, its hook is not sent again, and the
// next one goes to the next process.
func TestStdioDeathUnderACall(t *testing.T) {
	s := spawn(t, "modern")
	p := stdioClient(t, s)
	refuses(t, p, "die", Unreachable, "the process ended (exit status 7); whether the hook ran is not known", `"panic: ***"`)
	waitUp(t, p)
	says(t, p, "x", `{}`)
	refuses(t, p, "half", BadAnswer, "not a JSON-RPC message")
	waitUp(t, p)
	says(t, p, "x", `{}`)
	hooks := slices.DeleteFunc(asked(t, s), func(line string) bool { return !strings.HasPrefix(line, "hook") })
	if diff := cmp.Diff([]string{"hook die", "hook x", "hook half", "hook x"}, hooks); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
}

// waitUp waits until the server answers again.
func waitUp(t *testing.T, p *Plugin) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := p.Describe(ctx); err == nil {
			return
		}
	}
	t.Fatal("it does not come back")
}

// TestStdioIsKnownAgainAfterItsDeath: what the process said last holds while
// there is none, and the next one is asked before a call is let through.
func TestStdioIsKnownAgainAfterItsDeath(t *testing.T) {
	s := spawn(t, "modern")
	p := stdioClient(t, s)
	discover := func(want ...plugin.Hook) {
		t.Helper()
		wantHooks(t, p, want...)
	}
	configs := func() (n int) {
		for _, line := range asked(t, s) {
			if line == "config" {
				n++
			}
		}
		return n
	}
	discover("tool_pre_invoke")
	discover("tool_pre_invoke")
	if n := configs(); n != 2 { // to find out the era, and for the hooks
		t.Errorf("asked %d times while nothing had happened", n)
	}
	for name, text := range map[string]string{"hooks": `["prompt_pre_fetch"]`, "down": ""} {
		if err := os.WriteFile(filepath.Join(s.Cwd, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refuses(t, p, "die", Unreachable)
	discover("tool_pre_invoke")
	if err := os.Remove(filepath.Join(s.Cwd, "down")); err != nil {
		t.Fatal(err)
	}
	waitUp(t, p)
	discover("prompt_pre_fetch")
}

// TestStdioIsNotKnownBeforeItAnswers: without an answer ever it may have any hook.
func TestStdioIsNotKnownBeforeItAnswers(t *testing.T) {
	hooks, err := stdioClient(t, spawn(t, "dies")).Discover(t.Context())
	if hooks != nil {
		t.Errorf("hooks %v", hooks)
	}
	wantKind(t, err, Unreachable, `the process ended (exit status 3); its last line on standard error: "starting with ***"`)
}

// TestStdioTimeout: the server is told, and its late answer is nobody's.
func TestStdioTimeout(t *testing.T) {
	s := spawn(t, "modern")
	p := stdioClient(t, s, func(c *Config, _ *Options) { c.Timeout = 2 * time.Second })
	says(t, p, "x", `{}`)
	refuses(t, p, "hang", Timeout, "no answer within 2s")
	await(t, s, "cancelled 3")
	says(t, p, "y", `{}`)
	if diff := cmp.Diff([]string{"start", "config", "hook x", "hook hang", "cancelled 3", "hook y"}, asked(t, s)); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := p.Invoke(ctx, "hang", json.RawMessage(`{}`), nil)
	wantKind(t, err, Timeout, "no answer before the caller's deadline")
	mute := stdioClient(t, spawn(t, "mute"), func(c *Config, _ *Options) { c.Timeout = 200 * time.Millisecond })
	refuses(t, mute, "x", Timeout, "no answer within 200ms")
}

// await waits until the server has noted something.
func await(t *testing.T, s *Stdio, what string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !slices.Contains(asked(t, s), what); {
		if time.Now().After(deadline) {
			t.Fatalf("the server never notes %q", what)
		}
	}
}

func TestStdioCallerGivesUp(t *testing.T) {
	s := spawn(t, "modern")
	p := stdioClient(t, s)
	says(t, p, "x", `{}`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.Invoke(ctx, "hang", json.RawMessage(`{}`), nil)
		done <- err
	}()
	await(t, s, "hook hang")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	await(t, s, "cancelled 3")
}

func TestStdioAnswersTheServersRequests(t *testing.T) {
	want := `{"jsonrpc":"2.0","id":"a","result":{}}` + "\n" +
		`{"jsonrpc":"2.0","id":"b","error":{"code":-32601,"message":"Method not found: sampling/createMessage"}}` + "\n"
	if got := says(t, stdioClient(t, spawn(t, "legacy")), "requests", `{}`); got != want {
		t.Errorf("the server got %s", got)
	}
}

// TestStdioEnvironment: of ours the process gets what every program may count on.
func TestStdioEnvironment(t *testing.T) {
	t.Setenv("PLUGINS_CLIENT_MTLS_KEYFILE_PASSWORD", "none of its business")
	t.Setenv("TERM", "dumb")
	env := says(t, stdioClient(t, spawn(t, "modern")), "environment", `{}`)
	for _, want := range []string{"API_KEY=" + childKey, "TERM=dumb", "PATH=" + os.Getenv("PATH")} {
		if !strings.Contains(env, want) {
			t.Errorf("no %s in:\n%s", want, env)
		}
	}
	if strings.Contains(env, "none of its business") {
		t.Errorf("secret in:\n%s", env)
	}
}

// TestStdioStandardError goes to the log, with the plugin's name, masked and
// bounded.
func TestStdioStandardError(t *testing.T) {
	log := &logText{}
	p := stdioClient(t, spawn(t, "chatty"), func(_ *Config, o *Options) { o.Logger = log.logger() })
	says(t, p, "flood", `{}`)
	_ = p.Close()
	text := log.String()
	for _, want := range []string{`level=INFO msg="plugin server says" plugin=P stderr="starting with ***"`, `msg="plugin server wrote to standard output what is no MCP message" plugin=P line="Plugin server is listening, key ***"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in:\n%.3000s", want, text)
		}
	}
	if n := strings.Count(text, "plugin server says"); n > 500 { // 50 a second, and it does not take ten
		t.Errorf("%d lines of 1001 are logged", n)
	}
	for line := range strings.Lines(text) {
		if len(line) > 2500 {
			t.Errorf("a line of %d bytes is logged", len(line))
		}
	}
	if strings.Contains(text, childKey) {
		t.Error("secret in the log")
	}
}
