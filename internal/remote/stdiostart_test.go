package remote

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
)

// gone waits until there is no such process, or only its remains.
func gone(t *testing.T, pid string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			return
		}
		if _, rest, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(rest, "Z") {
			return
		}
	}
	t.Errorf("process %s is still there", pid)
}

func TestStdioStartsWithTheFirstCallAndEndsWithClose(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc here")
	}
	s := spawn(t, "modern")
	p := stdioClient(t, s)
	p.Hooks()
	if lines := asked(t, s); lines[0] != "" {
		t.Errorf("started without need: %q", lines)
	}
	child, grandchild := says(t, p, "pid", `{}`), says(t, p, "grandchild", `{}`)
	other := says(t, stdioClient(t, s), "pid", `{}`)
	if other == child {
		t.Errorf("two entries share process %s", child)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	gone(t, child)
	gone(t, grandchild)
	refuses(t, p, "x", Unreachable, "the client has been closed")
	unused := stdioClient(t, s)
	_ = unused.Close()
	refuses(t, unused, "x", Unreachable, "the client has been closed")
}

// TestStdioScripts: the end of a script's name says what runs it.
func TestStdioScripts(t *testing.T) {
	s := spawn(t, "modern")
	self := s.Cmd[0]
	s.Cmd = nil
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.Cwd, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	run := "exec " + self + "\n"
	write("a.sh", run, 0o600)
	write("b.py", run, 0o600)
	write("c", "#!/bin/sh\n"+run, 0o700)
	write("python3", "#!/bin/sh\n. \"$1\"\n", 0o700) // knows no Python: who has called it is all that matters
	s.Env["PATH"] = s.Cwd + ":" + os.Getenv("PATH")
	for _, script := range []string{"a.sh", "b.py", "c", filepath.Join(s.Cwd, "a.sh")} {
		s.Script = script
		if field, err := s.Check(); err != nil {
			t.Errorf("%s: %s: %v", script, field, err)
		}
		p := stdioClient(t, s)
		says(t, p, "x", `{}`)
		if want := "stdio:" + filepath.Base(script); p.cfg.URL != want {
			t.Errorf("%s is called %s", script, p.cfg.URL)
		}
	}
}

func TestStdioCheckNamesTheFieldAtFault(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.py", "plain"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	nowhere := map[string]string{"PATH": dir}
	for name, c := range map[string]struct {
		s           Stdio
		field, text string
		hint        string
	}{
		"no such program":     {Stdio{Cmd: []string{"no-such-program"}}, "cmd", "executable file not found", "full path"},
		"no such script":      {Stdio{Script: "none.py", Cwd: dir}, "script", filepath.Join(dir, "none.py") + " does not exist", ""},
		"a folder":            {Stdio{Script: dir}, "script", dir + " is no file", ""},
		"not executable":      {Stdio{Script: "plain", Cwd: dir}, "script", "plain cannot be executed", "chmod +x"},
		"no interpreter":      {Stdio{Script: "a.py", Cwd: dir, Env: nowhere}, "script", "is run with python3: ", "cmd: [INTERPRETER, SCRIPT]"},
		"no such folder":      {Stdio{Cmd: []string{"sh"}, Cwd: dir + "/none"}, "cwd", "none does not exist", ""},
		"a file as folder":    {Stdio{Cmd: []string{"sh"}, Cwd: dir + "/plain"}, "cwd", "is no folder", ""},
		"both":                {Stdio{Cmd: []string{"sh"}, Script: "a.py"}, "cmd", "both cmd and script", ""},
		"neither":             {Stdio{}, "cmd", "neither cmd nor script", ""},
		"nothing wrong at it": {Stdio{Cmd: []string{"sh"}, Cwd: dir}, "", "", ""},
	} {
		field, err := c.s.Check()
		text, hints := "", strings.Join(hint.Of(err), " ")
		if err != nil {
			text = err.Error()
		}
		if field != c.field || !strings.Contains(text, c.text) || !strings.Contains(hints, c.hint) || (err == nil) != (c.text == "") {
			t.Errorf("%s: %s: %s, hints %q", name, field, text, hints)
		}
	}
}

func TestStdioSettingsThatExcludeEachOther(t *testing.T) {
	for text, cfg := range map[string]Config{
		"both cmd and script":                        {Stdio: &Stdio{Cmd: []string{"a"}, Script: "b"}},
		"neither cmd nor script":                     {Stdio: &Stdio{}},
		"both a command and a url or socket":         {Stdio: &Stdio{Script: "b"}, URL: "http://h/mcp"},
		"TLS settings with a plugin server on stdio": {Stdio: &Stdio{Script: "b"}, TLS: &mtls.Client{}},
	} {
		cfg.Name = "P"
		if p, err := New(cfg, nil); err == nil || p != nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %q", err, text)
		}
	}
}

// BenchmarkStdioCall is a hook on a plugin server that is our child.
func BenchmarkStdioCall(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	s := &Stdio{Cmd: []string{self}, Cwd: b.TempDir(), Env: map[string]string{childMode: "server"}}
	file := "plugins: [{name: P, kind: deny_filter, hooks: [tool_pre_invoke], config: {words: [never]}}]\n"
	if err := os.WriteFile(filepath.Join(s.Cwd, "server.yaml"), []byte(file), 0o600); err != nil {
		b.Fatal(err)
	}
	p, err := New(Config{Name: "P", Stdio: s}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	payload := json.RawMessage(`{"name":"t","args":{"text":"` + strings.Repeat("word ", 200) + `"}}`)
	for b.Loop() {
		if _, err := p.Invoke(b.Context(), "tool_pre_invoke", payload, nil); err != nil {
			b.Fatal(err)
		}
	}
}
