package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// parityEntry is an entry of a plugin file.
type parityEntry struct {
	Name   string     `yaml:"name"`
	Kind   string     `yaml:"kind"`
	Hooks  []string   `yaml:"hooks,flow"`
	Mode   string     `yaml:"mode"`
	Config *yaml.Node `yaml:"config,omitempty"`
}

func (s *paritySet) entry(g *parityGroup, line string) parityEntry {
	e := parityEntry{Name: g.Name, Kind: s.kind(g, line), Hooks: s.hooks(g), Mode: "enforce"}
	if g.Mode != "" {
		e.Mode = g.Mode
	}
	if config := g.Config; !config.IsZero() {
		if config.Kind == yaml.AliasNode { // of another entry, which may be in another file
			config = *config.Alias
		}
		config.Anchor = ""
		e.Config = &config
	}
	return e
}

// parityFile is a plugin file of these entries.
func parityFile(entries []parityEntry) ([]byte, error) {
	return yaml.Marshal(map[string]any{"plugins": entries, "plugin_dirs": []string{}, "plugin_settings": struct{}{}})
}

// askedEntry is an entry that the script runs, and its calls.
type askedEntry struct {
	Name  string      `json:"name"`
	File  string      `json:"file"`
	Calls []askedCall `json:"calls"`
}

type askedCall struct {
	Hook      string          `json:"hook"`
	Payload   json.RawMessage `json:"payload"`
	Context   json.RawMessage `json:"context"`
	Continues bool            `json:"continues"`
	Object    bool            `json:"object"`
}

// parityAsked writes a plugin file for each entry that a line knows.
func (l *lab) parityAsked(line *contextForge, sets []*paritySet) ([]askedEntry, error) {
	var asked []askedEntry
	for _, set := range sets {
		for _, g := range set.Groups {
			if !g.in(line.era) {
				continue
			}
			text, err := parityFile([]parityEntry{set.entry(g, line.era)})
			if err != nil {
				return nil, err
			}
			e := askedEntry{Name: g.Name, File: "parity-" + line.era + "-" + g.Name + ".yaml", Calls: []askedCall{}}
			if err := l.write(e.File, string(text)); err != nil {
				return nil, err
			}
			for _, c := range g.Calls {
				e.Calls = append(e.Calls, askedCall{c.hook, c.payload, c.context, c.continues, c.object})
			}
			asked = append(asked, e)
		}
	}
	return asked, nil
}

// parityReference asks one line of ContextForge, in a process of its own.
func (l *lab) parityReference(ctx context.Context, line *contextForge, sets []*paritySet) (map[string]*parityRun, error) {
	asked, err := l.parityAsked(line, sets)
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(asked)
	if err != nil {
		return nil, err
	}
	cmd := l.command(ctx, line.python, l.tools.script("parity.py"), line.module, line.plugins)
	// The newest line loads no plugin, and says nothing, without keys of its own.
	cmd.Env = append(cmd.Env, "PLUGINS_FAIL_ON_PLUGIN_ERROR=true",
		"JWT_SECRET_KEY=interop-Only_Never.A/Real+Key=0123456789abcdef", "AUTH_ENCRYPTION_SECRET=interop-only_Never.A/real+Secret=fedcba9876543210")
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("%s: %w", cmd, err)
	}
	var runs []*parityRun
	if err := json.Unmarshal(out, &runs); err != nil || len(runs) != len(asked) {
		return nil, fmt.Errorf("%d entries, but %d answers: %w", len(asked), len(runs), err)
	}
	byName := map[string]*parityRun{}
	for i, run := range runs {
		if byName[asked[i].Name] = run; run.Refused == "" && len(run.Answers) != len(asked[i].Calls) {
			return nil, fmt.Errorf("%s: %d calls, but %d answers", asked[i].Name, len(asked[i].Calls), len(run.Answers))
		}
	}
	return byName, nil
}

// parityOurs asks a plugin server of ours. Entries that `config check` refuses
// are left out of its file.
func (l *lab) parityOurs(ctx context.Context, sets []*paritySet) (map[string]*parityRun, error) {
	runs := map[string]*parityRun{}
	var all, served []parityEntry
	for _, set := range sets {
		for _, g := range set.Groups {
			runs[g.Name] = &parityRun{}
			all = append(all, set.entry(g, seed))
		}
	}
	if err := l.parityRefused(ctx, all, runs); err != nil {
		return nil, err
	}
	for _, e := range all {
		if runs[e.Name].Refused == "" {
			served = append(served, e)
		}
	}
	text, err := parityFile(served)
	if err != nil {
		return nil, err
	}
	text = append(text, "server_settings: {host: 127.0.0.1, port: 0}\n"...)
	if err := l.write("parity.yaml", string(text)); err != nil {
		return nil, err
	}
	server, err := l.start(ctx, "the native plugins",
		l.command(ctx, l.binary, "plugin-server", "--config", "parity.yaml", "--transport", "http", "--log-format", "json"))
	if err != nil {
		return nil, err
	}
	p, err := dialHTTP(ctx, "http://"+server.addr+"/mcp", modern)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.close() }() // idle connections only
	for _, set := range sets {
		for _, g := range set.Groups {
			if run := runs[g.Name]; run.Refused == "" {
				if err := run.ask(ctx, p, g); err != nil {
					return nil, fmt.Errorf("%s: %w", g.Name, err)
				}
			}
		}
	}
	return runs, nil
}

// parityRefused notes which entries do not pass `config check`, and why.
func (l *lab) parityRefused(ctx context.Context, all []parityEntry, runs map[string]*parityRun) error {
	text, err := parityFile(all)
	if err != nil {
		return err
	}
	const file = "parity-all.yaml"
	if err := l.write(file, string(text)); err != nil {
		return err
	}
	var lines []string // the name of the entry that each line belongs to
	current := ""
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- name: "); ok && runs[name] != nil {
			current = name
		}
		lines = append(lines, current)
	}
	out, err := l.command(ctx, l.binary, "config", "check", file).Output() // warnings go to standard error
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		return err
	}
	at := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(filepath.Base(file)) + `:(\d+):\d+: (.*)$`)
	found := at.FindAllStringSubmatch(string(out), -1)
	for _, m := range found {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > len(lines) || runs[lines[n-1]] == nil {
			return fmt.Errorf("config check: %s", m[0])
		}
		runs[lines[n-1]].Refused = m[2]
	}
	if err != nil && len(found) == 0 {
		return fmt.Errorf("config check: %w\n%s", err, clip(out))
	}
	return nil
}

// ask makes the calls of a group, in order.
func (r *parityRun) ask(ctx context.Context, p peer, g *parityGroup) error {
	var before json.RawMessage
	for i, c := range g.Calls {
		if !c.continues || i == 0 {
			before = c.context
		}
		arguments, err := json.Marshal(map[string]any{"hook_type": c.hook, "plugin_name": g.Name, "payload": c.payload, "context": before})
		if err != nil {
			return err
		}
		a, err := p.do(ctx, tool("invoke_hook", string(arguments)))
		if err != nil {
			return err
		}
		var result struct{ Content []struct{ Text string } }
		if err := json.Unmarshal(a.result, &result); err != nil || len(result.Content) == 0 {
			return fmt.Errorf("%s %s: no answer in %s %s", c.hook, clip(c.payload), clip(a.result), clip(a.fault))
		}
		answer := json.RawMessage(result.Content[0].Text)
		if _, before, err = outcomeOf(c, before, answer); err != nil {
			return err
		}
		r.Answers = append(r.Answers, answer)
	}
	return nil
}
