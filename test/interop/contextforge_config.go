package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// contextForgeFiles checks the plugin files that ContextForge ships: they may
// give warnings, never an error.
func (l *lab) contextForgeFiles(ctx context.Context, t *table) error {
	const peer = "plugins/config.yaml"
	for _, c := range l.eras(t, peer) {
		if c.plugins == "" {
			continue
		}
		cmd := l.command(ctx, l.binary, "config", "check", filepath.Join(c.plugins, "plugins", "config.yaml"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.fault(c.name()+" "+peer, c.version, "file", "", fmt.Errorf("%w\n%s", err, out))
			continue
		}
		t.add(c.name()+" "+peer, c.version, "file", "", fmt.Sprintf("config check: no error, %d warnings", strings.Count(string(out), " (warning)\n")))
	}
	return nil
}
