package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/builtin"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// catastrophes are patterns that only backtracking can search for, and texts on
// which that never ends.
var catastrophes = []struct{ name, pattern, text string }{
	{"nested plus before a look-ahead", `(a+)+(?=b)$`, strings.Repeat("a", 60) + "!b"},
	{"overlapping branches", `(a|aa)+(?!a)$`, strings.Repeat("a", 60) + "!"},
	{"an optional branch and a look-behind", `(a|a?)+(?<!c)$`, strings.Repeat("a", 60) + "!"},
	{"a back-reference into a look-ahead", `(?=(a+))\1b`, "b" + strings.Repeat("a", 200_000)},
	{"a look-ahead to the end", `(?=((a+)+b))\1`, "b" + strings.Repeat("a", 60)},
	{"nested plus and a back-reference", `((a+)+)\2b`, "b" + strings.Repeat("a", 60)},
	{"words after a look-behind", `(?<=x)(\w+\s?)+$`, "x" + strings.Repeat("word ", 20) + "!"},
	{"a conditional", `(a+)?(?(1)(b|bb)+)$`, "a" + strings.Repeat("b", 60) + "!"},
	{"a named back-reference in any case", `(?i)(?P<q>A+)+(?P=q)+!(?=x)`, "!" + strings.Repeat("a", 60)},
	{"nested stars, which may be empty", `(a*)*$`, strings.Repeat("a", 60) + "!"},
}

// busy is how often a search may be over before other calls that it did not hold
// up: a busy machine may leave them no second in which they run.
const busy = 10

// watched tells when a call of a long text comes to its plugin and leaves it.
type watched struct {
	plugin.Plugin
	entered, left chan struct{}
}

func (w *watched) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	if len(payload) < 80 {
		return w.Plugin.Invoke(ctx, hook, payload, c)
	}
	w.entered <- struct{}{}
	defer func() { w.left <- struct{}{} }()
	return w.Plugin.Invoke(ctx, hook, payload, c)
}

// searching is a search_replace with one pattern.
func searching(t *testing.T, name, pattern string) (Entry, *watched) {
	t.Helper()
	for _, k := range builtin.Kinds() {
		if k.Name != "search_replace" {
			continue
		}
		config, err := json.Marshal(map[string]any{"words": []any{map[string]string{"search": pattern, "replace": "-"}}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := k.New(plugin.Config{Name: name, Raw: config, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		w := &watched{p, make(chan struct{}, 1), make(chan struct{}, 1)}
		return Entry{Name: name, Kind: k.Name, Priority: 100, Plugin: w}, w
	}
	t.Fatal("no search_replace")
	return Entry{}, nil
}

// startSecure serves entries behind mutual TLS and gives clients of them.
func startSecure(t *testing.T, entries ...Entry) (client func(t *testing.T, name string) *remote.Plugin) {
	t.Helper()
	dir, ca := t.TempDir(), pkitest.NewCA(t)
	bundle := ca.Write(t, dir)
	certFile, keyFile := ca.Plugin(t, "P").Write(t, dir, "server")
	security, err := mtls.NewServer(mtls.ServerConfig{CertFile: certFile, KeyFile: keyFile, CABundle: bundle, ClientAuth: mtls.CertRequired}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(entries, nil)
	if err != nil {
		t.Fatal(err)
	}
	inner := listenLoopback(t)
	_, port, err := net.SplitHostPort(inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, security.Listen(inner)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	certFile, keyFile = ca.Gateway(t).Write(t, dir, "gateway")
	return func(t *testing.T, name string) *remote.Plugin {
		t.Helper()
		trust, err := mtls.NewClient(mtls.ClientConfig{
			CertFile: certFile, KeyFile: keyFile, CABundle: bundle, Verify: true, CheckHostname: true, Plugin: name, Identity: "P",
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := remote.New(remote.Config{Name: name, URL: "https://localhost:" + port + "/mcp", TLS: trust}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		return p
	}
}

func textPayload(text string) json.RawMessage {
	payload, _ := json.Marshal(map[string]any{"name": "t", "args": map[string]string{"text": text}})
	return payload
}

// A call whose pattern explodes is answered with an error; calls of the same
// plugin and of another on the same server go on meanwhile and end first; and
// after the answer nothing searches any longer.
func TestCatastrophicPatternsOverMutualTLS(t *testing.T) {
	entries := []Entry{{Name: "Other", Kind: "fake", Priority: 100, Plugin: &fakePlugin{[]plugin.Hook{plugin.ToolPreInvoke}, passes}}}
	watches := make([]*watched, len(catastrophes))
	for i, tt := range catastrophes {
		e, w := searching(t, fmt.Sprintf("P%d", i), tt.pattern)
		entries, watches[i] = append(entries, e), w
	}
	client := startSecure(t, entries...)
	t.Run("one by one", func(t *testing.T) {
		for i, tt := range catastrophes {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				same, other := client(t, fmt.Sprintf("P%d", i)), client(t, "Other")
				explode := func() (first bool, err error) {
					exploded := make(chan error, 1)
					go func() {
						_, err := same.Invoke(context.Background(), plugin.ToolPreInvoke, textPayload(tt.text), &plugin.Context{})
						exploded <- err
					}()
					<-watches[i].entered
					for _, p := range []*remote.Plugin{same, other, same} {
						if _, err := p.Invoke(t.Context(), plugin.ToolPreInvoke, textPayload("-"), &plugin.Context{}); err != nil {
							t.Errorf("another call: %v", err)
						}
					}
					first = len(exploded) > 0
					err = <-exploded
					<-watches[i].left
					return first, err
				}
				first, err := explode()
				for try := 1; first && try < busy; try++ {
					first, err = explode()
				}
				if first {
					t.Fatalf("it was over before the others: %v", err)
				}
				if e, ok := errors.AsType[*plugin.Error](err); !ok || e.Code != "search_limit" || strings.Contains(e.Message, tt.text[:10]) {
					t.Errorf("got %.300v, want a search_limit that does not tell the text", err)
				}
			})
		}
	})
	if searches() {
		t.Error("something still searches")
	}
}

// A search ends too when its caller has gone.
func TestASearchEndsAfterItsCallerHasGone(t *testing.T) {
	tt := catastrophes[0]
	e, w := searching(t, "P", tt.pattern)
	p := startSecure(t, e)(t, "P")
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := p.Invoke(ctx, plugin.ToolPreInvoke, textPayload(tt.text), &plugin.Context{})
		gone <- err
	}()
	<-w.entered
	for !searches() {
		runtime.Gosched()
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-w.left
	if searches() {
		t.Error("something still searches")
	}
}

// searches reports whether a goroutine is in a search.
func searches() bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "regexp2/v2.(*Runner)")
}
