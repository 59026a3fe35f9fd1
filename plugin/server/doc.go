// Package server serves plugins to a gateway: over HTTP with mutual TLS, over a
// Unix socket or over stdio. A plugin server is an MCP server with three tools;
// a hook call is one call of the tool invoke_hook.
//
// # For authors
//
// A plugin server of your own is a main function with your kinds of plugin. It
// reads the same files, environment and flags as `sallyport plugin-server`, and
// behaves the same:
//
//	package main
//
//	import (
//		"github.com/sallyport-mcp/sallyport/plugin"
//		"github.com/sallyport-mcp/sallyport/plugin/server"
//	)
//
//	func main() {
//		server.Main(plugin.Kind{
//			Name:  "polite",
//			Hooks: []plugin.Hook{plugin.ToolPreInvoke},
//			New:   newPolite,
//		})
//	}
//
// With a plugin file that says `kind: polite`,
//
//	PLUGINS_CONFIG_PATH=plugins.yaml ./my-plugins
//
// serves it on 127.0.0.1:8000, and with server_settings.tls, or the
// PLUGINS_SERVER_SSL_* variables, over mutual TLS with /health on port 9000.
//
// # What it does around a plugin
//
// Requests are read strictly before a plugin sees them. A plugin that panics,
// fails or does not return in time is reported to the gateway as an error
// without its text (unless it returns a [plugin.Error]), and logged here in
// full: the process goes on. What a plugin says is reported as it is, whatever
// the entry's mode: to act on a verdict is the gateway's business.
package server
