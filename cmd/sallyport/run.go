package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/logs"
)

// Exit codes common to all commands; a command with further ones names them.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// app is what every command is given: its streams and the common flags.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	verbose   bool
	logFormat string
	log       *slog.Logger // set before any command runs
}

// exitError ends the command with a code of its own. Its err may be nil: then
// all has been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is a command line that cannot be understood: exit code 2.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// run executes one command line and returns the process's exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFailed
	if exit, ok := errors.AsType[*exitError](err); ok {
		code = exit.code
		if exit.err == nil {
			return code
		}
	}
	a.report(err)
	return code
}

// report prints err and its hints in the form of interfaces §1.
func (a *app) report(err error) {
	// All that is wrong with a configuration, each with its own hint.
	if many, ok := errors.AsType[config.Problems](err); ok && len(many) > 1 {
		for _, one := range many.Unwrap() {
			a.report(one)
		}
		return
	}
	if list := joined(err); list != nil {
		for _, one := range list {
			a.report(one)
		}
		return
	}
	// What a server said may be part of it: it must not steer the terminal, nor
	// look like a line of ours.
	fmt.Fprintf(a.stderr, "sallyport: %s\n", logs.Printable(err.Error()))
	for _, h := range hint.Of(err) {
		fmt.Fprintf(a.stderr, "sallyport: hint: %s\n", logs.Printable(h))
	}
}

// joined are the errors that errors.Join has made err of; nil when it has not.
func joined(err error) []error {
	list, ok := err.(interface{ Unwrap() []error })
	if !ok || err.Error() != errors.Join(list.Unwrap()...).Error() {
		return nil // fmt.Errorf with several has a text of its own
	}
	return list.Unwrap()
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "An MCP gateway whose guardrail plugins run behind mutual TLS",
		Long: `Sallyport guards MCP tools, prompts and resources with plugins that run out of
process, in plugin servers reached over mutual TLS.`,
		Example: `  sallyport certs all
  PLUGINS_CONFIG_PATH=plugins/test.mtls.yaml sallyport plugin-server
  sallyport gateway --config sallyport.yaml`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			log, err := logs.New(a.stderr, logs.Options{
				Verbose: a.verbose,
				Level:   os.Getenv("LOG_LEVEL"),
				Format:  a.logFormat,
				NoColor: os.Getenv("NO_COLOR") != "",
			})
			if err != nil {
				return &exitError{exitUsage, err}
			}
			a.log = log
			return nil
		},
	}
	root.PersistentFlags().BoolVar(&a.verbose, "verbose", false, "log at debug level, handshakes included (LOG_LEVEL=DEBUG)")
	root.PersistentFlags().StringVar(&a.logFormat, "log-format", "", "text or json (text on a terminal, else json)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{exitUsage, err} })
	root.AddCommand(
		newCall(a),
		newCerts(a),
		newConfig(a),
		newGateway(a),
		newPluginServer(a),
		newPluginTest(a),
		newVersion(a),
	)
	markUsageErrors(root)
	return root
}

// unknownCommand refuses a word that names no command.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	what := "unknown command"
	if cmd.HasParent() {
		what = cmd.Name() + ": " + what
	}
	err := usageError("%s %q", what, args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return hint.Add(err, "did you mean: "+cmd.CommandPath()+" "+strings.Join(near, ", "))
	}
	return hint.Add(err, cmd.CommandPath()+" --help")
}

// markUsageErrors turns what a command says about its arguments into exit code 2.
func markUsageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if _, ok := errors.AsType[*exitError](err); err == nil || ok {
				return err
			}
			return hint.Add(&exitError{exitUsage, fmt.Errorf("%s: %w", cmd.CommandPath(), err)}, cmd.CommandPath()+" --help")
		}
	}
	for _, sub := range cmd.Commands() {
		markUsageErrors(sub)
	}
}
