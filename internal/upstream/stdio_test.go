package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/child"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// call does one tools/call that has to work.
func call(t *testing.T, u *Upstream, name, params string) string {
	t.Helper()
	answer, err := u.Do(within(t), tool(name, params))
	if err != nil {
		t.Fatal(err)
	}
	if answer.Error != nil {
		t.Fatal(answer.Error)
	}
	return string(answer.Result)
}

// fails does one tools/call that must not work.
func fails(t *testing.T, u *Upstream, name string, kind Kind, texts ...string) {
	t.Helper()
	_, err := u.Do(within(t), tool(name, `{"name":"`+name+`"}`))
	checkError(t, err, kind, texts...)
}

func checkError(t *testing.T, err error, kind Kind, texts ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Errorf("error %v, want %q", err, kind)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want one with %q", err, text)
		}
	}
	if strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("error %v holds a secret", err)
	}
}

func TestStdioEras(t *testing.T) {
	for mode, era := range map[string]wire.Era{
		"modern": wire.Modern, "legacy": wire.Legacy,
		"silent": wire.Legacy, // says nothing to server/discover
		"strict": wire.Legacy, // dies of it
		"chatty": wire.Legacy, // prints to standard output
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			u := start(t, spawn(t, mode), Options{ProbeTimeout: 300 * time.Millisecond})
			if got := call(t, u, "hard", `{"name":"hard"}`); got != hard {
				t.Errorf("result %s", got)
			}
			info, err := u.Info(within(t))
			if err != nil || info.Era != era || info.Instructions != "be kind" {
				t.Errorf("info %+v, error %v", info, err)
			}
			got := call(t, u, "params", `{"name":"params","_meta":{"io.modelcontextprotocol/protocolVersion":"x","a":1.0}}`)
			if modern := strings.Contains(got, `"io.modelcontextprotocol/protocolVersion":"2026-07-28"`); modern != (era == wire.Modern) || !strings.Contains(got, `"a":1.0}`) {
				t.Errorf("params %s", got)
			}
			if st := u.State(); !st.Up || st.Err != nil || (st.Restarts > 0) != (mode == "strict") {
				t.Errorf("state %+v", st)
			}
		})
	}
}

// TestStdioSlowStart: a process that answers server/discover after initialize
// was sent as well is of the era in which it answers that.
func TestStdioSlowStart(t *testing.T) {
	for mode, era := range map[string]wire.Era{"slow": wire.Modern, "slow both": wire.Legacy, "slow deaf": wire.Modern} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			u := start(t, spawn(t, mode), Options{ProbeTimeout: 50 * time.Millisecond})
			info, err := u.Info(within(t))
			if err != nil || info.Era != era {
				t.Errorf("info %+v, error %v", info, err)
			}
			if got := call(t, u, "hard", `{"name":"hard"}`); got != hard {
				t.Errorf("result %s", got)
			}
		})
	}
}

// TestStdioEraIsKept from one process to the next, and found again when the next
// is of another.
func TestStdioEraIsKept(t *testing.T) {
	again := make(chan string, 10)
	o := Options{OnChange: func(m string) { again <- m }}
	u := start(t, spawn(t, "legacy"), o)
	for _, want := range []string{
		`["server/discover","initialize","notifications/initialized","tools/call"]`,
		`["initialize","notifications/initialized","tools/call"]`,
	} {
		if got := call(t, u, "seen", `{"name":"seen"}`); got != want {
			t.Errorf("the process was sent %s, want %s", got, want)
		}
		fails(t, u, "die", Unreachable, "exit status 7")
		<-again
	}
	cfg := spawn(t, "flips")
	cfg.Cwd = t.TempDir()
	u = start(t, cfg, o)
	for _, era := range []wire.Era{wire.Legacy, wire.Modern} {
		call(t, u, "hard", `{"name":"hard"}`)
		if info, err := u.Info(within(t)); err != nil || info.Era != era {
			t.Errorf("info %+v, error %v", info, err)
		}
		fails(t, u, "die", Unreachable, "exit status 7")
		<-again
	}
	if st := u.State(); st.Restarts != 2 { // the modern one was not started twice to find out
		t.Errorf("state %+v", st)
	}
}

func TestStdioProgressGoesToItsCall(t *testing.T) {
	changes, loose := make(chan string, 10), make(chan string, 10)
	u := start(t, spawn(t, "modern"), Options{
		OnChange: func(m string) { changes <- m },
		OnNotify: func(m json.RawMessage) { loose <- string(m) },
	})
	const callers = 8
	errs := make(chan error, callers)
	for i := range callers {
		go func() {
			var notes []string
			c := tool("progress", `{"name":"progress","_meta":{"progressToken":"same"}}`)
			c.Notify = func(m json.RawMessage) { notes = append(notes, string(m)) }
			answer, err := u.Do(within(t), c)
			want := []string{
				`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1.0,"progressToken":"same"}}`,
				`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":2.0,"progressToken":"same"}}`,
			}
			if diff := cmp.Diff(want, notes); err == nil && diff != "" {
				err = fmt.Errorf("caller %d: %+v: %s", i, answer, diff)
			}
			errs <- err
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
		if got := <-changes; got != "notifications/prompts/list_changed" {
			t.Errorf("change %s", got)
		}
		if got := <-loose; !strings.Contains(got, "nobody's") {
			t.Errorf("notification %s", got)
		}
	}
}

func TestStdioBadAnswersCostOneCall(t *testing.T) {
	u := start(t, spawn(t, "modern"), Options{MaxMessageBytes: 50_000})
	fails(t, u, "broken", BadAnswer, "duplicate")
	other := make(chan error, 1)
	ctx, cancel := context.WithCancel(within(t))
	begun := make(chan bool, 1)
	go func() {
		c := tool("hang", `{"name":"hang","_meta":{"progressToken":1}}`)
		c.Notify = func(json.RawMessage) { begun <- true }
		_, err := u.Do(ctx, c)
		other <- err
	}()
	<-begun
	fails(t, u, "huge", BadAnswer, "the answer was not kept", "larger than the limit of 50000 bytes")
	cancel()
	if err := <-other; !errors.Is(err, context.Canceled) {
		t.Errorf("another call: error %v", err)
	}
	fails(t, u, "huge, nobody's", BadAnswer, "to this request or another", "larger than the limit of 50000 bytes")
	if got := call(t, u, "hard", `{"name":"hard"}`); got != hard {
		t.Errorf("result %s", got)
	}
	if st := u.State(); !st.Up || st.Restarts != 0 {
		t.Errorf("state %+v", st)
	}
}

func TestStdioAnswersTheServersRequests(t *testing.T) {
	u := start(t, spawn(t, "legacy"), Options{})
	want := `[{"jsonrpc":"2.0","id":"a","result":{}},{"jsonrpc":"2.0","id":"b","error":{"code":-32601,"message":"Method not found: elicitation/create"}}]`
	if got := call(t, u, "ping", `{"name":"ping"}`); got != want {
		t.Errorf("the server got %s", got)
	}
}

func TestStdioCancel(t *testing.T) {
	for _, mode := range []string{"modern", "legacy"} {
		u := start(t, spawn(t, mode), Options{})
		ctx, cancel := context.WithCancel(within(t))
		c := tool("hang", `{"name":"hang","_meta":{"progressToken":1}}`)
		c.Notify = func(json.RawMessage) { cancel() } // it is at work
		if _, err := u.Do(ctx, c); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", mode, err)
		}
		for call(t, u, "cancelled", `{"name":"cancelled"}`) == "[]" { // it is told by another goroutine
			if t.Context().Err() != nil {
				t.Fatal("never told")
			}
		}
		if st := u.State(); !st.Up {
			t.Errorf("%s: state %+v", mode, st)
		}
	}
}

func TestStdioSilenceIsATimeout(t *testing.T) {
	u := start(t, spawn(t, "modern"), Options{Timeout: 200 * time.Millisecond})
	fails(t, u, "hang", Timeout, "no answer within 200ms")
	fails(t, start(t, spawn(t, "mute"), Options{StartTimeout: 300 * time.Millisecond, ProbeTimeout: 50 * time.Millisecond}), "x", Timeout, "no answer within 300ms")
}

// TestStdioPausesGrow between the starts of a process that ends each time.
func TestStdioPausesGrow(t *testing.T) {
	pauses := make(chan time.Duration, 100)
	handler := slog.NewTextHandler(&logText{}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == "in" {
			pause, _ := time.ParseDuration(a.Value.String())
			pauses <- pause
		}
		return a
	}})
	begun := time.Now()
	start(t, spawn(t, "dies"), Options{Logger: slog.New(handler)})
	// Half as much again or half as little is drawn by chance.
	var all time.Duration
	for i, base := range []time.Duration{child.MinPause, 2 * child.MinPause, 4 * child.MinPause} {
		pause := <-pauses
		if pause < base/2 || pause > base*3/2 {
			t.Errorf("pause %d is %s, want about %s", i, pause, base)
		}
		if took := time.Since(begun); took < all {
			t.Errorf("pause %d began after %s, want at least %s", i, took, all)
		}
		all += pause
	}
}

// TestStdioRestart: a call in flight fails and is not sent again; the next one
// goes to the next process.
func TestStdioRestart(t *testing.T) {
	changed := make(chan string, 10)
	u := start(t, spawn(t, "modern"), Options{OnChange: func(m string) { changed <- m }})
	first := call(t, u, "pid", `{"name":"pid"}`)
	fails(t, u, "die", Unreachable, "exit status 7", "whether the request was carried out is not known", `"panic: ***"`)
	if got := <-changed; got != "" {
		t.Errorf("change %q", got)
	}
	if second := call(t, u, "pid", `{"name":"pid"}`); second == first {
		t.Errorf("still process %s", first)
	}
	if st := u.State(); !st.Up || st.Err != nil || st.Restarts != 1 {
		t.Errorf("state %+v", st)
	}
}

func TestStdioThatDoesNotStart(t *testing.T) {
	cfg := spawn(t, "dies")
	u := start(t, cfg, Options{})
	fails(t, u, "x", Unreachable, "exit status 3", `"no token *** given"`)
	cfg.Command = "/no/such/program"
	fails(t, start(t, cfg, Options{}), "x", Unreachable, "no such file")
	cfg.Command = "no-such-program-anywhere"
	fails(t, start(t, cfg, Options{}), "x", Unreachable, "executable file not found")
	cfg = spawn(t, "modern")
	cfg.Cwd = "/no/such/folder"
	fails(t, start(t, cfg, Options{}), "x", Unreachable, "no such file or directory")
}

func TestStdioGarbageIsSaidSo(t *testing.T) {
	log := &logText{}
	u := start(t, spawn(t, "chatty"), Options{Logger: log.logger()})
	call(t, u, "hard", `{"name":"hard"}`)
	fails(t, u, "die", Unreachable, `it wrote to standard output what is no MCP message: "Listening on stdio with ***"`)
	if text := log.String(); !strings.Contains(text, "level=WARN msg=\"upstream wrote to standard output what is no MCP message\"") || strings.Contains(text, "s3cr3t") {
		t.Errorf("log:\n%s", text)
	}
}

func TestStdioEnvironment(t *testing.T) {
	t.Setenv("SALLYPORT_SECRET", "none of its business")
	t.Setenv("TERM", "dumb")
	cfg := spawn(t, "modern")
	cfg.Env["LOG"] = "warn"
	var env []string
	if err := json.Unmarshal([]byte(call(t, start(t, cfg, Options{}), "environment", `{"name":"environment"}`)), &env); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(env, "\n")
	for _, want := range []string{"LOG=warn", "API_TOKEN=s3cr3t-value", "TERM=dumb", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in:\n%s", want, all)
		}
	}
	if strings.Contains(all, "SALLYPORT_SECRET") {
		t.Errorf("secret in:\n%s", all)
	}
}

// gone waits until there is no such process, or only its remains.
func gone(t *testing.T, pid string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			return
		}
		if _, rest, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(rest, "Z") {
			return
		}
	}
	t.Errorf("process %s is still there", pid)
}

func TestStdioStopEndsTheGroup(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc here")
	}
	for _, mode := range []string{"modern", "stubborn"} {
		u, err := New(withName(spawn(t, mode)), &Options{StopTimeout: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- u.Run(ctx) }()
		child, grandchild := call(t, u, "pid", `{"name":"pid"}`), call(t, u, "grandchild", `{"name":"grandchild"}`)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		gone(t, child)
		gone(t, grandchild)
		fails(t, u, "hard", Unreachable, "stopping")
	}
}

// TestStdioDeathEndsTheGroup: what a dead server leaves behind is ended too.
func TestStdioDeathEndsTheGroup(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc here")
	}
	u := start(t, spawn(t, "modern"), Options{})
	grandchild := call(t, u, "grandchild", `{"name":"grandchild"}`)
	var pid int
	_, _ = fmt.Sscan(call(t, u, "pid", `{"name":"pid"}`), &pid)
	victim, err := os.FindProcess(pid)
	if err == nil {
		err = victim.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	gone(t, grandchild)
}

func TestStdioThatClosesItsOutput(t *testing.T) {
	u := start(t, spawn(t, "modern"), Options{StopTimeout: 50 * time.Millisecond})
	fails(t, u, "close", Unreachable, "the process ended")
}

func withName(cfg Config) Config {
	cfg.Name = "up"
	return cfg
}
