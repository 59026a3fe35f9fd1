package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// talk is a client on the other ends of a server's stdin and stdout.
type talk struct {
	in    *io.PipeWriter
	out   *bufio.Reader
	ended chan error
}

func startStdio(t *testing.T, ctx context.Context, o *Options, entries ...Entry) *talk {
	t.Helper()
	s, err := New(entries, o)
	if err != nil {
		t.Fatal(err)
	}
	fromClient, toServer := io.Pipe()
	fromServer, toClient := io.Pipe()
	k := &talk{toServer, bufio.NewReader(fromServer), make(chan error, 1)}
	go func() {
		k.ended <- s.ServeStdio(ctx, fromClient, toClient)
		toClient.Close()
	}()
	t.Cleanup(func() { toServer.Close(); fromServer.Close(); fromClient.Close() })
	return k
}

func (k *talk) say(t *testing.T, lines string) {
	t.Helper()
	if _, err := io.WriteString(k.in, lines); err != nil {
		t.Fatal(err)
	}
}

func (k *talk) hear(t *testing.T, want string) {
	t.Helper()
	line, err := k.out.ReadString('\n')
	if err != nil || !strings.Contains(line, want) {
		t.Fatalf("line %q, error %v, want %s", line, err, want)
	}
}

func TestStdio(t *testing.T) {
	k := startStdio(t, t.Context(), &Options{MaxPayloadBytes: 100}, entry(passes))
	k.say(t, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26"}}`+"\r\n\n")
	k.hear(t, `"protocolVersion":"2025-03-26"`)
	k.say(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n"+hookMessage(`{}`, testContext)+"\n")
	k.hear(t, `"id":1,"result":{"content"`)
	k.say(t, `{"jsonrpc":"2.0","id":"d","method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`+"\n")
	k.hear(t, `"supportedVersions":["2026-07-28"`)
	k.say(t, `{"jsonrpc":"2.0","id":"d","method":"server/discover"}`+"\n")
	k.hear(t, `"error":{"code":-32602`)
	k.say(t, "[{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}]\n")
	k.hear(t, `[{"jsonrpc":"2.0","id":7,"result":{}}]`)
	k.say(t, "nonsense\n")
	k.hear(t, `"id":null,"error":{"code":-32700`)
	k.say(t, strings.Repeat(" ", 2<<20)+"x\n")
	k.hear(t, `is larger than the limit of 1048676 bytes`)
	k.in.Close()
	if err := <-k.ended; err != nil {
		t.Error(err)
	}
}

func TestStdioWithoutAClient(t *testing.T) {
	k := startStdio(t, t.Context(), nil, entry(passes))
	k.in.Close()
	err := <-k.ended
	if err == nil || !strings.Contains(err.Error(), "stdin ended before a first message") {
		t.Fatalf("error %v", err)
	}
	if hints := hint.Of(err); len(hints) != 1 || !strings.Contains(hints[0], "PLUGINS_TRANSPORT=http") {
		t.Errorf("hints %q", hints)
	}
}

// A cancelled call ends at once and gets no answer; others go on beside it.
func TestStdioCancellation(t *testing.T) {
	entered, cancelled := make(chan struct{}), make(chan struct{})
	k := startStdio(t, t.Context(), nil, entry(func(ctx context.Context, _ plugin.Hook, _ json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		close(entered)
		<-ctx.Done()
		close(cancelled)
		return nil, ctx.Err()
	}))
	k.say(t, hookMessage(`{}`, testContext)+"\n")
	<-entered
	k.say(t, `{"jsonrpc":"2.0","id":2,"method":"ping"}`+"\n")
	k.hear(t, `"id":2,"result":{}`)
	k.say(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`+"\n")
	<-cancelled
	k.say(t, `{"jsonrpc":"2.0","id":3,"method":"ping"}`+"\n")
	k.hear(t, `"id":3,"result":{}`)
}

// The end of stdin lets calls in flight finish, and so does that of the context.
func TestStdioDrains(t *testing.T) {
	for _, how := range []string{"stdin", "context"} {
		t.Run(how, func(t *testing.T) {
			entered, release := make(chan struct{}), make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			k := startStdio(t, ctx, nil, entry(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
				close(entered)
				<-release
				return plugin.Continue(), nil
			}))
			k.say(t, hookMessage(`{}`, testContext)+"\n")
			<-entered
			if how == "stdin" {
				k.in.Close()
			} else {
				cancel()
			}
			select {
			case err := <-k.ended:
				t.Fatalf("ended with %v while a call is in flight", err)
			default:
			}
			close(release)
			k.hear(t, `"continue_processing\":true`)
			if err := <-k.ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// blocked is a plugin whose calls do not return before release is closed, and
// counts them.
func blocked(entered *atomic.Int32, release <-chan struct{}) Entry {
	return entry(func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		entered.Add(1)
		<-release
		return plugin.Continue(), nil
	})
}

// numbered is a hook call with an id.
func numbered(id int, payload string) string {
	return strings.Replace(hookMessage(payload, testContext), `"id":1`, fmt.Sprintf(`"id":%d`, id), 1) + "\n"
}

// With as many calls at work as may be, and more that wait, cancellations and
// the end of stdin are seen at once. A call that waits can be cancelled too.
func TestStdioListensWhileItIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var entered, cancelled atomic.Int32
		k := startStdio(t, t.Context(), nil, entry(func(ctx context.Context, _ plugin.Hook, _ json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
			entered.Add(1)
			<-ctx.Done()
			cancelled.Add(1)
			return nil, ctx.Err()
		}))
		for id := range maxConcurrent {
			k.say(t, numbered(id, `{}`))
		}
		synctest.Wait()
		k.say(t, numbered(1000, `{}`)+numbered(1001, `{}`))
		k.say(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1000}}`+"\n")
		k.say(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}`+"\n")
		synctest.Wait()
		if entered.Load() != maxConcurrent+1 || cancelled.Load() != 1 {
			t.Fatalf("%d calls began and %d were cancelled", entered.Load(), cancelled.Load())
		}
		k.in.Close()
		go func() { _, _ = io.Copy(io.Discard, k.out) }()
		select {
		case err := <-k.ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(15 * time.Second): // of the bubble: more than DrainTimeout
			t.Error("the end of stdin is not seen")
		}
	})
}

// When ServeStdio has returned no call begins any more: neither one that has
// waited for others nor one that is sent then.
func TestStdioBeginsNothingAfterItsEnd(t *testing.T) {
	for range 20 { // what is to be seen was a choice at random
		synctest.Test(t, func(t *testing.T) {
			var entered atomic.Int32
			release := make(chan struct{})
			e := blocked(&entered, release)
			e.Timeout = time.Hour
			ctx, cancel := context.WithCancel(t.Context())
			k := startStdio(t, ctx, nil, e)
			for id := range maxConcurrent {
				k.say(t, numbered(id, `{}`))
			}
			k.say(t, numbered(1000, `{}`))
			synctest.Wait()
			cancel()
			if err := <-k.ended; err != nil {
				t.Error(err)
			}
			late := make(chan struct{})
			go func() { defer close(late); _, _ = io.WriteString(k.in, numbered(1001, `{}`)) }()
			synctest.Wait()
			close(release)
			synctest.Wait()
			if n := entered.Load(); n != maxConcurrent {
				t.Errorf("%d calls began, %d of them late", n, n-maxConcurrent)
			}
			k.in.Close()
			<-late
		})
	}
}

// An id is in use until its request has been answered: then a cancellation
// means one call, and an answer too.
func TestStdioRefusesAnIDInUse(t *testing.T) {
	entered, cancelled := make(chan struct{}, 2), make(chan struct{})
	k := startStdio(t, t.Context(), nil, entry(func(ctx context.Context, _ plugin.Hook, _ json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		entered <- struct{}{}
		<-ctx.Done()
		close(cancelled)
		return nil, ctx.Err()
	}))
	k.say(t, numbered(1, `{}`))
	<-entered
	k.say(t, numbered(1, `{}`))
	k.hear(t, `"id":1,"error":{"code":-32600,"message":"Invalid request: the id belongs to a request that has not been answered"}`)
	k.say(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`+"\n")
	<-cancelled
}

// Requests that wait are bounded by their bytes; what is over that is told so.
func TestStdioRefusesMoreThanItHolds(t *testing.T) {
	var entered atomic.Int32
	release := make(chan struct{})
	k := startStdio(t, t.Context(), nil, blocked(&entered, release))
	payload := `{"name":"` + strings.Repeat("x", 999_000) + `"}`
	for id := range 67 {
		k.say(t, numbered(id, payload))
	}
	k.hear(t, `"id":66,"error":{"code":-32603,"message":"too many requests wait for an answer"}`)
	close(release)
	go func() { _, _ = io.Copy(io.Discard, k.out) }()
	k.in.Close()
	if err := <-k.ended; err != nil {
		t.Error(err)
	}
	if n := entered.Load(); n != 66 {
		t.Errorf("%d calls ran", n)
	}
}
