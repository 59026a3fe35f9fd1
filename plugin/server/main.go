package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// Main is the main function of a plugin server: it serves kinds exactly as
// `sallyport plugin-server` serves its native ones, and ends the process. The
// command line is that command's: --config, --transport, --require-tls,
// --verbose, --log-format; environment and files are the same. SIGTERM and
// interrupt let calls in flight finish.
//
// Exit codes: 0 after a signal, 1 when something failed, 2 for a command line
// that cannot be understood.
func Main(kinds ...plugin.Kind) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := runMain(ctx, os.Args, kinds, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code) //nolint:forbidigo // this is a program's main
}

// runMain is Main without the process around it.
func runMain(ctx context.Context, args []string, kinds []plugin.Kind, stdin io.Reader, stdout, stderr io.Writer) int {
	name := filepath.Base(args[0])
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	config := flags.String("config", "", "plugin `file` (PLUGINS_CONFIG_PATH, "+DefaultConfigPath+")")
	transport := flags.String("transport", "", "http or stdio (PLUGINS_TRANSPORT)")
	requireTLS := flags.Bool("require-tls", false, "refuse plaintext listeners (PLUGINS_REQUIRE_TLS)")
	verbose := flags.Bool("verbose", false, "log at debug level, handshakes included (LOG_LEVEL=DEBUG)")
	format := flags.String("log-format", "", "text or json (text on a terminal, else json)")

	err := flags.Parse(args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stdout, "Serve plugins to a gateway.\n\nUsage:\n  %s [flags]\n\nExample:\n  PLUGINS_CONFIG_PATH=plugins.yaml %s\n\nFlags:\n", name, name)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return 0
	}
	report := func(code int, err error) int {
		fmt.Fprintf(stderr, "%s: %s\n", name, logs.Printable(err.Error()))
		for _, h := range hint.Of(err) {
			fmt.Fprintf(stderr, "%s: hint: %s\n", name, logs.Printable(h))
		}
		return code
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err != nil {
		return report(2, hint.Add(err, name+" --help"))
	}
	log, err := logs.New(stderr, logs.Options{
		Verbose: *verbose, Level: os.Getenv("LOG_LEVEL"), Format: *format, NoColor: os.Getenv("NO_COLOR") != "",
	})
	if err != nil {
		return report(2, err)
	}
	if !given(flags, "require-tls") {
		requireTLS = nil
	}
	err = Run(ctx, RunOptions{
		Kinds: kinds, ConfigPath: *config, Transport: *transport, RequireTLS: requireTLS,
		Stdin: stdin, Stdout: stdout, Logger: log, OwnsProcess: true, Version: buildVersion(),
	})
	if err != nil {
		return report(1, err)
	}
	return 0
}

func given(flags *flag.FlagSet, name string) (ok bool) {
	flags.Visit(func(f *flag.Flag) { ok = ok || f.Name == name })
	return ok
}

// buildVersion is the version of the program's own module.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return ""
}
