package kubernetes

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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

// mount lays out what a pod finds below /etc/sallyport.
func mount(t *testing.T, dir string, leaf, ca *issued, config string) {
	t.Helper()
	mode := os.FileMode(0o440) // root's, as the kubelet makes it
	if os.Geteuid() != 0 {
		mode = 0o400
	}
	write(t, filepath.Join(dir, "tls", "tls.crt"), leaf.certPEM, mode)
	write(t, filepath.Join(dir, "tls", "tls.key"), leaf.keyPEM, mode)
	write(t, filepath.Join(dir, "trust", "ca.crt"), ca.certPEM, 0o644)
	write(t, filepath.Join(dir, "config", "config.yaml"), []byte(config), 0o644)
}

// TestGatewayReachesThePluginServer runs both sides as the manifests have them:
// their plugin files, their arguments, and certificates issued by cert-manager's
// code; only addresses differ. Both sides are peer_profile: strict.
func TestGatewayReachesThePluginServer(t *testing.T) {
	binary, serverDir, clientDir := build(t), t.TempDir(), t.TempDir()
	ca, gateway, plugin := issueAll(t)
	mount(t, serverDir, plugin, ca, pluginFiles(t, serverDir)["deployment replace-bad-words"])

	log := startServer(t, binary, []string{
		"PLUGINS_CONFIG_PATH=" + filepath.Join(serverDir, "config", "config.yaml"),
		"PLUGINS_TRANSPORT=http", "PLUGINS_REQUIRE_TLS=true",
		"PLUGINS_SERVER_HOST=127.0.0.1", "PLUGINS_SERVER_PORT=0", "PLUGINS_SERVER_HEALTH_HOST=127.0.0.1",
	})
	for _, path := range []string{"/livez", "/readyz"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+log.Health+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := (&http.Client{}).Do(request)
		if err != nil {
			t.Fatalf("the probe of %s: %v", path, err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("the probe of %s: %s", path, answer.Status)
		}
	}

	// The Service's name is what is verified; without a cluster it leads nowhere.
	const service = "replace-bad-words.sallyport.svc"
	config := pluginFiles(t, clientDir)["job gateway-check"]
	config = strings.Replace(config, service+":8000", log.Addr, 1)
	config = strings.Replace(config, "verify: true", "verify: true\n        server_name: "+service, 1)
	mount(t, clientDir, gateway, ca, config)
	s, err := parse(files(t))
	if err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, arg := range find(s.jobs, "gateway-check").Spec.Template.Spec.Containers[0].Args {
		args = append(args, strings.ReplaceAll(arg, "/etc/sallyport", clientDir))
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = []string{"PLUGINS_REQUIRE_TLS=true"}, &stdout, &stderr
	if err := cmd.Run(); err != nil || !strings.Contains(stdout.String(), "yikes") {
		t.Errorf("the check: %v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	if strings.Contains(stderr.String(), `"level":"WARN"`) {
		t.Errorf("the check warns:\n%s", stderr.String())
	}
}

// listening is the log line of a server that is ready.
type listening struct {
	Msg    string `json:"msg"`
	Addr   string `json:"addr"`
	Health string `json:"health"`
}

// startServer runs a plugin server until the test ends and waits until it
// listens.
func startServer(t *testing.T, binary string, env []string) listening {
	t.Helper()
	cmd := exec.Command(binary, "plugin-server")
	cmd.Env = env
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan listening, 1)
	drained := make(chan string, 1)
	go func() {
		var text strings.Builder
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			text.Write(append(lines.Bytes(), '\n'))
			var line listening
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				ready <- line
			}
		}
		close(ready)
		drained <- text.String()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		log := <-drained
		if err := cmd.Wait(); err != nil {
			t.Errorf("plugin-server: %v", err)
		}
		if t.Failed() {
			t.Logf("plugin-server:\n%s", log)
		}
	})
	line, ok := <-ready
	if !ok {
		t.Fatal("plugin-server ended before it listened")
	}
	return line
}
