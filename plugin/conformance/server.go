package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"unicode"

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

// endpoint checks §1.
func (c *checker) endpoint(ctx context.Context, r report) {
	for _, revision := range wire.LegacyRevisions() {
		s := c.session.fresh()
		got, err := s.open(ctx, revision)
		v := pass
		switch {
		case err != nil:
			v = failf("%v", err)
		case s.revision != revision:
			v = warnf("it offers %q", s.revision)
		case wire.Kind(wire.Member(got.result, "serverInfo")) != '{':
			v = failf("initialize gives no serverInfo")
		}
		r.add("§1", "speaks MCP "+revision, v)
		if revision == wire.Revision2025_06 && err == nil {
			r.add("§1", "answers are application/json", checkMedia(got))
			r.add("§1", "an unknown session is 404", s.unknownSession(ctx))
		}
	}
	r.add("§1", "speaks MCP "+wire.Revision2026_07, c.session.fresh().modern(ctx))
	r.add("§1", "/health answers", c.session.health(ctx))
}

func checkMedia(got *reply) verdict {
	if got.media == wire.MediaSSE {
		return warnf("%s: ContextForge's client opens a connection for each call then", got.media)
	}
	if got.media != wire.MediaJSON {
		return failf("%q", got.media)
	}
	return pass
}

func (s *session) unknownSession(ctx context.Context) verdict {
	if s.id == "" {
		return skipf("the server keeps no sessions")
	}
	other := *s
	other.id = "sallyport-conformance-unknown"
	got, err := other.request(ctx, wire.MethodToolsList, []byte(`{}`), nil)
	switch {
	case err != nil:
		return failf("%v", err)
	case got.status == http.StatusBadRequest:
		return warnf("it is 400")
	case got.status != http.StatusNotFound:
		return failf("it is %d", got.status)
	}
	return pass
}

// modern makes a call that stands alone.
func (s *session) modern(ctx context.Context) verdict {
	h := http.Header{}
	wire.SetModern(h, wire.Revision2026_07, wire.MethodToolsCall, "get_plugin_configs")
	got, err := s.request(ctx, wire.MethodToolsCall, modern([]byte(`{"name":"get_plugin_configs","arguments":{}}`)), h)
	switch {
	case err != nil:
		return failf("%v", err)
	case got.status >= 400 && got.status < 500:
		return skipf("HTTP %d: a server of the legacy era, which gateways open a session with", got.status)
	case got.err() != nil:
		return failf("%v", got.err())
	}
	if kind, _ := wire.String(wire.Member(got.result, "resultType")); kind != "complete" {
		return failf("the result has no resultType complete")
	}
	return pass
}

func (s *session) health(ctx context.Context) verdict {
	base, ok := strings.CutSuffix(s.url, "/mcp")
	if !ok {
		return skipf("the endpoint's path is not /mcp")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/health", nil)
	if err != nil {
		return failf("%v", err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return failf("%v", err)
	}
	_ = resp.Body.Close() // nothing of it is wanted
	if resp.StatusCode != http.StatusOK {
		return warnf("HTTP %d on the MCP port", resp.StatusCode)
	}
	return pass
}

// tools checks what §2 and §6 say of the tools themselves.
func (c *checker) tools(ctx context.Context, r report) {
	r.add("§2", "the three tools are there, text only", c.listed(ctx))
	r.add("§2", "get_plugin_configs gives one text per plugin and structuredContent", c.configs(ctx))
	r.add("§2", "an unknown plugin's config is {}", c.unknownConfig(ctx))
	r.add("§2", "a missing argument is a tool error", c.toolError(ctx, "invoke_hook", `{"hook_type":"tool_pre_invoke","plugin_name":"x"}`))
	r.add("§2", "an unknown tool is a tool error", c.toolError(ctx, "sallyport_conformance", `{}`))
	r.add("§6", "an unknown plugin is an error with the usual text", c.unableToFind(ctx, "sallyport-conformance-unknown", "tool_pre_invoke"))
}

func (c *checker) listed(ctx context.Context) verdict {
	got, err := c.session.request(ctx, wire.MethodToolsList, []byte(`{}`), nil)
	if err == nil {
		err = got.err()
	}
	if err != nil {
		return failf("%v", err)
	}
	missing := []string{"get_plugin_configs", "get_plugin_config", "invoke_hook"}
	for tool := range wire.Elements(wire.Member(got.result, "tools")) {
		name, _ := wire.String(wire.Member(tool, "name"))
		missing = slices.DeleteFunc(missing, func(m string) bool { return m == name })
		if name == "get_plugin_configs" || wire.IsNull(wire.Member(tool, "outputSchema")) {
			continue
		}
		if name == "get_plugin_config" || name == "invoke_hook" {
			return warnf("%s declares an outputSchema, so that clients expect structuredContent", name)
		}
	}
	if len(missing) > 0 {
		return failf("there is no %s", strings.Join(missing, ", "))
	}
	return pass
}

func (c *checker) configs(ctx context.Context) verdict {
	got, err := c.session.tool(ctx, "get_plugin_configs", []byte(`{}`))
	if err != nil {
		return failf("%v", err)
	}
	if got.isError {
		return failf("it is a tool error")
	}
	structured := 0
	for range wire.Elements(wire.Member(wire.Member(got.raw, "structuredContent"), "result")) {
		structured++
	}
	if structured != len(got.texts) {
		return failf("%d texts, and %d plugins in structuredContent.result", len(got.texts), structured)
	}
	return pass
}

func (c *checker) unknownConfig(ctx context.Context) verdict {
	got, err := c.session.tool(ctx, "get_plugin_config", []byte(`{"name":"sallyport-conformance-unknown"}`))
	switch {
	case err != nil:
		return failf("%v", err)
	case got.isError || len(got.texts) != 1 || strings.Join(strings.Fields(string(got.texts[0])), "") != "{}":
		return failf("got %s", clip(got.raw))
	}
	return pass
}

func (c *checker) toolError(ctx context.Context, tool, arguments string) verdict {
	got, err := c.session.tool(ctx, tool, []byte(arguments))
	switch {
	case err != nil:
		return failf("%v", err)
	case !got.isError:
		return failf("isError is false: %s", clip(got.raw))
	case len(got.texts) == 0:
		return failf("it has no text")
	}
	return pass
}

func hookArguments(hook, name string, payload, context json.RawMessage) []byte {
	b := wire.AppendString([]byte(`{"hook_type":`), hook)
	b = wire.AppendString(append(b, `,"plugin_name":`...), name)
	b = append(append(b, `,"payload":`...), payload...)
	return append(append(append(b, `,"context":`...), context...), '}')
}

// unableToFind makes a call that must not find its hook.
func (c *checker) unableToFind(ctx context.Context, name, hook string) verdict {
	got, err := c.session.tool(ctx, "invoke_hook", hookArguments(hook, name, []byte(`{"name":"x"}`), contextOf("unknown")))
	switch {
	case err != nil:
		return failf("%v", err)
	case got.isError || len(got.texts) != 1 || wire.Check(got.texts[0]) != nil:
		return failf("no answer with an error object: %s", clip(got.raw))
	}
	message, _ := wire.String(wire.Member(wire.Member(got.texts[0], "error"), "message"))
	if want := fmt.Sprintf("Unable to find %s for plugin %s.  Make sure the plugin is registered.", hook, name); message != want {
		return failf("the message is %s", clip([]byte(message)))
	}
	return pass
}

// otherCase is name in another case; equal to name if it has no letters.
func otherCase(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, name)
}

// sampleHook is a hook to call when any will do.
func sampleHook(hooks []plugin.Hook) plugin.Hook {
	if len(hooks) == 0 {
		return plugin.ToolPreInvoke
	}
	return hooks[0]
}
