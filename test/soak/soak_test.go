//go:build linux

// Package soak keeps the gateway under a steady load of tool calls while the
// plugin server and the upstream are killed, stopped and started again. Calls
// may fail only while something is down, each with the true reason and in time;
// no call that the plugin has not seen may reach the upstream; and afterwards
// the gateway must hold no more than before.
//
//	SOAK=60s go test -v ./test/soak
package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	// rate is how many calls are made per second; short is that beside the other
	// tests, where the machine is not ours alone.
	rate, short = 200, 50

	// idleLimit is what a gateway may occupy before it has done anything.
	idleLimit = 40 << 20

	// growth is what it may occupy more after all than under the same load
	// before the first fault: the runtime does not give back everything.
	growth = 16 << 20
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(upstreamEnv); addr != "" {
		if err := serveUpstream(addr); err != nil {
			fmt.Fprintln(os.Stderr, "upstream:", err)
			os.Exit(1) //nolint:forbidigo // this is a main function
		}
		return
	}
	m.Run()
}

func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and runs for 10 s")
	}
	length, perSecond := 10*time.Second, short
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		perSecond = rate
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t)
	gateway := r.startGateway()
	idle := gateway.resident()
	t.Logf("gateway idle: %.1f MB", mb(idle))
	if idle > idleLimit {
		t.Errorf("the gateway occupies %.1f MB before its first call, limit %.1f", mb(idle), mb(idleLimit))
	}
	wantGoroutines := r.control()
	r.one(gateway.addr)
	r.client.CloseIdleConnections()
	r.settled("connections of clients", 0, gateway.clients)
	descriptors := gateway.descriptors()

	load := r.startLoad(gateway.addr, perSecond)
	load.during(time.Second)
	warm := gateway.resident()
	faults := r.disturb(load, length-time.Second)
	load.stop()

	// Connections to the old servers end with them. And all that the old upstream
	// said has been read when it has ended.
	r.client.CloseIdleConnections()
	r.plugin.restart()
	r.upstream.restart()
	load.report(t, faults)
	load.judge(t, faults)

	// Nothing that the gateway holds may be left of it. Memory is given back by
	// and by, and only under load.
	after := r.startLoad(gateway.addr, perSecond)
	r.settled("MB resident under the same load", int(warm+growth)>>20, func() int { return int(gateway.resident() >> 20) })
	after.stop()
	t.Logf("gateway resident: %.1f MB under load before the first fault, %.1f MB after all", mb(warm), mb(gateway.resident()))
	r.client.CloseIdleConnections()
	r.plugin.restart()
	r.upstream.restart()
	after.judge(t, nil)
	r.one(gateway.addr)
	r.client.CloseIdleConnections()
	r.settled("connections of clients", 0, gateway.clients)
	r.settled("descriptors", descriptors, gateway.descriptors)
	stacks := gateway.goroutines()
	for _, bad := range []string{"panic", "DATA RACE"} {
		if strings.Contains(gateway.said(), bad) {
			t.Errorf("the gateway said:\n%s", gateway.said())
		}
	}
	t.Logf("goroutines: %d after all, %d of a new gateway after one call", len(stacks), wantGoroutines)
	if len(stacks) > wantGoroutines {
		t.Errorf("%d goroutines are left, want %d:\n%s", len(stacks), wantGoroutines, summary(stacks))
	}
}

// rig is everything but the gateway.
type rig struct {
	t                *testing.T
	dir, binary      string
	plugin, upstream *server
	ledger           *ledger
	*calls
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir(), ledger: newLedger(), calls: newCalls(t)}
	r.build()
	r.certificates()
	pluginPort, upstreamPort := freePort(t), freePort(t)
	r.write("plugins.yaml", fmt.Sprintf(pluginFile, pluginPort))
	r.write("sallyport.yaml", fmt.Sprintf(gatewayFile, upstreamPort, pluginPort))
	r.plugin = &server{rig: r, name: "plugin server", start: func() *process {
		return r.sallyport("plugin-server", "--config", "plugins.yaml", "--transport", "http")
	}}
	r.upstream = &server{rig: r, name: "upstream", start: func() *process { return r.startUpstream(upstreamPort) }}
	r.plugin.up()
	r.upstream.up()
	return r
}

// pluginFile rewrites a word on both ways, so that a call or an answer that the
// plugin has not seen can be told.
const pluginFile = `plugins:
  - name: Guard
    kind: search_replace
    hooks: [tool_pre_invoke, tool_post_invoke]
    config: {words: [{search: ` + raw + `, replace: ` + guarded + `}]}
server_settings:
  host: 127.0.0.1
  port: %d
  health: {host: 127.0.0.1, port: 0}
  tls:
    certfile: certs/mcp/plugins/Guard/server.crt
    keyfile: certs/mcp/plugins/Guard/server.key
    ca_bundle: certs/mcp/plugins/Guard/ca.crt
`

const (
	raw     = "crimson"
	guarded = "azure"

	// pluginTimeout is how long the gateway waits for one hook.
	pluginTimeout = time.Second
)

const gatewayFile = `listen: 127.0.0.1:0
upstreams:
  up: {url: "http://127.0.0.1:%d/mcp"}
plugins:
  - name: Guard
    kind: external
    hooks: [tool_pre_invoke, tool_post_invoke]
    timeout: 1
    mcp:
      proto: STREAMABLEHTTP
      url: https://127.0.0.1:%d/mcp
      tls:
        certfile: certs/mcp/gateway/client.crt
        keyfile: certs/mcp/gateway/client.key
        ca_bundle: certs/mcp/gateway/ca.crt
        server_name: localhost
`

func (r *rig) startGateway() *process { return r.sallyport("gateway", "--config", "sallyport.yaml") }

// control is how many goroutines a gateway has that has served one call.
func (r *rig) control() int {
	g := r.startGateway()
	r.one(g.addr)
	r.client.CloseIdleConnections()
	r.settled("connections of clients", 0, g.clients)
	return len(g.goroutines())
}

// settled waits until now is at most limit.
func (r *rig) settled(what string, limit int, now func() int) {
	r.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		n := now()
		if n <= limit {
			r.t.Logf("%s: %d, at most %d allowed", what, n, limit)
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			r.t.Errorf("%s: %d, at most %d allowed", what, n, limit)
			return
		}
	}
}

func (r *rig) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }
