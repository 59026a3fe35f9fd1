package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

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
		c.serverTLS("server_settings.tls", r.Server.TLS)
	}
	if r.Gateway != nil {
		c.gateway(r.Gateway)
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
		if p.MCP.Proto == config.Stdio {
			if key, err := stdioOf(p.MCP).Check(); err != nil {
				c.report(p.MCP.SourceOf(key), fmt.Errorf("plugin %s: %s: %w", p.Name, key, err))
			}
		}
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

func (c *fileChecker) serverTLS(key string, t *config.ServerTLS) {
	at := t.KeyPassword.Source
	cfg, err := serverTLS(t)
	if err == nil {
		cfg.Name = namer(t.Name, t.SourceOf, &at)
		_, err = mtls.NewServer(cfg, &mtls.Options{Logger: c.log})
	}
	if err != nil {
		c.report(at, fmt.Errorf("%s: %w", key, err))
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

// gateway opens what only a gateway's file names.
func (c *fileChecker) gateway(g *config.Gateway) {
	if g.TLS != nil {
		c.serverTLS("listen.tls", g.TLS)
	}
	for i := range g.Upstreams {
		u := &g.Upstreams[i]
		for kind, secrets := range map[string]map[string]config.Value[config.Secret]{"headers": u.Headers, "env": u.Env} {
			for _, name := range slices.Sorted(maps.Keys(secrets)) {
				if _, err := secrets[name].V.Resolve(); err != nil {
					c.report(secrets[name].Source, fmt.Errorf("upstream %s: %s.%s: %w", u.Name, kind, name, err))
				}
			}
		}
		c.command(u)
		c.exists("cwd", u.Cwd)
	}
}

// command looks for an upstream's program as a start would.
func (c *fileChecker) command(u *config.Upstream) {
	if _, own := u.Env["PATH"]; own || u.Command.V == "" {
		return // with a PATH of its own it is not ours that is searched
	}
	program := u.Command.V
	if strings.ContainsRune(program, filepath.Separator) && !filepath.IsAbs(program) {
		program = filepath.Join(u.Cwd.V, program)
	}
	if _, err := exec.LookPath(program); err != nil {
		c.report(u.Command.Source, hint.Add(fmt.Errorf("upstream %s: command: %w", u.Name, err), "give the program's full path, or see that PATH has its folder"))
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
