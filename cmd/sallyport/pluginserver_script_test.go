package main

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// serverCommands are commands for scripts that need a server:
//
//	serve NAME [VAR=VALUE…] [argument…]
//
// starts `sallyport plugin-server` with the arguments in the background, over
// HTTP on ports that the system chooses unless VAR=VALUE, the script's
// environment or its file say otherwise, and goes on when it listens. $NAME_ADDR and
// $NAME_HEALTH then hold its addresses (host:port), $NAME_PORT the first one's port.
//
//	gateway NAME [VAR=VALUE…] [argument…]
//
// starts `sallyport gateway` likewise; its operator's listener is $NAME_ADMIN.
//
//	mcp ADDR METHOD PARAMS
//
// sends a request of MCP 2026-07-28 and prints the answer's body.
//
//	shutdown NAME
//
// sends SIGTERM and fails unless the server exits 0. Its log stands in
// $WORK/NAME.log. A server that is not shut down is killed with the script.
func serverCommands() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	servers := &scriptServers{running: map[serverKey]*scriptServer{}}
	return map[string]func(*testscript.TestScript, bool, []string){
		"serve": servers.serve, "gateway": servers.gateway, "shutdown": servers.shutdown, "mcp": scriptMCP,
	}
}

// startLimit is how long a server may take to listen or to end.
const startLimit = 30 * time.Second

// scriptServers are the running servers of all scripts, which run in parallel.
type scriptServers struct {
	mu      sync.Mutex
	running map[serverKey]*scriptServer
}

type serverKey struct {
	ts   *testscript.TestScript
	name string
}

// scriptServer is one server of one script. Its log is read by one goroutine,
// which closes ended when the process is gone.
type scriptServer struct {
	cmd       *exec.Cmd
	log       strings.Builder // to be read after ended
	listening chan map[string]any
	ended     chan struct{}
	err       error
}

func (s *scriptServers) serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serve NAME [VAR=VALUE…] [argument…]")
	}
	defaults := map[string]string{"PLUGINS_TRANSPORT": "http", "PLUGINS_SERVER_PORT": "0"}
	s.start(ts, "plugin-server", defaults, args)
}

func (s *scriptServers) gateway(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: gateway NAME [VAR=VALUE…] [argument…]")
	}
	s.start(ts, "gateway", nil, args)
}

// start starts a command that serves and waits until it listens.
func (s *scriptServers) start(ts *testscript.TestScript, command string, defaults map[string]string, args []string) {
	name, args := args[0], args[1:]
	env := scriptEnv(ts)
	for _, v := range env {
		key, _, _ := strings.Cut(v, "=")
		delete(defaults, key)
	}
	for len(args) > 0 && strings.Contains(args[0], "=") && !strings.HasPrefix(args[0], "-") {
		key, _, _ := strings.Cut(args[0], "=")
		delete(defaults, key)
		env, args = append(env, args[0]), args[1:]
	}
	for key, value := range defaults {
		env = append(env, key+"="+value)
	}
	server, err := startServer(env, ts.MkAbs("."), append([]string{command, "--log-format", "json"}, args...))
	ts.Check(err)
	ts.Defer(server.kill)
	select {
	case line := <-server.listening:
		for key, suffix := range map[string]string{"addr": "_ADDR", "health": "_HEALTH", "admin": "_ADMIN"} {
			value, _ := line[key].(string)
			ts.Setenv(name+suffix, value)
			if _, port, err := net.SplitHostPort(value); err == nil && suffix == "_ADDR" {
				ts.Setenv(name+"_PORT", port)
			}
		}
	case <-server.ended:
		ts.Fatalf("the server ended (%v) and said:\n%s", server.err, server.log.String())
	case <-time.After(startLimit):
		server.kill()
		ts.Fatalf("the server does not listen after %s; it said:\n%s", startLimit, server.log.String())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[serverKey{ts, name}] = server
}

func (s *scriptServers) shutdown(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: shutdown NAME")
	}
	s.mu.Lock()
	server := s.running[serverKey{ts, args[0]}]
	delete(s.running, serverKey{ts, args[0]})
	s.mu.Unlock()
	if server == nil {
		ts.Fatalf("there is no server %s", args[0])
	}
	ts.Check(server.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-server.ended:
	case <-time.After(startLimit):
		server.kill()
	}
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), args[0]+".log"), []byte(server.log.String()), 0o600))
	if server.err != nil {
		ts.Fatalf("the server ended with %v and said:\n%s", server.err, server.log.String())
	}
}

func startServer(env []string, dir string, args []string) (*scriptServer, error) {
	path := "sallyport"
	for _, v := range env {
		if list, ok := strings.CutPrefix(v, "PATH="); ok {
			path = filepath.Join(filepath.SplitList(list)[0], "sallyport") // where testscript puts it
		}
	}
	s := &scriptServer{cmd: exec.Command(path, args...), listening: make(chan map[string]any, 1), ended: make(chan struct{})}
	s.cmd.Env, s.cmd.Dir = env, dir
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.ended)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			s.log.WriteString(lines.Text() + "\n")
			var line map[string]any
			if json.Unmarshal(lines.Bytes(), &line) == nil && line["msg"] == "listening" {
				s.listening <- line
			}
		}
		s.err = s.cmd.Wait()
	}()
	return s, nil
}

// kill ends the server, if it still runs, and waits for that.
func (s *scriptServer) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
}

// scriptEnv is the environment that the script's exec has.
func scriptEnv(ts *testscript.TestScript) []string {
	ts.Check(ts.Exec("env", "-0"))
	return strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\x00"), "\x00")
}
