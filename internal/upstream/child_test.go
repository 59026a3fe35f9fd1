package upstream

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

const childMode = "UPSTREAM_TEST_CHILD"

// spawn is the configuration of a stdio server that behaves as mode says: this
// test binary.
func spawn(t *testing.T, mode string) Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Config{Command: self, Env: map[string]string{childMode: mode, "API_TOKEN": "s3cr3t-value", "GORACE": "atexit_sleep_ms=0"}}
}

// isChild runs the test binary as a stdio server when it was started as one.
func isChild() bool {
	mode := os.Getenv(childMode)
	switch mode {
	case "":
		return false
	case "sdk":
		serveSDK()
	default:
		(&childServer{mode: mode, in: bufio.NewReader(os.Stdin)}).run()
	}
	return true
}

func serveSDK() {
	s := newSDKServer()
	if err := s.Run(context.Background(), &mcp.StdioTransport{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// childServer is a server that a test made for what can go wrong.
type childServer struct {
	mode      string
	in        *bufio.Reader
	greeted   bool
	cancelled []string
	seen      []string // methods
}

func (s *childServer) say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func (s *childServer) run() {
	switch s.mode {
	case "dies":
		fmt.Fprintln(os.Stderr, "\x1b[31mno token\x1b[0m s3cr3t-value given\x07")
		os.Exit(3) //nolint:forbidigo // the child's end is the point
	case "chatty":
		s.say("Listening on stdio with s3cr3t-value")
		s.say("%s", `{"level":"info","msg":"ready"}`)
	case "stubborn":
		ignoreSignals()
	case "slow", "slow both", "slow deaf":
		<-time.After(300 * time.Millisecond)
	case "flips": // legacy the first time, modern from then on
		s.mode = "modern"
		if _, err := os.Stat("flipped"); err != nil {
			s.mode = "legacy"
			f, _ := os.Create("flipped")
			f.Close()
		}
	}
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			if s.mode == "stubborn" {
				select {}
			}
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
	s.seen = append(s.seen, m.Method)
	old := s.mode == "legacy" || s.mode == "silent" || s.mode == "strict" || s.mode == "chatty"
	switch {
	case s.mode == "mute":
	case s.mode == "slow both" && m.Method == wire.MethodInitialize:
		s.result(m, initialized)
	case s.mode == "slow deaf" && m.Method == wire.MethodInitialize:
	case m.Method == wire.MethodDiscover && s.mode == "silent":
	case m.Method == wire.MethodDiscover && s.mode == "strict" && !s.greeted:
		os.Exit(1) //nolint:forbidigo // the child's end is the point
	case m.Method == wire.MethodDiscover && !old:
		s.result(m, discovered)
	case m.Method == wire.MethodInitialize && old:
		s.greeted = true
		s.result(m, initialized)
	case m.Method == wire.MethodInitialized:
	case m.Method == wire.MethodCancelled:
		s.cancelled = append(s.cancelled, string(wire.Member(m.Params, "requestId")))
	case m.Method == wire.MethodToolsCall:
		s.tool(m)
	case m.ID != nil:
		s.say("%s", wire.AppendError(nil, m.ID, wire.Errorf(-32602, "Received request before initialization was complete")))
	}
}

func (s *childServer) result(m *wire.Message, result string) {
	s.say("%s", wire.AppendLine(nil, wire.AppendResult(nil, m.ID, []byte(result)))[:])
}

func (s *childServer) tool(m *wire.Message) {
	call, _ := m.Call()
	switch call.Name {
	case "params":
		s.result(m, string(m.Params))
	case "hard":
		s.result(m, hard)
	case "progress":
		s.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1.0,"progressToken":%s}}`, call.Meta.ProgressToken)
		s.say(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"nobody's"}}`)
		s.say(`{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}`)
		s.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":2.0,"progressToken":%s}}`, call.Meta.ProgressToken)
		s.result(m, `{"done":true}`)
	case "hang":
		s.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":0,"progressToken":%s}}`, call.Meta.ProgressToken)
	case "die":
		fmt.Fprintln(os.Stderr, "panic: s3cr3t-value")
		os.Exit(7) //nolint:forbidigo // the child's end is the point
	case "broken":
		s.say(`{"jsonrpc":"2.0","id":%s,"result":{"a":1,"a":2}}`, m.ID)
	case "huge":
		s.say(`{"result":{"text":"%s"},"jsonrpc":"2.0","id":%s}`, strings.Repeat("x", 100_000), m.ID)
	case "huge, nobody's":
		s.say(`{"jsonrpc":"2.0","result":"%s"}`, strings.Repeat("x", 100_000))
	case "environment":
		env, _ := json.Marshal(os.Environ())
		s.result(m, string(env))
	case "pid":
		s.result(m, fmt.Sprint(os.Getpid()))
	case "cancelled":
		s.result(m, "["+strings.Join(s.cancelled, ",")+"]")
	case "seen":
		seen, _ := json.Marshal(s.seen)
		s.result(m, string(seen))
	case "ping":
		s.say(`{"jsonrpc":"2.0","id":"a","method":"ping"}`)
		s.say(`{"jsonrpc":"2.0","id":"b","method":"elicitation/create","params":{}}`)
		first, _ := s.in.ReadString('\n')
		second, _ := s.in.ReadString('\n')
		s.result(m, "["+first+","+second+"]")
	case "grandchild":
		cmd := exec.Command("sleep", "1000")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // it would keep the pipes open
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		s.result(m, fmt.Sprint(cmd.Process.Pid))
	case "close":
		os.Stdout.Close()
	}
}
