package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	envTransport  = "PLUGINS_TRANSPORT"
	envRequireTLS = "PLUGINS_REQUIRE_TLS"
	envSSL        = "PLUGINS_SERVER_SSL_"
	envEnabled    = envSSL + "ENABLED"
)

// sslVariables are those that have no meaning without TLS (refusal 4).
var sslVariables = []string{
	envSSL + "CERTFILE", envSSL + "KEYFILE", envSSL + "KEYFILE_PASSWORD", envSSL + "CA_CERTS", envSSL + "CERT_REQS",
}

// listenVariables ask for HTTP by being set at all.
var listenVariables = append([]string{
	"PLUGINS_SERVER_HOST", "PLUGINS_SERVER_PORT", "PLUGINS_SERVER_UDS",
	"PLUGINS_SERVER_HEALTH_HOST", "PLUGINS_SERVER_HEALTH_PORT", envEnabled,
}, sslVariables...)

var transportShape = &shape{form: formWord, words: []string{"http", "streamablehttp", "stdio"}, fold: true}

// server merges and judges a plugin server's configuration. What it returns is
// of use only when no problem is an error.
func (l *loader) server() *Server {
	s := &Server{File: l.file}
	if l.root == nil || !l.root.ok {
		return s
	}
	if l.gatewayFile {
		key := gatewayKey(l.top)
		l.add(l.pos(key), "this is a gateway's file: "+key.Value+" is no key of a plugin file", "start a gateway with it, or a plugin server with a file that has plugins: and server_settings:")
		return s
	}
	s.Settings = l.settings()
	for _, p := range l.plugins(asServer, s.Settings) {
		if p.Kind != External && p.Enabled() {
			s.Plugins = append(s.Plugins, p)
		}
	}
	l.anyPlugin(s)
	l.listener(s)
	return s
}

// anyPlugin refuses a server that would serve nothing, unless its entries were
// refused already. To a check, entries that are all switched off are no fault:
// ContextForge ships such a file, for people to switch on what they want.
func (l *loader) anyPlugin(s *Server) {
	list := l.root.get("plugins")
	if len(s.Plugins) > 0 || list == nil || !list.ok {
		return
	}
	message, hint := "no plugin to serve: plugins is empty", "add an entry of a native kind"
	if len(list.items) > 0 {
		message = "no plugin to serve: every entry is disabled or external"
		hint = "set another mode, or start a gateway with this file"
		if l.checking {
			l.warn(list.key, message, hint)
			return
		}
	}
	l.add(list.key, message, hint)
}

// listener merges server_settings, PLUGINS_SERVER_* and the flags.
func (l *loader) listener(s *Server) {
	f := l.root.get("server_settings")
	at := func(key, env string) origin {
		return origin{env: env, file: f.get(key), key: "server_settings." + key}
	}
	s.Transport = l.text(origin{flag: "transport", env: envTransport}, transportShape, "")
	if s.Transport.V == "streamablehttp" {
		s.Transport.V = "http"
	}
	s.HTTPAsked = f != nil || l.isSet(listenVariables) != ""
	s.RequireTLS = l.bool(origin{flag: "require-tls", env: envRequireTLS}, false)

	host := at("host", "PLUGINS_SERVER_HOST")
	s.Host = l.host(host, "127.0.0.1")
	s.Port = l.int(at("port", "PLUGINS_SERVER_PORT"), portShape, 8000)
	s.UDS = l.text(at("uds", "PLUGINS_SERVER_UDS"), pathShape, "")
	l.serverTLS(s, f.get("tls"))
	if at, null := f.null("tls"); null && s.TLS == nil && !l.said(envEnabled) {
		l.add(at, "server_settings.tls is there with nothing in it: the server would speak plain HTTP", "write certfile, keyfile and ca_bundle below it; or remove it for plain HTTP")
	}
	l.health(s, f.get("health"))
	switch {
	case s.UDS.V != "" && s.TLS != nil:
		l.fail(s.UDS.Source, fmt.Sprintf("%s: a Unix socket has no TLS, and TLS is on", at("uds", "PLUGINS_SERVER_UDS").name(s.UDS.Source)),
			"remove uds, or turn TLS off with "+envEnabled+"=false")
	case s.RequireTLS.V && s.TLS == nil && s.UDS.V == "" && s.Transport.V != "stdio" && (s.HTTPAsked || s.Transport.V == "http"):
		l.fail(Source{}, fmt.Sprintf("%s refuses a plain HTTP listener, and TLS is off", origin{}.name(s.RequireTLS.Source)),
			"add server_settings.tls, or set "+envEnabled+"=true and "+envSSL+"CERTFILE, _KEYFILE and _CA_CERTS")
	}
}

func (l *loader) said(variable string) bool {
	_, ok := l.o.env(variable)
	return ok
}

// host reads an address without port.
func (l *loader) host(o origin, def string) Value[string] {
	v := l.text(o, textShape, def)
	if strings.HasPrefix(v.V, "[") && strings.HasSuffix(v.V, "]") {
		v.V = v.V[1 : len(v.V)-1]
	}
	_, err := netip.ParseAddr(v.V)
	if err != nil && strings.ContainsAny(v.V, ":/%[] \t\r\n") && !v.Source.IsDefault() {
		l.fail(v.Source, fmt.Sprintf("%s: %q is no host name or address", o.name(v.Source), l.safe(o, v)), "the host stands alone: the port has a setting of its own")
	}
	return v
}

// safe is a value as messages may show it.
func (l *loader) safe(o origin, v Value[string]) string {
	if v.Source.File != "" && o.file != nil && o.file.hidden {
		return masked
	}
	return v.V
}

// serverTLS decides whether TLS is on and merges its fields. It is on when
// _ENABLED is true, or when the file has a tls block and _ENABLED is not false;
// a certificate in the environment alone never switches it on, and never is
// there plain HTTP where somebody configured TLS (refusals 1 to 5, 7, 8).
func (l *loader) serverTLS(s *Server, block *value) {
	enabled := l.bool(origin{env: envEnabled}, false)
	said := l.said(envEnabled)
	on := enabled.V || block != nil && !said
	l.unknownVariables("PLUGINS_SERVER_", listenVariables)
	stray := l.strayTLS("PLUGINS_CLIENT_")
	set := l.isSet(append(stray, sslVariables...))
	switch {
	case !on && said:
		if block != nil {
			l.warn(block.key, envEnabled+"=false turns off TLS that the file has: this server speaks plain HTTP", "")
		}
		return
	case !on && set != "" && s.Transport.V == "stdio":
		l.warn(Position{File: l.file}, set+": ignored, because the transport is stdio", "")
		return
	case !on && set != "":
		for _, name := range stray {
			if !strings.HasPrefix(strings.ToUpper(name), "PLUGINS_SERVER_") { // else it has been warned of
				l.warn(Position{File: l.file}, unknownText(name), knownHint(name, listenVariables))
			}
		}
		l.fail(Source{}, fmt.Sprintf("%s: set in the environment, and TLS is not on: the server would speak plain HTTP", set),
			fmt.Sprintf("set %s=true (with %sCERTFILE and %sKEYFILE), or %s=false for plain HTTP, or unset %s", envEnabled, envSSL, envSSL, envEnabled, set))
		return
	case !on:
		return
	}
	t := &ServerTLS{}
	s.TLS = t
	if block != nil && !block.ok {
		return // at fault, which has been reported
	}
	at := func(key, env string) origin {
		return origin{env: envSSL + env, file: block.get(key), key: "server_settings.tls." + key}
	}
	t.CertFile, t.KeyFile = l.pair(at("certfile", "CERTFILE"), at("keyfile", "KEYFILE"))
	t.KeyPassword = l.secret(at("keyfile_password", "KEYFILE_PASSWORD"))
	t.CABundle = l.text(at("ca_bundle", "CA_CERTS"), pathShape, "")
	reqs := at("ssl_cert_reqs", "CERT_REQS")
	t.CertReqs = l.int(reqs, certReqsShape, 2)
	t.AllowedClients = listOf(block.get("allowed_clients"))
	t.PeerProfile = l.text(origin{file: block.get("peer_profile")}, profileShape, "compat")
	l.judgeServerTLS(t, enabled, block, reqs)
}

func (l *loader) judgeServerTLS(t *ServerTLS, enabled Value[bool], block *value, reqs origin) {
	why, place := envEnabled+"=true", Position{File: l.file}
	if !enabled.V {
		why, place = "server_settings.tls", block.key
	}
	if t.CertFile.V == "" && t.KeyFile.V == "" {
		message := why + " turns TLS on, and there is no certificate and no key"
		if t.CABundle.V != "" {
			message += fmt.Sprintf(", only a CA (%s)", t.CABundle.Source)
		}
		l.add(place, message, fmt.Sprintf("set certfile and keyfile in server_settings.tls, or %sCERTFILE and %sKEYFILE; %s=false is plain HTTP", envSSL, envSSL, envEnabled))
	}
	if t.CertReqs.V != 0 && t.CABundle.V == "" {
		l.fail(t.CertReqs.Source, fmt.Sprintf("ssl_cert_reqs is %d (%s), and there is no CA bundle to verify client certificates with", t.CertReqs.V, t.CertReqs.Source),
			"set ca_bundle in server_settings.tls, or "+envSSL+"CA_CERTS")
	}
	inFile := 2
	if reqs.file != nil && reqs.file.ok {
		inFile = int(reqs.file.number)
	}
	if block != nil && t.CertReqs.Source.Env != "" && t.CertReqs.V < inFile {
		l.weaker(reqs, t.CertReqs.Source, strconv.Itoa(t.CertReqs.V), strconv.Itoa(inFile))
	}
}

// health places the plain HTTP health listener (refusal 13).
func (l *loader) health(s *Server, f *value) {
	at := func(key, env string) origin {
		return origin{env: "PLUGINS_SERVER_HEALTH_" + env, file: f.get(key), key: "server_settings.health." + key}
	}
	s.HealthHost = l.host(at("host", "HOST"), s.Host.V)
	s.HealthPort = l.int(at("port", "PORT"), portShape, -1)
	asked := !s.HealthHost.Source.IsDefault() || !s.HealthPort.Source.IsDefault()
	s.Health = s.TLS != nil || asked
	if s.HealthPort.V < 0 {
		s.HealthPort.V = 0
		if s.Port.V != 0 {
			s.HealthPort.V = s.Port.V + 1000
		}
	}
	if !s.Health || s.Transport.V == "stdio" {
		return
	}
	hint := "set PLUGINS_SERVER_HEALTH_PORT or server_settings.health.port"
	if s.HealthPort.V > 65535 {
		l.fail(s.Port.Source, fmt.Sprintf("the health port would be %d (port %d of %s, plus 1000), and ports end at 65535", s.HealthPort.V, s.Port.V, s.Port.Source), hint)
	}
	if s.HealthPort.V == s.Port.V && s.Port.V != 0 && s.UDS.V == "" && s.HealthHost.V == s.Host.V {
		l.fail(s.HealthPort.Source, fmt.Sprintf("the health port %d (%s) is the main port as well", s.HealthPort.V, s.HealthPort.Source), hint)
	}
}
