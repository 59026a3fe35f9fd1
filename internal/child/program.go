package child

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// environment is what a child gets: the few variables that every program may
// count on, as other MCP clients hand them on, and those of its entry. The rest
// of ours holds secrets that are none of its business.
func environment(extra map[string]string) []string {
	all := map[string]string{}
	for _, name := range []string{"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"} {
		if value, ok := os.LookupEnv(name); ok && !strings.HasPrefix(value, "()") { // no exported shell functions
			all[name] = value
		}
	}
	maps.Copy(all, extra)
	env := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env
}

// lookPath finds the program the way its own environment would.
func lookPath(cmd *Command) (string, error) {
	name := cmd.Name
	path, ok := cmd.Env["PATH"]
	switch {
	case strings.ContainsRune(name, filepath.Separator) && !filepath.IsAbs(name) && cmd.Dir != "":
		return exec.LookPath(filepath.Join(cmd.Dir, name))
	case strings.ContainsRune(name, filepath.Separator) || !ok:
		return exec.LookPath(name)
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue // a program of the working directory is not what was meant
		}
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}
