//go:build linux

package soak

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// callLimit is how long a client waits for the gateway.
const callLimit = 20 * time.Second

// calls makes tool calls, each with a number of its own.
type calls struct {
	t      *testing.T
	client *http.Client
	last   atomic.Int64
}

func newCalls(t *testing.T) *calls {
	return &calls{t: t, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 1000},
		Timeout:   callLimit,
	}}
}

// call is one and what came of it.
type call struct {
	n          int64
	begun, end time.Time
	failed     string // what the gateway's error says
	broken     string // what was no answer of a gateway, or a wrong one
}

// make makes a call at addr.
func (c *calls) make(addr string) *call {
	one := &call{n: c.last.Add(1), begun: time.Now()}
	one.failed, one.broken = c.ask(addr, one.n)
	one.end = time.Now()
	return one
}

func (c *calls) ask(addr string, n int64) (failed, broken string) {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",`+
		`"io.modelcontextprotocol/clientCapabilities":{}},"name":"work","arguments":{"call":%d,"text":"%s"}}}`, n, n, raw)
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://"+addr+"/mcp", strings.NewReader(body))
	if err != nil {
		return "", err.Error()
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "work",
	} {
		req.Header.Set(name, value)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return "", err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err.Error()
	}
	var m struct {
		ID     int64
		Error  struct{ Message string }
		Result struct{ Content []struct{ Text string } }
	}
	switch err := json.Unmarshal(text, &m); {
	case err != nil || resp.StatusCode != http.StatusOK || m.ID != n:
		return "", fmt.Sprintf("HTTP %d: %s", resp.StatusCode, text)
	case m.Error.Message != "":
		return m.Error.Message, ""
	case len(m.Result.Content) != 1 || m.Result.Content[0].Text != fmt.Sprintf("call %d in %s", n, guarded):
		return "", "wrong answer: " + string(text)
	}
	return "", ""
}

// one makes a call that has to pass.
func (c *calls) one(addr string) {
	c.t.Helper()
	if one := c.make(addr); one.failed != "" || one.broken != "" {
		c.t.Fatalf("a call with everything up: %s%s", one.failed, one.broken)
	}
}

// load makes calls at a steady rate, whether or not the ones before have ended.
type load struct {
	rig   *rig
	begun time.Time
	took  time.Duration
	quit  chan struct{}
	done  chan struct{}

	mu   sync.Mutex
	made []*call
}

func (r *rig) startLoad(addr string, perSecond int) *load {
	l := &load{rig: r, begun: time.Now(), quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		var flying sync.WaitGroup
		defer flying.Wait()
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for {
			select {
			case <-l.quit:
				return
			case <-tick.C:
			}
			flying.Go(func() {
				one := r.make(addr)
				l.mu.Lock()
				defer l.mu.Unlock()
				l.made = append(l.made, one)
			})
		}
	}()
	return l
}

// during lets the load go on for d.
func (l *load) during(d time.Duration) {
	select {
	case <-time.After(d):
	case <-l.rig.t.Context().Done():
	}
}

// stop waits for the last call.
func (l *load) stop() {
	l.took = time.Since(l.begun)
	close(l.quit)
	<-l.done
}
