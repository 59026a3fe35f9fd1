package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// exitRefused is call's exit code when the plugin refused.
const exitRefused = 3

// callDefaultConfig is the guide's client configuration.
const callDefaultConfig = "plugins/external/config-client.yaml"

// callTLSFlags are the flags that go with --url; internal/config knows them by
// these names.
var callTLSFlags = []string{"certfile", "keyfile", "keyfile-password", "ca-bundle", "verify", "check-hostname", "server-name", "identity", "peer-profile"}

type callFlags struct {
	config, plugin, url    string
	hook, payload, context string
	timeout                time.Duration
}

func newCall(a *app) *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "call",
		Short: "Call one hook of one plugin",
		Long: `Call one hook of one plugin on its plugin server, as a gateway would, and print
the plugin's answer: the whole object as it came over the wire.

Where the plugin is reached is read from a gateway's plugin file (--config), or
given by --url and the flags of its TLS, which PLUGINS_CLIENT_MTLS_* complete.

Exit codes: 0 the plugin lets the request pass, 3 it refuses, 1 it failed (the
answer is printed) or gave no answer (standard output stays empty), 2 usage.`,
		Example: `  sallyport call --plugin ReplaceBadWordsPlugin --hook tool_pre_invoke --payload '{"name":"say","args":{"text":"crap"}}'
  sallyport call --config client.yaml --plugin P --hook prompt_pre_fetch --payload @payload.json --verbose
  sallyport call --url https://localhost:8000/mcp --plugin P --hook tool_pre_invoke --payload - \
    --certfile certs/mcp/gateway/client.crt --keyfile certs/mcp/gateway/client.key --ca-bundle certs/mcp/gateway/ca.crt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.call(cmd, &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", callDefaultConfig, "the gateway's plugin file")
	flags.StringVar(&f.plugin, "plugin", "", "the plugin's name (with --config: the only external plugin, if there is one)")
	flags.StringVar(&f.hook, "hook", "", "the hook to call, for example tool_pre_invoke (required)")
	flags.StringVar(&f.payload, "payload", "", "the hook's payload: JSON, @FILE, or - for standard input (required)")
	flags.StringVar(&f.context, "context", "", "the request's context: JSON or @FILE (default: a fresh request_id)")
	flags.DurationVar(&f.timeout, "timeout", 0, "give up after this long (default: the file's timeout, else 30s)")
	flags.StringVar(&f.url, "url", "", "the plugin server's endpoint, instead of a file")
	urlTLSFlags(cmd, "with --url: ")
	return cmd
}

func (a *app) call(cmd *cobra.Command, f *callFlags) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	if password := cmd.Flags().Lookup("keyfile-password").Value.String(); password != "" && (!strings.HasPrefix(password, "@") || strings.HasPrefix(password, "@@")) {
		a.log.Warn("--keyfile-password: every user of this host can read a command line; give it as @FILE or in PLUGINS_CLIENT_MTLS_KEYFILE_PASSWORD")
	}
	payload, err := a.jsonArgument("call", "payload", f.payload)
	if err != nil {
		return err
	}
	hookContext, err := a.hookContext(f.context)
	if err != nil {
		return err
	}
	target, err := a.callTarget(cmd, f)
	if err != nil {
		return err
	}
	p, err := remote.New(target, &remote.Options{Logger: a.log, Version: version})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // nothing is left to lose
	answer, err := p.Call(cmd.Context(), plugin.Hook(f.hook), payload, hookContext)
	if err != nil {
		return err
	}
	if err := a.printAnswer(answer.Raw); err != nil {
		return err
	}
	switch {
	case answer.Error != nil:
		return a.explainFailure(cmd.Context(), p, f.hook, answer.Error)
	case !answer.Result.Continue:
		return &exitError{code: exitRefused}
	}
	return nil
}

// check refuses command lines that cannot be meant.
func (f *callFlags) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	switch {
	case f.hook == "":
		return hint.Add(usageError("sallyport call: --hook is missing"), "the hooks are "+hookNames())
	case f.payload == "":
		return hint.Add(usageError("sallyport call: --payload is missing"), `for example --payload '{"name":"say","args":{"text":"hello"}}'`)
	case f.url != "" && given("config"):
		return usageError("sallyport call: --url and --config exclude each other")
	case f.url != "" && f.plugin == "":
		return usageError("sallyport call: --url needs --plugin, the name that the plugin has on that server")
	case given("timeout") && f.timeout <= 0:
		return usageError("sallyport call: --timeout has to be more than nothing, for example 5s")
	}
	if f.url == "" {
		for _, name := range callTLSFlags {
			if given(name) {
				return hint.Add(usageError("sallyport call: --%s goes with --url", name), "for a plugin of a file, change its mcp.tls or set PLUGINS_CLIENT_MTLS_*")
			}
		}
	}
	return nil
}

func hookNames() string {
	var names []string
	for _, h := range plugin.Hooks() {
		names = append(names, string(h))
	}
	return strings.Join(names, ", ")
}

// jsonArgument reads an argument that is a JSON object, @FILE or -.
func (a *app) jsonArgument(command, flag, value string) (json.RawMessage, error) {
	raw, where := []byte(value), "--"+flag
	var err error
	switch {
	case value == "-" && command == "call" && flag == "payload":
		where = "standard input"
		raw, err = io.ReadAll(a.stdin)
	case strings.HasPrefix(value, "@"):
		where = value[1:]
		raw, err = os.ReadFile(value[1:])
	}
	if err != nil {
		return nil, fmt.Errorf("reading --%s: %w", flag, err)
	}
	raw = bytes.TrimSpace(raw)
	if err := wire.Check(raw); err != nil {
		return nil, usageError("sallyport %s: %s is not JSON: %w", command, where, err)
	}
	if wire.Kind(raw) != '{' {
		return nil, usageError("sallyport %s: %s is not a JSON object", command, where)
	}
	return raw, nil
}

// hookContext is the context of --context, or a fresh one.
func (a *app) hookContext(value string) (json.RawMessage, error) {
	if value != "" {
		return a.jsonArgument("call", "context", value)
	}
	return json.Marshal(&plugin.Context{
		State: plugin.Object{}, Metadata: plugin.Object{},
		GlobalContext: plugin.GlobalContext{RequestID: rand.Text(), State: plugin.Object{}, Metadata: plugin.Object{}},
	})
}

// printAnswer prints raw as it is, or for people indented. Neither changes a
// number.
func (a *app) printAnswer(raw json.RawMessage) error {
	text := append(bytes.Clone(raw), '\n')
	if logs.IsTerminal(a.stdout) {
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", "  "); err == nil {
			text = logs.PrintableJSON(indented.Bytes())
		}
	}
	_, err := a.stdout.Write(text)
	return err
}

// explainFailure is the error of a plugin that failed, with what can be done
// about it where the server does not know plugin or hook.
func (a *app) explainFailure(ctx context.Context, p *remote.Plugin, hook string, failure *plugin.Error) error {
	err := fmt.Errorf("%s: the plugin failed: %w", hook, failure)
	if strings.HasPrefix(failure.Message, "the plugin failed") {
		err = fmt.Errorf("%s: %w", hook, failure)
	}
	if !strings.HasPrefix(failure.Message, "Unable to find ") {
		return err
	}
	info, describeErr := p.Describe(ctx)
	switch {
	case describeErr != nil:
		for _, h := range hint.Of(describeErr) {
			err = hint.Add(err, h)
		}
	case len(info.Hooks) > 0:
		var names []string
		for _, h := range info.Hooks {
			names = append(names, string(h))
		}
		err = hint.Add(err, "the plugin has the hooks "+strings.Join(names, ", "))
	}
	return err
}
