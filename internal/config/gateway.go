package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// The values of Gateway.Prefix.
const (
	PrefixAuto       = "auto"        // always, once there is more than one upstream
	PrefixAlways     = "always"      // every name begins with its upstream's
	PrefixOnConflict = "on-conflict" // only names that collide do
	PrefixNever      = "never"
)

// Gateway is the configuration of a gateway.
type Gateway struct {
	File string // as it was given

	Listen Value[string] // host:port; default 127.0.0.1:4444
	TLS    *ServerTLS    // of that listener; nil means plaintext

	// Client holds the plugins, from PluginsFile or from the file itself, with
	// their settings. It is never nil; there may be no plugins. Its warnings are
	// among Warnings.
	Client      *Client
	PluginsFile Value[string] // "" when the plugins stand in the file itself

	// Upstreams are the MCP servers in file order, without disabled ones.
	Upstreams []Upstream

	Prefix    Value[string] // PrefixAuto (default), PrefixAlways, PrefixOnConflict or PrefixNever
	Separator Value[string] // default "__"; in no upstream's name, unless Prefix is PrefixNever

	Admin Value[string] // host:port of the operator's listener; "" when there is none

	AllowedHosts   []string // names, with or without a port
	AllowedOrigins []string // scheme://host[:port]

	RequireTLS Value[bool] // has been applied
	Warnings   Problems    // to be logged
}

// LoadGateway reads the configuration of a gateway from the file at path, the
// file of plugins that it names, the environment and the flags: Options.Flags
// may have "listen" and "require-tls". The error is a Problems when the
// configuration is at fault; it then holds all that is wrong in either file.
// A plugin file is a gateway's, too: with no upstreams.
func LoadGateway(path string, o Options) (*Gateway, error) {
	d := &decoder{document: readDocument(path, o.env)}
	l := d.loader(o, true)
	g := l.gateway()
	if err := l.problems().err(); err != nil {
		return nil, err
	}
	g.Warnings = l.problems().Warnings()
	return g, nil
}

// gatewayKey returns the first key of a file that only a gateway's has, nil when
// there is none.
func gatewayKey(top *yaml.Node) *yaml.Node {
	if top == nil || top.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		if slices.Contains(gatewayKeys, top.Content[i].Value) {
			return top.Content[i]
		}
	}
	return nil
}

// gateway merges and judges a gateway's configuration. What it returns is of
// use only when no problem is an error.
func (l *loader) gateway() *Gateway {
	g := &Gateway{File: l.file, Client: &Client{File: l.file}}
	if l.root == nil || !l.root.ok {
		return g
	}
	g.RequireTLS = l.bool(origin{flag: "require-tls", env: envRequireTLS}, false)
	l.gatewayListen(g)
	g.PluginsFile = l.text(origin{file: l.root.get("plugins_file"), key: "plugins_file"}, pathShape, "")
	g.Client = l.client()
	if len(g.Client.Plugins) == 0 && l.root.get("plugins_file") == nil {
		l.warn(Position{File: l.file}, "no plugins: nothing guards what passes through this gateway", "name a plugin file with plugins_file:, or write plugins: here")
	}
	naming := l.root.get("naming")
	g.Prefix = l.text(origin{file: naming.get("prefix")}, textShape, PrefixAuto)
	g.Separator = l.separator(naming.get("separator"))
	g.Upstreams = l.upstreams(g)
	g.AllowedHosts, g.AllowedOrigins = l.hosts(), l.origins()
	return g
}

// gatewayListen reads where clients and operators connect.
func (l *loader) gatewayListen(g *Gateway) {
	v := l.root.get("listen")
	address := origin{flag: "listen", file: v.get("address"), key: "listen"}
	g.Listen = l.address(address, "127.0.0.1:4444")
	if at, null := v.null("tls"); null {
		l.add(at, "listen.tls is there with nothing in it: the gateway would speak plain HTTP", "write certfile, keyfile and ca_bundle below it; or remove it for plain HTTP")
	}
	if tls := v.get("tls"); tls != nil {
		g.TLS = l.listenTLS(tls)
	} else if v == nil || v.ok {
		l.plainListen(g)
	}
	admin := l.root.get("admin").get("listen")
	g.Admin = l.address(origin{file: admin, key: "admin.listen"}, "")
	if g.Admin.V == "" || g.Admin.V != g.Listen.V {
		return
	}
	if _, port, _ := net.SplitHostPort(g.Admin.V); port != "0" {
		l.fail(g.Admin.Source, fmt.Sprintf("admin.listen is %s, and that is where clients connect as well", g.Admin.V),
			"give the operator's listener a port of its own: what it shows is not for clients")
	}
}

func (l *loader) plainListen(g *Gateway) {
	if g.RequireTLS.V {
		l.fail(g.Listen.Source, fmt.Sprintf("%s refuses a plain HTTP listener, and listen has no tls", origin{}.name(g.RequireTLS.Source)),
			"write listen: {address: …, tls: {certfile: …, keyfile: …, ca_bundle: …}}")
	}
}

// listenTLS reads the TLS of the gateway's own listener. PLUGINS_SERVER_SSL_*
// are a plugin server's and say nothing here.
func (l *loader) listenTLS(block *value) *ServerTLS {
	t := &ServerTLS{key: "listen.tls."}
	if !block.ok {
		return t // at fault, which has been reported
	}
	at := func(key string) origin { return origin{file: block.get(key), key: "listen.tls." + key} }
	t.CertFile, t.KeyFile = l.pair(at("certfile"), at("keyfile"))
	t.KeyPassword = l.secret(at("keyfile_password"))
	t.CABundle = l.text(at("ca_bundle"), pathShape, "")
	t.CertReqs = l.int(at("ssl_cert_reqs"), certReqsShape, 2)
	t.AllowedClients = listOf(block.get("allowed_clients"))
	t.PeerProfile = l.text(at("peer_profile"), profileShape, "compat")
	if t.CertFile.V == "" && t.KeyFile.V == "" && block.get("certfile").sound() && block.get("keyfile").sound() {
		message := "listen.tls turns TLS on, and there is no certificate and no key"
		if t.CABundle.V != "" {
			message += fmt.Sprintf(", only a CA (%s)", t.CABundle.Source)
		}
		l.add(block.key, message, "set certfile and keyfile in listen.tls; without tls: the gateway speaks plain HTTP")
	}
	if t.CertReqs.V != 0 && t.CABundle.V == "" && block.get("ca_bundle").sound() && block.get("ssl_cert_reqs").sound() {
		place := block.key
		if !t.CertReqs.Source.IsDefault() {
			place = l.place(t.CertReqs.Source)
		}
		l.add(place, fmt.Sprintf("ssl_cert_reqs is %d (%s), and there is no CA bundle to verify client certificates with", t.CertReqs.V, t.CertReqs.Source),
			"set ca_bundle in listen.tls; ssl_cert_reqs: 0 lets in clients without a certificate")
	}
	return t
}

// sound reports that v is not at fault: not set is not a fault.
func (v *value) sound() bool { return v == nil || v.ok }

// address reads a host and port to listen on.
func (l *loader) address(o origin, def string) Value[string] {
	v := l.text(o, textShape, def)
	if v.Source.IsDefault() {
		return v
	}
	host, port, err := net.SplitHostPort(v.V)
	number, portErr := strconv.Atoi(port)
	shown := l.safe(o, v)
	switch {
	case err != nil || portErr != nil || number < 0 || number > 65535:
		l.fail(v.Source, fmt.Sprintf("%s: %q is no address to listen on", o.name(v.Source), shown),
			"write host and port: 127.0.0.1:4444, [::1]:4444, or :4444 for all interfaces")
	case !goodHost(host):
		l.fail(v.Source, fmt.Sprintf("%s: %q has no host name or address before its port", o.name(v.Source), shown), "")
	}
	return v
}

func goodHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return true
	}
	return !strings.ContainsAny(host, ":/%[]@?# \t\r\n")
}

// separator reads what joins an upstream's name and a tool's. Tool names are
// made of letters, digits, _, - and .: it must leave them so.
func (l *loader) separator(v *value) Value[string] {
	s := Value[string]{V: "__"}
	if v == nil || !v.ok {
		return s
	}
	s = Value[string]{v.text, v.source()}
	if s.V == "" || len(s.V) > 8 || strings.Trim(s.V, "_-.") != "" {
		l.add(v.pos, fmt.Sprintf("naming.separator: expected one to eight of _ - and ., got %q", l.safe(origin{file: v}, s)), "the usual one is \"__\"")
	}
	return s
}

// hosts reads allowed_hosts.
func (l *loader) hosts() []string {
	for i, v := range l.root.list("allowed_hosts") {
		host := v.text
		if h, port, err := net.SplitHostPort(host); err == nil && goodPort(port) {
			host = h
		}
		if v.ok && (host == "" || host == "*" || !goodHost(strings.Trim(host, "[]"))) {
			l.add(v.pos, fmt.Sprintf("allowed_hosts[%d]: %q is no host name", i, l.safe(origin{file: v}, Value[string]{v.text, v.source()})),
				"a name as it stands in the Host header, with or without a port: mcp.example.com")
		}
	}
	return l.root.texts("allowed_hosts")
}

// origins reads allowed_origins.
func (l *loader) origins() []string {
	for i, v := range l.root.list("allowed_origins") {
		u, err := url.Parse(v.text)
		if v.ok && (err != nil || u.Scheme == "" || u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "") {
			l.add(v.pos, fmt.Sprintf("allowed_origins[%d]: %q is no origin", i, l.safe(origin{file: v}, Value[string]{v.text, v.source()})),
				"scheme, host and port as a browser sends them: https://app.example.com")
		}
	}
	return l.root.texts("allowed_origins")
}
