package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
)

// serverTLS is a plugin server's TLS as internal/mtls takes it. The error is
// that of reading the password's file.
func serverTLS(t *config.ServerTLS) (mtls.ServerConfig, error) {
	password, err := t.KeyPassword.V.Resolve()
	if err != nil {
		return mtls.ServerConfig{}, fmt.Errorf("%s: %w", t.Name("keyfile_password"), err)
	}
	return mtls.ServerConfig{
		CertFile: t.CertFile.V, KeyFile: t.KeyFile.V, KeyPassword: password, CABundle: t.CABundle.V,
		ClientAuth: t.CertReqs.V, AllowedClients: t.AllowedClients.V, Profile: mtls.Profile(t.PeerProfile.V), Name: t.Name,
	}, nil
}

// clientTLS is the TLS side of a call as internal/mtls takes it. plugin is the
// one that has to answer, "" for a bare URL.
func clientTLS(plugin string, t *config.ClientTLS) (mtls.ClientConfig, error) {
	password, err := t.KeyPassword.V.Resolve()
	if err != nil {
		return mtls.ClientConfig{}, fmt.Errorf("%s: %w", t.Name("keyfile_password"), err)
	}
	return mtls.ClientConfig{
		CertFile: t.CertFile.V, KeyFile: t.KeyFile.V, KeyPassword: password, CABundle: t.CABundle.V,
		Verify: t.Verify.V, CheckHostname: t.CheckHostname.V, ServerName: t.ServerName.V,
		Plugin: plugin, Identity: t.Identity.V, Profile: mtls.Profile(t.PeerProfile.V), Name: t.Name,
	}, nil
}

// fileChecker opens what a configuration names, as a start would.
type fileChecker struct {
	file  string
	log   *slog.Logger
	found config.Problems
}

func (a *app) checkFiles(file string, r *config.Report) config.Problems {
	c := &fileChecker{file: file, log: a.log}
	if r.Server != nil && r.Server.TLS != nil {
		c.serverTLS(r.Server.TLS)
	}
	if r.Client == nil {
		return c.found
	}
	for i := range r.Client.Plugins {
		p := &r.Client.Plugins[i]
		if p.MCP == nil || !p.Enabled() {
			continue
		}
		if p.MCP.TLS != nil {
			c.clientTLS(p.Name, p.MCP.TLS, p.MCP.URL.Source)
		}
		c.exists("script", p.MCP.Script)
		c.exists("cwd", p.MCP.Cwd)
	}
	return c.found
}

// report adds err at the place that it is about: that of a value in the file,
// else the file as a whole.
func (c *fileChecker) report(at config.Source, err error) {
	p := &config.Problem{File: c.file, Message: err.Error()}
	if at.File != "" {
		p.File, p.Line, p.Column = at.File, at.Line, at.Column
	}
	if hints := hint.Of(err); len(hints) > 0 {
		p.Hint = hints[0]
	}
	c.found = append(c.found, p)
}

// namer names fields for internal/mtls and remembers the last one asked for:
// that of the error. Where the field stands in the file, the problem's own
// position says so.
func namer(name func(string) string, source func(string) config.Source, at *config.Source) func(string) string {
	return func(field string) string {
		*at = source(field)
		if at.File != "" {
			return field
		}
		return name(field)
	}
}

func (c *fileChecker) serverTLS(t *config.ServerTLS) {
	at := t.KeyPassword.Source
	cfg, err := serverTLS(t)
	if err == nil {
		cfg.Name = namer(t.Name, t.SourceOf, &at)
		_, err = mtls.NewServer(cfg, &mtls.Options{Logger: c.log})
	}
	if err != nil {
		c.report(at, fmt.Errorf("server_settings.tls: %w", err))
	}
}

func (c *fileChecker) clientTLS(plugin string, t *config.ClientTLS, url config.Source) {
	at := t.KeyPassword.Source
	cfg, err := clientTLS(plugin, t)
	if err == nil {
		cfg.Name = namer(t.Name, t.SourceOf, &at)
		_, err = mtls.NewClient(cfg, &mtls.Options{Logger: c.log})
	}
	if err != nil {
		if at.File == "" {
			at = url
		}
		c.report(at, fmt.Errorf("plugin %s: %w", plugin, err))
	}
}

func (c *fileChecker) exists(key string, path config.Value[string]) {
	if path.V == "" {
		return
	}
	if _, err := os.Stat(path.V); err != nil {
		abs, absErr := filepath.Abs(path.V)
		if absErr != nil {
			abs = path.V
		}
		c.report(path.Source, fmt.Errorf("%s %s does not exist", key, abs))
	}
}
