package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/pki"
)

func newCertsAll(a *app) *cobra.Command {
	f := &certsFlags{app: a}
	cmd := &cobra.Command{
		Use:   "all",
		Short: "Make what is missing of CA, gateway and all external plugins",
		Long: `Makes the CA, the gateway's certificate and one for each plugin of the config
file with "kind: external": what is there already is kept. Files made from
others (ca.crt copies, client.pem) are made when missing. What is broken or
has expired is said, with what to do, and the exit code is 1.

The plugin file is read for syntax and names only. When the default one does
not exist, certificates are made for example-plugin-a and example-plugin-b.`,
		Example: `  sallyport certs all
  sallyport certs all --config plugins/external/config.yaml --days 180
  sallyport certs all --profile modern --san ip:127.0.0.1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.make(cmd, func(ctx context.Context, t *pki.Tree, r pki.Request) error {
				return t.All(ctx, r, f.plugins)
			}, f.readPlugins)
		},
	}
	f.addMaking(cmd)
	f.addLeaf(cmd)
	cmd.Flags().StringVar(&f.config, "config", "", "the plugin file (MCP_PLUGIN_CONFIG; default "+defaultPluginConfig+")")
	return cmd
}

func newCertsCA(a *app) *cobra.Command {
	f := &certsFlags{app: a}
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Make the certificate authority if it is missing",
		Long: `Makes ca.key and ca.crt. Whoever has ca.key can stand for the gateway and for
every plugin: keep it on the machine that issues certificates, and nowhere else.`,
		Example: `  sallyport certs ca
  sallyport certs ca --days 1825`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.make(cmd, func(ctx context.Context, t *pki.Tree, r pki.Request) error {
				// The more special setting wins, a flag before any variable.
				if cmd.Flags().Changed("days") && !cmd.Flags().Changed("ca-days") {
					r.CADays = r.Days
				}
				return t.CA(ctx, r)
			})
		},
	}
	f.addMaking(cmd)
	cmd.Flags().IntVar(&f.days, "days", 0, "how long the CA is valid (MCP_CERT_DAYS; default: the profile's)")
	return cmd
}

func newCertsGateway(a *app) *cobra.Command {
	f := &certsFlags{app: a}
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Make the gateway's client certificate, and the CA, if missing",
		Example: `  sallyport certs gateway
  sallyport certs gateway --days 365`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.make(cmd, func(ctx context.Context, t *pki.Tree, r pki.Request) error { return t.Gateway(ctx, r) })
		},
	}
	f.addMaking(cmd)
	f.addLeaf(cmd)
	return cmd
}

func newCertsPlugin(a *app) *cobra.Command {
	f := &certsFlags{app: a}
	cmd := &cobra.Command{
		Use:   "plugin NAME",
		Short: "Make the server certificate of one plugin, and the CA, if missing",
		Long: `Makes a server certificate for the names NAME, mcp-plugin-NAME and localhost.
A client that connects by IP address and checks host names needs the address
in it: --san ip:127.0.0.1.`,
		Example: `  sallyport certs plugin MyPlugin
  sallyport certs plugin MyPlugin --days 365 --san ip:127.0.0.1 --san dns:plugins.example.com`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) == 1 && args[0] == "" {
				return hint.Add(usageError("certs plugin: the plugin's name is missing"),
					"sallyport certs plugin MyPlugin, or make certs-mcp-plugin PLUGIN_NAME=MyPlugin")
			}
			if len(args) > 1 {
				return usageError("certs plugin: one name at a time, got %q", args)
			}
			if err := pki.CheckName(args[0]); err != nil {
				return usageError("certs plugin: %w", err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.make(cmd, func(ctx context.Context, t *pki.Tree, r pki.Request) error { return t.Plugin(ctx, r, args[0]) })
		},
	}
	f.addMaking(cmd)
	f.addLeaf(cmd)
	return cmd
}

// make runs one of the commands above: first everything is read and checked,
// then something is written.
func (f *certsFlags) make(cmd *cobra.Command, run func(context.Context, *pki.Tree, pki.Request) error, before ...func() error) error {
	r, err := f.request(cmd)
	if err != nil {
		return err
	}
	t, done, err := f.tree()
	if err != nil {
		return err
	}
	for _, check := range before {
		if err := check(); err != nil {
			return f.app.failed(cmd, err)
		}
	}
	err = run(cmd.Context(), t, r)
	done()
	return f.app.failed(cmd, err)
}

// readPlugins finds the names of the external plugins. Each name that cannot
// be used is an error with its place in the file.
func (f *certsFlags) readPlugins() error {
	path := f.config
	if path == "" {
		path = os.Getenv("MCP_PLUGIN_CONFIG")
	}
	if path == "" {
		path = defaultPluginConfig
	}
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) && filepath.Clean(path) == filepath.FromSlash(defaultPluginConfig) {
		f.plugins = []string{"example-plugin-a", "example-plugin-b"}
		fmt.Fprintf(f.app.stderr, "sallyport: note: %s does not exist: the plugins are example-plugin-a and example-plugin-b\n", path)
		return nil
	}
	named, err := config.PluginNames(path)
	if err != nil {
		return err
	}
	var at []config.Position
	for _, plugin := range named {
		if plugin.Kind == "external" {
			f.plugins = append(f.plugins, plugin.Name)
			at = append(at, plugin.Position)
		}
	}
	var errs []error
	for _, bad := range pki.CheckNames(f.plugins) {
		err := fmt.Errorf("%s: %w", at[bad.Index], bad.Err)
		if bad.Other >= 0 {
			err = fmt.Errorf("%w, on line %d", err, at[bad.Other].Line)
		}
		errs = append(errs, err)
	}
	if len(f.plugins) == 0 {
		fmt.Fprintf(f.app.stderr, "sallyport: note: %s has no plugin of kind external\n", path)
	}
	return errors.Join(errs...)
}
