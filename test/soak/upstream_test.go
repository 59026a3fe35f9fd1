//go:build linux

package soak

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// upstreamEnv makes the test's binary an upstream that listens there.
const upstreamEnv = "SOAK_UPSTREAM"

// serveUpstream is an MCP server of 2026-07-28 with one tool. It says on its
// standard output which calls reached it, before it answers: what it has said
// outlives it.
func serveUpstream(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("listening", l.Addr())
	srv := &http.Server{Handler: http.HandlerFunc(answer), ReadHeaderTimeout: time.Minute}
	return srv.Serve(l)
}

func answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var m struct {
		ID     json.RawMessage
		Method string
		Params struct {
			Arguments struct {
				Call int64
				Text string
			}
		}
	}
	if err := json.Unmarshal(body, &m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	const always = `"resultType":"complete","ttlMs":600000,"cacheScope":"public"`
	result := ""
	switch m.Method {
	case "server/discover":
		result = `{` + always + `,"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}`
	case "tools/list":
		result = `{` + always + `,"tools":[{"name":"work","inputSchema":{"type":"object"}}]}`
	case "tools/call":
		n, seen := m.Params.Arguments.Call, "guarded"
		if m.Params.Arguments.Text != guarded {
			seen = "unguarded"
		}
		fmt.Println("call", n, seen) // one write, so that lines stay whole
		result = fmt.Sprintf(`{"resultType":"complete","content":[{"type":"text","text":"call %d in %s"}]}`, n, raw)
	default:
		http.Error(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"error":{"code":-32601,"message":"no"}}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
}

// ledger is what reached the upstream, over all its lives.
type ledger struct {
	mu        sync.Mutex
	times     map[int64]int // by call, how often it came
	unguarded int
}

func newLedger() *ledger { return &ledger{times: map[int64]int{}} }

func (l *ledger) note(line string) {
	var n int64
	var seen string
	if _, err := fmt.Sscanf(line, "call %d %s", &n, &seen); err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times[n]++
	if seen != "guarded" {
		l.unguarded++
	}
}

func (r *rig) startUpstream(port int) *process {
	r.t.Helper()
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=127.0.0.1:%d", upstreamEnv, port))
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	return r.startProcess(cmd, bufio.NewScanner(out), func(line []byte) (addr string, keep bool) {
		text := string(line)
		if addr, ok := strings.CutPrefix(text, "listening "); ok {
			return addr, true
		}
		r.ledger.note(text)
		return "", false
	})
}

// server is a process that is killed, stopped and started again.
type server struct {
	*rig
	name  string
	start func() *process
	now   *process
}

func (s *server) up() { s.now = s.start() }

// restart ends it as an operator would and starts it anew.
func (s *server) restart() {
	s.now.signal(syscall.SIGTERM)
	select {
	case <-s.now.ended:
	case <-time.After(startLimit):
		s.t.Errorf("the %s did not end after SIGTERM", s.name)
		s.now.kill()
	}
	s.up()
}
