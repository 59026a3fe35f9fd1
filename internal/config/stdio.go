package config

import (
	"fmt"
	"strings"
)

// stdio judges an entry whose plugin server is started as a child process. The
// client environment for TLS does not concern it.
func (l *loader) stdio(p *Plugin, m *MCP, v *value, path string) {
	l.misplaced(p, m, v, path, "a child process is spoken to over its pipes: remove it, or remove cmd and script and say proto: STREAMABLEHTTP", "url", "uds", "tls")
	cmd, script := v.get("cmd"), v.get("script")
	switch {
	case len(m.Cmd.V) == 0 && m.Script.V == "":
		if cmd.sound() && script.sound() {
			l.complain(p, v.key, path+": proto STDIO needs cmd or script", "cmd: [PROGRAM, ARGUMENTS…] starts a plugin server, script: a file that is one")
		}
		return
	case len(m.Cmd.V) > 0 && m.Script.V != "":
		l.complain(p, script.key, fmt.Sprintf("%s: cmd (%s) and script exclude each other", path, cmd.key), "keep the one that starts the plugin server")
		return
	case len(m.Cmd.V) > 0:
		l.words(p, m, cmd, path)
	}
	env := v.get("env")
	for _, name := range env.names() {
		if f := env.fields[name]; name == "" || strings.ContainsAny(name, "=\x00") {
			l.complain(p, f.key, fmt.Sprintf("%s.env: %q is no variable's name", path, name), "")
		} else if strings.ContainsRune(f.text, 0) {
			l.complain(p, f.pos, path+".env."+name+": the value has a zero byte", "")
		}
	}
}

// words judges the words of cmd.
func (l *loader) words(p *Plugin, m *MCP, cmd *value, path string) {
	first := m.Cmd.V[0]
	program, _, several := strings.Cut(first, " ")
	switch {
	case strings.TrimSpace(first) == "":
		l.complain(p, cmd.pos, path+".cmd begins with an empty word", "its first word is the program")
	case strings.ContainsRune(strings.Join(m.Cmd.V, ""), 0):
		l.complain(p, cmd.pos, path+".cmd has a zero byte", "")
	case several && len(m.Cmd.V) == 1 && !strings.Contains(program, "/"):
		l.warn(cmd.pos, path+".cmd is one word with a space in it, and no shell splits it", "write each word by itself: cmd: [PROGRAM, ARGUMENT]")
	}
}

// misplaced refuses keys that the entry has and that its transport does not use.
func (l *loader) misplaced(p *Plugin, m *MCP, v *value, path, hint string, names ...string) {
	for _, name := range names {
		if f := v.get(name); f != nil {
			l.complain(p, f.key, fmt.Sprintf("%s.%s does not go with proto %s", path, name, m.Proto), hint)
		}
	}
}

// textMap reads an object of texts.
func textMap(v *value) map[string]string {
	if v == nil || !v.ok || len(v.fields) == 0 {
		return nil
	}
	out := make(map[string]string, len(v.fields))
	for key, f := range v.fields {
		out[key] = f.text
	}
	return out
}
