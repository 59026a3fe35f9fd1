// Command demo shows the product at work, by its own command line: a plugin
// server in another process behind mutual TLS, three hook calls, and three
// intruders that are turned away. `make demo` runs it; it exits non-zero when
// anything of that did not happen.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo path/to/sallyport")
		os.Exit(2)
	}
	if err := run(ctx, os.Args[1], os.Getenv("KEEP") != ""); err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

// run shows everything, in a folder of its own that is removed at the end.
func run(ctx context.Context, binary string, keep bool) (err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sallyport-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	d := &demo{binary: binary, dir: dir, start: time.Now()}
	if err := d.certificates(ctx); err != nil {
		return err
	}
	if err := d.serve(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()

	if err := d.calls(ctx); err != nil {
		return err
	}
	if err := d.intruders(ctx); err != nil {
		return err
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

// invite prints what to try while the plugin server is still there.
func (d *demo) invite() {
	certs := filepath.Join(d.dir, "certs/mcp")
	_, port, _ := strings.Cut(d.addr, ":")
	fmt.Printf(`
The plugin server is still running. In another terminal:

  curl --cert %[1]s/gateway/client.pem --cacert %[1]s/gateway/ca.crt https://localhost:%[2]s/health
  curl --cacert %[1]s/gateway/ca.crt https://localhost:%[2]s/health                      # refused
  curl http://%[3]s/health                                                          # the health port
  openssl s_client -connect localhost:%[2]s -cert %[1]s/gateway/client.pem -CAfile %[1]s/gateway/ca.crt
  %[4]s call --config %[5]s --plugin ReplaceBadWordsPlugin --hook tool_pre_invoke --payload '{"name":"say","args":{"text":"crap"}}'

Press Enter to end it.
`, certs, port, d.health, d.binary, d.clientFile())
}
