package config

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// Upstream is one MCP server behind a gateway: either URL or Command is set.
type Upstream struct {
	Name string // ASCII letters, digits, and _ - . inside

	URL     Value[string]            // http or https
	Headers map[string]Value[Secret] // of every request; nil when there are none

	Command Value[string] // a program that serves MCP on stdio
	Args    []string
	Env     map[string]Value[Secret] // beside the gateway's own; nil when there is none
	Cwd     Value[string]            // "" means the gateway's own
}

// Resolve returns the upstream's headers and environment, reading the files
// that hold some of them. The maps are the caller's; they hold secrets.
func (u *Upstream) Resolve() (headers, env map[string]string, err error) {
	if headers, err = resolve(u.Headers); err != nil {
		return nil, nil, fmt.Errorf("upstream %s: headers: %w", u.Name, err)
	}
	for name, v := range headers {
		if !goodHeaderValue(v) {
			return nil, nil, hint.Add(fmt.Errorf("upstream %s: headers: %s (%s): the value has control characters", u.Name, name, u.Headers[name].Source),
				"one line end at the end of a file does not count, others do")
		}
	}
	if env, err = resolve(u.Env); err != nil {
		return nil, nil, fmt.Errorf("upstream %s: env: %w", u.Name, err)
	}
	return headers, env, nil
}

func resolve(secrets map[string]Value[Secret]) (map[string]string, error) {
	out := make(map[string]string, len(secrets))
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		text, err := secrets[name].V.Resolve()
		if err != nil {
			return nil, fmt.Errorf("%s (%s): %w", name, secrets[name].Source, err)
		}
		out[name] = string(text)
	}
	return out, nil
}

// upstreams reads upstreams:, or mcpServers:.
func (l *loader) upstreams(g *Gateway) []Upstream {
	path, list := "upstreams", l.root.get("upstreams")
	if other := l.root.get("mcpServers"); other != nil {
		if list != nil {
			l.add(other.key, fmt.Sprintf("upstreams (%s) and mcpServers are two names of one thing", list.key), "move all entries under one of the two")
			return nil
		}
		path, list = "mcpServers", other
	}
	if list == nil || len(list.keys) == 0 {
		if list.sound() {
			l.warn(Position{File: l.file}, "no upstreams: this gateway has no tools, prompts or resources", "add MCP servers under upstreams:")
		}
		return nil
	}
	var out []Upstream
	for _, name := range list.keys {
		entry := list.fields[name]
		r := &upstreamReader{loader: l, entry: entry, path: path + "." + name}
		if f := entry.get("disabled"); f != nil && f.ok {
			r.disabled = f.flag
		}
		r.name(name, g)
		if u := r.upstream(name); u != nil && !r.disabled {
			out = append(out, *u)
		}
	}
	return out
}

// upstreamReader reads one entry.
type upstreamReader struct {
	*loader
	entry    *value
	path     string
	disabled bool
}

// complain reports what is wrong with the entry: for a disabled one as a
// warning.
func (r *upstreamReader) complain(at Position, message, hint string) {
	if !r.disabled {
		r.add(at, r.path+message, hint)
		return
	}
	r.warn(at, r.path+message+" (the entry is disabled)", hint)
}

var upstreamName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`)

// name judges an upstream's name. Tools are called by it, so it is made of what
// a tool's name may be made of, and it ends where the separator begins.
func (r *upstreamReader) name(name string, g *Gateway) {
	const most = 64
	switch {
	case !upstreamName.MatchString(name) || len(name) > most:
		r.complain(r.entry.key, fmt.Sprintf(": an upstream's name has up to %d ASCII letters and digits, and _ - . between them", most),
			"tools are called by it: give the entry a short name")
	case g.Prefix.V != PrefixNever && strings.Contains(name, g.Separator.V):
		r.complain(r.entry.key, fmt.Sprintf(": the name holds the separator %q, so it could not be told where the name ends", g.Separator.V),
			"rename the entry, or set another naming.separator")
	}
}

// upstream reads the entry; nil when it is at fault.
func (r *upstreamReader) upstream(name string) *Upstream {
	e := r.entry
	if !e.ok {
		return nil
	}
	key := func(k string) origin { return origin{file: e.get(k), key: r.path + "." + k} }
	u := &Upstream{Name: name, Args: e.texts("args")}
	u.URL = r.text(key("url"), textShape, "")
	u.Command = r.text(key("command"), pathShape, "")
	u.Cwd = r.text(key("cwd"), pathShape, "")
	u.Headers, u.Env = r.secrets("headers"), r.secrets("env")
	switch {
	case u.URL.V != "" && u.Command.V != "":
		r.complain(e.get("command").key, " has both url and command: it is one server", "split it into two entries")
		return nil
	case u.URL.V == "" && u.Command.V == "":
		if e.get("url").sound() && e.get("command").sound() {
			r.complain(e.key, " has neither url nor command", "url: for a server that is reached by HTTP, command: for a program that is started")
		}
		return nil
	}
	r.transport(u)
	r.placeholders()
	if u.URL.V != "" {
		r.remote(u)
	} else {
		r.local(u)
	}
	return u
}

// secrets reads an object whose values are secrets.
func (r *upstreamReader) secrets(key string) map[string]Value[Secret] {
	v := r.entry.get(key)
	if v == nil || !v.ok || len(v.keys) == 0 {
		return nil
	}
	out := make(map[string]Value[Secret], len(v.keys))
	for _, name := range v.keys {
		if f := v.fields[name]; f.ok {
			out[name] = Value[Secret]{NewSecret(f.text), f.source()}
		}
	}
	return out
}

// transport compares type: (or transport:) with what url or command say.
func (r *upstreamReader) transport(u *Upstream) {
	for _, key := range []string{"type", "transport"} {
		f := r.entry.get(key)
		switch {
		case f == nil || !f.ok:
		case f.text == "sse":
			r.complain(f.pos, "."+key+" is sse: that transport of 2024 is not spoken", "most such servers offer Streamable HTTP as well: use that url, and type: http")
		case (f.text == "stdio") != (u.Command.V != ""):
			r.complain(f.pos, fmt.Sprintf(".%s is %s, and the entry has %s", key, f.text, map[bool]string{true: "a command", false: "a url"}[u.Command.V != ""]), "remove "+key+": url or command decide")
		}
	}
}

// placeholder is how other clients write a variable.
var placeholder = regexp.MustCompile(`\$\{[^}]*\}`)

// placeholders warns of ${NAME}, which clients replace and this file does not:
// it would be sent as it stands.
func (r *upstreamReader) placeholders() {
	look := func(f *value, name string) {
		if f != nil && f.ok && !f.hidden && placeholder.MatchString(f.text) {
			r.warn(f.pos, r.path+"."+name+" holds ${…}, which is no template here: it stays as it is", "write {{ env.NAME }}, or @FILE in headers and env")
		}
	}
	look(r.entry.get("url"), "url")
	for _, key := range []string{"headers", "env"} {
		if m := r.entry.get(key); m != nil {
			for _, name := range m.keys {
				look(m.fields[name], key+"."+name)
			}
		}
	}
}

// misplaced reports keys that the entry has and that do not go with what.
// Empty ones, which pasted entries often hold, say nothing.
func (r *upstreamReader) misplaced(what string, keys ...string) {
	for _, key := range keys {
		f := r.entry.get(key)
		if f != nil && f.ok && (f.text != "" || len(f.items) > 0 || len(f.keys) > 0) {
			r.complain(f.key, fmt.Sprintf(".%s does not go with %s", key, what), "")
		}
	}
}

func (r *upstreamReader) remote(u *Upstream) {
	r.misplaced("url", "args", "env", "cwd")
	at := r.entry.get("url").pos
	parsed, err := url.Parse(u.URL.V)
	switch {
	case err != nil:
		// The parser's error repeats the URL, which may hold a secret.
		r.complain(at, ".url is not a URL", "such as http://127.0.0.1:9101/mcp")
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		r.complain(at, ".url is not an http or https URL", "such as http://127.0.0.1:9101/mcp")
	case parsed.Hostname() == "":
		r.complain(at, ".url has no host", "")
	case parsed.User != nil:
		r.complain(at, ".url holds a user name or password", "send them as a header: headers: {Authorization: \"@FILE\"}")
	case parsed.Fragment != "":
		r.complain(at, ".url has a fragment, which is never sent", "")
	case !goodPort(parsed.Port()):
		r.complain(at, ".url: the port is from 1 to 65535", "")
	}
	r.headers()
}

// ownHeaders are those that the gateway sets itself on each request, and those
// of one connection.
var ownHeaders = []string{"accept", "accept-encoding", "connection", "content-length", "content-type", "expect", "host", "idempotency-key", "keep-alive",
	"last-event-id", "mcp-method", "mcp-name", "mcp-protocol-version", "mcp-session-id", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}

func (r *upstreamReader) headers() {
	m := r.entry.get("headers")
	if m == nil {
		return
	}
	first := map[string]Position{}
	for _, name := range m.keys {
		f, lower := m.fields[name], strings.ToLower(name)
		at, twice := first[lower]
		first[lower] = f.key
		switch {
		case !goodHeaderName(name):
			r.complain(f.key, fmt.Sprintf(".headers: %q is no header's name", name), "")
		case twice:
			r.complain(f.key, fmt.Sprintf(".headers.%s stands twice: first on line %d", name, at.Line), "the case of a header's name makes no difference")
		case slices.Contains(ownHeaders, lower) || strings.HasPrefix(lower, "mcp-param-"):
			r.complain(f.key, ".headers."+name+" is set by the gateway itself", "remove it")
		case f.ok && !goodHeaderValue(f.text):
			r.complain(f.pos, ".headers."+name+": the value has control characters", "")
		case f.ok && f.text == "":
			r.warn(f.pos, r.path+".headers."+name+" is empty", "")
		}
	}
}

func (r *upstreamReader) local(u *Upstream) {
	r.misplaced("command", "headers")
	if strings.TrimSpace(u.Command.V) == "" {
		r.complain(r.entry.get("command").pos, ".command is blank", "")
	} else if program, _, words := strings.Cut(u.Command.V, " "); words && len(u.Args) == 0 && !strings.Contains(program, "/") {
		r.warn(r.entry.get("command").pos, r.path+".command is one program, and no shell splits it into words", "write the words after the first under args:")
	}
	for _, name := range r.entry.get("env").names() {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			r.complain(r.entry.get("env").fields[name].key, fmt.Sprintf(".env: %q is no variable's name", name), "")
		}
	}
}

func (v *value) names() []string {
	if v == nil {
		return nil
	}
	return v.keys
}

// goodHeaderName knows the tokens of HTTP.
func goodHeaderName(name string) bool {
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

func goodHeaderValue(v string) bool {
	return !strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}
