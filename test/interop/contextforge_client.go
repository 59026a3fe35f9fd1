package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// contextForgeClients puts ContextForge's plugin managers in front of our plugin
// servers: each of its lines, over every transport that it has.
func (l *lab) contextForgeClients(ctx context.Context, t *table) error {
	const peer = "plugin manager"
	eras := l.eras(t, peer)
	if len(eras) == 0 {
		return nil
	}
	f, err := l.newForge(ctx)
	if err != nil {
		return err
	}
	// Each line by itself is mostly waiting for Python to start.
	rows := make([][]row, len(eras))
	var running sync.WaitGroup
	for i, c := range eras {
		running.Go(func() { rows[i] = f.sessions(ctx, c) })
	}
	running.Wait()
	for i, c := range eras {
		for _, r := range rows[i] {
			if r.err != nil {
				t.fault(c.name()+" "+peer, c.version, r.transport, c.revision(), r.err)
				continue
			}
			t.add(c.name()+" "+peer, c.version, r.transport, c.revision(), r.seen)
		}
	}
	return nil
}

// revision is the one that the SDK of this line asks for.
func (c *contextForge) revision() string { return legacy }

// row is one line of the table, before it stands there.
type row struct {
	transport, seen string
	err             error
}

// allSteps are all behaviours on all hooks.
func allSteps() []hookStep {
	var all []hookStep
	for _, h := range hookCases() {
		all = append(all, h.behaviours()...)
	}
	return all
}

// enoughConnections is what one plugin may open for some eighty calls. It is two
// or four, for some clients try a server before they use it; on a machine that is
// slow enough for a connection to be idle for seconds, some more.
const enoughConnections = 12

// verdict is the row of a session that went through a relay.
func verdict(transport string, s session, report *hookReport, r *relay, err error) row {
	if err == nil {
		err = report.check(s.steps)
	}
	if err == nil {
		err = knowsAll(report.Hooks)
	}
	seen := fmt.Sprintf("%d hooks; %d calls as expected", len(hookCases()), len(s.steps))
	if err == nil && r != nil {
		if n := r.connections(); n > enoughConnections {
			err = fmt.Errorf("%d connections for %d calls", n, len(s.steps))
		}
		seen += fmt.Sprintf(" over %d connections", r.connections())
	}
	return row{transport, seen, err}
}

// sessions are all that one line can do.
func (f *forge) sessions(ctx context.Context, c *contextForge) []row {
	rows := []row{f.overHTTP(ctx, c), f.modes(ctx, c), f.mutualByYAML(ctx, c), f.mutualByEnvironment(ctx, c), f.nativeKinds(ctx, c)}
	rows = append(rows, f.overStdio(ctx, c)...)
	if c.era != seed {
		rows = append(rows, f.overSocket(ctx, c))
	}
	return append(rows, f.refusals(ctx, c)...)
}

func (f *forge) overHTTP(ctx context.Context, c *contextForge) row {
	s := session{era: c, name: "plain", plugins: []string{"All"}, steps: allSteps()}
	report, r, err := f.through(ctx, s, "http://127.0.0.1:%s/mcp", f.plain)
	if err == nil {
		media := r.media()
		if streams := media["text/event-stream"]; streams > 0 || media["application/json"] < len(s.steps) {
			err = fmt.Errorf("answers by media type: %v", media)
		}
	}
	if err == nil && !slices.Equal(r.agreed(), []string{c.revision()}) {
		err = fmt.Errorf("agreed on revision %q", r.agreed())
	}
	if err == nil {
		err = contains(`{"version":"1.2.3","priority":7,"tags":["interop"],"config":{"mark":"marked"}}`, report.Plugins["All"])
	}
	got := verdict("HTTP", s, report, r, err)
	got.seen += ", all answers JSON"
	return got
}

// modes lets a client read plugins of all modes from the server.
func (f *forge) modes(ctx context.Context, c *contextForge) row {
	s := session{era: c, name: "modes"}
	for _, m := range reportedModes {
		s.plugins = append(s.plugins, "In_"+m.mode)
	}
	report, _, err := f.through(ctx, s, "http://127.0.0.1:%s/mcp", f.plain)
	if err == nil {
		err = report.check(nil)
	}
	for _, m := range reportedModes {
		want := m.new
		if c.era == seed {
			want = m.old
		}
		if err == nil {
			err = contains(fmt.Sprintf(`{"mode":%q,"priority":50}`, want), report.Plugins["In_"+m.mode])
		}
		if err != nil {
			err = fmt.Errorf("a plugin in mode %s: %w", m.mode, err)
			break
		}
	}
	return row{"HTTP", fmt.Sprintf("plugins in %d modes of both vocabularies accepted", len(reportedModes)), err}
}

func (f *forge) mutualByYAML(ctx context.Context, c *contextForge) row {
	s := session{era: c, name: "mtls", plugins: []string{"All"}, steps: allSteps(),
		mcp: f.tls("certs/gateway/client", "certs/gateway/ca.crt", map[string]any{"verify": true, "check_hostname": true})}
	report, r, err := f.through(ctx, s, "https://localhost:%s/mcp", f.secure)
	return verdict("mTLS by YAML", s, report, r, err)
}

func (f *forge) mutualByEnvironment(ctx context.Context, c *contextForge) row {
	certs := filepath.Join(f.dir, "cf", "certs", "gateway")
	s := session{era: c, name: "mtls-env", plugins: []string{"All"}, steps: allSteps(), env: []string{
		"PLUGINS_CLIENT_MTLS_CERTFILE=" + filepath.Join(certs, "client.crt"), "PLUGINS_CLIENT_MTLS_KEYFILE=" + filepath.Join(certs, "client.key"),
		"PLUGINS_CLIENT_MTLS_CA_BUNDLE=" + filepath.Join(certs, "ca.crt"), "PLUGINS_CLIENT_MTLS_VERIFY=true", "PLUGINS_CLIENT_MTLS_CHECK_HOSTNAME=false",
	}}
	report, r, err := f.through(ctx, s, "https://127.0.0.1:%s/mcp", f.secure)
	return verdict("mTLS by environment", s, report, r, err)
}

// overStdio lets the client start the plugin server, in each way that it has.
func (f *forge) overStdio(ctx context.Context, c *contextForge) []row {
	all := filepath.Join(f.dir, "cf", "start.py")
	ways := []struct {
		transport string
		mcp       map[string]any
	}{{"stdio (script .py)", map[string]any{"script": all}}}
	if c.era != seed {
		ways = append(ways, struct {
			transport string
			mcp       map[string]any
		}{"stdio (cmd, env, cwd)", map[string]any{"cmd": []string{f.allhooks}, "env": map[string]string{"PLUGINS_CONFIG_PATH": "plugins.yaml"}, "cwd": filepath.Join(f.dir, "cf")}})
	}
	var rows []row
	for i, way := range ways {
		s := session{era: c, name: fmt.Sprintf("stdio-%d", i), plugins: []string{"All"}, steps: allSteps(), mcp: way.mcp}
		s.mcp["proto"] = "STDIO"
		report, err := f.run(ctx, s)
		rows = append(rows, verdict(way.transport, s, report, nil, err))
	}
	if c.era != seed {
		s := session{era: c, name: "stdio-sh", plugins: nativeNames(), steps: nativeSteps(),
			mcp: map[string]any{"proto": "STDIO", "script": filepath.Join(f.dir, "cf", "start.sh")}}
		report, err := f.run(ctx, s)
		if err == nil {
			err = report.check(s.steps)
		}
		rows = append(rows, row{"stdio (script .sh)", fmt.Sprintf("%d native kinds, %d calls as expected", len(s.plugins), len(s.steps)), err})
	}
	return rows
}

func (f *forge) overSocket(ctx context.Context, c *contextForge) row {
	r, err := newRelay(ctx, "unix", filepath.Join(f.dir, "cf", c.era+".sock"), filepath.Join(f.dir, "cf", "server.sock"))
	if err != nil {
		return row{transport: "Unix socket", err: err}
	}
	s := session{era: c, name: "uds", plugins: []string{"All"}, steps: allSteps(),
		mcp: map[string]any{"proto": "STREAMABLEHTTP", "url": "http://localhost/mcp", "uds": r.addr}}
	report, err := f.run(ctx, s)
	err = errors.Join(err, r.close())
	return verdict("Unix socket", s, report, r, err)
}

// refusals are connections that must not come about. The clients' own error is
// the same for all of them, so that the server's log has to tell.
func (f *forge) refusals(ctx context.Context, c *contextForge) []row {
	all := []struct {
		name, what, cert, ca string
		says                 string // in the server's log, about this connection
	}{
		{"other", "another plugin's certificate", "certs/plugins/Other/server", "certs/gateway/ca.crt", "it is plugin Other's"},
		{"none", "a client without certificate", "", "certs/gateway/ca.crt", "refused a TLS connection"},
		// Python goes without saying why.
		{"unknown", "by the client, a server whose CA it does not know", "certs/gateway/client", "strange/ca/ca.crt", "refused a TLS connection"},
	}
	rows := make([]row, len(all))
	var running sync.WaitGroup
	for i, r := range all {
		running.Go(func() { // each is tried three times, with seconds between
			s := session{era: c, name: "refused-" + r.name, plugins: []string{"All"}, mcp: f.tls(r.cert, r.ca, map[string]any{"check_hostname": false})}
			rows[i] = row{"mTLS", "refused: " + r.what, f.refused(ctx, s, r.says)}
		})
	}
	running.Wait()
	return rows
}

func (f *forge) refused(ctx context.Context, s session, says string) error {
	report, r, err := f.through(ctx, s, "https://127.0.0.1:%s/mcp", f.secure)
	if err != nil {
		return err
	}
	if report.Failure == "" {
		return errors.New("the plugin manager has started")
	}
	if err := f.secure.writes(ctx, func(text string) bool { return strings.Contains(r.logged(text), says) }); err != nil {
		return fmt.Errorf("%s, and the server's log does not say %q but: %s", report.Failure, says, r.logged(f.secure.text()))
	}
	return nil
}
