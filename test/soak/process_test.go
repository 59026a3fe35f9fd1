//go:build linux

package soak

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startLimit is how long a process may take to listen or to end.
const startLimit = 30 * time.Second

// build builds the command as it is released, unless SOAK_BINARY names one,
// such as one with the race detector.
func (r *rig) build() {
	r.t.Helper()
	if r.binary = os.Getenv("SOAK_BINARY"); r.binary != "" {
		return
	}
	r.binary = filepath.Join(r.dir, "sallyport")
	cmd := exec.CommandContext(r.t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "grpcnotrace", "-o", r.binary, "../../cmd/sallyport")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("building: %v\n%s", err, out)
	}
}

func (r *rig) certificates() {
	r.t.Helper()
	for _, args := range [][]string{{"certs", "gateway"}, {"certs", "plugin", "Guard"}} {
		if out, err := r.command(append(args, "--profile", "modern")...).CombinedOutput(); err != nil {
			r.t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
}

// command is a sallyport command in the test's folder, with nothing of the
// caller's environment that could change what it does.
func (r *rig) command(args ...string) *exec.Cmd {
	cmd := exec.Command(r.binary, args...)
	cmd.Dir = r.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "GOTRACEBACK=all"}
	return cmd
}

// process is one that has said that it listens.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	addr  string
	ended chan struct{}

	mu  sync.Mutex
	log strings.Builder // without the lines of calls, which are many
}

// sallyport starts a server and waits until it listens.
func (r *rig) sallyport(args ...string) *process {
	r.t.Helper()
	cmd := r.command(append(args, "--log-format", "json")...)
	out, err := cmd.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	return r.startProcess(cmd, bufio.NewScanner(out), func(line []byte) (addr string, keep bool) {
		var record struct{ Msg, Addr string }
		if json.Unmarshal(line, &record) != nil {
			return "", true
		}
		if record.Msg != "listening" {
			record.Addr = ""
		}
		return record.Addr, record.Addr != "" || strings.Contains(record.Msg, "panic")
	})
}

// startProcess starts cmd and reads its lines until it ends. read finds the
// address that it listens on, and says which lines are worth keeping.
func (r *rig) startProcess(cmd *exec.Cmd, lines *bufio.Scanner, read func([]byte) (addr string, keep bool)) *process {
	r.t.Helper()
	// Whatever becomes of the test, its processes end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	p := &process{t: r.t, cmd: cmd, ended: make(chan struct{})}
	found := make(chan string, 1)
	go func() {
		defer close(p.ended)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			addr, keep := read(lines.Bytes())
			if addr != "" {
				found <- addr
			}
			if keep {
				p.mu.Lock()
				p.log.WriteString(lines.Text() + "\n")
				p.mu.Unlock()
			}
		}
		_ = cmd.Wait() // most are killed
	}()
	r.t.Cleanup(p.kill)
	select {
	case p.addr = <-found:
	case <-p.ended:
		r.t.Fatalf("%s ended and said:\n%s", cmd, p.said())
	case <-time.After(startLimit):
		p.kill()
		r.t.Fatalf("%s does not listen after %s and said:\n%s", cmd, startLimit, p.said())
	}
	return p
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

func (p *process) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("%s to %s: %v", s, p.cmd, err)
	}
}

// proc is a file of the process in /proc.
func (p *process) proc(name string) string {
	return filepath.Join("/proc", fmt.Sprint(p.cmd.Process.Pid), name)
}

// resident is what the process occupies, in bytes.
func (p *process) resident() int64 {
	text, err := os.ReadFile(p.proc("status"))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	p.t.Fatal("no VmRSS in /proc/PID/status")
	return 0
}

// descriptors is how many files and connections the process has open.
func (p *process) descriptors() int {
	entries, err := os.ReadDir(p.proc("fd"))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(entries)
}

// clients is how many connections to the address that it listens on are open.
func (p *process) clients() int {
	_, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		p.t.Fatal(err)
	}
	open := 0
	for line := range strings.Lines(string(text)) {
		// sl, local address, remote address, state: all but the first in hexadecimal.
		f := strings.Fields(line)
		const listening, timeWait = "0A", "06"
		if len(f) > 3 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) && f[3] != listening && f[3] != timeWait {
			open++
		}
	}
	return open
}

// goroutine begins the stack of each goroutine in what a Go program says when
// it is sent SIGQUIT, and names its state.
var goroutine = regexp.MustCompile(`(?m)^goroutine [1-9][0-9]* .*\[[^\]]*\]:$`)

// goroutines ends the process and returns the stacks of all its goroutines.
func (p *process) goroutines() []string {
	p.signal(syscall.SIGQUIT)
	select {
	case <-p.ended:
	case <-time.After(startLimit):
		p.kill()
	}
	said := p.said()
	starts := goroutine.FindAllStringIndex(said, -1)
	if len(starts) == 0 {
		p.t.Fatalf("SIGQUIT printed no goroutines:\n%s", said)
	}
	var stacks []string
	for i, at := range starts {
		end := len(said)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		if stack := said[at[0]:end]; !strings.Contains(stack, "created by runtime.") { // its own come and stay
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// summary counts stacks by the function that started them.
func summary(stacks []string) string {
	count := map[string]int{}
	for _, s := range stacks {
		by := "main"
		if _, rest, ok := strings.Cut(s, "created by "); ok {
			by, _, _ = strings.Cut(rest, "\n")
			by, _, _ = strings.Cut(by, " in goroutine")
		}
		count[by]++
	}
	var lines []string
	for by, n := range count {
		lines = append(lines, fmt.Sprintf("%4d %s", n, by))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// freePort is one that a server may be started on again and again: it lies
// below those that the system gives to connections.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
