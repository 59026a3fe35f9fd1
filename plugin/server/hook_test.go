package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// What a failing plugin says reaches the other side only if it chose so, and
// the process goes on.
func TestFailuresOfAPlugin(t *testing.T) {
	failed := "the plugin failed; the log of its server says why"
	for name, c := range map[string]struct {
		invoke         func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error)
		message, inLog string
	}{
		"error": {func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return nil, errSecret
		}, failed, "hunter2"},
		"panic": {func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			panic(errSecret)
		}, failed, "TestFailuresOfAPlugin"}, // the stack
		"nothing": {func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return nil, nil
		}, failed, "neither a result nor an error"},
		"own words": {func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return nil, fmt.Errorf("wrapped: %w", &plugin.Error{Message: "quota used up", Code: "QUOTA", Details: json.RawMessage(`{"left":0}`), MCPCode: -32000})
		}, "quota used up", "wrapped"},
		"payload that is no JSON": {func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return &plugin.Result{Continue: true, ModifiedPayload: json.RawMessage(`{"a":1}},"x":{`)}, nil
		}, failed, "modified_payload is not JSON"},
		"metadata that is no object": {func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return &plugin.Result{Continue: true, Metadata: json.RawMessage(`[1]`)}, nil
		}, failed, "its metadata is not an object"},
		"payload with duplicates": {func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
			return &plugin.Result{Continue: true, ModifiedPayload: json.RawMessage(`{"a":1,"a":2}`)}, nil
		}, failed, "duplicate"},
		"state that is no JSON": {func(_ context.Context, _ plugin.Hook, _ json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
			c.State["x"] = json.RawMessage(`nope`)
			return plugin.Continue(), nil
		}, failed, "state holds"},
	} {
		t.Run(name, func(t *testing.T) {
			log := &logLines{}
			base := start(t, &Options{Logger: log.logger()}, entry(c.invoke))
			text, isError := toolText(t, post(t, base, hookMessage(`{"name":"t"}`, testContext)))
			if isError {
				t.Error("isError is true: the call was fine, the plugin was not")
			}
			var got struct {
				Plugin string        `json:"plugin_name"`
				Error  *plugin.Error `json:"error"`
				Result any           `json:"result"`
			}
			if err := json.Unmarshal([]byte(text), &got); err != nil || got.Error == nil || got.Result != nil {
				t.Fatalf("answer %s, error %v", text, err)
			}
			if got.Plugin != "P" || got.Error.Plugin != "P" || got.Error.Message != c.message {
				t.Errorf("answer %s, want message %q", text, c.message)
			}
			if strings.Contains(text, "hunter2") {
				t.Error("the plugin's own error crossed the wire")
			}
			if !strings.Contains(log.String(), c.inLog) {
				t.Errorf("log does not hold %q:\n%s", c.inLog, log)
			}
		})
	}
}

// The error object in the form of plugin protocol §6, to the byte.
func TestUnknownPluginOrHook(t *testing.T) {
	base := start(t, nil, entry(passes))
	for from, want := range map[string]string{
		`"plugin_name":"P"`: `{"plugin_name":"p","error":{"message":"Unable to find tool_pre_invoke for plugin p.  Make sure the plugin is registered.",` +
			`"plugin_name":"p","code":"","details":{},"mcp_error_code":-32603}}`,
		`"hook_type":"tool_pre_invoke"`: `{"plugin_name":"P","error":{"message":"Unable to find x for plugin P.  Make sure the plugin is registered.",` +
			`"plugin_name":"P","code":"","details":{},"mcp_error_code":-32603}}`,
	} {
		to := strings.NewReplacer(`"P"`, `"p"`, `"tool_pre_invoke"`, `"x"`).Replace(from)
		text, isError := toolText(t, post(t, base, strings.Replace(hookMessage(`{}`, testContext), from, to, 1)))
		if text != want || isError {
			t.Errorf("isError %v, got\n%s, want\n%s", isError, text, want)
		}
	}
}

func TestWrongArgumentsAreToolErrors(t *testing.T) {
	base := start(t, nil, entry(passes))
	call := func(params string) (string, bool) {
		return toolText(t, post(t, base, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+params+`}`))
	}
	for params, want := range map[string]string{
		`{"name":"invoke_hook"}`:                           "invalid arguments for invoke_hook: hook_type must be a string, plugin_name must be a string, payload must be an object, context must be an object",
		`{"name":"invoke_hook","arguments":null}`:          "hook_type must be a string",
		`{"name":"get_plugin_config","arguments":{}}`:      "name must be a string",
		`{"name":"no_such_tool","arguments":{}}`:           "Unknown tool: no_such_tool",
		`{"arguments":{}}`:                                 "the name of the tool is missing",
		`{"name":"invoke_hook","arguments":{"payload":1}}`: "payload must be an object",
	} {
		if text, isError := call(params); !isError || !strings.Contains(text, want) {
			t.Errorf("%s: isError %v, text %q, want %q", params, isError, text, want)
		}
	}
}

func TestWrongContextsArePluginErrors(t *testing.T) {
	base := start(t, nil, entry(passes))
	for context, want := range map[string]string{
		`{}`:                                   "request_id is missing",
		`{"global_context":{"request_id":""}}`: "request_id is missing",
		`{"global_context":{"request_id":1}}`:  "global_context.request_id is of the wrong type",
		`{"global_context":{"request_id":"1"},"state":[]}`:     "context.state is not an object",
		`{"global_context":{"request_id":"1","user":5}}`:       "global_context.user is of the wrong type",
		`{"global_context":{"request_id":"1","metadata":"x"}}`: "global_context.metadata is not an object",
	} {
		text, isError := toolText(t, post(t, base, hookMessage(`{}`, context)))
		if isError || !strings.Contains(text, `"error":`) || !strings.Contains(text, want) {
			t.Errorf("%s: %s, want an error with %q", context, text, want)
		}
	}
}

// Nulls stand for what is absent; a user may be an object; the plugin may write
// to its maps without making them first.
func TestAContextOfNulls(t *testing.T) {
	var seen *plugin.Context
	base := start(t, nil, entry(func(_ context.Context, _ plugin.Hook, _ json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
		seen = c
		c.State["a"] = json.RawMessage(`9007199254740993`)
		return plugin.Continue(), nil
	}))
	text, _ := toolText(t, post(t, base, hookMessage(`{}`,
		`{"state":null,"global_context":{"request_id":"r","user":{"email":"a@b"},"tenant_id":null,"server_id":null,"state":null,"metadata":null},"metadata":null}`)))
	want := `{"plugin_name":"P","result":{"continue_processing":true},"context":{"global_context":{"request_id":"r","user":{"email":"a@b"},"state":{}},` +
		`"state":{"a":9007199254740993},"metadata":{}}}`
	if text != want {
		t.Errorf("got\n%s, want\n%s", text, want)
	}
	if seen.Metadata == nil || seen.GlobalContext.State == nil || string(seen.GlobalContext.User) != `{"email":"a@b"}` {
		t.Errorf("context %+v", seen)
	}
}

// The payload reaches the plugin as the bytes that came, and comes back so.
func TestPayloadBytesAreKept(t *testing.T) {
	const payload = `{ "name":"t" ,"args":{"n":9007199254740993,"e":1.0e+2,"s":"\ud83d é","z":null}}`
	base := start(t, nil, entry(func(_ context.Context, _ plugin.Hook, got json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		if string(got) != payload {
			t.Errorf("payload %s", got)
		}
		return &plugin.Result{Continue: true, ModifiedPayload: got}, nil
	}))
	text, _ := toolText(t, post(t, base, hookMessage(payload, testContext)))
	if want := `{"plugin_name":"P","result":{"continue_processing":true,"modified_payload":` + payload + `}}`; text != want {
		t.Errorf("got\n%s, want\n%s", text, want)
	}
}

func TestPayloadLimitNamesBothSizes(t *testing.T) {
	base := start(t, &Options{MaxPayloadBytes: 20}, entry(passes))
	text, _ := toolText(t, post(t, base, hookMessage(`{"name":"0123456789"}`, testContext)))
	if !strings.Contains(text, `"message":"payload of 21 bytes is larger than max_payload_bytes (20)"`) {
		t.Error(text)
	}
	if text, _ := toolText(t, post(t, base, hookMessage(`{"name":"012345678"}`, testContext))); strings.Contains(text, "error") {
		t.Errorf("20 bytes: %s", text)
	}
}

// A plugin that does not come back costs its caller the timeout, and no more
// than a bounded number of calls.
func TestAPluginThatDoesNotReturn(t *testing.T) {
	release := make(chan struct{})
	log := &logLines{}
	e := entry(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		<-release
		return plugin.Continue(), nil
	})
	e.Timeout = 10 * time.Millisecond
	s, err := New([]Entry{e}, &Options{Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	base := startServer(t, s)
	message := hookMessage(`{}`, testContext)
	a := post(t, base, message)
	text, _ := toolText(t, a)
	if !a.closes {
		t.Error("the connection stays open, and its next request would wait for the plugin")
	}
	if !strings.Contains(text, `"message":"no answer within 10ms","plugin_name":"P","code":"timeout"`) || !strings.Contains(log.String(), "did not answer in time") {
		t.Errorf("answer %s, log:\n%s", text, log)
	}
	for range maxLate - 1 {
		post(t, base, message)
	}
	if text, _ := toolText(t, post(t, base, message)); !strings.Contains(text, "64 earlier calls have not returned") {
		t.Errorf("answer %s", text)
	}
	close(release)
	for s.stuck("P") > 0 {
		runtime.Gosched()
	}
	if n := s.plugins[0].late.Load(); n != 0 {
		t.Errorf("%d calls still count as late", n)
	}
}

// A plugin that ends its goroutine, as t.FailNow does, takes the request's with
// it: the client is told, and the server goes on. In a batch it is an error of
// the plugin like others.
func TestAPluginThatEndsItsGoroutine(t *testing.T) {
	log := &logLines{}
	s, err := New([]Entry{entry(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		runtime.Goexit()
		return nil, nil
	})}, &Options{Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	base := startServer(t, s)
	message := hookMessage(`{}`, testContext)
	if a := post(t, base, message); a.status != 200 || a.body != `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error"}}` {
		t.Errorf("answer %d %s", a.status, a.body)
	}
	if !strings.Contains(log.String(), "plugin panicked") {
		t.Errorf("log:\n%s", log)
	}
	if a := post(t, base, "["+message+"]"); !strings.Contains(a.body, "the plugin failed") {
		t.Errorf("answer %d %s", a.status, a.body)
	}
	if n := s.stuck("P"); n != 0 {
		t.Errorf("%d calls still count as running", n)
	}
}

// Clients that go do not make a plugin refuse others: only calls that are late
// do, as they prove that it does not return.
func TestClientsThatGo(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s, err := New([]Entry{entry(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		select {
		case entered <- struct{}{}:
			<-release
		case <-release:
		}
		return plugin.Continue(), nil
	})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range maxLate + 1 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := s.plugins[0].invoke(ctx, s.log, plugin.ToolPreInvoke, nil, &plugin.Context{})
			ended <- err
		}()
		<-entered
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v", err)
		}
	}
	go func() { <-entered; close(release) }()
	if _, err := s.plugins[0].invoke(t.Context(), s.log, plugin.ToolPreInvoke, nil, &plugin.Context{}); err != nil {
		t.Errorf("one more call: %v", err)
	}
	for s.stuck("P") > 0 {
		runtime.Gosched()
	}
}

// A plugin that heeds its context's end is asked to stop when the time is over.
func TestThePluginsContextEnds(t *testing.T) {
	e := entry(func(ctx context.Context, _ plugin.Hook, _ json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	e.Timeout = 10 * time.Millisecond
	text, _ := toolText(t, post(t, start(t, nil, e), hookMessage(`{}`, testContext)))
	if !strings.Contains(text, `"message":"no answer within 10ms"`) {
		t.Error(text)
	}
}

// An answer that a client would not read to its end is the plugin's failure.
func TestAnAnswerThatIsTooLarge(t *testing.T) {
	var size int
	invoke := func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		return &plugin.Result{Continue: true, ModifiedPayload: json.RawMessage(`{"x":"` + strings.Repeat(`\n`, size/2) + `"}`)}, nil
	}
	base := start(t, nil, entry(invoke))
	for _, c := range []struct {
		size    int // of the payload; each second byte is a backslash, which takes two in the answer
		refused bool
	}{{5 << 20, false}, {5<<20 + 1<<19, true}} {
		size = c.size
		a := post(t, base, hookMessage(`{}`, testContext))
		text, _ := toolText(t, a)
		refused := strings.Contains(text, `"error":`)
		if refused != c.refused || len(a.body) > 8<<20 {
			t.Errorf("payload of %d bytes: an answer of %d bytes, refused: %v", c.size, len(a.body), refused)
		}
		if want := fmt.Sprintf("larger than the limit of %d bytes", 8<<20-answerFrame); refused && !strings.Contains(text, want) {
			t.Errorf("%s, want %q", text, want)
		}
	}
}
