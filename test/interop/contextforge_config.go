package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// contextForgeFiles checks the plugin file that ContextForge ships. As it is it
// may give warnings, never an error. With every plugin switched on there are
// errors: about the plugins that are not here, and about what is asked of ours
// that they cannot do, but about nothing else.
func (l *lab) contextForgeFiles(ctx context.Context, t *table) error {
	const peer = "plugins/config.yaml"
	for _, c := range l.eras(t, peer) {
		if c.plugins == "" {
			continue // the framework alone ships none
		}
		seen, err := l.shippedFile(ctx, c)
		if err != nil {
			t.fault(c.name()+" "+peer, c.version, "file", "", err)
			continue
		}
		t.add(c.name()+" "+peer, c.version, "file", "", seen)
	}
	return nil
}

var (
	switchedOff = regexp.MustCompile(`(?m)^( +mode: *)"?disabled"?`)
	unknownKind = regexp.MustCompile(`: plugins\[\d+\]\.kind: unknown kind "`)
)

// cannotDo are errors that have to be: to go on without would leave open what
// the file closes.
const cannotDo = "backend: there are no counters shared through Redis"

func (l *lab) shippedFile(ctx context.Context, c *contextForge) (string, error) {
	file := filepath.Join(c.plugins, "plugins", "config.yaml")
	errs, warnings, err := l.configCheck(ctx, file)
	if err != nil {
		return "", err
	}
	if len(errs) > 0 {
		return "", fmt.Errorf("as it is: %s", strings.Join(errs, "\n"))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	on := switchedOff.ReplaceAll(text, []byte("${1}permissive"))
	if bytes.Equal(on, text) {
		return "", errors.New("nothing is switched off in it: it has another form now")
	}
	if err := l.write("cf-"+c.era+"-on.yaml", string(on)); err != nil {
		return "", err
	}
	errs, _, err = l.configCheck(ctx, "cf-"+c.era+"-on.yaml")
	if err != nil {
		return "", err
	}
	foreign, other := 0, []string(nil)
	for _, line := range errs {
		switch {
		case unknownKind.MatchString(line):
			foreign++
		case !strings.Contains(line, cannotDo):
			other = append(other, line)
		}
	}
	if len(other) > 0 {
		return "", fmt.Errorf("with all plugins on: %s", strings.Join(other, "\n"))
	}
	return fmt.Sprintf("config check: no error, %d warnings; with all plugins on, %d kinds are not here", warnings, foreign), nil
}

// configCheck runs sallyport config check: errors are on its standard output,
// warnings elsewhere.
func (l *lab) configCheck(ctx context.Context, file string) (errs []string, warnings int, err error) {
	var stdout, stderr bytes.Buffer
	cmd := l.command(ctx, l.binary, "config", "check", file)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	failed := cmd.Run()
	for line := range strings.Lines(stdout.String()) {
		if strings.HasPrefix(line, file+":") && !strings.HasPrefix(line, file+": ok") {
			errs = append(errs, strings.TrimSuffix(line, "\n"))
		}
	}
	if (failed != nil) != (len(errs) > 0) {
		return nil, 0, fmt.Errorf("config check: %w\n%s%s", errors.Join(failed, ctx.Err()), &stdout, &stderr)
	}
	return errs, strings.Count(stderr.String(), " (warning)\n"), nil
}
