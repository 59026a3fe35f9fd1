package main

import (
	"github.com/spf13/cobra"

	"github.com/sallyport-mcp/sallyport/internal/builtin"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

func newPluginServer(a *app) *cobra.Command {
	var config, transport string
	var requireTLS bool
	cmd := &cobra.Command{
		Use:   "plugin-server",
		Short: "Serve the plugins of a file, over mutual TLS if it says so",
		Long: `Serve the plugins of a file to a gateway: MCP at /mcp and, under TLS, plain-HTTP
health checks on port+1000 (/health, /livez, /readyz).

File and environment are ContextForge's: server_settings and PLUGINS_SERVER_*.
The environment beats the file, field by field. A configuration that would serve
with less protection than it asks for is refused.

SIGTERM lets calls in flight finish (10 s) and exits 0.`,
		Example: `  PLUGINS_CONFIG_PATH=plugins/test.yaml sallyport plugin-server
  sallyport plugin-server --config plugins/test.mtls.yaml --require-tls`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := server.RunOptions{
				Kinds:       builtin.Kinds(),
				ConfigPath:  config,
				Transport:   transport,
				Stdin:       a.stdin,
				Stdout:      a.stdout,
				Logger:      a.log,
				Version:     version,
				OwnsProcess: true,
			}
			if cmd.Flags().Changed("require-tls") {
				o.RequireTLS = &requireTLS
			}
			return server.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "plugin `file` (PLUGINS_CONFIG_PATH, "+server.DefaultConfigPath+")")
	cmd.Flags().StringVar(&transport, "transport", "", "`http` or stdio (PLUGINS_TRANSPORT)")
	cmd.Flags().BoolVar(&requireTLS, "require-tls", false, "refuse plaintext listeners (PLUGINS_REQUIRE_TLS)")
	return cmd
}
