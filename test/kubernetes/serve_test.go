package kubernetes

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build compiles the command from the tree that the manifests are in.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "sallyport")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, "./cmd/sallyport")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// pluginFiles returns the plugin file of each workload, with everything under
// /etc/sallyport moved to dir.
func pluginFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	s, err := parse(files(t))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, w := range s.workloads() {
		_, text, err := s.config(w)
		if err != nil {
			t.Fatal(err)
		}
		out[w.name] = strings.ReplaceAll(text, "/etc/sallyport", dir)
	}
	return out
}

func TestConfigCheckAcceptsThePluginFiles(t *testing.T) {
	binary, dir := build(t), t.TempDir()
	checked := pluginFiles(t, dir)
	if len(checked) < 2 {
		t.Fatalf("plugin files of %d workloads", len(checked))
	}
	for name, text := range checked {
		file := write(t, filepath.Join(dir, "config.yaml"), []byte(text), 0o644)
		var stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), binary, "config", "check", file)
		cmd.Env, cmd.Stdout, cmd.Stderr = []string{"PLUGINS_REQUIRE_TLS=true"}, &stderr, &stderr
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: config check: %v\n%s", name, err, stderr.String())
		}
		if strings.Contains(stderr.String(), "(warning)") {
			t.Errorf("%s: config check warns:\n%s", name, stderr.String())
		}
	}
}
