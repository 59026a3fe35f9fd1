package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// maxCallers is the most calls at a time.
const maxCallers = 32

// payload makes the body of a hook call about 900 bytes long.
var payload = json.RawMessage(`{"prompt_id":"summarize","args":{"text":"` + strings.Repeat("All work and no play makes Jack a dull boy. ", 9) + `"}}`)

// sample is what one kind of call achieved.
type sample struct {
	name    string
	calls   int
	elapsed time.Duration
	cpu     time.Duration // of this process
	took    []time.Duration
}

func (s *sample) perSecond() float64 { return float64(s.calls) / s.elapsed.Seconds() }

// quantile expects took to be sorted.
func (s *sample) quantile(q float64) time.Duration {
	return s.took[min(int(q*float64(len(s.took))), len(s.took)-1)]
}

// measure lets callers call one for d and adds what came of it to s.
func (s *sample) measure(ctx context.Context, callers int, d time.Duration, one func(context.Context) error) error {
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	took := make([][]time.Duration, callers)
	start, spent := time.Now(), cpuTime()
	for i := range callers {
		all.Go(func() {
			for ctx.Err() == nil && time.Since(start) < d && failed.Load() == nil {
				begin := time.Now()
				if err := one(ctx); err != nil {
					failed.Store(&err)
					return
				}
				took[i] = append(took[i], time.Since(begin))
			}
		})
	}
	all.Wait()
	s.elapsed += time.Since(start)
	s.cpu += cpuTime() - spent
	for _, t := range took {
		s.calls += len(t)
		s.took = append(s.took, t...)
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return ctx.Err()
}

// calls compares hook calls with bare POSTs of as many bytes.
func (s *settings) calls(ctx context.Context) error {
	bareServer, err := s.startSelf(ctx, barePost)
	if err != nil {
		return err
	}
	ourServer, err := s.startOurs(ctx)
	if err != nil {
		return err
	}
	ours, err := s.ourCall(ourServer.addr)
	if err != nil {
		return err
	}
	defer ours.close()
	bare, err := s.bareCall(bareServer.addr, bodySize())
	if err != nil {
		return err
	}
	defer bare.close()
	pipedServer, err := s.startOurs(ctx)
	if err != nil {
		return err
	}
	piped, err := s.pipedCall(pipedServer.addr)
	if err != nil {
		return err
	}
	defer piped.close()
	kinds := []call{bare, ours, piped}
	results, warm := map[int][]*sample{}, []*sample{{}, {}, {}}
	for _, callers := range []int{1, maxCallers} {
		for i, k := range kinds { // warm-up, which also opens the connections
			if err := warm[i].measure(ctx, callers, s.duration/3, k.one); err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			results[callers] = append(results[callers], &sample{name: k.name})
		}
	}
	for range s.rounds {
		for _, callers := range []int{1, maxCallers} {
			for i, k := range kinds {
				run := func() error { return results[callers][i].measure(ctx, callers, s.duration, k.one) }
				if k.profiled && callers == maxCallers {
					run = func() error {
						return s.profiled(func() error { return results[callers][i].measure(ctx, callers, s.duration, k.one) })
					}
				}
				if err := run(); err != nil {
					return fmt.Errorf("%s: %w", k.name, err)
				}
			}
		}
	}
	printCalls(bodySize(), results)
	fmt.Println("\nCPU per call")
	t := newTable("", "client", "server")
	defer t.flush()
	for i, p := range []*process{bareServer, ourServer, pipedServer} {
		state, err := p.stop()
		if err != nil {
			return err
		}
		calls, client := warm[i].calls, warm[i].cpu
		for _, r := range results {
			calls, client = calls+r[i].calls, client+r[i].cpu
		}
		server := state.UserTime() + state.SystemTime()
		t.row(kinds[i].name, tenths(client/duration(calls)), tenths(server/duration(calls)))
	}
	return nil
}

// call is one kind of call.
type call struct {
	name     string
	one      func(context.Context) error
	close    func()
	profiled bool
}

// client is one of the plugin server, as a gateway has it.
func (s *settings) client(addr string) (*remote.Plugin, error) {
	secure, err := mtls.NewClient(mtls.ClientConfig{
		CertFile: s.path("gateway", "client.crt"), KeyFile: s.path("gateway", "client.key"), CABundle: s.path("gateway", "ca.crt"),
		Verify: true, Plugin: pluginName,
	}, nil)
	if err != nil {
		return nil, err
	}
	return remote.New(remote.Config{Name: pluginName, URL: "https://" + addr + "/mcp", TLS: secure}, nil)
}

func (s *settings) ourCall(addr string) (call, error) {
	p, err := s.client(addr)
	if err != nil {
		return call{}, err
	}
	one := func(ctx context.Context) error {
		r, err := p.Invoke(ctx, plugin.PromptPreFetch, payload, &plugin.Context{GlobalContext: requestContext})
		if err == nil && !r.Continue {
			err = errors.New("the plugin refused")
		}
		return err
	}
	return call{"hook call (remote.Plugin.Invoke, plugin-server, deny_filter)", one, func() { _ = p.Close() }, true}, nil
}

// pipedCall is the same through a pipeline.
func (s *settings) pipedCall(addr string) (call, error) {
	p, err := s.client(addr)
	if err != nil {
		return call{}, err
	}
	line, err := pipeline.New([]pipeline.Entry{{Name: pluginName, Plugin: p}}, nil)
	if err != nil {
		return call{}, err
	}
	one := func(ctx context.Context) error {
		out := line.Run(ctx, plugin.PromptPreFetch, payload, &pipeline.Request{Global: requestContext})
		if out.Refusal != nil {
			return fmt.Errorf("refused: %w", cmp.Or(out.Refusal.Err, errors.New("a violation")))
		}
		return nil
	}
	return call{"the same in a pipeline (pipeline.Run)", one, func() { _ = p.Close() }, false}, nil
}

var requestContext = plugin.GlobalContext{RequestID: "0123456789abcdef", User: json.RawMessage(`"alice@example.com"`), ServerID: "files"}

// bodySize is how many bytes the body of our hook call has.
func bodySize() int {
	const frame = `{"jsonrpc":"2.0","id":100000,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
		`"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"sallyport","version":"dev"}},` +
		`"name":"invoke_hook","arguments":{"hook_type":"prompt_pre_fetch","plugin_name":"Bench","payload":,"context":` +
		`{"state":{},"global_context":{"request_id":"0123456789abcdef","user":"alice@example.com","server_id":"files","state":{},"metadata":{}},"metadata":{}}}}}`
	return len(frame) + len(payload)
}

func (s *settings) bareCall(addr string, size int) (call, error) {
	config, err := s.bareClient()
	if err != nil {
		return call{}, err
	}
	transport := &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: maxCallers, DisableCompression: true}
	client := &http.Client{Transport: transport}
	body := []byte(`{"data":"` + strings.Repeat("x", size-len(`{"data":""}`)) + `"}`)
	one := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+addr+"/", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		return err
	}
	return call{"bare net/http POST (nothing decoded)", one, transport.CloseIdleConnections, false}, nil
}

func printCalls(size int, results map[int][]*sample) {
	fmt.Printf("\nhook calls over mutual TLS, body of %d bytes\n", size)
	t := newTable("callers", "", "calls/s", "p50", "p99", "ratio")
	for _, callers := range []int{1, maxCallers} {
		bare := results[callers][0].perSecond()
		for _, r := range results[callers] {
			slices.Sort(r.took)
			t.row(fmt.Sprint(callers), r.name, fmt.Sprintf("%.0f", r.perSecond()), micro(r.quantile(.5)), micro(r.quantile(.99)), fmt.Sprintf("%.2f", r.perSecond()/bare))
		}
	}
	t.flush()
}

func tenths(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d.Nanoseconds())/1000) }

func micro(d time.Duration) string { return fmt.Sprintf("%d µs", d.Microseconds()) }
