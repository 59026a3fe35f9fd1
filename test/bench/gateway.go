package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// gatewayPlugins are how many external plugins the gateways under measurement
// have.
var gatewayPlugins = []int{0, 1, 3}

// route is one way to the upstream.
type route struct {
	name    string
	server  *process // whose CPU and memory count; nil is none but the upstream
	plugins int
	call    func(ctx context.Context, size int) error
	samples map[int]*sample       // by callers
	cpu     map[int]time.Duration // of server, by callers
}

// gateway compares tool calls through the gateway with the same calls to the
// same upstream directly and through a bare reverse proxy.
func (s *settings) gateway(ctx context.Context) error {
	upstream, err := s.startSelf(ctx, mcpUpstream)
	if err != nil {
		return err
	}
	plugins, err := s.startPlugins(ctx)
	if err != nil {
		return err
	}
	routes, err := s.routes(ctx, upstream.addr, plugins.addr)
	if err != nil {
		return err
	}
	running := []*process{upstream, plugins}
	for _, r := range routes {
		if r.server != nil {
			running = append(running, r.server)
		}
	}
	for _, size := range sizes() {
		if err := s.toolCalls(ctx, routes, size); err != nil {
			return err
		}
		printToolCalls(size, routes)
	}
	if err := s.gatewayStart(ctx, upstream.addr, plugins.addr); err != nil {
		return err
	}
	for _, p := range running {
		if _, err := p.stop(); err != nil {
			return fmt.Errorf("%s: %w", p.cmd, err)
		}
	}
	return nil
}

// startPlugins starts a plugin server with as many plugins as a gateway has at
// most. Each looks for a word that is never there: the least that a plugin on
// tool calls does.
func (s *settings) startPlugins(ctx context.Context) (*process, error) {
	var entries strings.Builder
	entries.WriteString("plugins:\n")
	for i := range slices.Max(gatewayPlugins) {
		fmt.Fprintf(&entries, "  - {name: P%d, kind: search_replace, hooks: [tool_pre_invoke], config: {words: [{search: zyzzyva, replace: weevil}]}}\n", i+1)
	}
	_, rest, _ := strings.Cut(pluginFile, "server_settings:")
	if err := s.write("tool-plugins.yaml", entries.String()+"server_settings:"+rest); err != nil {
		return nil, err
	}
	return s.startServer(ctx, "plugin-server", "--config", "tool-plugins.yaml", "--transport", "http")
}

func (s *settings) write(name, text string) error {
	return os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600)
}

// startGateway starts a gateway with the first n plugins.
func (s *settings) startGateway(ctx context.Context, n int, upstream, plugins string) (*process, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "listen: 127.0.0.1:0\nupstreams: {up: {url: \"http://%s/mcp\"}}\n", upstream)
	if n > 0 {
		text.WriteString("plugins:\n")
	}
	for i := range n {
		fmt.Fprintf(&text, "  - {name: P%d, kind: external, hooks: [tool_pre_invoke], mcp: {proto: STREAMABLEHTTP, url: \"https://%s/mcp\", tls: {certfile: certs/mcp/gateway/client.crt, "+
			"keyfile: certs/mcp/gateway/client.key, ca_bundle: certs/mcp/gateway/ca.crt, server_name: localhost, identity: %s}}}\n", i+1, plugins, pluginName)
	}
	name := fmt.Sprintf("gateway-%d.yaml", n)
	if err := s.write(name, text.String()); err != nil {
		return nil, err
	}
	return s.startServer(ctx, "gateway", "--config", name)
}

func (s *settings) routes(ctx context.Context, upstream, plugins string) ([]*route, error) {
	proxy, err := s.startSelf(ctx, reverseProxy, upstream)
	if err != nil {
		return nil, err
	}
	routes := []*route{
		{name: "the upstream directly", call: toolCall("http://"+upstream+"/mcp", toolName)},
		{name: "httputil.ReverseProxy", server: proxy, call: toolCall("http://"+proxy.addr+"/mcp", toolName)},
	}
	for _, n := range gatewayPlugins {
		g, err := s.startGateway(ctx, n, upstream, plugins)
		if err != nil {
			return nil, err
		}
		routes = append(routes, &route{name: fmt.Sprintf("gateway, %d plugins", n), server: g, plugins: n, call: toolCall("http://"+g.addr+"/mcp", toolName)})
	}
	if !s.peers {
		return routes, nil
	}
	peers, err := s.peerRoutes(ctx, upstream)
	return append(routes, peers...), err
}

// sizes are those of arguments and result, in bytes.
func sizes() []int { return []int{1 << 10, 32 << 10} }

// toolBody is a modern tools/call whose arguments have about size bytes. The
// upstream answers with about as many.
func toolBody(tool string, size int) []byte {
	return []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
		`"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"}},` +
		`"name":"` + tool + `","arguments":{"text":"` + filler(size) + `"}}}`)
}

func filler(size int) string {
	const words = "All work and no play makes Jack a dull boy. "
	return strings.Repeat(words, size/len(words)+1)[:size]
}

// toolCall makes calls at url, over connections of its own.
func toolCall(url, tool string) func(ctx context.Context, size int) error {
	bodies := map[int][]byte{}
	for _, size := range sizes() {
		bodies[size] = toolBody(tool, size)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: maxCallers, DisableCompression: true}}
	return func(ctx context.Context, size int) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(bodies[size]))
		if err != nil {
			return err
		}
		req.Header = http.Header{
			"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
			"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {tool},
		}
		return answered(client.Do(req))
	}
}

// answered reads an answer and expects a result.
func answered(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !bytes.Contains(text, []byte("All work")) {
		return fmt.Errorf("HTTP %d: %.500s", resp.StatusCode, text)
	}
	return nil
}

// toolCalls measures all routes in turn.
func (s *settings) toolCalls(ctx context.Context, routes []*route, size int) error {
	measure := func(r *route, into *sample, callers int, d time.Duration) error {
		spent := r.server.cpu()
		defer func() { r.cpu[callers] += r.server.cpu() - spent }()
		if err := into.measure(ctx, callers, d, func(ctx context.Context) error { return r.call(ctx, size) }); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		return nil
	}
	for _, r := range routes {
		r.samples, r.cpu = map[int]*sample{}, map[int]time.Duration{}
		for _, callers := range callerCounts {
			r.samples[callers] = &sample{name: r.name}
			if err := measure(r, &sample{}, callers, s.duration/5); err != nil { // warm-up
				return err
			}
			r.cpu[callers] = 0
		}
	}
	for range 2 * s.rounds {
		for _, callers := range callerCounts {
			for _, r := range routes {
				if err := measure(r, r.samples[callers], callers, s.duration/3); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func printToolCalls(size int, routes []*route) {
	fmt.Printf("\ntools/call, arguments and result of %d bytes each; plugins behind mutual TLS, with one hook per call\n", size)
	t := newTable("callers", "", "calls/s", "p50", "p99", "ratio", "its CPU per call", "added p50 per plugin")
	for _, callers := range callerCounts {
		var none time.Duration // p50 without plugins
		direct := routes[0].samples[callers].perSecond()
		for _, r := range routes {
			m := r.samples[callers]
			slices.Sort(m.took)
			p50, cpu, added := m.quantile(.5), "", ""
			if spent := r.cpu[callers]; spent > 0 {
				cpu = micro(spent / time.Duration(m.calls))
			}
			switch {
			case r.plugins > 0:
				added = micro((p50 - none) / time.Duration(r.plugins))
			case r.server != nil:
				none = p50 // of the gateway without plugins, which comes last before those with some
			}
			t.row(fmt.Sprint(callers), r.name, fmt.Sprintf("%.0f", m.perSecond()), micro(p50), micro(m.quantile(.99)), fmt.Sprintf("%.2f", m.perSecond()/direct), cpu, added)
		}
	}
	t.flush()
}

// gatewayStart measures how long a gateway with one plugin takes from its start
// to the answer of its first call, and what it occupies when idle.
func (s *settings) gatewayStart(ctx context.Context, upstream, plugins string) error {
	var took []time.Duration
	var idle int64
	for range 5 {
		begin := time.Now()
		g, err := s.startGateway(ctx, 1, upstream, plugins)
		if err != nil {
			return err
		}
		if err := toolCall("http://"+g.addr+"/mcp", toolName)(ctx, sizes()[0]); err != nil {
			return err
		}
		took = append(took, time.Since(begin))
		idle = max(idle, g.resident())
		if _, err := g.stop(); err != nil {
			return err
		}
	}
	slices.Sort(took)
	fmt.Printf("\ngateway with one plugin, from its start to the first call answered: median %d ms, slowest of %d %d ms; then it occupies %.1f MB\n",
		took[len(took)/2].Milliseconds(), len(took), took[len(took)-1].Milliseconds(), float64(idle)/(1<<20))
	return nil
}

// cpu is what a process has used so far, to 10 ms; 0 where that cannot be told.
func (p *process) cpu() time.Duration {
	if p == nil {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// After the name, in parentheses, utime and stime are the 12th and 13th, in
	// ticks of 10 ms.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// resident is what a process occupies, in bytes; 0 where that cannot be told.
func (p *process) resident() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 0
}
