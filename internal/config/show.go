package config

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Setting is one effective value.
type Setting struct {
	Key    string          // "plugins[0].mcp.tls.verify"
	Value  json.RawMessage // secrets and template values are "***"
	Source Source
}

// MarshalJSON gives {"key", "value", "source"}.
func (s Setting) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Key    string          `json:"key"`
		Value  json.RawMessage `json:"value"`
		Source string          `json:"source"`
	}{s.Key, s.Value, s.Source.String()})
}

// Show returns every effective value of the file at path with its source, in
// the order of the schema. With an error there are the values as far as they
// could be read.
func Show(path string, o Options) ([]Setting, error) {
	l := load(path, o)
	w := &shower{loader: l, over: map[string]Setting{}}
	if l.gatewayFile && l.root != nil {
		w.gateway(l.gateway())
		w.object(l.root, gatewayShape, "")
		return w.withPlugins(), l.problems().err()
	}
	asServer, asClient := l.uses()
	if asServer && l.root != nil {
		w.server(l.server())
	}
	if asClient && l.root != nil {
		w.client(l.client())
	}
	if l.root != nil {
		w.object(l.root, fileShape, "")
	}
	return w.out, l.problems().err()
}

// shower lists settings: it walks the tables, and takes what was merged from
// over.
type shower struct {
	*loader
	out  []Setting
	over map[string]Setting
}

func (w *shower) object(v *value, s *shape, path string) {
	for _, f := range s.fields {
		if f.refused != "" {
			continue
		}
		w.field(v.get(f.key), f, join(path, f.key))
	}
}

func (w *shower) field(v *value, f field, path string) {
	if set, ok := w.over[path]; ok {
		w.out = append(w.out, set)
		return
	}
	switch s := f.shape; {
	case s.form == formObject && (v != nil || w.below(path)):
		w.object(v, s, path)
	case s.form == formShort && (v != nil || w.below(path)):
		w.object(v, s.elem, path)
	case s.form == formOr && (v != nil && !v.word || w.below(path)):
		w.object(v, s.elem, path)
	case v == nil && f.key == "timeout" && f.shape == secondsShape:
		w.timeout(path)
	case v == nil && f.def != "":
		w.set(path, f.defaultJSON(), Source{})
	case v == nil || !v.ok:
	case s.form == formList && s.elem.form == formObject:
		for i, item := range v.items {
			w.object(item, s.elem, path+"["+strconv.Itoa(i)+"]")
		}
	case s.form == formMap && (s.elem.form == formObject || s.elem.form == formSecret):
		for _, name := range v.keys {
			w.entry(v.fields[name], s.elem, path+"."+name)
		}
	default:
		w.set(path, w.shown(v, s, path), v.source())
	}
}

// entry shows one entry of a map.
func (w *shower) entry(v *value, s *shape, path string) {
	switch {
	case !v.ok:
	case s.form == formObject:
		w.object(v, s, path)
	default:
		w.set(path, w.shown(v, s, path), v.source())
	}
}

// timeout shows the timeout of an entry that has none of its own.
func (w *shower) timeout(path string) {
	if v := w.root.get("plugin_settings").get("plugin_timeout"); v != nil && v.ok {
		w.set(path, jsonOf(v.secs), v.source())
		return
	}
	w.set(path, settingsShape.field("plugin_timeout").defaultJSON(), Source{})
}

// below reports whether something was merged into the object at path, which may
// be absent in the file.
func (w *shower) below(path string) bool {
	for key := range w.over {
		if len(key) > len(path) && key[:len(path)] == path && key[len(path)] == '.' {
			return true
		}
	}
	return false
}

func (w *shower) set(path string, value json.RawMessage, src Source) {
	w.out = append(w.out, Setting{path, value, src})
}

// shown is a value of the file as it may be shown.
func (w *shower) shown(v *value, s *shape, path string) json.RawMessage {
	switch s.form {
	case formBool:
		return jsonOf(v.flag)
	case formInt:
		return jsonOf(v.number)
	case formSeconds:
		return jsonOf(v.secs)
	case formMap, formList, formFree:
		// mcp.env holds other programs' secrets under names nobody can guess.
		if s == textMapShape {
			names := map[string]string{}
			for key := range v.fields {
				names[key] = masked
			}
			return jsonOf(names)
		}
		if _, shown := w.freeform(v, path); shown != nil {
			return shown
		}
		return json.RawMessage("null")
	case formSecret:
		return jsonOf(masked)
	case formURL:
		// Some servers take their key in the query.
		if base, _, query := strings.Cut(v.text, "?"); query && !v.hidden {
			return jsonOf(base + "?" + masked)
		}
		if v.hidden || secretText(v.text) {
			return jsonOf(masked)
		}
		return jsonOf(v.text)
	default:
		if v.hidden {
			return jsonOf(masked)
		}
		if v.word {
			return jsonOf(s.words[0])
		}
		if secretText(v.text) {
			return jsonOf(masked)
		}
		return jsonOf(v.text)
	}
}

func (f field) defaultJSON() json.RawMessage {
	switch f.shape.form {
	case formBool, formInt, formSeconds:
		return json.RawMessage(f.def)
	default:
		return jsonOf(f.def)
	}
}

func jsonOf(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return raw
}

// overlay enters a merged value. One that nobody set and that has no default is
// left out.
func overlay[T comparable](w *shower, path string, v Value[T]) {
	var zero T
	if v.Source.IsDefault() && v.V == zero {
		return
	}
	// The walk of the file knows best whether a value of it may be shown.
	if v.Source.File == "" {
		w.over[path] = Setting{path, jsonOf(v.V), v.Source}
	}
}

// always is overlay for values that are effective even when they are zero.
func always[T any](w *shower, path string, v Value[T]) {
	if v.Source.File == "" {
		w.over[path] = Setting{path, jsonOf(v.V), v.Source}
	}
}

func (w *shower) server(s *Server) {
	const at = "server_settings."
	if s.Transport.V != "" {
		w.set("transport", jsonOf(s.Transport.V), s.Transport.Source)
	}
	w.set("require_tls", jsonOf(s.RequireTLS.V), s.RequireTLS.Source)
	always(w, at+"host", s.Host)
	always(w, at+"port", s.Port)
	overlay(w, at+"uds", s.UDS)
	if s.Health {
		always(w, at+"health.host", s.HealthHost)
		always(w, at+"health.port", s.HealthPort)
	}
	t := s.TLS
	if t == nil {
		if w.root.get("server_settings").get("tls") != nil {
			w.over[at+"tls"] = Setting{at + "tls", jsonOf("off"), Source{Env: envEnabled}}
		}
		return
	}
	const tls = at + "tls."
	overlay(w, tls+"certfile", t.CertFile)
	overlay(w, tls+"keyfile", t.KeyFile)
	overlay(w, tls+"keyfile_password", t.KeyPassword)
	overlay(w, tls+"ca_bundle", t.CABundle)
	always(w, tls+"ssl_cert_reqs", t.CertReqs)
	overlay(w, tls+"peer_profile", t.PeerProfile)
}

func (w *shower) gateway(g *Gateway) {
	w.set("require_tls", jsonOf(g.RequireTLS.V), g.RequireTLS.Source)
	always(w, "listen.address", g.Listen)
	always(w, "naming.prefix", g.Prefix)
	always(w, "naming.separator", g.Separator)
	if t := g.TLS; t != nil {
		always(w, "listen.tls.ssl_cert_reqs", t.CertReqs)
		overlay(w, "listen.tls.peer_profile", t.PeerProfile)
	}
	if w.sub == nil {
		w.client(g.Client)
	}
}

// withPlugins adds the values of the file that plugins_file names.
func (w *shower) withPlugins() []Setting {
	if w.sub == nil || w.sub.root == nil {
		return w.out
	}
	sub := &shower{loader: w.sub, over: map[string]Setting{}, out: w.out}
	sub.client(w.sub.client())
	sub.object(w.sub.root, &shape{form: formObject, fields: fileShape.fields[:2]}, "")
	return sub.out
}

func (w *shower) client(c *Client) {
	if len(w.out) == 0 { // else the server has said it
		w.set("require_tls", jsonOf(c.RequireTLS.V), c.RequireTLS.Source)
	}
	at := 0
	for i, entry := range w.root.list("plugins") {
		if !entry.ok {
			continue
		}
		p := &c.Plugins[at]
		at++
		w.open(p, "plugins["+strconv.Itoa(i)+"].")
		if p.MCP != nil && entry.get("mcp").get("proto") == nil {
			overlay(w, "plugins["+strconv.Itoa(i)+"].mcp.proto", Value[string]{V: p.MCP.Proto})
		}
		if p.MCP != nil && p.MCP.TLS != nil {
			w.clientTLS("plugins["+strconv.Itoa(i)+"].mcp.tls.", p)
		}
	}
}

// open enters what an external plugin's entry leaves to the plugin server.
func (w *shower) open(p *Plugin, path string) {
	if p.Kind != External || !p.Enabled() {
		return
	}
	onError := "ignore"
	if slices.Contains([]string{"enforce", "sequential", "concurrent"}, p.Mode) {
		onError = "fail"
	}
	for _, f := range []struct {
		key   string
		set   bool
		value any
	}{
		{"mode", p.ModeSet, p.Mode}, {"on_error", p.OnErrorSet, onError},
		{"priority", p.PrioritySet, p.Priority}, {"conditions", p.ConditionsSet, []string{}},
	} {
		if !f.set {
			w.over[path+f.key] = Setting{path + f.key, jsonOf(f.value), Source{Peer: true}}
		}
	}
}

func (w *shower) clientTLS(path string, p *Plugin) {
	t := p.MCP.TLS
	overlay(w, path+"certfile", t.CertFile)
	overlay(w, path+"keyfile", t.KeyFile)
	overlay(w, path+"keyfile_password", t.KeyPassword)
	overlay(w, path+"ca_bundle", t.CABundle)
	always(w, path+"verify", t.Verify)
	always(w, path+"check_hostname", t.CheckHostname)
	overlay(w, path+"peer_profile", t.PeerProfile)
	if t.Verify.V && t.Identity.V == "" {
		overlay(w, path+"identity", Value[string]{V: p.Name})
	}
	if u, err := url.Parse(p.MCP.URL.V); err == nil && t.Verify.V && t.CheckHostname.V && t.ServerName.V == "" {
		overlay(w, path+"server_name", Value[string]{V: u.Hostname()})
	}
}
