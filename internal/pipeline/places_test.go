package pipeline_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

// Every rule of the plugin protocol that a pipeline keeps is tested twice: with
// plugins in this process, and with the same plugins on a plugin server behind
// mutual TLS. A test is named after its rule.

// custom is a hook that only the plugins here know.
const custom plugin.Hook = "custom_hook"

// does is a plugin made of one function; it has all hooks, and a custom one.
type does func(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error)

func (does) Hooks() []plugin.Hook { return append(plugin.Hooks(), custom) }

func (f does) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	return f(ctx, hook, payload, c)
}

// place says where the plugins of a test run.
type place struct {
	name string
	put  func(t *testing.T, entries []pipeline.Entry) []pipeline.Entry
}

var places = []place{
	{"in process", func(_ *testing.T, entries []pipeline.Entry) []pipeline.Entry { return entries }},
	{"remote", putRemote},
}

// everywhere runs a test in each place.
func everywhere(t *testing.T, test func(t *testing.T, at place)) {
	t.Helper()
	for _, at := range places {
		t.Run(at.name, func(t *testing.T) { test(t, at) })
	}
}

// serve starts a plugin server called S for entries, at addr if that is not
// empty.
func serve(t *testing.T, ca *pkitest.CA, addr string, entries ...server.Entry) (at string, stop func()) {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	secure := tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{ca.Plugin(t, "S").TLS()}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	})
	s, err := server.New(entries, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, secure) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// connect returns the client of one plugin of server S. Of an entry that is to
// time out soon the time limit is the pipeline's alone, so that a test may have
// the plugin known before it counts.
func connect(t *testing.T, ca *pkitest.CA, addr string, e pipeline.Entry, log *slog.Logger) *remote.Plugin {
	t.Helper()
	dir := t.TempDir()
	cert, key := ca.Gateway(t).Write(t, dir, "gateway")
	client, err := mtls.NewClient(mtls.ClientConfig{
		CertFile: cert, KeyFile: key, CABundle: ca.Write(t, dir), Verify: true, Plugin: e.Name, Identity: "S",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	timeout := e.Timeout
	if timeout <= soon {
		timeout = 0
	}
	p, err := remote.New(remote.Config{Name: e.Name, URL: "https://" + addr + "/mcp", TLS: client, Timeout: timeout, Hooks: e.Hooks}, &remote.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// putRemote serves the plugins of entries and puts their clients in their place.
func putRemote(t *testing.T, entries []pipeline.Entry) []pipeline.Entry {
	t.Helper()
	ca := pkitest.NewCA(t)
	var served []server.Entry
	for _, e := range entries {
		served = append(served, server.Entry{Name: e.Name, Kind: "test", Priority: 100, Plugin: e.Plugin})
	}
	addr, _ := serve(t, ca, "", served...)
	for i, e := range entries {
		p := connect(t, ca, addr, e, nil)
		entries[i].Plugin = p
		if e.Timeout == 0 || e.Timeout > soon || e.Mode == pipeline.Disabled {
			continue
		}
		// A handshake under load may well take longer than that.
		if _, err := p.Discover(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return entries
}

// made is a pipeline and what it logs.
type made struct {
	*pipeline.Pipeline
	log *lines
}

// make makes the pipeline of entries with their plugins at place. Names are P1,
// P2, … unless they have one.
func (at place) make(t *testing.T, o *pipeline.Options, entries ...pipeline.Entry) made {
	t.Helper()
	for i := range entries {
		if entries[i].Name == "" {
			entries[i].Name = "P" + string(rune('1'+i))
		}
	}
	if o == nil {
		o = &pipeline.Options{}
	}
	log := &lines{}
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	p, err := pipeline.New(at.put(t, entries), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before the plugins are closed
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return made{p, log}
}

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// has reports whether a line has all the words.
func (l *lines) has(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return true
		}
	}
	return false
}

// request is one that a gateway might have.
func request() *pipeline.Request {
	return &pipeline.Request{Global: plugin.GlobalContext{RequestID: "r1"}}
}

const (
	given   = `{"name":"t","args":{"a":"was"}}`
	changed = `{"name":"t","args":{"a":"changed"}}`
)

// The behaviours that rules are about.
var behaviours = map[string]does{
	"pass": func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		return plugin.Continue(), nil
	},
	"change": answers(changed),
	"refuse": func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		return plugin.Refuse(&plugin.Violation{Reason: "Not allowed", Code: "no", Description: "not this"}), nil
	},
	"fail": func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		return nil, &plugin.Error{Message: "boom", Code: "broken"}
	},
	"hang": func(ctx context.Context, _ plugin.Hook, _ json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	},
}

func answers(modified string) does {
	return func(context.Context, plugin.Hook, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
		return plugin.Modified(json.RawMessage(modified))
	}
}

// run runs tool_pre_invoke on given.
func (m made) run(t *testing.T) *pipeline.Outcome {
	t.Helper()
	return m.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), request())
}

// describe puts an outcome into words: what each plugin said, and the payload
// unless the request was refused.
func describe(out *pipeline.Outcome) string {
	var words []string
	for _, v := range out.Verdicts {
		words = append(words, v.Said)
	}
	if out.Refusal == nil {
		words = append(words, string(out.Payload))
	}
	return strings.Join(words, " ")
}

func (l *lines) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

func logger(l *lines) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
