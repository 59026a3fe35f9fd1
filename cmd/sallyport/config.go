package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sallyport-mcp/sallyport/internal/builtin"
	"github.com/sallyport-mcp/sallyport/internal/config"
)

func newConfig(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and explain plugin files and gateway files",
		Example: `  sallyport config check plugins/test.mtls.yaml
  sallyport config show plugins/external/config-client.yaml
  sallyport config check sallyport.yaml`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigCheck(a), newConfigShow(a), newConfigSchema(a))
	return cmd
}

func newConfigCheck(a *app) *cobra.Command {
	var files bool
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Report every problem of a plugin file or a gateway file",
		Long: `Report every problem of a plugin file or a gateway file, with line and column, as
a plugin server or a gateway would meet it: the environment of this process
counts. A gateway file is known by its keys: listen, upstreams and the like.

Errors go to stdout, warnings to stderr. Without --files only the text decides:
no file that the configuration names is opened, but that of plugins_file.`,
		Example: `  sallyport config check plugins/test.mtls.yaml
  sallyport config check --files plugins/external/config-client.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.configCheck(args[0], files) },
	}
	cmd.Flags().BoolVar(&files, "files", false, "also open and check the certificates, keys, secrets, commands and folders that it names")
	return cmd
}

func (a *app) configCheck(file string, files bool) error {
	r := config.Check(file, config.Options{Kinds: builtin.Kinds()})
	problems := r.Problems
	if files {
		problems = append(problems, a.checkFiles(file, r)...)
	}
	failed := 0
	for _, p := range problems {
		out := a.stdout
		line := p.Error()
		if p.Warning {
			out, line = a.stderr, p.Error()+" (warning)"
		} else {
			failed++
		}
		fmt.Fprintln(out, line)
		if p.Hint != "" {
			fmt.Fprintf(out, "  hint: %s\n", p.Hint)
		}
	}
	if failed > 0 {
		return &exitError{code: exitFailed}
	}
	_, err := fmt.Fprintf(a.stdout, "%s: ok, %s\n", file, describe(r))
	return err
}

// describe says what a file was found to be.
func describe(r *config.Report) string {
	var parts []string
	if s := r.Server; s != nil {
		hop := "plain HTTP"
		switch {
		case s.Transport.V == "stdio":
			hop = "stdio"
		case s.UDS.V != "":
			hop = "a Unix socket"
		case s.TLS != nil:
			hop = tlsHop(s.TLS)
		}
		parts = append(parts, fmt.Sprintf("a plugin server's (%s): %s", count(len(s.Plugins), "plugin"), hop))
	}
	if g := r.Gateway; g != nil {
		hop := "plain HTTP"
		if g.TLS != nil {
			hop = tlsHop(g.TLS)
		}
		parts = append(parts, fmt.Sprintf("a gateway's own file (%s): %s", count(len(g.Upstreams), "upstream"), hop))
	}
	if c := r.Client; c != nil {
		external, secured, own := 0, 0, 0
		for _, p := range c.Plugins {
			switch {
			case p.MCP != nil && p.MCP.TLS != nil:
				external++
				secured++
			case p.MCP != nil:
				external++
			case p.Enabled():
				own++
			}
		}
		whose, which := "a gateway's", count(external, "external plugin")
		if r.Gateway != nil {
			whose = "its plugins"
			if own > 0 {
				which += fmt.Sprintf(", %d in its own process", own)
			}
		}
		parts = append(parts, fmt.Sprintf("%s (%s): %d over TLS", whose, which, secured))
	}
	return strings.Join(parts, "; ")
}

func tlsHop(t *config.ServerTLS) string {
	return [...]string{"TLS without client certificates", "TLS with optional client certificates", "mutual TLS"}[t.CertReqs.V]
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func newConfigShow(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Print each effective value and where it comes from",
		Long: `Print each effective value of a plugin file or a gateway file and where it comes
from: the environment, a line of the file, or the default. Secrets print as ***.`,
		Example: `  sallyport config show plugins/test.mtls.yaml
  sallyport config show --json plugins/external/config-client.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.configShow(args[0], asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON list of {key, value, source}")
	return cmd
}

func (a *app) configShow(file string, asJSON bool) error {
	settings, err := config.Show(file, config.Options{Kinds: builtin.Kinds()})
	if asJSON && (err == nil || len(settings) > 0) {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if printErr := e.Encode(settings); printErr != nil {
			return printErr
		}
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, s := range settings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Key, s.Value, s.Source)
	}
	if printErr := w.Flush(); printErr != nil {
		return printErr
	}
	return err
}

func newConfigSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of plugin files and gateway files",
		Long: `Print the JSON Schema (2020-12) of plugin files and gateway files, for an editor
to complete and check them with.`,
		Example: "  sallyport config schema > sallyport.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(config.Schema())
			return err
		},
	}
}
