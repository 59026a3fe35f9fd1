// Command bench measures Sallyport against the least that could do the same
// work. It is run in the repository.
//
//	go run ./test/bench [-only part] bin/sallyport
//
// Its parts are in the files of their names:
//
//	plugins     the native plugins, by the benchmarks of their package
//	pipeline    the same of the pipeline; it is in plugins.go, too
//	pii         pii_filter beside ContextForge's, where make interop has installed it
//	hooks       hook calls against a bare net/http POST
//	gateway     tool calls through the gateway against the same upstream called
//	            directly and through httputil.ReverseProxy; peers.go has other
//	            gateways
//	handshakes  handshakes of our listener against bare crypto/tls
//	certs       certs all against the guide's openssl commands
//
// Client and servers are processes of their own on this machine, over mutual
// TLS 1.3 with P-256 certificates; the bare servers are this program started
// again (serve.go, upstream.go). Kinds of call take turns, so that what else the
// machine does hits both alike: the ratios say more than the numbers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"
)

// settings are the command line.
type settings struct {
	binary   string        // bin/sallyport
	duration time.Duration // of one round of one kind
	rounds   int
	peers    bool   // install and measure other gateways too
	only     string // the one part to run; empty is all
	certs    bool   // measure certs all too: RSA keys take their time
	profile  string // where to write the client's CPU profile of our calls
	dir      string // temporary
	started  []*process
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 1 && args[0] == serveMode {
		return serve(ctx, args[1], args[2:])
	}
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.DurationVar(&s.duration, "duration", 1500*time.Millisecond, "of one round of one kind of call")
	flags.IntVar(&s.rounds, "rounds", 4, "how often the kinds take turns")
	flags.BoolVar(&s.certs, "certs", true, "measure certs all against openssl")
	flags.BoolVar(&s.peers, "peers", os.Getenv("PEERS") == "1", "install and measure other gateways too (PEERS=1)")
	flags.StringVar(&s.only, "only", "", "run only this `part`: plugins, pipeline, pii, hooks, gateway, handshakes or certs")
	flags.StringVar(&s.profile, "cpuprofile", "", "write the client's CPU profile of hook calls to this `file`")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: bench [flags] bin/sallyport")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return errors.New("which binary is to be measured?")
	}
	var err error
	if s.binary, err = filepath.Abs(flags.Arg(0)); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "sallyport-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(s.dir) }()
	defer s.killAll()
	fmt.Printf("%s, %d CPUs, %s/%s\n", runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	if err := s.prepare(ctx); err != nil {
		return err
	}
	parts := []struct {
		name, doing string
		run         func(context.Context) error
	}{
		{"plugins", "native plugins", s.plugins}, {"pipeline", "the pipeline", s.pipeline}, {"pii", "pii_filter", s.pii},
		{"hooks", "hook calls", s.hooks}, {"gateway", "tool calls", s.gateway},
		{"handshakes", "handshakes", s.handshakes}, {"certs", "certificates", s.certificates},
	}
	for _, part := range parts {
		if s.only != "" && s.only != part.name || part.name == "certs" && !s.certs {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.doing, err)
		}
	}
	return nil
}

// profiled runs f, with a CPU profile if one is wanted.
func (s *settings) profiled(f func() error) error {
	if s.profile == "" {
		return f()
	}
	file, err := os.Create(s.profile)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}
