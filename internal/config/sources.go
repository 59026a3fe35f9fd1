package config

import "fmt"

// Name says how a field of the TLS section is to be called in an error: with
// its source, so that the reader knows where to change it. field is the YAML
// key: "certfile". It is made for mtls.ServerConfig.Name.
func (t *ServerTLS) Name(field string) string {
	sources := map[string]Source{
		"certfile": t.CertFile.Source, "keyfile": t.KeyFile.Source, "keyfile_password": t.KeyPassword.Source,
		"ca_bundle": t.CABundle.Source, "ssl_cert_reqs": t.CertReqs.Source,
		"allowed_clients": t.AllowedClients.Source, "peer_profile": t.PeerProfile.Source,
	}
	return named("server_settings.tls.", field, sources)
}

// Name is that of ServerTLS, for mtls.ClientConfig.Name.
func (t *ClientTLS) Name(field string) string {
	sources := map[string]Source{
		"certfile": t.CertFile.Source, "keyfile": t.KeyFile.Source, "keyfile_password": t.KeyPassword.Source,
		"ca_bundle": t.CABundle.Source, "verify": t.Verify.Source, "check_hostname": t.CheckHostname.Source,
		"server_name": t.ServerName.Source, "identity": t.Identity.Source, "peer_profile": t.PeerProfile.Source,
	}
	return named("mcp.tls.", field, sources)
}

func named(section, field string, sources map[string]Source) string {
	src := sources[field]
	switch {
	case src.Flag != "":
		return "--" + src.Flag
	case src.Env != "":
		return src.Env
	case src.File != "":
		return fmt.Sprintf("%s%s (%s)", section, field, src)
	}
	return section + field
}
