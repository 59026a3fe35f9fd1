package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// What an entry does not set is its plugin server's to say; a mode of the older
// vocabulary says what an error does as well.
func TestWhatAnEntryLeavesOpen(t *testing.T) {
	all := pipeline.Learn{Mode: true, OnError: true, Priority: true, Conditions: true}
	without := func(change func(*pipeline.Learn)) pipeline.Learn {
		l := all
		change(&l)
		return l
	}
	for entry, want := range map[string]pipeline.Learn{
		``:                      all,
		`mode: null, tags: [a]`: all,
		`mode: enforce`:         without(func(l *pipeline.Learn) { l.Mode, l.OnError = false, false }),
		`mode: permissive`:      without(func(l *pipeline.Learn) { l.Mode, l.OnError = false, false }),
		`mode: sequential`:      without(func(l *pipeline.Learn) { l.Mode = false }),
		`on_error: fail`:        without(func(l *pipeline.Learn) { l.OnError = false }),
		`priority: 100`:         without(func(l *pipeline.Learn) { l.Priority = false }),
		`conditions: []`:        without(func(l *pipeline.Learn) { l.Conditions = false }),
	} {
		if entry != "" {
			entry = ", " + entry
		}
		file := filepath.Join(t.TempDir(), "c.yaml")
		text := "plugins: [{name: P, kind: external, mcp: {url: http://127.0.0.1:9/mcp}" + entry + "}]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.LoadClient(file, config.Options{Env: func(string) (string, bool) { return "", false }})
		if err != nil {
			t.Fatal(err)
		}
		a := &app{log: slog.New(slog.DiscardHandler), stdout: io.Discard}
		e, err := a.pipelineEntry(&c.Plugins[0], &c.Settings)
		if err != nil {
			t.Fatal(err)
		}
		if e.Learn != want {
			t.Errorf("{%s}: learns %+v, want %+v", entry, e.Learn, want)
		}
		if e.Mode == "" || e.Priority != 100 {
			t.Errorf("{%s}: mode %q and priority %d until the server has answered", entry, e.Mode, e.Priority)
		}
	}
}

// What a file says of the pipeline and of a plugin in it reaches both: a setting
// that is read and goes nowhere would leave a guardrail weaker than it is written.
func TestRule_SettingsReachThePipeline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	const text = `
plugin_settings:
  plugin_timeout: 7
  fail_on_plugin_error: true
  parallel_execution_within_band: true
  plugin_health_check_interval: 9
  max_payload_bytes: 12345
  secret_headers: [X-Mine]
  plugins_can_override_auth_headers: true
plugins:
  - name: P
    kind: external
    mcp: {url: "http://127.0.0.1:9/mcp"}
    mode: transform
    on_error: disable
    priority: 3
    timeout: 2
    hooks: [tool_pre_invoke]
    expose_headers: [Cookie]
    conditions: [{server_ids: [s], tenant_ids: [t], tools: [o], prompts: [p], resources: [r], agents: [a], user_patterns: [u], content_types: [c]}]
  - name: Q
    kind: external
    mcp: {url: "http://127.0.0.1:9/mcp"}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadClient(file, config.Options{Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	a := &app{log: slog.New(slog.DiscardHandler), stdout: io.Discard}
	options := &pipeline.Options{
		Timeout: 7 * time.Second, FailOnPluginError: true, ParallelWithinBand: true, MaxPayloadBytes: 12345,
		SecretHeaders: []string{"X-Mine"}, OverrideAuthHeaders: true, Logger: a.log,
	}
	if got := a.pipelineOptions(&c.Settings); !reflect.DeepEqual(got, options) {
		t.Errorf("options %+v, want %+v", got, options)
	}
	hooks := []plugin.Hook{plugin.ToolPreInvoke}
	if got, want := remoteConfig(&c.Plugins[0], &c.Settings), (remote.Config{
		Name: "P", Timeout: 2 * time.Second, Hooks: hooks, HealthInterval: 9 * time.Second, MaxPayload: 12345,
	}); !reflect.DeepEqual(got, want) {
		t.Errorf("client %+v, want %+v", got, want)
	}
	e, err := a.pipelineEntry(&c.Plugins[0], &c.Settings)
	if err != nil {
		t.Fatal(err)
	}
	e.Plugin = nil
	if want := (pipeline.Entry{
		Name: "P", Mode: pipeline.Permissive, OnError: pipeline.Disable, Priority: 3, Timeout: 2 * time.Second, Hooks: hooks, ExposeHeaders: []string{"Cookie"},
		Conditions: []pipeline.Condition{{
			ServerIDs: []string{"s"}, TenantIDs: []string{"t"}, Tools: []string{"o"}, Prompts: []string{"p"},
			Resources: []string{"r"}, Agents: []string{"a"}, UserPatterns: []string{"u"}, ContentTypes: []string{"c"},
		}},
	}); !reflect.DeepEqual(e, want) {
		t.Errorf("entry %+v, want %+v", e, want)
	}
	// An entry without a time limit has that of the settings.
	if got := remoteConfig(&c.Plugins[1], &c.Settings).Timeout; got != 7*time.Second {
		t.Errorf("the other's time limit is %s", got)
	}
}
