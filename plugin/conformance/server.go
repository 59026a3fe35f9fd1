package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// Target is a plugin server to check.
type Target struct {
	// URL is its endpoint: https://localhost:8000/mcp.
	URL string

	// TLS says how an https URL is reached; nil for http.
	TLS *TLS

	// UDS is the path of a Unix socket to connect to instead of the URL's host;
	// then URL may be empty.
	UDS string

	// Command starts the server as a child process instead; then URL, TLS and UDS
	// are empty.
	Command *Command

	// Plugin narrows the checks to one plugin, whose identity the server must
	// have. Empty means all, and any identity.
	Plugin string

	// Logger gets warnings about the TLS settings, and what a child process writes
	// to standard error; nil logs nothing.
	Logger *slog.Logger
}

// TLS is a gateway's side of mutual TLS, in files. Server and host name are
// verified unless a field says otherwise.
type TLS struct {
	CertFile, KeyFile string // PEM; both, or neither
	KeyPassword       []byte // nil when the key is not encrypted
	CABundle          string // PEM, or "system"

	SkipVerify   bool   // verify nothing
	SkipHostname bool   // verify the chain alone
	ServerName   string // "" means the URL's host
	Identity     string // another plugin than Target.Plugin, or "any"
	Profile      string // "compat", also "", or "strict"

	// Name says how errors name a field; nil uses names as in plugin files.
	Name func(field string) string
}

func (t *Target) client() (*mtls.Client, error) {
	if t.TLS == nil {
		return nil, nil
	}
	return mtls.NewClient(mtls.ClientConfig{
		CertFile: t.TLS.CertFile, KeyFile: t.TLS.KeyFile, KeyPassword: t.TLS.KeyPassword, CABundle: t.TLS.CABundle,
		Verify: !t.TLS.SkipVerify, CheckHostname: !t.TLS.SkipHostname && !t.TLS.SkipVerify, ServerName: t.TLS.ServerName,
		Plugin: t.Plugin, Identity: t.TLS.Identity, Profile: mtls.Profile(t.TLS.Profile), Name: t.TLS.Name,
	}, &mtls.Options{Logger: t.Logger})
}

// Server checks a plugin server and all its plugins. An error means that it
// could not be asked at all, or that there is nothing to check.
func Server(ctx context.Context, t Target, o *Options) ([]Result, error) {
	tls, err := t.client()
	if err != nil {
		return nil, err
	}
	c := &checker{target: t, tls: tls, o: o.filled()}
	probe, err := c.remote("sallyport-conformance")
	if err != nil {
		return nil, err
	}
	defer func() { _ = probe.Close() }() // nothing is left to lose
	infos, err := probe.List(ctx)        // explains what TLS refuses
	if err != nil {
		return nil, err
	}
	if c.infos, err = t.pick(infos); err != nil {
		return nil, err
	}
	r := report{results: &c.results}
	if err := c.openSession(ctx, r); err != nil {
		return c.results, err
	}
	defer c.session.close()
	c.tools(ctx, r)
	var hooks []plugin.Hook
	for _, info := range c.infos {
		hooks = append(hooks, info.Hooks...)
		if err := c.plugin(ctx, info); err != nil {
			return c.results, err
		}
	}
	c.o.unused(r, hooks)
	return c.results, nil
}

// openSession checks how the server takes clients and leaves a session open. With
// an error there is none.
func (c *checker) openSession(ctx context.Context, r report) error {
	t := &c.target
	if t.Command != nil {
		c.session = startProcess(t.Command, c.o.Timeout, t.Logger)
		err := c.session.process.endpoint(ctx, r)
		if err != nil {
			c.session.close()
			return fmt.Errorf("%s: %w", t.where(), err)
		}
		return nil
	}
	c.session = newSession(t, c.tls, c.o.Timeout)
	c.endpoint(ctx, r)
	if _, err := c.session.open(ctx, wire.Revision2025_06); err != nil {
		c.session.close()
		return fmt.Errorf("initialize at %s: %w", t.where(), err)
	}
	return nil
}

// pick chooses the plugins to check.
func (t *Target) pick(infos []remote.Info) ([]remote.Info, error) {
	var names []string
	var picked []remote.Info
	for _, info := range infos {
		names = append(names, info.Name)
		if t.Plugin == "" || t.Plugin == info.Name {
			picked = append(picked, info)
		}
	}
	switch {
	case len(infos) == 0:
		return nil, fmt.Errorf("%s: the server has no plugins", t.where())
	case len(picked) == 0:
		return nil, fmt.Errorf("%s: the server has no plugin %q; it has %s", t.where(), t.Plugin, strings.Join(names, ", "))
	}
	return picked, nil
}

type checker struct {
	target  Target
	tls     *mtls.Client
	o       Options
	infos   []remote.Info
	session *session
	results []Result
}

func (c *checker) remote(name string) (*remote.Plugin, error) {
	t := &c.target
	cfg := remote.Config{Name: name, URL: t.URL, TLS: c.tls, UDS: t.UDS, Stdio: t.Command.stdio(), Timeout: c.o.Timeout, MaxConns: many}
	if cfg.Stdio == nil {
		return remote.New(cfg, nil)
	}
	return remote.New(cfg, &remote.Options{Logger: t.Logger}) // what a child process says is not to be missed
}
