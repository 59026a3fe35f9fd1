package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// loader is one file, decoded, with what it is to be merged with.
type loader struct {
	*decoder
	o    Options
	root *value // nil when there is nothing to go on with

	gatewayFile bool // root was read as a gateway's file, not as a plugin file
	checking    bool // nothing is to be started with it

	kindsAt [2]Position // where a hint lists the kinds: once for errors and once for warnings is enough
	sub     *loader     // the file that plugins_file names; nil when the entries are root's
}

// load reads a file as what it is: a gateway's or a plugin file.
func load(path string, o Options) *loader {
	d := &decoder{document: readDocument(path, o.env)}
	return d.loader(o, gatewayKey(d.top) != nil)
}

func loadNames(path string) *loader {
	d := &decoder{document: readDocument(path, nil), namesOnly: true}
	l := d.loader(Options{}, gatewayKey(d.top) != nil)
	if f := l.root.get("plugins_file"); f != nil {
		l.add(f.pos, "the plugins of this gateway stand in a file of their own", "name that one: --config "+f.text)
	}
	return l
}

func (d *decoder) loader(o Options, gatewayFile bool) *loader {
	l := &loader{decoder: d, o: o, gatewayFile: gatewayFile}
	if d.top == nil {
		return l
	}
	s := fileShape
	if gatewayFile {
		s = gatewayShape
	}
	l.root = d.decode(d.top, s, "")
	l.names()
	return l
}

// problems returns what was found, in file order, and then what was found in
// the file of the plugins.
func (l *loader) problems() Problems {
	found := l.decoder.problems()
	if l.sub != nil {
		found = append(found, l.sub.problems()...)
	}
	return found
}

// pluginLoader is the loader of the file that the plugins stand in.
func (l *loader) pluginLoader() *loader {
	if l.sub != nil {
		return l.sub
	}
	return l
}

// names refuses empty names and kinds, and a name that stands twice.
func (l *loader) names() {
	first := map[string]Position{}
	for i, entry := range l.root.list("plugins") {
		if name := entry.get("name"); name != nil && name.ok {
			at, twice := first[name.text]
			switch {
			case name.text == "" || strings.TrimSpace(name.text) != name.text:
				l.add(name.pos, fmt.Sprintf("plugins[%d].name: a name is a text without spaces around it, got %q", i, name.text), "")
			case twice:
				l.add(name.pos, fmt.Sprintf("plugins[%d].name: the name %q stands twice: first on line %d", i, name.text, at.Line), "give each plugin a name of its own: it is how hooks are addressed")
			default:
				first[name.text] = name.pos
			}
		}
		if kind := entry.get("kind"); kind != nil && kind.ok && kind.text == "" {
			l.add(kind.pos, fmt.Sprintf("plugins[%d].kind is empty", i), "")
		}
	}
}

// role is what a file is read as: it decides how strict hooks: is read and
// whether an entry that this program cannot run is an error.
type role int

const (
	asServer role = iota // serves the native entries
	asClient             // runs the native entries in process, calls the external ones
)

// plugins builds all entries, in file order.
func (l *loader) plugins(as role, settings Settings) []Plugin {
	var out []Plugin
	for i, entry := range l.root.list("plugins") {
		if entry.ok {
			out = append(out, l.plugin(as, settings, entry, fmt.Sprintf("plugins[%d]", i)))
		}
	}
	return out
}

func (l *loader) plugin(as role, settings Settings, e *value, path string) Plugin {
	p := Plugin{
		Name: e.str("name"), Kind: e.str("kind"), Description: e.str("description"), Author: e.str("author"),
		Version: e.str("version"), Namespace: e.str("namespace"), Tags: e.texts("tags"),
		Mode: "enforce", OnError: e.str("on_error"), Priority: 100, Timeout: settings.Timeout,
		ExposeHeaders: e.texts("expose_headers"), ExposeConfig: true,
		Config: json.RawMessage("{}"), Masked: json.RawMessage("{}"), at: e.pos,
	}
	for _, h := range e.texts("hooks") {
		p.Hooks = append(p.Hooks, plugin.Hook(h))
	}
	if v := e.get("mode"); v != nil && v.ok {
		p.Mode = v.text
		p.ModeSet = true
		p.OnErrorSet = slices.Contains(olderModes, v.text)
	}
	if v := e.get("on_error"); v != nil {
		p.OnErrorSet = true
	}
	if v := e.get("priority"); v != nil && v.ok {
		p.Priority, p.PrioritySet = int(v.number), true
	}
	p.ConditionsSet = e.get("conditions") != nil
	if v := e.get("timeout"); v != nil && v.ok {
		p.Timeout = duration(v.secs)
	}
	if v := e.get("expose_config"); v != nil && v.ok {
		p.ExposeConfig = v.flag
	}
	for _, c := range e.list("conditions") {
		p.Conditions = append(p.Conditions, Condition{
			ServerIDs: c.texts("server_ids"), TenantIDs: c.texts("tenant_ids"), Tools: c.texts("tools"), Prompts: c.texts("prompts"),
			Resources: c.texts("resources"), Agents: c.texts("agents"), UserPatterns: c.texts("user_patterns"), ContentTypes: c.texts("content_types"),
		})
	}
	if v := e.get("applied_to"); v != nil {
		_, p.AppliedTo = l.freeform(v, path+".applied_to")
	}
	if v := e.get("config"); v != nil && v.ok {
		p.config = v
		if plain, shown := l.freeform(v, path+".config"); plain != nil {
			p.Config, p.Masked = plain, shown
		}
	}
	l.hooks(as, &p, e, path)
	l.kind(&p, e, path)
	return p
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// complain reports what is wrong with an entry: for a disabled one, which is
// neither run nor contacted, as a warning.
func (l *loader) complain(p *Plugin, at Position, message, hint string) {
	if p.Enabled() {
		l.add(at, message, hint)
		return
	}
	l.warn(at, message+" (the entry is disabled)", hint)
}

// kind checks kind:, and that the keys beside it fit.
func (l *loader) kind(p *Plugin, e *value, path string) {
	kind, config, mcp := e.get("kind"), e.get("config"), e.get("mcp")
	if kind == nil || !kind.ok || kind.text == "" {
		return
	}
	if p.Kind == External {
		if mcp == nil {
			l.complain(p, kind.pos, path+" is external and has no mcp", "add mcp: with url: (or cmd: or uds:)")
		}
		if config != nil && string(p.Config) != "{}" {
			l.complain(p, config.key, path+".config: an external plugin is configured where it runs", "move config: to the plugin server's file")
		}
		return
	}
	if mcp != nil {
		l.complain(p, mcp.key, fmt.Sprintf("%s.mcp: only an entry of kind external has one, and this is of kind %s", path, p.Kind), "say kind: external, or remove mcp:")
	}
	if l.o.Kinds == nil {
		return
	}
	k, known := FindKind(l.o.Kinds, p.Kind)
	if !known {
		var names []string
		for _, k := range l.o.Kinds {
			names = append(append(names, k.Name), k.Aliases...)
		}
		hint, listed := "", &l.kindsAt[0]
		if p.Enabled() {
			listed = &l.kindsAt[1]
		}
		if near := nearest(p.Kind, append(names, External)); near != "" {
			hint = "did you mean " + near + "?"
		} else if *listed == (Position{}) || *listed == kind.pos { // a file of both sorts is read twice
			hint, *listed = "kinds known here: "+kindNames(l.o.Kinds), kind.pos
			if strings.Contains(p.Kind, ".") { // a class in Python
				hint += ". A plugin in Python stays on its plugin server: say kind: external, and mcp: with that server's url or cmd"
			}
		}
		l.complain(p, kind.pos, fmt.Sprintf("%s.kind: unknown kind %q", path, p.Kind), hint)
		return
	}
	for i, h := range e.list("hooks") {
		if h.ok && !slices.Contains(k.Hooks, plugin.Hook(h.text)) {
			hint := fmt.Sprintf("%s has: %s", k.Name, hookNames(k.Hooks))
			if near := nearest(h.text, hookStrings(k.Hooks)); near != "" {
				hint = "did you mean " + near + "?"
			}
			l.complain(p, h.pos, fmt.Sprintf("%s.hooks[%d]: kind %s has no hook %q", path, i, p.Kind, h.text), hint)
		}
	}
}

// hooks checks hooks:. Custom names are allowed; one that is nearly a known one
// is probably a slip, and would leave a guardrail out.
func (l *loader) hooks(as role, p *Plugin, e *value, path string) {
	list := e.get("hooks")
	if list == nil || !list.ok {
		return
	}
	if len(list.items) == 0 {
		message := path + ".hooks is empty: the plugin would run nowhere"
		hint := "remove hooks: to run it at all of its hooks, or say mode: " + Disabled
		if as == asClient || p.Kind == External {
			l.complain(p, list.key, message, hint)
		} else {
			l.warn(list.key, path+".hooks is empty, which is read as all hooks that the kind has", hint)
		}
	}
	seen := map[string]bool{}
	known := hookStrings(plugin.Hooks())
	for i, h := range list.items {
		switch {
		case !h.ok:
		case strings.TrimSpace(h.text) == "":
			l.add(h.pos, fmt.Sprintf("%s.hooks[%d] is empty", path, i), "")
		case seen[h.text]:
			l.warn(h.pos, fmt.Sprintf("%s.hooks[%d]: %s stands twice", path, i, h.text), "")
		case !slices.Contains(known, h.text) && !l.judged(p):
			if near := nearest(h.text, known); near != "" {
				l.warn(h.pos, fmt.Sprintf("%s.hooks[%d]: %q is no hook of ContextForge, so it is taken as a custom one", path, i, h.text), "did you mean "+near+"?")
			}
		}
		seen[h.text] = true
	}
}

// judged says whether the entry's kind is known, and its hooks checked by kind.
func (l *loader) judged(p *Plugin) bool {
	_, known := FindKind(l.o.Kinds, p.Kind)
	return known
}

// nearest is hint.Nearest, by a name that the hints here do not shadow.
func nearest(word string, candidates []string) string { return hint.Nearest(word, candidates) }

func hookStrings(hooks []plugin.Hook) []string {
	out := make([]string, len(hooks))
	for i, h := range hooks {
		out[i] = string(h)
	}
	return out
}

func hookNames(hooks []plugin.Hook) string { return strings.Join(hookStrings(hooks), ", ") }

func kindNames(kinds []plugin.Kind) string {
	out := []string{External}
	for _, k := range kinds {
		out = append(out, k.Name)
	}
	return strings.Join(out, ", ")
}

// settings reads plugin_settings.
func (l *loader) settings() Settings {
	s := Settings{Timeout: 30 * time.Second, HealthCheckInterval: 60 * time.Second, MaxPayloadBytes: 1_000_000}
	v := l.root.get("plugin_settings")
	if t := v.get("plugin_timeout"); t != nil && t.ok {
		s.Timeout = duration(t.secs)
	}
	if t := v.get("plugin_health_check_interval"); t != nil && t.ok {
		s.HealthCheckInterval = duration(t.secs)
	}
	if t := v.get("max_payload_bytes"); t != nil && t.ok {
		s.MaxPayloadBytes = t.number
	}
	if t := v.get("fail_on_plugin_error"); t != nil && t.ok {
		s.FailOnPluginError = t.flag
	}
	if t := v.get("parallel_execution_within_band"); t != nil && t.ok {
		s.ParallelWithinBand = t.flag
	}
	if t := v.get("plugins_can_override_auth_headers"); t != nil && t.ok {
		s.OverrideAuthHeaders = t.flag
	}
	s.SecretHeaders = v.texts("secret_headers")
	return s
}
