package config

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

const envMTLS = "PLUGINS_CLIENT_MTLS_"

// mtlsVariables are the guide's six: they apply to every https plugin.
var mtlsVariables = []string{
	envMTLS + "CERTFILE", envMTLS + "KEYFILE", envMTLS + "KEYFILE_PASSWORD", envMTLS + "CA_BUNDLE", envMTLS + "VERIFY", envMTLS + "CHECK_HOSTNAME",
}

// client merges and judges the plugins of a gateway.
func (l *loader) client() *Client {
	c := &Client{File: l.file}
	if l.root == nil || !l.root.ok {
		return c
	}
	if file := l.root.get("plugins_file"); file != nil {
		return l.clientOf(file)
	}
	c.Settings = l.settings()
	c.RequireTLS = l.bool(origin{flag: "require-tls", env: envRequireTLS}, false)
	c.Plugins = l.plugins(asClient, c.Settings)
	l.refuseStrayTLS()
	at := 0
	for i, entry := range l.root.list("plugins") {
		if !entry.ok {
			continue
		}
		p := &c.Plugins[at]
		at++
		if m := entry.get("mcp"); p.Kind == External && m != nil && m.ok {
			p.MCP = l.mcp(p, m, fmt.Sprintf("plugins[%d].mcp", i), c.RequireTLS)
		}
	}
	return c
}

// refuseStrayTLS refuses variables that were meant to protect the connections
// and would do nothing.
func (l *loader) refuseStrayTLS() {
	for _, name := range l.strayTLS("PLUGINS_SERVER_") {
		l.fail(Source{}, unknownText(name), knownHint(name, mtlsVariables))
	}
}

// clientOf reads the plugins from the file that plugins_file names.
func (l *loader) clientOf(file *value) *Client {
	c := &Client{File: l.file}
	for _, key := range []string{"plugins", "plugin_settings"} {
		if inline := l.root.get(key); inline != nil {
			l.add(inline.key, fmt.Sprintf("%s stands here, and plugins_file (%s) names a file of plugins", key, file.key), "keep one of the two")
			return c
		}
	}
	if !file.ok {
		return c
	}
	d := &decoder{document: readDocument(file.text, l.o.env)}
	if len(d.found) > 0 && d.found[0].File == "" { // it could not be read
		l.add(file.pos, "plugins_file: "+d.found[0].Message, "paths are relative to the working directory")
		return c
	}
	if key := gatewayKey(d.top); key != nil {
		l.add(file.pos, fmt.Sprintf("plugins_file names a gateway's file: %s has %s", d.file, key.Value), "a plugin file has plugins: and plugin_settings:")
		return c
	}
	l.sub = d.loader(l.o, false)
	return l.sub.client()
}

// mcp reads how an entry is reached.
func (l *loader) mcp(p *Plugin, v *value, path string, requireTLS Value[bool]) *MCP {
	m := &MCP{Proto: l.proto(v), Env: textMap(v.get("env")), Cmd: Value[[]string]{V: v.texts("cmd")}}
	if cmd := v.get("cmd"); cmd != nil {
		m.Cmd.Source = cmd.source()
	}
	key := func(name string) origin { return origin{file: v.get(name), key: path + "." + name} }
	m.URL = l.text(key("url"), textShape, "")
	m.UDS = l.text(key("uds"), pathShape, "")
	m.Script = l.text(key("script"), pathShape, "")
	m.Cwd = l.text(key("cwd"), pathShape, "")
	if m.Proto == Stdio {
		l.stdio(p, m, v, path)
		return m
	}
	l.misplaced(p, m, v, path, "remove it, or say proto: STDIO to start the plugin server with it", "cmd", "env", "cwd", "script")
	tls := v.get("tls")
	if m.UDS.V != "" {
		if tls != nil && !tls.word {
			l.complain(p, tls.key, path+".tls: a Unix socket (uds) has no TLS", "remove one of the two")
		}
		if m.URL.V == "" {
			m.URL.V = "http://localhost/mcp"
		}
	}
	if m.URL.V == "" {
		if f := v.get("url"); f == nil || f.ok {
			l.complain(p, v.key, path+" has no url", "the guide's is https://127.0.0.1:8000/mcp")
		}
		return m
	}
	u := l.url(p, m.URL, key("url"))
	if u == nil {
		return m
	}
	switch {
	case m.UDS.V != "" && u.Scheme == "https":
		l.complain(p, v.get("url").pos, path+".url: a Unix socket (uds) has no TLS, so its URL is http", "")
	case m.UDS.V != "":
	case u.Scheme == "http":
		l.plain(m, tls, path, requireTLS)
		if at, null := v.null("tls"); null {
			l.add(at, path+".tls is there with nothing in it, and the URL is plain http", "write its keys below it and use an https URL, or say tls: none for plain http")
		}
	case tls != nil && tls.word:
		l.complain(p, tls.pos, path+".tls is none, and the URL is https", "remove tls: none, or use an http URL")
	case tls == nil || tls.ok:
		m.TLS = l.clientTLS(p, tls, path+".tls", v.get("url").pos)
	}
	return m
}

// proto reads the transport; without it, what the other keys mean.
func (l *loader) proto(v *value) string {
	proto := v.get("proto")
	switch {
	case proto != nil && proto.ok && proto.text == Stdio:
		return Stdio
	case proto != nil:
		return StreamableHTTP
	case v.get("url") == nil && v.get("uds") == nil && (v.get("cmd") != nil || v.get("script") != nil):
		return Stdio
	}
	return StreamableHTTP
}

// url checks a plugin's URL.
func (l *loader) url(p *Plugin, v Value[string], o origin) *url.URL {
	name := o.name(v.Source)
	place := l.place(v.Source)
	u, err := url.Parse(v.V)
	switch {
	case err != nil:
		// The parser's error repeats the URL, which may hold a password.
		l.complain(p, place, name+" is not a URL", "the guide's is https://127.0.0.1:8000/mcp")
	case u.Scheme != "http" && u.Scheme != "https":
		l.complain(p, place, name+" is not an http or https URL", "the guide's is https://127.0.0.1:8000/mcp")
	case u.User != nil:
		l.complain(p, place, name+" holds a user name or password", "a gateway proves who it is by its certificate: mcp.tls")
	case u.Hostname() == "":
		l.complain(p, place, name+" has no host", "")
	case u.Fragment != "" || u.RawQuery != "":
		l.complain(p, place, name+" has a query or fragment", "an MCP endpoint has neither")
	case !goodPort(u.Port()):
		l.complain(p, place, name+": the port is from 1 to 65535", "")
	default:
		return u
	}
	return nil
}

func goodPort(s string) bool {
	n, err := strconv.Atoi(s)
	return s == "" || err == nil && n > 0 && n <= 65535
}

// plain judges an http:// URL: TLS was configured for it, or is required
// (refusal 6). For a disabled entry too: "call" may be told to call it.
func (l *loader) plain(m *MCP, tls *value, path string, requireTLS Value[bool]) {
	place := l.place(m.URL.Source)
	if requireTLS.V {
		l.add(place, fmt.Sprintf("%s.url is plain http, and %s refuses that", path, origin{}.name(requireTLS.Source)), "use an https URL")
		return
	}
	const hint = "use an https URL, or say tls: none in the entry's mcp: for plain http"
	if tls != nil && !tls.word {
		l.add(place, fmt.Sprintf("%s.tls (%s) is set, and the URL is plain http: nothing would be encrypted", path, tls.key), hint)
	} else if set := l.isSet(mtlsVariables); tls == nil && set != "" {
		l.add(place, fmt.Sprintf("%s.url is plain http, and the environment asks for TLS (%s): nothing would be encrypted", path, set), hint)
	}
}

// clientTLS merges the entry's tls block, the environment and the flags, and
// refuses what must not be dialled (refusals 3, 12, 14). The block may be nil.
func (l *loader) clientTLS(p *Plugin, block *value, path string, urlAt Position) *ClientTLS {
	at := func(key, flag, env string) origin {
		if env != "" {
			env = envMTLS + env
		}
		return origin{flag, env, block.get(key), path + "." + key}
	}
	t := &ClientTLS{}
	t.CertFile, t.KeyFile = l.pair(at("certfile", "certfile", "CERTFILE"), at("keyfile", "keyfile", "KEYFILE"))
	t.KeyPassword = l.secret(at("keyfile_password", "keyfile-password", "KEYFILE_PASSWORD"))
	t.CABundle = l.text(at("ca_bundle", "ca-bundle", "CA_BUNDLE"), pathShape, "")
	verify, check := at("verify", "verify", "VERIFY"), at("check_hostname", "check-hostname", "CHECK_HOSTNAME")
	t.Verify, t.CheckHostname = l.bool(verify, true), l.bool(check, true)
	t.ServerName = l.text(at("server_name", "server-name", ""), textShape, "")
	t.Identity = l.text(at("identity", "identity", ""), textShape, "")
	t.PeerProfile = l.text(at("peer_profile", "peer-profile", ""), profileShape, "compat")
	l.weakerBool(verify, t.Verify, block != nil)
	l.weakerBool(check, t.CheckHostname, block != nil && t.Verify.V)
	switch {
	case !t.Verify.V && t.CheckHostname.V && !t.CheckHostname.Source.IsDefault():
		place := t.CheckHostname.Source
		if place.Line == 0 {
			place = t.Verify.Source
		}
		l.complain(p, l.place(place), fmt.Sprintf("%s is false and %s is true: without verification no host name is checked",
			verify.name(t.Verify.Source), check.name(t.CheckHostname.Source)),
			"set verify to true, or check_hostname to false as well")
	case !t.Verify.V:
		t.CheckHostname.V = false // what it comes to
	case t.CABundle.V == "":
		name, setting := "--url", "--ca-bundle"
		if path != "" {
			name, setting = strings.TrimSuffix(path, ".tls")+".url", path+".ca_bundle"
		}
		l.complain(p, urlAt, name+" is https and to be verified, and there is no ca_bundle to verify it with",
			fmt.Sprintf("set %s or %sCA_BUNDLE; the word %s stands for the system's roots", setting, envMTLS, SystemRoots))
	}
	return t
}

// LoadURL reads how to reach a plugin server that no file tells of: its URL,
// the TLS flags (Options.Flags) and PLUGINS_CLIENT_MTLS_*. The error is a
// Problems.
func LoadURL(rawURL string, o Options) (*MCP, error) {
	l := &loader{decoder: &decoder{document: newDocument("", nil)}, o: o}
	p := &Plugin{Mode: "enforce"}
	m := &MCP{Proto: StreamableHTTP, URL: Value[string]{rawURL, Source{Flag: "url"}}}
	u := l.url(p, m.URL, origin{flag: "url"})
	l.refuseStrayTLS()
	switch {
	case u == nil:
	case u.Scheme == "https":
		m.TLS = l.clientTLS(p, nil, "", Position{})
	default:
		l.plainURL(p)
	}
	if err := l.problems().err(); err != nil {
		return nil, err
	}
	return m, nil
}

// plainURL judges --url http://…, for which no entry can say tls: none.
func (l *loader) plainURL(p *Plugin) {
	required := l.bool(origin{flag: "require-tls", env: envRequireTLS}, false)
	set := l.isSet(mtlsVariables)
	for _, flag := range []string{"certfile", "keyfile", "keyfile-password", "ca-bundle", "verify", "check-hostname", "server-name", "identity", "peer-profile"} {
		if _, ok := l.o.flag(flag); ok {
			set = strings.TrimPrefix(set+", --"+flag, ", ")
		}
	}
	switch {
	case required.V:
		l.complain(p, Position{}, fmt.Sprintf("--url is plain http, and %s refuses that", origin{}.name(required.Source)), "use an https URL")
	case set != "":
		l.complain(p, Position{}, fmt.Sprintf("--url is plain http, and TLS is asked for by %s: nothing would be encrypted", set), "use an https URL, or unset those")
	}
}
