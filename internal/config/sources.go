package config

import (
	"cmp"
	"fmt"
)

// SourceOf is where a field of the TLS section came from; field is the YAML
// key: "certfile".
func (t *ServerTLS) SourceOf(field string) Source {
	return map[string]Source{
		"certfile": t.CertFile.Source, "keyfile": t.KeyFile.Source, "keyfile_password": t.KeyPassword.Source,
		"ca_bundle": t.CABundle.Source, "ssl_cert_reqs": t.CertReqs.Source,
		"allowed_clients": t.AllowedClients.Source, "peer_profile": t.PeerProfile.Source,
	}[field]
}

// Name says how a field is to be called in an error: with its source, so that
// the reader knows where to change it. It is made for mtls.ServerConfig.Name.
func (t *ServerTLS) Name(field string) string {
	return named(cmp.Or(t.key, "server_settings.tls.")+field, t.SourceOf(field))
}

// SourceOf is that of ServerTLS.
func (t *ClientTLS) SourceOf(field string) Source {
	return map[string]Source{
		"certfile": t.CertFile.Source, "keyfile": t.KeyFile.Source, "keyfile_password": t.KeyPassword.Source,
		"ca_bundle": t.CABundle.Source, "verify": t.Verify.Source, "check_hostname": t.CheckHostname.Source,
		"server_name": t.ServerName.Source, "identity": t.Identity.Source, "peer_profile": t.PeerProfile.Source,
	}[field]
}

// Name is that of ServerTLS, for mtls.ClientConfig.Name.
func (t *ClientTLS) Name(field string) string { return named("mcp.tls."+field, t.SourceOf(field)) }

// SourceOf is that of the value of one of the keys cmd, script and cwd.
func (m *MCP) SourceOf(key string) Source {
	return map[string]Source{"cmd": m.Cmd.Source, "script": m.Script.Source, "cwd": m.Cwd.Source}[key]
}

// Name names such a key with where it stands.
func (m *MCP) Name(key string) string { return named("mcp."+key, m.SourceOf(key)) }

func named(key string, src Source) string {
	switch {
	case src.Flag != "":
		return "--" + src.Flag
	case src.Env != "":
		return src.Env
	case src.File != "":
		return fmt.Sprintf("%s (%s)", key, src)
	}
	return key
}
