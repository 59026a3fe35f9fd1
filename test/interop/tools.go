package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The packages of npm, all of them pinned. Node itself is among them, because
// the inspector and the conformance suite need 22 and systems often have less.
const (
	npmNode        = "node"
	npmEverything  = "@modelcontextprotocol/server-everything"
	npmClient      = "@modelcontextprotocol/client"
	npmSDK         = "@modelcontextprotocol/sdk"
	npmInspector   = "@modelcontextprotocol/inspector"
	npmConformance = "@modelcontextprotocol/conformance"
)

// pinnedNPM are their versions.
func pinnedNPM() map[string]string {
	return map[string]string{
		npmNode: "22.23.3", npmEverything: "2026.8.31", npmClient: "2.4.0", npmSDK: "1.32.2",
		npmInspector: "2.12.0", npmConformance: "0.2.0-alpha.12",
	}
}

// The two lines of the Python SDK, package mcp.
const pythonNew, pythonOld = "2.3.0", "1.30.0"

//go:embed scripts
var scripts embed.FS

// tools are where everything is; a reason says why something is not.
type tools struct {
	npm       string // folder with node_modules and the scripts
	noNPM     string
	python    map[string]string // interpreters by version of mcp
	noPython  map[string]string
	scriptDir string

	contextforge map[string]*contextForge // by line
}

// needs says what has to be installed for what is to be tried.
type needs struct{ npm, python, contextforge bool }

// node is the command line of a script of ours, or of a program in node_modules.
func (t *tools) node() string { return filepath.Join(t.npm, "node_modules", ".bin", "node") }

// installed is a file in a package.
func (t *tools) installed(pkg string, path ...string) string {
	return filepath.Join(append([]string{t.npm, "node_modules", pkg}, path...)...)
}

func (t *tools) script(name string) string { return filepath.Join(t.scriptDir, name) }

// install puts in place what is not there yet. Only what is ours to do fails;
// what is missing on this machine is a reason.
func install(ctx context.Context, folder string, n needs) (*tools, error) {
	if err := absolute(&folder); err != nil {
		return nil, err
	}
	t := &tools{npm: filepath.Join(folder, "npm"), python: map[string]string{}, noPython: map[string]string{}, contextforge: map[string]*contextForge{}}
	// Beside node_modules, which is where Node looks from.
	t.scriptDir = filepath.Join(t.npm, "scripts")
	if err := os.MkdirAll(t.scriptDir, 0o755); err != nil {
		return nil, err
	}
	entries, err := scripts.ReadDir("scripts")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		text, err := scripts.ReadFile("scripts/" + e.Name())
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(t.script(e.Name()), text, 0o600); err != nil {
			return nil, err
		}
	}
	if n.npm {
		if err := t.installNPM(ctx); err != nil {
			t.noNPM = err.Error()
			fmt.Println("no Node packages:", t.noNPM)
		}
	}
	if n.python {
		for _, version := range []string{pythonNew, pythonOld} {
			if err := t.installPython(ctx, folder, version); err != nil {
				t.noPython[version] = err.Error()
				fmt.Printf("no Python SDK %s: %v\n", version, err)
			}
		}
	}
	if n.contextforge {
		t.installContextForge(ctx, folder)
	}
	return t, ctx.Err()
}

func (t *tools) installNPM(ctx context.Context) error {
	packages := pinnedNPM()
	if t.haveNPM(packages) {
		return nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("npm is not installed")
	}
	fmt.Println("installing from npm:", strings.Join(slices.Sorted(maps.Keys(packages)), " "))
	manifest, err := json.MarshalIndent(map[string]any{"private": true, "dependencies": packages}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(t.npm, "package.json"), manifest, 0o600); err != nil {
		return err
	}
	if err := again(ctx, func() error {
		return quiet(ctx, t.npm, npm, "install", "--no-audit", "--no-fund", "--loglevel=error")
	}); err != nil {
		return err
	}
	if !t.haveNPM(packages) {
		return errors.New("npm install has put other versions in place")
	}
	return nil
}

func (t *tools) haveNPM(packages map[string]string) bool {
	for name, version := range packages {
		text, err := os.ReadFile(t.installed(name, "package.json"))
		var is struct{ Version string }
		if err != nil || json.Unmarshal(text, &is) != nil || is.Version != version {
			return false
		}
	}
	return true
}

func (t *tools) installPython(ctx context.Context, folder, version string) error {
	venv := filepath.Join(folder, "python-mcp-"+version)
	python := filepath.Join(venv, "bin", "python")
	check := "import importlib.metadata as m; assert m.version('mcp') == '" + version + "'"
	if quiet(ctx, folder, python, "-c", check) != nil {
		system, err := exec.LookPath("python3")
		if err != nil {
			return errors.New("python3 is not installed")
		}
		fmt.Println("installing from PyPI: mcp", version)
		if err := again(ctx, func() error {
			if err := quiet(ctx, folder, system, "-m", "venv", "--clear", venv); err != nil {
				return err
			}
			return quiet(ctx, folder, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "mcp=="+version)
		}); err != nil {
			return err
		}
	}
	t.python[version] = python
	return nil
}

// again tries an installation a few times: a registry may stumble. Nothing else
// that is done here is ever tried twice.
func again(ctx context.Context, do func() error) (err error) {
	for wait := time.Second; ; wait *= 3 {
		if err = do(); err == nil || wait > 10*time.Second {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// quiet runs a command; its last line is the reason of a failure.
func quiet(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	return brief(cmd)
}

func brief(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return fmt.Errorf("%s %s: %w: %s", filepath.Base(cmd.Path), cmd.Args[1], err, lines[len(lines)-1])
}
