// Command interop tries Sallyport with software that others have written.
//
//	go run ./test/interop [-conformance] [-only part,part] [-write] bin/sallyport
//
// It has these parts, each by itself with -only, and each in the file of its name
// and those that begin with it:
//
//	everything            npm's server-everything behind the gateway, over stdio and
//	                      HTTP: each answer is compared to the one it gives directly
//	clients               the official clients in front of the gateway
//	contextforge-config   config check on the plugin file that ContextForge ships
//	contextforge-client   ContextForge's plugin managers call our plugin servers,
//	                      native kinds and the plugin of allhooks
//	contextforge-servers  ContextForge's plugin servers under our gateway, with a
//	                      plugin of ours in Python; what harms servers, too
//	parity                ContextForge's native plugins and ours on the same inputs,
//	                      which are in testdata/parity
//
// With -conformance it runs the official conformance suite instead. In the first
// two parts a plugin over mutual TLS is in the path throughout. What parts
// have in common: lab.go starts what is under test, process.go is one process,
// peer.go an MCP client that shows bytes as they come, tap.go and relay.go stand
// in between and note what passes, mirror.go is an upstream that remembers what it
// was asked, json.go looks into JSON, and table.go is what comes of it all: the
// table of docs/compatibility.md.
//
// What it needs tools.go and contextforge_install.go install, by name and version,
// into .tools/interop. Where npm, Python or a registry is missing it says so and
// goes on without; with REQUIRE_TOOLS=1 that is a failure. Everything listens on
// loopback only.
package main

import (
	"context"
	"errors"
	"flag"
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
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("interop", flag.ContinueOnError)
	conformance := flags.Bool("conformance", false, "run the conformance suite instead, and report its numbers")
	only := flags.String("only", "", "`parts` to try, with commas between: "+strings.Join(partNames(), ", ")+", or the beginning of such names up to a hyphen")
	write := flags.Bool("write", false, "write the table into "+tableFile+", which has to have it as it is")
	folder := flags.String("tools", ".tools/interop", "`folder` to install into")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: interop [flags] bin/sallyport")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return errors.New("which binary is to be tried?")
	}
	todo, err := chosen(*only)
	if err != nil {
		return err
	}
	if *conformance {
		todo = []part{{name: "conformance", needs: needs{npm: true}, run: (*lab).conformance}}
	}
	var all needs
	for _, p := range todo {
		all.npm, all.python, all.contextforge = all.npm || p.needs.npm, all.python || p.needs.python, all.contextforge || p.needs.contextforge
	}
	start := time.Now()
	tools, err := install(ctx, *folder, all)
	if err != nil {
		return err
	}
	fmt.Printf("tools are in place after %.1f s\n", time.Since(start).Seconds())
	start = time.Now()

	l, err := newLab(ctx, flags.Arg(0), tools)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	t := &table{}
	for _, p := range todo {
		start := time.Now()
		if failed := p.run(l, ctx, t); failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", p.name, failed))
		}
		fmt.Printf("%s tried in %.1f s\n", p.name, time.Since(start).Seconds())
	}
	t.print()
	fmt.Printf("\n%.1f s\n", time.Since(start).Seconds())
	if err != nil {
		return err
	}
	if err := t.verdict(); err != nil || *conformance || *only != "" || len(t.skipped) > 0 {
		return err
	}
	return t.keep(*write)
}

// part is what can be tried by itself.
type part struct {
	name  string
	needs needs
	run   func(*lab, context.Context, *table) error
}

// parts are all of them, in the order in which they are tried.
func parts() []part {
	return []part{
		{name: "everything", needs: needs{npm: true}, run: (*lab).everything},
		{name: "clients", needs: needs{npm: true, python: true}, run: (*lab).clients},
		{name: "contextforge-config", needs: needs{contextforge: true}, run: (*lab).contextForgeFiles},
		{name: "contextforge-client", needs: needs{contextforge: true}, run: (*lab).contextForgeClients},
		{name: "contextforge-servers", needs: needs{contextforge: true}, run: (*lab).contextForgeServers},
		{name: "parity", needs: needs{contextforge: true}, run: (*lab).parity},
	}
}

func partNames() []string {
	var all []string
	for _, p := range parts() {
		all = append(all, p.name)
	}
	return all
}

// chosen are the parts of a list of names, all of them if it is empty.
func chosen(list string) ([]part, error) {
	if list == "" {
		return parts(), nil
	}
	var todo []part
	for name := range strings.SplitSeq(list, ",") {
		found := false
		for _, p := range parts() {
			if p.name == name || strings.HasPrefix(p.name, name+"-") {
				todo, found = append(todo, p), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no part %q; there are %s", name, strings.Join(partNames(), ", "))
		}
	}
	return todo, nil
}

// clip keeps an answer in an error message readable.
func clip(b []byte) string {
	const most = 600
	if len(b) <= most {
		return string(b)
	}
	return fmt.Sprintf("%s… (%d bytes)", b[:most], len(b))
}

// absolute is filepath.Abs for every path of a list.
func absolute(paths ...*string) (err error) {
	for _, p := range paths {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	return nil
}
