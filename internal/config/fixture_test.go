package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/plugin"
)

var update = flag.Bool("update", false, "rewrite the expected messages in testdata")

// kinds are those of the tests: one native kind with its ContextForge name.
func kinds() []plugin.Kind {
	return []plugin.Kind{{
		Name: "search_replace", Aliases: []string{"plugins.regex_filter.search_replace.SearchReplacePlugin"},
		Hooks: []plugin.Hook{plugin.PromptPreFetch, plugin.PromptPostFetch, plugin.ToolPreInvoke, plugin.ToolPostInvoke},
	}}
}

// directives reads the comment lines `# env: NAME=VALUE` and `# as: ROLE` of a
// fixture.
func directives(text string) (vars []string, as string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if pair, ok := strings.CutPrefix(line, "# env: "); ok {
			name, value, _ := strings.Cut(pair, "=")
			vars = append(vars, name, value)
		}
		if role, ok := strings.CutPrefix(line, "# as: "); ok {
			as = role
		}
	}
	return vars, as
}

// fixture reads one file as its directives say.
func fixture(path, text string) Problems {
	vars, as := directives(text)
	o := Options{Env: env(vars...), Kinds: kinds()}
	switch as {
	case "names":
		return loadNames(path).problems()
	case "server":
		l := load(path, o)
		l.server()
		return l.problems()
	case "client":
		l := load(path, o)
		l.client()
		return l.problems()
	}
	return Check(path, o).Problems
}

// TestFixtures reads each file of testdata: a .bad.yml has errors, a .good.yml
// has none, and what is said of either stands in the .txt beside it.
func TestFixtures(t *testing.T) {
	t.Chdir("testdata")
	files, err := filepath.Glob("*.yml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d fixtures, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found := fixture(file, string(text))
			if bad := strings.HasSuffix(file, ".bad.yml"); bad != (len(found.Errors()) > 0) {
				t.Errorf("%d errors", len(found.Errors()))
			}
			got := lines(found)
			golden := strings.TrimSuffix(file, ".yml") + ".txt"
			if *update {
				if got == "" {
					_ = os.Remove(golden)
				} else if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}
