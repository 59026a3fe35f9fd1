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
	"time"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// payload makes the body of a hook call about 900 bytes long.
var payload = json.RawMessage(`{"prompt_id":"summarize","args":{"text":"` + strings.Repeat("All work and no play makes Jack a dull boy. ", 9) + `"}}`)

// hooks compares hook calls with bare POSTs of as many bytes.
func (s *settings) hooks(ctx context.Context) error {
	var kinds []*call
	defer func() {
		for _, k := range kinds {
			k.close()
		}
	}()
	for _, start := range []func(context.Context) (*call, error){s.bareCall, s.ourCall, s.pipedCall} {
		k, err := start(ctx)
		if err != nil {
			return err
		}
		kinds = append(kinds, k)
	}
	for _, callers := range callerCounts {
		for _, k := range kinds { // warm-up, which also opens the connections
			if err := k.measure(ctx, &k.warm, callers, s.duration/3); err != nil {
				return err
			}
		}
	}
	for range s.rounds {
		for _, callers := range callerCounts {
			for _, k := range kinds {
				run := func() error { return k.measure(ctx, k.samples[callers], callers, s.duration) }
				if k.profiled && callers == maxCallers {
					inner := run
					run = func() error { return s.profiled(inner) }
				}
				if err := run(); err != nil {
					return err
				}
			}
		}
	}
	printCalls(kinds)
	return printCPU(kinds)
}

// call is one kind of call, to a server of its own.
type call struct {
	name     string
	server   *process
	one      func(context.Context) error
	close    func()
	profiled bool

	warm    sample
	samples map[int]*sample // by callers
}

func newCall(name string, server *process, one func(context.Context) error, closing func()) *call {
	k := &call{name: name, server: server, one: one, close: closing, samples: map[int]*sample{}}
	for _, callers := range callerCounts {
		k.samples[callers] = &sample{}
	}
	return k
}

func (k *call) measure(ctx context.Context, into *sample, callers int, d time.Duration) error {
	if err := into.measure(ctx, callers, d, k.one); err != nil {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	return nil
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

func (s *settings) ourCall(ctx context.Context) (*call, error) {
	server, err := s.startOurs(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.client(server.addr)
	if err != nil {
		return nil, err
	}
	one := func(ctx context.Context) error {
		r, err := p.Invoke(ctx, plugin.PromptPreFetch, payload, &plugin.Context{GlobalContext: requestContext})
		if err == nil && !r.Continue {
			err = errors.New("the plugin refused")
		}
		return err
	}
	k := newCall("hook call (remote.Plugin.Invoke, plugin-server, deny_filter)", server, one, func() { _ = p.Close() })
	k.profiled = true
	return k, nil
}

// pipedCall is the same through a pipeline.
func (s *settings) pipedCall(ctx context.Context) (*call, error) {
	server, err := s.startOurs(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.client(server.addr)
	if err != nil {
		return nil, err
	}
	line, err := pipeline.New([]pipeline.Entry{{Name: pluginName, Plugin: p}}, nil)
	if err != nil {
		return nil, err
	}
	one := func(ctx context.Context) error {
		out := line.Run(ctx, plugin.PromptPreFetch, payload, &pipeline.Request{Global: requestContext})
		if out.Refusal != nil {
			return fmt.Errorf("refused: %w", cmp.Or(out.Refusal.Err, errors.New("a violation")))
		}
		return nil
	}
	return newCall("the same in a pipeline (pipeline.Run)", server, one, func() { _ = p.Close() }), nil
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

func (s *settings) bareCall(ctx context.Context) (*call, error) {
	server, err := s.startSelf(ctx, barePost)
	if err != nil {
		return nil, err
	}
	config, err := s.bareClient()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: maxCallers, DisableCompression: true}
	client := &http.Client{Transport: transport}
	body := []byte(`{"data":"` + strings.Repeat("x", bodySize()-len(`{"data":""}`)) + `"}`)
	one := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+server.addr+"/", bytes.NewReader(body))
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
	return newCall("bare net/http POST (nothing decoded)", server, one, transport.CloseIdleConnections), nil
}

// printCalls compares each kind with the first one.
func printCalls(kinds []*call) {
	fmt.Printf("\nhook calls over mutual TLS, body of %d bytes\n", bodySize())
	t := newTable("callers", "", "calls/s", "p50", "p99", "ratio")
	defer t.flush()
	for _, callers := range callerCounts {
		bare := kinds[0].samples[callers].perSecond()
		for _, k := range kinds {
			r := k.samples[callers]
			slices.Sort(r.took)
			t.row(fmt.Sprint(callers), k.name, fmt.Sprintf("%.0f", r.perSecond()), micro(r.quantile(.5)), micro(r.quantile(.99)), fmt.Sprintf("%.2f", r.perSecond()/bare))
		}
	}
}

// printCPU stops the servers, for only then do they tell what they have used.
func printCPU(kinds []*call) error {
	fmt.Println("\nCPU per call")
	t := newTable("", "client", "server")
	defer t.flush()
	for _, k := range kinds {
		state, err := k.server.stop()
		if err != nil {
			return err
		}
		calls, client := k.warm.calls, k.warm.cpu
		for _, r := range k.samples {
			calls, client = calls+r.calls, client+r.cpu
		}
		server := state.UserTime() + state.SystemTime()
		t.row(k.name, tenths(client/time.Duration(calls)), tenths(server/time.Duration(calls)))
	}
	return nil
}

func tenths(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d.Nanoseconds())/1000) }

func micro(d time.Duration) string { return fmt.Sprintf("%d µs", d.Microseconds()) }
