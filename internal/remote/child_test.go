package remote

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/builtin"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin/server"
)

const (
	childMode = "REMOTE_TEST_CHILD"
	childKey  = "k3y-of-the-child" // a secret in the child's environment
)

// spawn is a plugin server on stdio that behaves as mode says: this test binary,
// in a folder of its own where it notes what it was asked.
func spawn(t *testing.T, mode string) *Stdio {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &Stdio{Cmd: []string{self}, Cwd: t.TempDir(), Env: map[string]string{childMode: mode, "API_KEY": childKey, "GORACE": "atexit_sleep_ms=0"}}
}

// stdioClient makes the client of plugin P on such a server. A log that holds
// the secret fails the test.
func stdioClient(t *testing.T, s *Stdio, change ...func(*Config, *Options)) *Plugin {
	t.Helper()
	log := &logText{}
	cfg, o := Config{Name: "P", Stdio: s, Timeout: 20 * time.Second}, Options{Logger: log.logger()}
	for _, f := range change {
		f(&cfg, &o)
	}
	p, err := New(cfg, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Close()
		if text := log.String(); strings.Contains(text, childKey) {
			t.Errorf("secret in the log:\n%s", text)
		} else if t.Failed() {
			t.Logf("log:\n%s", text)
		}
	})
	return p
}

// isChild runs the test binary as a plugin server when it was started as one.
func isChild() bool {
	mode := os.Getenv(childMode)
	switch mode {
	case "":
		return false
	case "server":
		err := server.Run(context.Background(), server.RunOptions{
			Kinds: builtin.Kinds(), ConfigPath: "server.yaml", Transport: "stdio", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // the child's end is the point
		}
	default:
		(&childServer{mode: mode, in: bufio.NewReader(os.Stdin)}).run()
	}
	return true
}

// childServer is a plugin server that a test made for what can go wrong. The
// hook that it is asked to run says what goes wrong.
type childServer struct {
	mode   string
	in     *bufio.Reader
	opened bool     // by initialize
	held   []string // answers
}

func (s *childServer) say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// note adds a line to what the test reads.
func (s *childServer) note(format string, args ...any) {
	f, err := os.OpenFile("asked", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintf(f, format+"\n", args...)
		f.Close()
	}
}

// asked returns what the servers of s noted so far.
func asked(t *testing.T, s *Stdio) []string {
	t.Helper()
	data, err := os.ReadFile(s.Cwd + "/asked")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

func (s *childServer) run() {
	fmt.Fprintln(os.Stderr, "\x1b[31mstarting\x1b[0m with", os.Getenv("API_KEY"))
	s.note("start")
	if _, err := os.Stat("down"); err == nil || s.mode == "dies" {
		os.Exit(3) //nolint:forbidigo // the child's end is the point
	}
	if s.mode == "chatty" {
		s.say("Plugin server is listening, key %s", os.Getenv("API_KEY"))
	}
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return
		}
		m, err := wire.Parse([]byte(line), 1<<26)
		if err != nil {
			fmt.Fprintln(os.Stderr, "client sent", line)
			os.Exit(4) //nolint:forbidigo // the child's end is the point
		}
		s.answer(m)
	}
}

func (s *childServer) answer(m *wire.Message) {
	call, _ := m.Call()
	switch {
	case s.mode == "mute":
	case m.Method == wire.MethodInitialize && s.legacy():
		s.note("initialize")
		s.result(m, `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"MCP Plugin Server","version":"1"}}`)
	case m.Method == wire.MethodInitialized:
		s.opened = true
	case m.Method == wire.MethodCancelled:
		s.note("cancelled %s", wire.Member(m.Params, "requestId"))
		s.say("%s", wire.AppendResult(nil, wire.Member(m.Params, "requestId"), toolResult(passes))) // too late
	case m.Method == wire.MethodToolsCall && (s.opened == s.legacy() || s.mode == "sloppy" && call.Name == toolConfig):
		s.tool(m)
	case m.ID != nil:
		s.note("refused %s %s", m.Method, call.Name)
		s.say("%s", wire.AppendError(nil, m.ID, wire.Errorf(-32602, "Invalid request parameters")))
	}
}

func (s *childServer) legacy() bool { return s.mode == "legacy" || s.mode == "sloppy" }

func (s *childServer) result(m *wire.Message, result string) {
	if s.legacy() {
		result = strings.Replace(result, `,"resultType":"complete"`, "", 1)
	}
	s.say("%s", wire.AppendLine(nil, wire.AppendResult(nil, m.ID, []byte(result)))[:])
}

// verdict lets a request pass and says something in its metadata.
func verdict(what string) string {
	return `{"plugin_name":"P","result":{"continue_processing":true,"metadata":{"said":` + string(wire.AppendString(nil, what)) + `}}}`
}

func (s *childServer) tool(m *wire.Message) {
	call, _ := m.Call()
	if call.Name != toolInvoke {
		s.note("config")
		hooks, err := os.ReadFile("hooks")
		if err != nil {
			hooks = []byte(`["tool_pre_invoke"]`)
		}
		s.result(m, string(toolResult(`{"name":"P","hooks":`+string(hooks)+`}`)))
		return
	}
	hook, _ := wire.String(wire.Member(call.Arguments, "hook_type"))
	s.note("hook %s", hook)
	s.invoke(m, hook, wire.Member(call.Arguments, "payload"))
}

func (s *childServer) invoke(m *wire.Message, hook string, payload json.RawMessage) {
	pass := func(what string) { s.result(m, string(toolResult(verdict(what)))) }
	answer := string(wire.AppendResult(nil, m.ID, toolResult(passes)))
	switch hook {
	case "hold": // until there are five, then in the other order
		s.held = append(s.held, string(wire.AppendResult(nil, m.ID, toolResult(verdict(string(payload))))))
		if len(s.held) == 5 {
			for i := range s.held {
				s.say("%s", s.held[4-i])
			}
			s.held = nil
		}
	case "hang":
	case "die":
		fmt.Fprintln(os.Stderr, "panic: "+os.Getenv("API_KEY"))
		os.Exit(7) //nolint:forbidigo // the child's end is the point
	case "half":
		fmt.Print(answer[:len(answer)/2])
		os.Exit(7) //nolint:forbidigo // the child's end is the point
	case "duplicate member":
		s.say(`{"jsonrpc":"2.0","id":%s,"result":%s,"id":%s}`, m.ID, toolResult(passes), m.ID)
	case "no JSON":
		s.say(`{"jsonrpc":"2.0","id":%s,"result":pass}`, m.ID)
	case "huge":
		s.say(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, toolResult(verdict(strings.Repeat("x", 60_000))))
	case "rpc error":
		s.say("%s", wire.AppendError(nil, m.ID, wire.Errorf(-32603, "no")))
	case "another's":
		s.result(m, string(toolResult(strings.Replace(passes, `"P"`, `"Q"`, 1))))
	case "no verdict":
		s.result(m, string(toolResult(`{"plugin_name":"P","result":{}}`)))
	case "null":
		s.result(m, "null")
	case "environment":
		pass(strings.Join(os.Environ(), "\n"))
	case "pid":
		pass(fmt.Sprint(os.Getpid()))
	case "requests":
		s.say(`{"jsonrpc":"2.0","id":"a","method":"ping"}`)
		s.say(`{"jsonrpc":"2.0","id":"b","method":"sampling/createMessage","params":{}}`)
		s.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}`)
		first, _ := s.in.ReadString('\n')
		second, _ := s.in.ReadString('\n')
		pass(first + second)
	case "grandchild":
		cmd := exec.Command("sleep", "1000")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // it would keep the pipes open
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		pass(fmt.Sprint(cmd.Process.Pid))
	case "flood":
		for range 1000 {
			fmt.Fprintln(os.Stderr, strings.Repeat("word ", 1000)+os.Getenv("API_KEY"))
		}
		pass("")
	default:
		pass(string(m.Params))
	}
}
