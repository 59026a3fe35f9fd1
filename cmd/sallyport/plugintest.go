package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/plugin"
	"github.com/sallyport-mcp/sallyport/plugin/conformance"
)

type pluginTestFlags struct {
	config  string
	plugin  string
	timeout time.Duration
	all     bool

	payloads []string // HOOK=JSON or HOOK=@FILE
}

func newPluginTest(a *app) *cobra.Command {
	var f pluginTestFlags
	cmd := &cobra.Command{
		Use:   "plugin-test [URL]",
		Short: "Check a plugin server against the protocol",
		Long: `Check a plugin server, in Go or in Python, against the protocol between gateway
and plugin server, and print a table of what was checked.

Each hook of each plugin is called a dozen times with harmless payloads, so do
not point this at plugins that must not be called. What a plugin does not change
cannot show whether it leaves the rest alone: --payload gives a hook a payload
that the plugin changes.

How the server is reached is said by the same flags as for call --url, which
PLUGINS_CLIENT_MTLS_* complete; or by an entry of a gateway's plugin file, with
--config instead of a URL: so are servers on a Unix socket, and those on stdio,
which are started for the checks, several times.

Exit codes: 0 no rule is broken, 1 at least one is, or the server gave no answer,
2 usage. Warnings break no rule.`,
		Example: `  sallyport plugin-test http://127.0.0.1:8000/mcp
  sallyport plugin-test https://localhost:8000/mcp --plugin P \
    --certfile certs/mcp/gateway/client.crt --keyfile certs/mcp/gateway/client.key --ca-bundle certs/mcp/gateway/ca.crt
  sallyport plugin-test --config client.yaml --plugin P
  sallyport plugin-test http://127.0.0.1:8000/mcp --payload 'tool_pre_invoke={"name":"say","args":{"text":"crap"}}'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("config") {
				if len(args) > 0 {
					return usageError("sallyport plugin-test: --config and a URL exclude each other")
				}
				return f.noTLSFlags(cmd)
			}
			if len(args) != 1 {
				return hint.Add(usageError("sallyport plugin-test: it needs one URL, not %d arguments", len(args)),
					"for example sallyport plugin-test http://127.0.0.1:8000/mcp")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.pluginTest(cmd, strings.Join(args, ""), &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "the gateway's plugin `file` whose entry says where the server is, instead of a URL")
	flags.StringVar(&f.plugin, "plugin", "", "check this plugin alone (default: all of the server; with --config: the only external plugin, if there is one)")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "give up on one call after this long")
	flags.BoolVar(&f.all, "all", false, "print what passed, too")
	flags.StringArrayVar(&f.payloads, "payload", nil, "call a hook with this: HOOK=JSON or HOOK=@FILE; may be repeated")
	urlTLSFlags(cmd, "")
	return cmd
}

func (a *app) pluginTest(cmd *cobra.Command, url string, f *pluginTestFlags) error {
	if f.timeout <= 0 {
		return usageError("sallyport plugin-test: --timeout has to be more than nothing, for example 5s")
	}
	payloads, err := a.hookPayloads(f.payloads)
	if err != nil {
		return err
	}
	target, err := a.testTarget(cmd, url, f)
	if err != nil {
		return err
	}
	results, err := conformance.Server(cmd.Context(), target, &conformance.Options{Timeout: f.timeout, Payloads: payloads})
	if printErr := a.printResults(results, f.all); printErr != nil {
		return errors.Join(err, printErr)
	}
	if err == nil && conformance.Failed(results) {
		err = &exitError{code: exitFailed}
	}
	return err
}

// noTLSFlags refuses flags that go with a URL.
func (f *pluginTestFlags) noTLSFlags(cmd *cobra.Command) error {
	for _, name := range callTLSFlags {
		if cmd.Flags().Changed(name) {
			return hint.Add(usageError("sallyport plugin-test: --%s goes with a URL", name), "for a plugin of a file, change its mcp.tls or set PLUGINS_CLIENT_MTLS_*")
		}
	}
	return nil
}

// testTarget finds out how the server is reached.
func (a *app) testTarget(cmd *cobra.Command, url string, f *pluginTestFlags) (conformance.Target, error) {
	target := conformance.Target{URL: url, Plugin: f.plugin, Logger: a.log}
	var mcp *config.MCP
	name := (*config.ClientTLS).Name
	if f.config == "" {
		var err error
		if mcp, err = config.LoadURL(url, config.Options{Flags: changedTLSFlags(cmd)}); err != nil {
			return target, err
		}
		name = func(t *config.ClientTLS, field string) string { return flagName(t)(field) }
	} else {
		_, entry, err := a.callEntry("plugin-test", f.config, f.plugin)
		if err != nil {
			return target, err
		}
		mcp = entry.MCP
		target.URL, target.UDS, target.Plugin = mcp.URL.V, mcp.UDS.V, entry.Name
	}
	if mcp.Proto == config.Stdio {
		if key, err := stdioOf(mcp).Check(); err != nil {
			return target, fmt.Errorf("plugin %s: %s: %w", target.Plugin, mcp.Name(key), err)
		}
		target.Command = &conformance.Command{Args: mcp.Cmd.V, Script: mcp.Script.V, Env: mcp.Env, Dir: mcp.Cwd.V}
	}
	if mcp.TLS == nil {
		return target, nil
	}
	tls, err := clientTLS(target.Plugin, mcp.TLS)
	target.TLS = &conformance.TLS{
		CertFile: tls.CertFile, KeyFile: tls.KeyFile, KeyPassword: tls.KeyPassword, CABundle: tls.CABundle,
		SkipVerify: !tls.Verify, SkipHostname: !tls.CheckHostname, ServerName: tls.ServerName,
		Identity: tls.Identity, Profile: string(tls.Profile),
		Name: func(field string) string { return name(mcp.TLS, field) },
	}
	return target, err
}

// hookPayloads reads the values of --payload.
func (a *app) hookPayloads(values []string) (map[plugin.Hook]string, error) {
	payloads := map[plugin.Hook]string{}
	for _, value := range values {
		hook, given, ok := strings.Cut(value, "=")
		if !ok || hook == "" || strings.ContainsAny(hook, "{@ ") {
			return nil, hint.Add(usageError("sallyport plugin-test: --payload is %q, not HOOK=JSON or HOOK=@FILE", value),
				`for example --payload 'tool_pre_invoke={"name":"say","args":{"text":"hello"}}'`)
		}
		if _, twice := payloads[plugin.Hook(hook)]; twice {
			return nil, usageError("sallyport plugin-test: --payload gives %s two payloads", hook)
		}
		raw, err := a.jsonArgument("plugin-test", "payload", given)
		if err != nil {
			return nil, err
		}
		payloads[plugin.Hook(hook)] = string(raw)
	}
	return payloads, nil
}

// printResults prints a table, and the sums in a last line. Without all it
// leaves out the rules that hold.
func (a *app) printResults(results []conformance.Result, all bool) error {
	if len(results) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	sums := map[conformance.Status]int{}
	for _, r := range results {
		sums[r.Status]++
		if r.Status == conformance.Pass && !all {
			continue
		}
		what := strings.TrimSpace(r.Plugin + " " + string(r.Hook))
		if what == "" {
			what = "server"
		}
		// A peer's text must not draw on the terminal.
		line := fmt.Sprintf("%s\t%s\t%s %s\t%s", r.Status, what, r.Section, r.Rule, r.Detail)
		if _, err := fmt.Fprintln(w, strings.TrimRight(printable(line), "\t")); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "%d checks: %d pass, %d fail, %d warn, %d skip\n", len(results),
		sums[conformance.Pass], sums[conformance.Fail], sums[conformance.Warn], sums[conformance.Skip])
	return err
}

// printable replaces control characters other than the table's own tabs.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0) {
			return '\ufffd'
		}
		return r
	}, text)
}
