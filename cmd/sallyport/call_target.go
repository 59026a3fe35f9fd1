package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-mcp/sallyport/internal/builtin"
	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/remote"
)

// callTarget finds out which plugin is called and how it is reached.
func (a *app) callTarget(cmd *cobra.Command, f *callFlags) (remote.Config, error) {
	target := remote.Config{Name: f.plugin, MaxConns: 1}
	var mcp *config.MCP
	if f.url != "" {
		var err error
		if mcp, err = config.LoadURL(f.url, config.Options{Flags: changedTLSFlags(cmd)}); err != nil {
			return target, err
		}
	} else {
		client, entry, err := a.callEntry("call", f.config, f.plugin)
		if err != nil {
			return target, err
		}
		mcp, target.Name, target.Timeout, target.MaxPayload = entry.MCP, entry.Name, entry.Timeout, client.Settings.MaxPayloadBytes
	}
	if f.timeout > 0 {
		target.Timeout = f.timeout
	}
	var name func(string) string
	if f.url != "" && mcp.TLS != nil {
		name = flagName(mcp.TLS)
	}
	if err := a.reach(&target, mcp, name); err != nil {
		return target, fmt.Errorf("plugin %s: %w", target.Name, err)
	}
	return target, nil
}

// urlTLSFlags adds callTLSFlags; each description begins with before.
func urlTLSFlags(cmd *cobra.Command, before string) {
	flags := cmd.Flags()
	flags.String("certfile", "", before+"our certificate")
	flags.String("keyfile", "", before+"its private key")
	flags.String("keyfile-password", "", before+"the key's password, better as @FILE")
	flags.String("ca-bundle", "", before+"the CAs whose servers are accepted, or the word system")
	flags.Bool("verify", true, before+"verify the server's certificate")
	flags.Bool("check-hostname", true, before+"verify the host name too")
	flags.String("server-name", "", before+"the host name to verify instead of the URL's")
	flags.String("identity", "", before+"another plugin whose server may answer, or any")
	flags.String("peer-profile", "", before+"compat or strict")
}

// changedTLSFlags are those of callTLSFlags that the user gave.
func changedTLSFlags(cmd *cobra.Command) map[string]string {
	flags := map[string]string{}
	for _, name := range callTLSFlags {
		if flag := cmd.Flags().Lookup(name); flag.Changed {
			flags[name] = flag.Value.String()
		}
	}
	return flags
}

// reach completes target by how its server is reached: where, and with which
// TLS; or what starts it. name, unless it is nil, names fields in errors.
func (a *app) reach(target *remote.Config, mcp *config.MCP, name func(string) string) error {
	if mcp.Proto == config.Stdio {
		target.Stdio = stdioOf(mcp)
		if key, err := target.Stdio.Check(); err != nil {
			return fmt.Errorf("%s: %w", mcp.Name(key), err)
		}
		return nil
	}
	target.URL, target.UDS = mcp.URL.V, mcp.UDS.V
	if mcp.TLS == nil {
		return nil
	}
	tls, err := clientTLS(target.Name, mcp.TLS)
	if name != nil {
		tls.Name = name
	}
	if err == nil {
		target.TLS, err = mtls.NewClient(tls, &mtls.Options{Logger: a.log})
	}
	return err
}

// stdioOf is a plugin server that is started, as internal/remote takes it.
func stdioOf(m *config.MCP) *remote.Stdio {
	return &remote.Stdio{Cmd: m.Cmd.V, Script: m.Script.V, Env: m.Env, Cwd: m.Cwd.V}
}

// flagName names a field for who gave no file: what nobody set is a flag.
func flagName(t *config.ClientTLS) func(string) string {
	return func(field string) string {
		if t.SourceOf(field).IsDefault() {
			return "--" + strings.ReplaceAll(field, "_", "-")
		}
		return t.Name(field)
	}
}

// callEntry finds the plugin in the file; without a name the only external one.
// command is the one that asks.
func (a *app) callEntry(command, file, name string) (*config.Client, *config.Plugin, error) {
	client, err := config.LoadClient(file, config.Options{Kinds: builtin.Kinds()})
	if err != nil {
		return nil, nil, err
	}
	for _, w := range client.Warnings {
		a.log.Warn(w.Error())
	}
	entry, err := pickEntry(command, client, name)
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) error { return fmt.Errorf("%s: plugin %s: %w", client.File, entry.Name, err) }
	switch {
	case entry.MCP == nil:
		return nil, nil, fail(hint.Add(fmt.Errorf("kind %s is not external: it runs in the gateway's own process", entry.Kind),
			"to call it over the network, serve it with `sallyport plugin-server`"))
	case !entry.Enabled():
		a.log.Warn("the plugin's mode is disabled: a gateway would not call it", "plugin", entry.Name)
	}
	return client, entry, nil
}

// pickEntry returns the named entry, or the only external one when none is
// named.
func pickEntry(command string, client *config.Client, name string) (*config.Plugin, error) {
	if name != "" {
		if entry := client.Plugin(name); entry != nil {
			return entry, nil
		}
		return nil, hint.Add(fmt.Errorf("%s: it has no plugin %q", client.File, name), "it has: "+entryNames(client, false))
	}
	var only *config.Plugin
	for i := range client.Plugins {
		switch {
		case client.Plugins[i].MCP == nil:
		case only != nil:
			return nil, hint.Add(usageError("sallyport %s: --plugin is missing, and %s has several external plugins", command, client.File), "it has: "+entryNames(client, true))
		default:
			only = &client.Plugins[i]
		}
	}
	if only == nil {
		return nil, fmt.Errorf("%s: it has no external plugin", client.File)
	}
	return only, nil
}

func entryNames(client *config.Client, external bool) string {
	var names []string
	for _, p := range client.Plugins {
		if !external || p.MCP != nil {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
