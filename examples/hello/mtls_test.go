package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

const guide = "../../docs/writing-plugins.md"

// TestTheGuideWorks does what docs/writing-plugins.md says, command by command:
// another module's kind, in its own process, called over mutual TLS.
func TestTheGuideWorks(t *testing.T) {
	text := read(t, guide)
	dir := t.TempDir()
	build(t, ".", filepath.Join(dir, "hello"), ".")
	build(t, "../..", filepath.Join(dir, "sallyport"), "./cmd/sallyport")
	for _, name := range []string{"hello.yaml", "gateway.yaml", "sallyport.yaml"} {
		write(t, filepath.Join(dir, name), read(t, name))
	}
	run := func(line string, wantExit int) string {
		t.Helper()
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Fatalf("%s does not say: %s", guide, line)
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if exit := exitCode(err); exit != wantExit {
			t.Fatalf("%s: exit %d, want %d: %v\n%s", line, exit, wantExit, err, stderr.String())
		}
		return string(out)
	}
	run("sallyport certs plugin Hello --profile modern", 0)
	run("sallyport certs gateway --profile modern", 0)

	address := start(t, dir, text, "./hello --config hello.yaml", "", true)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	client := strings.Replace(read(t, "gateway.yaml"), ":8000/", ":"+port+"/", 1)
	write(t, filepath.Join(dir, "gateway.yaml"), client)

	got := run(`sallyport call --config gateway.yaml --plugin Hello --hook tool_pre_invoke --payload '{"name": "write", "args": {"text": "Ada"}}'`, 0)
	sameJSON(t, got, block(t, text, `"modified_payload"`))
	got = run(`sallyport call --config gateway.yaml --plugin Hello --hook tool_pre_invoke --payload '{"name": "read", "args": {}}'`, 3)
	sameJSON(t, got, block(t, text, `"no_text"`))

	// The guide's port is 8000; the test's server has one of its own.
	check := func(line string) {
		t.Helper()
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Fatalf("%s does not say: %s", guide, line)
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(line, ":8000/", ":"+port+"/", 1))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), " 0 fail, ") {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	check("sallyport plugin-test https://localhost:8000/mcp --certfile certs/mcp/gateway/client.crt --keyfile certs/mcp/gateway/client.key --ca-bundle certs/mcp/gateway/ca.crt")

	behindGateway(t, dir, text)

	// Without a certificate nothing is answered.
	write(t, filepath.Join(dir, "gateway.yaml"), strings.NewReplacer(
		"        certfile: certs/mcp/gateway/client.crt\n", "",
		"        keyfile: certs/mcp/gateway/client.key\n", "").Replace(client))
	if got := run(`sallyport call --config gateway.yaml --plugin Hello --hook tool_pre_invoke --payload '{"name": "write", "args": {"text": "Ada"}}'`, 1); got != "" {
		t.Errorf("without a certificate: got %s", got)
	}
}

// behindGateway does section 6: a tool of the notes is called with curl.
func behindGateway(t *testing.T, dir, text string) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil && os.Getenv("REQUIRE_TOOLS") == "" {
		t.Log("curl is not installed: the gateway is not tried")
		return
	}
	notes, err := filepath.Abs("../notes")
	if err != nil {
		t.Fatal(err)
	}
	file := strings.Replace(read(t, "sallyport.yaml"), "cwd: ../notes", "cwd: "+notes, 1)
	write(t, filepath.Join(dir, "sallyport.yaml"), file)
	address := start(t, dir, text, "sallyport gateway", " --listen 127.0.0.1:0", false)
	_, line, ok := strings.Cut(text, "\ncurl ")
	line, _, end := strings.Cut(line, "\n```")
	if !ok || !end {
		t.Fatalf("%s does not call curl", guide)
	}
	line = "curl " + strings.Replace(line, "127.0.0.1:4444", address, 1)
	for said, c := range map[string]struct{ tool, args string }{
		"note 1: Good morning, Ada":              {"write", `{"text": "Ada"}`},
		"Plugin Violation: The call has no text": {"read", `{}`},
	} {
		called := strings.NewReplacer("write", c.tool, `{"text": "Ada"}`, c.args).Replace(line)
		out, err := exec.CommandContext(t.Context(), "sh", "-c", called).CombinedOutput()
		if err != nil || !strings.Contains(string(out), `"text":"`+said+`"`) || !strings.Contains(text, said) {
			t.Errorf("%s: %v\n%s", called, err, out)
		}
	}
}

// start runs a line of the guide, and more behind it, on a port of its own and
// waits until it listens. The test's end stops it, which must be a clean end.
func start(t *testing.T, dir, text, line, more string, tls bool) (address string) {
	t.Helper()
	if !strings.Contains(text, "\n"+line+"\n") {
		t.Fatalf("%s does not say: %s", guide, line)
	}
	// Not by t.Context: that kills before the clean-up below can ask nicely.
	cmd := exec.CommandContext(context.Background(), "sh", "-c", "exec "+line+more)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PLUGINS_SERVER_PORT=0", "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		for lines.Scan() {
			t.Log(lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s ended with %v", line, err)
		}
	})
	for lines.Scan() {
		var entry struct {
			Msg, Addr string
			TLS       bool
		}
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "listening" {
			if entry.TLS != tls {
				t.Fatalf("%s listens with TLS %v, want %v", line, entry.TLS, tls)
			}
			return entry.Addr
		}
		t.Log(lines.Text())
	}
	t.Fatalf("%s does not listen", line)
	return ""
}

// TestTheGuideListsTheHooks: a hook that is added gets its line.
func TestTheGuideListsTheHooks(t *testing.T) {
	text := read(t, guide)
	for _, hook := range plugin.Hooks() {
		if !strings.Contains(text, "\n| `"+string(hook)+"` | ") {
			t.Errorf("%s does not list %s", guide, hook)
		}
	}
}

// TestTheGuideQuotesTheFiles keeps each quoted block equal to its file, and
// leaves no code in the guide that is not quoted from one.
func TestTheGuideQuotesTheFiles(t *testing.T) {
	text := read(t, guide)
	quoted := 0
	for i, part := range strings.Split(text, "\n```") {
		lang, body, _ := strings.Cut(part, "\n")
		if i%2 == 0 || lang != "go" && lang != "yaml" && lang != "go.mod" {
			continue
		}
		before := strings.TrimSpace(strings.Split(text, "\n```"+part)[0])
		comment := before[strings.LastIndex(before, "\n")+1:]
		name, ok := strings.CutPrefix(strings.TrimSuffix(comment, " -->"), "<!-- ")
		if !ok {
			t.Errorf("a block of %s is quoted from no file:\n%s", lang, body)
			continue
		}
		quoted++
		file := read(t, filepath.Join("../..", name))
		if lang == "go.mod" {
			body = strings.ReplaceAll(body, "=> ../sallyport", "=> ../")
			for line := range strings.Lines(body + "\n") {
				if !strings.Contains(file, line) {
					t.Errorf("%s does not have the line %s", name, line)
				}
			}
		} else if body = strings.ReplaceAll(body, "../sallyport/examples/", "../"); !strings.Contains(file, body+"\n") {
			t.Errorf("the guide's quotation of %s differs from the file", name)
		}
	}
	if quoted < 6 {
		t.Errorf("only %d quotations found", quoted)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func build(t *testing.T, dir, out, pkg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", out, pkg)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, text)
	}
}

func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// block returns the guide's JSON block that holds what.
func block(t *testing.T, text, what string) string {
	t.Helper()
	for part := range strings.SplitSeq(text, "\n```") {
		if body, ok := strings.CutPrefix(part, "json\n"); ok && strings.Contains(body, what) {
			return body
		}
	}
	t.Fatalf("the guide shows no JSON with %s", what)
	return ""
}

func sameJSON(t *testing.T, got, want string) {
	t.Helper()
	var a, b bytes.Buffer
	if err := errors.Join(json.Compact(&a, []byte(got)), json.Compact(&b, []byte(want))); err != nil || a.String() != b.String() {
		t.Errorf("got %s, %v\nthe guide shows %s", got, err, want)
	}
}
