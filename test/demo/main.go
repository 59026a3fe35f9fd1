// Command demo shows the product at work, by its own command line: an MCP
// server behind the gateway, guarded by plugins in another process over mutual
// TLS. It makes tool calls that pass, are rewritten and are refused, kills and
// restarts the plugin server, and sends three intruders. `make demo` runs it; it
// exits non-zero when anything of that did not happen.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: demo path/to/sallyport path/to/notes")
		os.Exit(2)
	}
	if err := run(ctx, os.Args[1], os.Args[2], os.Getenv("KEEP") != ""); err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

// run shows everything, in a folder of its own that is removed at the end.
func run(ctx context.Context, binary, notes string, keep bool) (err error) {
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	if notes, err = filepath.Abs(notes); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sallyport-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	d := &demo{binary: binary, notesBinary: notes, dir: dir, start: time.Now()}
	if err := d.certificates(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	for _, act := range []func(context.Context) error{d.serve, d.calls, d.intruders} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	fmt.Printf("\nAll of it happened, in %.1f s.\n", time.Since(d.start).Seconds())
	if keep {
		d.invite()
		wait(ctx)
	}
	return nil
}

// wait returns when the terminal sends a line or ends, or ctx does.
func wait(ctx context.Context) {
	enter := make(chan struct{})
	go func() {
		defer close(enter)
		bufio.NewReader(os.Stdin).ReadString('\n') //nolint:errcheck // any end will do
	}()
	select {
	case <-enter:
	case <-ctx.Done():
	}
}

// invite prints what to try while everything is still there.
func (d *demo) invite() {
	fmt.Printf(`
Everything is still running. In another terminal:

  npx @modelcontextprotocol/inspector --cli http://%[1]s/mcp --transport http --method tools/call --tool-name write --tool-arg text="oh crap"
  curl -s http://%[1]s/mcp -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -H 'MCP-Protocol-Version: 2026-07-28' \
    -H 'Mcp-Method: tools/call' -H 'Mcp-Name: write' \
    -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write","arguments":{"text":"oh crap"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}'

The plugin server, as the gateway and as an intruder:

  curl --cert %[2]s/gateway/client.pem --cacert %[2]s/gateway/ca.crt https://localhost:%[3]s/health
  curl --cacert %[2]s/gateway/ca.crt https://localhost:%[3]s/health
  openssl s_client -connect localhost:%[3]s -cert %[2]s/gateway/client.pem -CAfile %[2]s/gateway/ca.crt
  curl http://%[4]s/readyz

Press Enter to end it.
`, d.gateway.addr, d.path("certs/mcp"), d.plugins.port(), d.plugins.health)
}
