package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// parallel makes n calls at a time and returns their errors.
func parallel(t *testing.T, u *Upstream, n int) []error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { _, errs[i] = u.Do(within(t), tool("a", `{"name":"a"}`)) })
	}
	all.Wait()
	return errs
}

// TestARestartCostsNoCall restarts the server between rounds of calls, with a
// pool of connections that all die and, in the legacy era, a session that is
// lost each time.
func TestARestartCostsNoCall(t *testing.T) {
	done := func(w http.ResponseWriter, r *got) { send(w, r, `{}`) }
	inSession := func(lost func(w http.ResponseWriter, r *got)) *legacy { return &legacy{next: done, lost: lost} }
	for name, l := range map[string]*legacy{
		"modern": nil,
		"legacy": inSession(nil),
		"legacy, 400 in words": inSession(func(w http.ResponseWriter, _ *got) {
			http.Error(w, "Bad Request: No valid session ID provided", http.StatusBadRequest)
		}),
		"legacy, 400 with an error": inSession(func(w http.ResponseWriter, _ *got) {
			sendStatus(w, http.StatusBadRequest, []byte(`{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}`))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			const rounds, callers = 10, 16
			s := &scripted{t: t, answer: modern(done)}
			if l != nil {
				s.answer = l.answer
			}
			srv := newRestartable(t, s)
			u := start(t, Config{URL: "http://" + srv.addr}, Options{})
			for round := range rounds {
				for _, err := range parallel(t, u, callers) {
					if err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
				}
				srv.stop()
				if l != nil {
					l.forget()
				}
				srv.start()
			}
			ran := len(s.asked(wire.MethodToolsCall))
			if l != nil && l.opened != rounds {
				t.Errorf("%d sessions, want one for each of %d rounds", l.opened, rounds)
			}
			if l == nil && ran != rounds*callers {
				t.Errorf("%d calls arrived, want %d", ran, rounds*callers)
			}
			if n := len(s.asked(wire.MethodDiscover)); n != 1 {
				t.Errorf("discovered %d times", n)
			}
		})
	}
}

// TestACallThatMayHaveRunIsNotSentAgain has the server take a call on a reused
// connection and not answer it: the very case in which net/http sends a request
// again if it believes that it may.
func TestACallThatMayHaveRunIsNotSentAgain(t *testing.T) {
	for name, fault := range map[string]func(w http.ResponseWriter, r *got){
		"closed":      func(http.ResponseWriter, *got) { panic(http.ErrAbortHandler) },
		"in a stream": func(w http.ResponseWriter, r *got) { stream(w, r); panic(http.ErrAbortHandler) },
		"500": func(w http.ResponseWriter, _ *got) {
			http.Error(w, "session not found", http.StatusInternalServerError)
		},
		"503": func(w http.ResponseWriter, _ *got) { http.Error(w, "later", http.StatusServiceUnavailable) },
		"429": func(w http.ResponseWriter, _ *got) { http.Error(w, "later", http.StatusTooManyRequests) },
		"403": func(w http.ResponseWriter, _ *got) { http.Error(w, "no", http.StatusForbidden) },
	} {
		for _, era := range []string{"modern", "legacy"} {
			t.Run(name+", "+era, func(t *testing.T) {
				var calls atomic.Int32
				next := func(w http.ResponseWriter, r *got) {
					if r.m.Method == wire.MethodToolsCall && calls.Add(1) == 2 {
						fault(w, r)
						return
					}
					send(w, r, `{}`)
				}
				answer := modern(next)
				if era == "legacy" {
					answer = (&legacy{next: next}).answer
				}
				s, url := serve(t, answer)
				// net/http repeats requests with this header.
				u := start(t, Config{URL: url, Headers: map[string]string{"Idempotency-Key": "1"}}, Options{})
				for i := range 3 {
					if _, err := u.Do(within(t), tool("a", `{"name":"a"}`)); (err != nil) != (i == 1) {
						t.Errorf("call %d: error %v", i, err)
					}
				}
				if n := len(s.asked(wire.MethodToolsCall)); n != 3 {
					t.Errorf("%d calls arrived for 3", n)
				}
			})
		}
	}
}

// TestTheEraIsFoundAgain: a server is replaced by one of the other era.
func TestTheEraIsFoundAgain(t *testing.T) {
	done := func(w http.ResponseWriter, r *got) { send(w, r, `{}`) }
	now, then := modern(done), (&legacy{next: done}).answer
	var swapped atomic.Bool
	var first, second func(http.ResponseWriter, *got)
	s, url := serve(t, func(w http.ResponseWriter, r *got) {
		if swapped.Load() {
			second(w, r)
			return
		}
		first(w, r)
	})
	for i, eras := range [][2]func(http.ResponseWriter, *got){{now, then}, {then, now}} {
		first, second = eras[0], eras[1]
		swapped.Store(false)
		changed := make(chan string, 1)
		u := start(t, Config{URL: url}, Options{OnChange: func(m string) { changed <- m }})
		for range 2 {
			call(t, u, "a", `{"name":"a"}`)
		}
		swapped.Store(true)
		call(t, u, "a", `{"name":"a"}`)
		if got := <-changed; got != "" {
			t.Errorf("change %q", got)
		}
		info, err := u.Info(within(t))
		if err != nil || info.Era == wire.Modern != (i == 1) {
			t.Errorf("info %+v, error %v", info, err)
		}
	}
	if n := len(s.asked(wire.MethodToolsCall)); n != 8 { // 6, and 2 that were refused
		t.Errorf("%d calls arrived", n)
	}
}

func TestRedirectsAreRefused(t *testing.T) {
	other, otherURL := serve(t, modern(func(w http.ResponseWriter, r *got) { send(w, r, `{}`) }))
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := httptest.NewServer(http.RedirectHandler(otherURL+"?token=s3cr3t", status))
		t.Cleanup(srv.Close)
		u := start(t, Config{URL: srv.URL}, Options{})
		_, err := u.Do(within(t), tool("a", `{"name":"a"}`))
		checkError(t, err, BadAnswer, "HTTP 3")
		if hints := strings.Join(hint.Of(err), "\n"); !strings.Contains(hints, "set the url to "+otherURL) || strings.Contains(hints, "s3cr3t") {
			t.Errorf("hints %s", hints)
		}
	}
	if len(other.requests) != 0 {
		t.Errorf("the other server was asked %d times", len(other.requests))
	}
}

// TestCancel: the server learns that nobody waits any more.
func TestCancel(t *testing.T) {
	for _, era := range []string{"modern", "legacy"} {
		t.Run(era, func(t *testing.T) {
			begun, ended := make(chan string, 1), make(chan bool, 1)
			cancelled := make(chan string, 1)
			next := func(w http.ResponseWriter, r *got) {
				stream(w, r, `{"jsonrpc":"2.0","method":"notifications/message"}`)
				begun <- string(r.m.ID)
				<-r.http.Context().Done()
				ended <- true
			}
			answer := modern(next)
			if era == "legacy" {
				sessions := (&legacy{next: next}).answer
				answer = func(w http.ResponseWriter, r *got) {
					if r.m.Method == wire.MethodCancelled {
						cancelled <- string(wire.Member(r.m.Params, "requestId"))
					}
					sessions(w, r)
				}
			}
			_, url := serve(t, answer)
			u := start(t, Config{URL: url}, Options{})
			ctx, cancel := context.WithCancelCause(within(t))
			why := errors.New("the client went away")
			result := make(chan error, 1)
			go func() {
				_, err := u.Do(ctx, tool("a", `{"name":"a"}`))
				result <- err
			}()
			id := <-begun
			cancel(why)
			if err := <-result; !errors.Is(err, why) {
				t.Errorf("error %v", err)
			}
			<-ended
			if era == "legacy" {
				if got := <-cancelled; got != id {
					t.Errorf("cancelled %s, want %s", got, id)
				}
			}
			if st := u.State(); !st.Up {
				t.Errorf("state %+v", st)
			}
		})
	}
}

func TestManyCallersAskForTheEraOnce(t *testing.T) {
	l := &legacy{next: func(w http.ResponseWriter, r *got) { send(w, r, `{}`) }}
	s, url := serve(t, l.answer)
	u := start(t, Config{URL: url}, Options{})
	for _, err := range parallel(t, u, 32) {
		if err != nil {
			t.Error(err)
		}
	}
	if len(s.asked(wire.MethodDiscover)) != 1 || l.opened != 1 {
		t.Errorf("discovered %d times, %d sessions", len(s.asked(wire.MethodDiscover)), l.opened)
	}
}

// TestOneCallerGivingUpDoesNotHarmOthers: the question is asked on behalf of all.
func TestOneCallerGivingUpDoesNotHarmOthers(t *testing.T) {
	asked, goOn := make(chan bool), make(chan bool)
	_, url := serve(t, modern(func(w http.ResponseWriter, r *got) { send(w, r, `{}`) }))
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(wire.HeaderMethod) == wire.MethodDiscover {
			asked <- true
			<-goOn
		}
		forward(t, w, r, url)
	}))
	t.Cleanup(gate.Close)
	u := start(t, Config{URL: gate.URL}, Options{})
	ctx, cancel := context.WithCancel(within(t))
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := u.Info(ctx); first <- err }()
	<-asked
	go func() { _, err := u.Do(within(t), tool("a", `{"name":"a"}`)); second <- err }()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	goOn <- true
	if err := <-second; err != nil {
		t.Error(err)
	}
}

func forward(t *testing.T, w http.ResponseWriter, r *http.Request, url string) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, url, r.Body)
	if err != nil {
		t.Error(err)
		return
	}
	req.Header = r.Header
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	_ = http.NewResponseController(w).Flush()
	buffer := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buffer)
		_, _ = w.Write(buffer[:n])
		if err != nil {
			return
		}
	}
}

func TestStateTellsUpFromDown(t *testing.T) {
	log := &logText{}
	s := &scripted{t: t, answer: modern(func(w http.ResponseWriter, r *got) { send(w, r, `{}`) })}
	srv := newRestartable(t, s)
	u := start(t, Config{URL: "http://" + srv.addr}, Options{Logger: log.logger()})
	if st := u.State(); st != (State{}) {
		t.Errorf("state %+v", st)
	}
	srv.stop()
	for range 2 {
		fails(t, u, "a", Unreachable, "connection refused")
	}
	down := u.State()
	if down.Up || down.Err == nil || down.Since.IsZero() {
		t.Errorf("state %+v", down)
	}
	srv.start()
	call(t, u, "a", `{"name":"a"}`)
	if st := u.State(); !st.Up || st.Err != nil || !st.Since.After(down.Since) {
		t.Errorf("state %+v", st)
	}
	srv.stop()
	fails(t, u, "a", Unreachable, "refused")
	if st := u.State(); st.Up || !strings.Contains(st.Err.Error(), "refused") {
		t.Errorf("state %+v", st)
	}
	if info, err := u.Info(within(t)); err != nil || info.Era != wire.Modern { // it holds while the server is away
		t.Errorf("info %+v, error %v", info, err)
	}
	if text := log.String(); strings.Count(text, "upstream is down") != 2 || strings.Count(text, "upstream is up") != 1 {
		t.Errorf("log:\n%s", text)
	}
}

func TestTheSessionIsEnded(t *testing.T) {
	l := &legacy{next: func(w http.ResponseWriter, r *got) { send(w, r, `{}`) }}
	s, url := serve(t, l.answer)
	u, err := New(Config{Name: "up", URL: url}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	call(t, u, "a", `{"name":"a"}`)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if end := s.asked(http.MethodDelete); len(end) != 1 || end[0].http.Header.Get(wire.HeaderSession) != "session-1" {
		t.Errorf("%d DELETE", len(end))
	}
	fails(t, u, "a", Unreachable, "stopping")
}

func TestNotify(t *testing.T) {
	l := &legacy{}
	s, url := serve(t, l.answer)
	u := start(t, Config{URL: url}, Options{})
	if err := u.Notify(within(t), "notifications/x", json.RawMessage(`{"a":1.0}`)); err != nil {
		t.Error(err)
	}
	if n := s.asked("notifications/x"); len(n) != 1 || string(n[0].body) != `{"jsonrpc":"2.0","method":"notifications/x","params":{"a":1.0}}` {
		t.Errorf("%d arrived", len(n))
	}
	s, url = serve(t, modern(nil))
	u = start(t, Config{URL: url}, Options{})
	if err := u.Notify(within(t), "notifications/x", nil); err != nil || len(s.asked("notifications/x")) != 0 {
		t.Errorf("error %v", err)
	}
}
