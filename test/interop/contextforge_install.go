package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// uv resolves as of a date, which pip cannot.
const uvVersion = "0.13.9"

// The lines of ContextForge that are tried.
const (
	seed   = "seed"   // as the guide was written for: the framework is part of the gateway
	newest = "newest" // the gateway of today, on the framework that became a package
	alone  = "cpex"   // that package in its newest form, which does not go with the gateway
)

// release is what makes up one line.
type release struct {
	name, module string
	main, source string   // the package that names the version; the one whose sources have the plugins
	packages     []string // with their versions
	asOf         string   // nothing younger is installed, so that every run has the same
	flags        []string
}

// releases are all lines. Native plugins that have become packages of their own
// belong to the line that they can be installed with.
func releases() []release {
	return []release{
		{
			name: seed, module: "mcpgateway.plugins.framework", main: "mcp-contextforge-gateway", source: "mcp-contextforge-gateway",
			packages: []string{"mcp-contextforge-gateway==1.0.0b2", "mcp==1.25.0"}, asOf: "2026-01-30T00:00:00Z",
			flags: []string{"--prerelease=if-necessary-or-explicit"},
		},
		{
			name: newest, module: "cpex.framework", main: "mcp-contextforge-gateway", source: "mcp-contextforge-gateway",
			packages: []string{
				"mcp-contextforge-gateway==1.0.7.post20260921", "cpex-pii-filter==0.3.8", "cpex-rate-limiter==0.1.9",
				"cpex-secrets-detection==0.3.13", "cpex-sql-sanitizer==0.1.2", "cpex-output-length-guard==0.1.0",
			},
			asOf: "2026-11-24T12:00:00Z",
		},
		{name: alone, module: "cpex.framework", main: "cpex", packages: []string{"cpex==0.1.4"}, asOf: "2026-11-24T12:00:00Z"},
	}
}

// contextForge is one line, installed.
type contextForge struct {
	era      string
	module   string            // the framework's, "mcpgateway.plugins.framework" or "cpex.framework"
	version  string            // of the gateway, or of the framework where it is alone
	python   string            // its interpreter
	plugins  string            // folder for PYTHONPATH that holds plugins/, or "" where no sources belong to it
	packages map[string]string // every installed package and its version
	missing  string            // why it cannot be tried; then only era, module and version are set
}

// name is what it is called in the table.
func (c *contextForge) name() string {
	if c.era == alone {
		return "cpex"
	}
	return "ContextForge"
}

// installContextForge makes an environment for each line.
func (t *tools) installContextForge(ctx context.Context, folder string) {
	python, err := pythonFor(ctx)
	var uv string
	if err == nil {
		uv, err = installUV(ctx, folder, python)
	}
	for _, r := range releases() {
		c := &contextForge{era: r.name, module: r.module, version: strings.TrimPrefix(r.packages[0], r.main+"==")}
		t.contextforge[r.name] = c
		missing := err
		if missing == nil {
			missing = c.install(ctx, folder, python, uv, r)
		}
		if missing != nil {
			c.missing = missing.Error()
			fmt.Printf("no %s %s: %s\n", c.name(), c.version, c.missing)
			continue
		}
		fmt.Printf("%s %s with mcp %s, pydantic %s\n", c.name(), c.version, c.packages["mcp"], c.packages["pydantic"])
	}
}

// pythonFor finds an interpreter that all lines run on. None is downloaded.
func pythonFor(ctx context.Context) (string, error) {
	found := "python3 is not installed"
	for _, name := range []string{"python3", "python3.13", "python3.12", "python3.11"} {
		// pyenv's stand-ins are found by name and then fail; sys.executable is the real one.
		out, err := exec.CommandContext(ctx, name, "-c", "import sys; print(sys.executable, sys.version_info[0], sys.version_info[1])").Output()
		if err != nil {
			continue
		}
		var executable string
		var major, minor int
		if _, err := fmt.Sscan(string(out), &executable, &major, &minor); err != nil {
			return "", fmt.Errorf("asking %s for its version: %w", name, err)
		}
		if major == 3 && minor >= 11 && minor < 14 {
			return executable, nil
		}
		found = fmt.Sprintf("%s is Python %d.%d; 3.11, 3.12 or 3.13 is needed", name, major, minor)
	}
	return "", errors.New(found)
}

// installUV installs it into an environment of its own: Debian's pip installs
// nowhere else.
func installUV(ctx context.Context, folder, python string) (string, error) {
	venv := filepath.Join(folder, "uv-"+uvVersion)
	uv := filepath.Join(venv, "bin", "uv")
	if quiet(ctx, folder, uv, "--version") == nil {
		return uv, nil
	}
	fmt.Println("installing from PyPI: uv", uvVersion)
	return uv, again(ctx, func() error {
		if err := quiet(ctx, folder, python, "-m", "venv", "--clear", venv); err != nil {
			return err
		}
		return quiet(ctx, folder, filepath.Join(venv, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv=="+uvVersion)
	})
}

// stamp says what is in a folder; it is written when all of it is.
type stamp struct {
	Release  []string
	Packages map[string]string
}

// install makes the environment and unpacks the sources, unless they are there.
func (c *contextForge) install(ctx context.Context, folder, python, uv string, r release) error {
	home := filepath.Join(folder, "contextforge-"+r.name)
	c.python = filepath.Join(home, "venv", "bin", "python")
	if r.source != "" {
		c.plugins = filepath.Join(home, "source")
	}
	want := append([]string{python, r.asOf}, r.packages...)
	var is stamp
	if text, err := os.ReadFile(filepath.Join(home, "stamp.json")); err == nil && json.Unmarshal(text, &is) == nil && slices.Equal(is.Release, want) {
		c.packages = is.Packages
		return nil
	}
	fmt.Println("installing from PyPI:", strings.Join(r.packages, " "))
	if err := again(ctx, func() error { return c.environment(ctx, home, python, uv, r) }); err != nil {
		return err
	}
	if r.source != "" {
		// An environment made by uv has no pip; uv's own has.
		pip := filepath.Join(filepath.Dir(uv), "python")
		if err := again(ctx, func() error { return c.sources(ctx, home, pip, r) }); err != nil {
			return err
		}
	}
	list := "import importlib.metadata as m, json; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
	if err := output(exec.CommandContext(ctx, c.python, "-c", list), &c.packages); err != nil {
		return err
	}
	text, err := json.MarshalIndent(stamp{want, c.packages}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(home, "stamp.json"), text, 0o600)
}

// environment installs the packages. Their bytecode is compiled once: without
// it each start would take two seconds more.
func (c *contextForge) environment(ctx context.Context, home, python, uv string, r release) error {
	if err := os.RemoveAll(home); err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	install := slices.Concat([]string{"pip", "install", "--quiet", "--python", c.python, "--compile-bytecode", "--exclude-newer", r.asOf}, r.flags, r.packages)
	for _, args := range [][]string{{"venv", "--quiet", "--python", python, filepath.Join(home, "venv")}, install} {
		cmd := exec.CommandContext(ctx, uv, args...)
		cmd.Dir = home
		cmd.Env = append(os.Environ(), "UV_PYTHON_DOWNLOADS=never", "UV_NO_CONFIG=1")
		if err := brief(cmd); err != nil {
			return err
		}
	}
	return nil
}

// sources fetches the source distribution and unpacks its plugins, which are in
// no wheel.
func (c *contextForge) sources(ctx context.Context, home, python string, r release) error {
	if err := quiet(ctx, home, python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--no-binary", ":all:", "--dest", home, r.packages[0]); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(home, "*.tar.gz"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("pip download has left %d archives: %w", len(archives), errors.Join(err, fs.ErrNotExist))
	}
	if err := unpack(archives[0], c.plugins, "plugins"); err != nil {
		return err
	}
	return quiet(ctx, home, c.python, "-m", "compileall", "-q", filepath.Join(c.plugins, "plugins"))
}

// unpack takes one folder out of a source distribution: regular files only, and
// nothing that would lie outside.
func unpack(archive, into, only string) (err error) {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	plain, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	if err := os.RemoveAll(into); err != nil {
		return err
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	for members := tar.NewReader(plain); ; {
		header, err := members.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
		_, name, _ := strings.Cut(header.Name, "/") // the archive's own folder
		if header.Typeflag != tar.TypeReg || !strings.HasPrefix(name, only+"/") {
			continue
		}
		if err := extract(root, name, members); err != nil {
			return fmt.Errorf("%s: %s: %w", archive, header.Name, err)
		}
	}
}

// extract writes one file; root refuses names that lead out of it.
func extract(root *os.Root, name string, content io.Reader) error {
	const most = 64 << 20
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := root.Create(name)
	if err != nil {
		return err
	}
	n, err := io.Copy(file, io.LimitReader(content, most+1))
	if n > most {
		err = errors.Join(err, errors.New("is larger than 64 MiB"))
	}
	return errors.Join(err, file.Close())
}

// eras are the lines that can be tried, in order; the others are skipped in the
// table, under what would have been tried.
func (l *lab) eras(t *table, peer string) []*contextForge {
	var all []*contextForge
	for _, r := range releases() {
		c := l.tools.contextforge[r.name]
		if c.missing != "" {
			t.skip(c.name()+" "+peer, c.version, c.missing)
			continue
		}
		all = append(all, c)
	}
	return all
}
