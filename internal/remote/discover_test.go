package remote

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/report"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// configured is the config of plugin P with hooks, which is JSON.
func configured(hooks string) string { return `{"name":"P","hooks":` + hooks + `}` }

// say changes what the server says of its plugin.
func (f *fake) say(config string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.config = config
}

func wantHooks(t *testing.T, p *Plugin, want ...plugin.Hook) {
	t.Helper()
	got, err := p.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Hooks); diff != "" {
		t.Fatalf("hooks (-want +got):\n%s", diff)
	}
}

func wantUnknown(t *testing.T, p *Plugin, kind Kind, text string) []string {
	t.Helper()
	known, err := p.Discover(t.Context())
	if err == nil {
		t.Fatalf("the plugin is known, with %+v", known)
	}
	wantKind(t, err, kind, text)
	return hint.Of(err)
}

func TestWhenAPluginIsKnown(t *testing.T) {
	const pre, post = plugin.ToolPreInvoke, plugin.ToolPostInvoke
	for name, tt := range map[string]struct {
		config string
		entry  []plugin.Hook
		want   []plugin.Hook
		kind   Kind
		text   string
		hint   string
	}{
		"the server's hooks":        {config: configured(`["tool_pre_invoke","tool_post_invoke"]`), want: []plugin.Hook{pre, post}},
		"the entry's among them":    {config: configured(`["tool_pre_invoke","tool_post_invoke"]`), entry: []plugin.Hook{post}, want: []plugin.Hook{post}},
		"a custom hook":             {config: configured(`["mine"]`), want: []plugin.Hook{"mine"}},
		"no hooks":                  {config: configured(`[]`), want: []plugin.Hook{}},
		"not told":                  {config: configured(`null`), want: plugin.Hooks()},
		"not told, but the entry":   {config: configured(`null`), entry: []plugin.Hook{"mine"}, want: []plugin.Hook{"mine"}},
		"a typo in the entry":       {config: configured(`["tool_pre_invoke"]`), entry: []plugin.Hook{"tool_pre_invok"}, kind: NotDeclared, text: `"tool_pre_invok", which the server does not report; the nearest that it reports is "tool_pre_invoke"`, hint: "reports: tool_pre_invoke"},
		"another hook in the entry": {config: configured(`["tool_pre_invoke"]`), entry: []plugin.Hook{pre, "zzz"}, kind: NotDeclared, text: `lists the hook "zzz"`},
		"disabled":                  {config: `{"name":"P","hooks":["tool_pre_invoke"],"mode":"disabled"}`, kind: NotDeclared, text: "disabled"},
		"empty":                     {config: `{}`, kind: NotDeclared},
		"null":                      {config: `null`, kind: NotDeclared},
		"garbage":                   {config: `hello`, kind: BadAnswer},
		"hooks that are none":       {config: configured(`[1]`), kind: BadAnswer},
		"another plugin":            {config: `{"name":"Q","hooks":["tool_pre_invoke"]}`, kind: BadAnswer},
		"its name in another case":  {config: `{"name":"p","hooks":["tool_pre_invoke"]}`, kind: NotDeclared},
	} {
		for era, make := range bothEras() {
			t.Run(name+", "+era, func(t *testing.T) {
				h, f := make()
				f.say(tt.config)
				p := client(t, serve(t, h).URL, func(c *Config, _ *Options) { c.Hooks = tt.entry })
				if tt.kind == "" {
					wantHooks(t, p, tt.want...)
					return
				}
				if hints := strings.Join(wantUnknown(t, p, tt.kind, tt.text), "\n"); !strings.Contains(hints, tt.hint) {
					t.Errorf("hints %q, want %q", hints, tt.hint)
				}
				f.say(configured(`["tool_pre_invoke","tool_pre_invok","zzz"]`)) // what was not known is asked again at once
				if _, err := p.Discover(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func bothEras() map[string]func() (http.Handler, *fake) {
	return map[string]func() (http.Handler, *fake){
		"modern": func() (http.Handler, *fake) { f := &fake{}; return f, f },
		"legacy": func() (http.Handler, *fake) { s := &python{}; return s, &s.fake },
	}
}

// TestAnotherServerInItsPlace replaces the server by one with other hooks while
// nothing but idle connections lead to it.
func TestAnotherServerInItsPlace(t *testing.T) {
	for era, make := range bothEras() {
		t.Run(era, func(t *testing.T) {
			var logged bytes.Buffer
			h, f := make()
			f.say(configured(`["tool_pre_invoke","tool_post_invoke"]`))
			srv := newRestartable(t, h)
			p := client(t, srv.url(), func(_ *Config, o *Options) { o.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
			wantHooks(t, p, plugin.ToolPreInvoke, plugin.ToolPostInvoke)
			for _, err := range parallel(t, p, 8) { // more idle connections
				if err != nil {
					t.Fatal(err)
				}
			}
			asked := f.count(toolConfig)
			wantHooks(t, p, plugin.ToolPreInvoke, plugin.ToolPostInvoke)
			if n := f.count(toolConfig) - asked; n != 0 {
				t.Errorf("asked %d times although nothing had changed", n)
			}
			srv.stop()
			other, g := make()
			g.say(configured(`["prompt_pre_fetch","tool_post_invoke"]`))
			srv.handler = other
			srv.start()
			wantHooks(t, p, plugin.PromptPreFetch, plugin.ToolPostInvoke)
			asked = g.count(toolConfig)
			wantHooks(t, p, plugin.PromptPreFetch, plugin.ToolPostInvoke)
			if n := g.count(toolConfig) - asked; n != 0 {
				t.Errorf("asked %d times more for one restart", n)
			}
			if text := logged.String(); !strings.Contains(text, `level=WARN msg="plugin server no longer has hooks of the plugin"`) || !strings.Contains(text, "gone=[tool_pre_invoke]") {
				t.Errorf("the hook that is gone is not warned of:\n%s", text)
			}
		})
	}
}

// idle has n idle connections lead to the server.
func idle(t *testing.T, p *Plugin, n int) []*conn {
	t.Helper()
	conns := make([]*conn, n)
	for i := range conns {
		var err error
		if conns[i], err = p.transport.get(t.Context(), time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range conns {
		p.transport.put(c, true, false)
	}
	return conns
}

// TestOneClosedConnectionIsEnough: others stay open, and still the server is
// asked again, once.
func TestOneClosedConnectionIsEnough(t *testing.T) {
	f := &fake{}
	p := client(t, serve(t, f).URL)
	wantHooks(t, p, plugin.ToolPreInvoke)
	conns := idle(t, p, 4)
	f.say(configured(`["tool_post_invoke"]`))
	wantHooks(t, p, plugin.ToolPreInvoke)
	// The socket reads its end, as if the server had closed it.
	if err := conns[1].Conn.(*net.TCPConn).CloseRead(); err != nil {
		t.Fatal(err)
	}
	wantHooks(t, p, plugin.ToolPostInvoke)
	f.say(configured(`["mine"]`))
	wantHooks(t, p, plugin.ToolPostInvoke)
	if n := len(p.transport.idle); n != 3 {
		t.Errorf("%d connections are left of 4", n)
	}
}

// TestTheLastAnswerHoldsWhileTheServerIsDown, and not longer.
func TestTheLastAnswerHoldsWhileTheServerIsDown(t *testing.T) {
	for era, make := range bothEras() {
		t.Run(era, func(t *testing.T) {
			h, f := make()
			srv := newRestartable(t, h)
			p := client(t, srv.url())
			srv.stop()
			wantUnknown(t, p, Unreachable, "refused")
			srv.start()
			wantHooks(t, p, plugin.ToolPreInvoke)
			srv.stop()
			wantHooks(t, p, plugin.ToolPreInvoke)
			wantHooks(t, p, plugin.ToolPreInvoke)
			_, err := invoke(t, p, `{}`)
			wantKind(t, err, Unreachable, "")
			f.say(configured(`["tool_post_invoke"]`))
			srv.start()
			wantHooks(t, p, plugin.ToolPostInvoke)
			f.say(`{}`)
			srv.stop()
			srv.start()
			wantUnknown(t, p, NotDeclared, "")
			srv.stop()
			wantUnknown(t, p, Unreachable, "refused") // what holds is what it said last
		})
	}
}

// TestAfterABrokenCallTheServerIsAsked: the connection of a call in flight
// counts like an idle one.
func TestAfterABrokenCallTheServerIsAsked(t *testing.T) {
	f := &fake{}
	var breaks atomic.Bool
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(wire.HeaderName) == toolInvoke && breaks.Load() {
			panic(http.ErrAbortHandler)
		}
		f.ServeHTTP(w, r)
	}))
	p := client(t, srv.URL)
	wantHooks(t, p, plugin.ToolPreInvoke)
	idle(t, p, 2)
	breaks.Store(true)
	if _, err := invoke(t, p, `{}`); err == nil {
		t.Fatal("the call did not break")
	}
	f.say(configured(`["tool_post_invoke"]`))
	wantHooks(t, p, plugin.ToolPostInvoke)
}

// TestAfterARefusedConnectionTheServerIsAsked, although others are open.
func TestAfterARefusedConnectionTheServerIsAsked(t *testing.T) {
	f := &fake{}
	p := client(t, serve(t, f).URL)
	wantHooks(t, p, plugin.ToolPreInvoke)
	busy, err := p.transport.get(t.Context(), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	dial := p.transport.dial
	p.transport.dial = func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
	if _, err := invoke(t, p, `{}`); err == nil {
		t.Fatal("the call found a connection")
	}
	p.transport.put(busy, true, false)
	p.transport.dial = dial
	f.say(configured(`["tool_post_invoke"]`))
	wantHooks(t, p, plugin.ToolPostInvoke)
}

func TestTheHealthInterval(t *testing.T) {
	for name, tt := range map[string]struct{ set, is time.Duration }{"default": {0, time.Minute}, "set": {10 * time.Second, 10 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			p := client(t, serve(t, f).URL, func(c *Config, _ *Options) { c.HealthInterval = tt.set })
			clock := time.Now()
			p.knows.now = func() time.Time { return clock }
			wantHooks(t, p, plugin.ToolPreInvoke)
			f.say(configured(`["tool_post_invoke"]`))
			clock = clock.Add(tt.is - 1)
			wantHooks(t, p, plugin.ToolPreInvoke)
			clock = clock.Add(1)
			wantHooks(t, p, plugin.ToolPostInvoke)
			f.say(configured(`[]`))
			clock = clock.Add(tt.is - 1)
			wantHooks(t, p, plugin.ToolPostInvoke)
		})
	}
}

// TestWithoutAConnectionTheServerIsAsked: those that we closed ourselves would
// have been the ones to tell that the server has gone.
func TestWithoutAConnectionTheServerIsAsked(t *testing.T) {
	f := &fake{}
	srv := serve(t, f)
	p := client(t, srv.URL)
	wantHooks(t, p, plugin.ToolPreInvoke)
	idle(t, p, 3)
	srv.CloseClientConnections() // those are not counted any more, either
	wantHooks(t, p, plugin.ToolPreInvoke)
	p.transport.mu.Lock()
	for _, c := range p.transport.idle {
		c.since = c.since.Add(-keepIdle)
	}
	p.transport.mu.Unlock()
	p.transport.expire()
	f.say(configured(`["tool_post_invoke"]`))
	wantHooks(t, p, plugin.ToolPostInvoke)
}

// TestAServerThatClosesAfterEachAnswer is asked before each call, and no call
// waits for ever.
func TestAServerThatClosesAfterEachAnswer(t *testing.T) {
	f := &fake{}
	p := client(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		f.ServeHTTP(w, r)
	})).URL)
	for _, hook := range []string{"tool_pre_invoke", "tool_post_invoke", "mine"} {
		f.say(configured(`["` + hook + `"]`))
		wantHooks(t, p, plugin.Hook(hook))
	}
}

// discoverAll has n callers ask at a time.
func discoverAll(t *testing.T, p *Plugin, n int) []error {
	t.Helper()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { _, errs[i] = p.Discover(t.Context()) })
	}
	all.Wait()
	return errs
}

// TestNoStampede: many callers ask one question, also of a server that is not
// there.
func TestNoStampede(t *testing.T) {
	f := &fake{}
	srv := newRestartable(t, f)
	p := client(t, srv.url())
	var dials, now, most atomic.Int32
	dial := p.transport.dial
	p.transport.dial = func(ctx context.Context) (net.Conn, error) {
		dials.Add(1)
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		return dial(ctx)
	}
	for _, err := range discoverAll(t, p, 32) {
		if err != nil {
			t.Error(err)
		}
	}
	if n := f.count(toolConfig); n > 3 { // the era, the hooks, and the hooks for who came between
		t.Errorf("asked %d times for 32 callers", n)
	}
	srv.stop()
	dials.Store(0)
	for _, err := range discoverAll(t, p, 32) {
		if err != nil {
			t.Error(err) // known: the last answer holds
		}
	}
	if most.Load() > 1 || dials.Load() > 32 {
		t.Errorf("%d dials, %d at a time, for 32 callers and a server that is down", dials.Load(), most.Load())
	}
}

// TestAQuestionFromBeforeIsNotEnough: who has a reason to ask does not take the
// answer to a question that was asked before there was one.
func TestAQuestionFromBeforeIsNotEnough(t *testing.T) {
	f := &fake{}
	entered, release := make(chan struct{}), make(chan struct{})
	var hold atomic.Bool
	p := client(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hold.CompareAndSwap(true, false) {
			recorded := &bufferedAnswer{ResponseWriter: w}
			f.ServeHTTP(recorded, r) // answers what is true now, but later
			close(entered)
			<-release
			_, _ = w.Write(recorded.Bytes())
			return
		}
		f.ServeHTTP(w, r)
	})).URL)
	wantHooks(t, p, plugin.ToolPreInvoke)
	hold.Store(true)
	p.transport.lost(0)
	first := make(chan []plugin.Hook, 1)
	go func() {
		known, _ := p.Discover(t.Context())
		first <- known.Hooks
	}()
	<-entered
	f.say(configured(`["tool_post_invoke"]`))
	p.transport.lost(0) // the server was replaced while it was answering
	second := make(chan []plugin.Hook, 1)
	go func() {
		known, _ := p.Discover(t.Context())
		second <- known.Hooks
	}()
	close(release)
	if got := <-second; len(got) != 1 || got[0] != plugin.ToolPostInvoke {
		t.Errorf("who asked after the change was told %v", got)
	}
	if got := <-first; len(got) != 1 || got[0] != plugin.ToolPreInvoke {
		t.Errorf("who asked before the change was told %v", got)
	}
	wantHooks(t, p, plugin.ToolPostInvoke)
}

type bufferedAnswer struct {
	http.ResponseWriter
	bytes.Buffer
}

func (b *bufferedAnswer) Write(p []byte) (int, error) { return b.Buffer.Write(p) }

// TestASilentServerIsDown: when the plugin is known, calls wait for the server
// only so long, and not each of them.
func TestASilentServerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{Name: "P", URL: "http://h/mcp", Timeout: 30 * time.Second}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.transport.dial = func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		discover := func() (time.Duration, error) {
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := p.Discover(ctx)
			return time.Since(began), err
		}
		if took, err := discover(); took != 20*time.Second {
			t.Errorf("the caller's deadline is 20s, and it took %s: %v", took, err)
		} else {
			wantKind(t, err, Timeout, "")
		}
		time.Sleep(time.Minute) //nolint:forbidigo // in a bubble
		p.knows.last.Store(&reading{report: &report.Report{Hooks: plugin.Hooks()}})
		if took, err := discover(); took != patience || err != nil {
			t.Errorf("the first call waited %s: %v", took, err)
		}
		if took, err := discover(); took != 0 || err != nil {
			t.Errorf("the next call waited %s: %v", took, err)
		}
		_ = p.Close()
	})
}

// TestWhoGivesUpDoesNotSpoilTheAnswer: the question goes on for the others.
func TestWhoGivesUpDoesNotSpoilTheAnswer(t *testing.T) {
	f := &fake{}
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p := client(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(entered); <-release })
		f.ServeHTTP(w, r)
	})).URL)
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := p.Discover(ctx)
		gaveUp <- err
	}()
	<-entered
	cancel()
	if err := <-gaveUp; err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("error is %v", err)
	}
	close(release)
	wantHooks(t, p, plugin.ToolPreInvoke)
}

// TestAnotherPluginsServerIsNotKnown: the server comes back with another
// plugin's certificate. It is not down, and what was known no longer holds.
func TestAnotherPluginsServerIsNotKnown(t *testing.T) {
	d := deploy(t)
	p := d.client(d.ca.Gateway(t))
	wantHooks(t, p, plugin.ToolPreInvoke)
	d.end()
	wantHooks(t, p, plugin.ToolPreInvoke)
	good, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	own, other := strings.Split(string(good), "\n"), t.TempDir()
	cert, key := d.ca.Plugin(t, "Q").Write(t, other, "server")
	own[2] = "  tls: {certfile: " + cert + ", keyfile: " + key + ", ca_bundle: " + d.dir + "/ca.crt}"
	if err := os.WriteFile(d.config, []byte(strings.Join(own, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start()
	wantUnknown(t, p, Identity, "'Q'")
	d.end()
	wantUnknown(t, p, Unreachable, "")
	if err := os.WriteFile(d.config, good, 0o600); err != nil {
		t.Fatal(err)
	}
	d.start()
	wantHooks(t, p, plugin.ToolPreInvoke)
}

func TestADisabledPluginIsWarnedOfOnce(t *testing.T) {
	var logged bytes.Buffer
	f := &fake{config: `{"name":"P","mode":"disabled"}`}
	p := client(t, serve(t, f).URL, func(_ *Config, o *Options) { o.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
	for range 3 {
		wantUnknown(t, p, NotDeclared, "the server has this plugin disabled")
	}
	if n := strings.Count(logged.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, logged.String())
	}
}

func BenchmarkDiscoverKnown(b *testing.B) {
	srv := httptest.NewServer(&fake{})
	defer srv.Close()
	p, err := New(Config{Name: "P", URL: srv.URL + "/mcp"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() { _, _ = p.Describe(b.Context()) })
	}
	all.Wait()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Discover(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(p.transport.idle)), "idle-conns")
}
