package server

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// The command line of an author's program, without the process around it.
func TestRunMain(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "plugins.yaml")
	if err := os.WriteFile(file, []byte("plugins: [{name: P, kind: fake, config: {a: 1}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	closed := false
	kind := plugin.Kind{Name: "fake", Hooks: []plugin.Hook{plugin.ToolPreInvoke}, New: func(c plugin.Config) (plugin.Plugin, error) {
		if string(c.Raw) != `{"a":1}` || c.Name != "P" || c.Logger == nil {
			t.Errorf("config %+v", c)
		}
		return &closing{fakePlugin{[]plugin.Hook{plugin.ToolPreInvoke}, passes}, &closed}, nil
	}}
	for name, c := range map[string]struct {
		args           []string
		stdin          string
		code           int
		stdout, stderr string
	}{
		"help":             {[]string{"--help"}, "", 0, "PLUGINS_CONFIG_PATH=plugins.yaml mine", ""},
		"unknown flag":     {[]string{"--nonsense"}, "", 2, "", "mine: flag provided but not defined: -nonsense\nmine: hint: mine --help\n"},
		"argument":         {[]string{"x"}, "", 2, "", `mine: unexpected argument "x"`},
		"bad log format":   {[]string{"--log-format", "xml"}, "", 2, "", "neither text nor json"},
		"no file":          {[]string{"--config", filepath.Join(dir, "nothere.yaml")}, "", 1, "", "nothere.yaml"},
		"unknown kind":     {[]string{"--config", file, "--transport", "stdio"}, "", 1, "", "fake"},
		"stdio":            {[]string{"--config", file, "--transport", "stdio"}, hookMessage(`{}`, testContext), 0, `"isError":false`, "serving plugins over stdio"},
		"nobody there":     {[]string{"--config", file, "--transport", "stdio"}, "", 1, "", "mine: hint: set PLUGINS_TRANSPORT=http"},
		"require-tls":      {[]string{"--config", file, "--transport", "http", "--require-tls"}, "", 1, "", "refuses a plain HTTP listener"},
		"require-tls=true": {[]string{"--config", file, "--require-tls=true"}, "", 1, "", "refuses a plain HTTP listener"},
	} {
		t.Run(name, func(t *testing.T) {
			kinds := []plugin.Kind{kind}
			if name == "unknown kind" {
				kinds = []plugin.Kind{{Name: "other"}}
			}
			var stdout, stderr bytes.Buffer
			code := runMain(context.Background(), append([]string{"/bin/mine"}, c.args...), kinds, strings.NewReader(c.stdin), &stdout, &stderr)
			if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("code %d, want %d\nstdout: %s\nstderr: %s", code, c.code, stdout.String(), stderr.String())
			}
		})
	}
	if !closed {
		t.Error("the plugin was not closed")
	}
}

// closing is a plugin that is to be closed.
type closing struct {
	fakePlugin
	closed *bool
}

func (c *closing) Close() error { *c.closed = true; return nil }
