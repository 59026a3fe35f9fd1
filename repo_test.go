// Package sallyport holds no code: its tests are rules over the whole tree.
package sallyport

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sallyport-mcp/sallyport/"

// policy says which of our packages each package may import, in dependency
// order. It is a statement about the design (docs/architecture.md), not to be
// edited to mend a build. Everything may import internal/hint and
// internal/logs, except plugin, which uses the standard library only.
var policy = `
plugin: -
internal/hint: -
internal/logs: -
internal/wire: -
internal/keyfile: -
internal/pkitest: -
internal/report: plugin
internal/config: plugin
internal/mtls: internal/keyfile
internal/pki: internal/keyfile
internal/pyre: -
internal/builtin: plugin internal/pyre
internal/pipeline: plugin internal/logs internal/report
internal/child: internal/wire
internal/remote: plugin internal/report internal/wire internal/mtls internal/child
internal/front: internal/wire internal/mtls
internal/upstream: internal/wire internal/mtls internal/child
plugin/server: plugin internal/wire internal/mtls internal/config internal/front
plugin/conformance: plugin internal/wire internal/mtls internal/remote internal/child
plugin/plugintest: plugin plugin/server plugin/conformance internal/remote internal/mtls internal/pkitest
internal/gateway: plugin internal/wire internal/front internal/pipeline internal/upstream
cmd/sallyport: plugin plugin/server plugin/conformance internal/keyfile internal/pki internal/mtls internal/wire internal/config internal/builtin internal/remote internal/front internal/pipeline internal/upstream internal/gateway
test/guide: -
test/soak: -
test/demo: -
test/interop: -
test/interop/allhooks: plugin plugin/server
test/bench: plugin internal/mtls internal/remote internal/pipeline internal/builtin
`

// testPolicy is what the tests of a package may import beyond that.
var testPolicy = `
internal/keyfile: internal/pkitest
internal/mtls: internal/pkitest
internal/pki: internal/pkitest
internal/remote: internal/pkitest plugin/server internal/builtin
internal/pipeline: internal/pkitest internal/mtls internal/remote plugin/server
internal/upstream: internal/pkitest
plugin/server: internal/pkitest internal/builtin internal/remote
plugin/conformance: plugin/server plugin/plugintest
internal/gateway: plugin/server internal/builtin internal/mtls internal/remote internal/pkitest
internal/front: internal/pkitest
cmd/sallyport: internal/pkitest
`

func parsePolicy(t *testing.T, text string) map[string][]string {
	t.Helper()
	rules := map[string][]string{}
	for line := range strings.Lines(strings.TrimSpace(text)) {
		from, to, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			t.Fatalf("policy line %q", line)
		}
		rules[from] = strings.Fields(strings.ReplaceAll(to, "-", ""))
	}
	return rules
}

// goFiles calls f with every Go file of this module, parsed.
func goFiles(t *testing.T, f func(path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path == "." {
				return nil
			}
			_, statErr := os.Stat(filepath.Join(path, "go.mod"))
			if d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || statErr == nil {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		f(filepath.ToSlash(path), file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImportsFollowThePolicy(t *testing.T) {
	rules, extra := parsePolicy(t, policy), parsePolicy(t, testPolicy)
	goFiles(t, func(path string, file *ast.File) {
		pkg, _, _ := cutLast(path)
		allowed, known := rules[pkg]
		if pkg != "" && !known {
			t.Errorf("%s: package %s has no line in the import policy", path, pkg)
			return
		}
		isTest := strings.HasSuffix(path, "_test.go")
		for _, spec := range file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			target, ours := strings.CutPrefix(name, module)
			switch {
			case pkg == "plugin" && !isTest && strings.Contains(strings.Split(name, "/")[0], "."):
				t.Errorf("%s imports %s: plugin uses the standard library only", path, name)
			case !ours, pkg != "plugin" && (target == "internal/hint" || target == "internal/logs"):
			case slices.Contains(allowed, target):
			case isTest && (target == pkg || slices.Contains(extra[pkg], target)):
			default:
				t.Errorf("%s imports %s: not in the import policy", path, target)
			}
		}
	})
}

func cutLast(path string) (dir, base string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

func TestEachPackageHasOneComment(t *testing.T) {
	comments := map[string][]string{}
	goFiles(t, func(path string, file *ast.File) {
		dir, _, _ := cutLast(path)
		if strings.HasSuffix(path, "_test.go") && dir != "" {
			return
		}
		if _, ok := comments[dir]; !ok {
			comments[dir] = nil
		}
		if file.Doc != nil {
			comments[dir] = append(comments[dir], path)
		}
	})
	for dir, files := range comments {
		if len(files) != 1 {
			t.Errorf("package %q has %d package comments, want one: %v", dir, len(files), files)
		}
	}
}

func TestNoFileIsOver800Lines(t *testing.T) {
	goFiles(t, func(path string, _ *ast.File) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n > 800 {
			t.Errorf("%s has %d lines, limit 800", path, n)
		}
	})
}
