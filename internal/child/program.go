package child

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// Command is what is started: a program, or a script.
type Command struct {
	// Name is the program, found by PATH, and Args are its arguments. They may
	// hold secrets, so no message has them.
	Name string
	Args []string

	// Script is a file to run instead: one that ends in .py with python3, in .sh
	// with sh, any other has to be executable. A relative path starts from Dir.
	Script string

	// Env is added to the small environment that every child gets. Its values
	// may be secrets.
	Env map[string]string

	// Dir is the child's working directory; empty means ours.
	Dir string
}

// where is the program or script alone, for messages.
func (c *Command) where() string {
	if c.Script != "" {
		return filepath.Base(c.Script)
	}
	return filepath.Base(c.Name)
}

// Find looks for the program as a start does, and returns where it is and all
// its arguments, with the name that it is called by.
func (c *Command) Find() (path string, args []string, err error) {
	if c.Script != "" {
		return c.findScript()
	}
	path, err = c.lookPath(c.Name)
	return path, append([]string{c.Name}, c.Args...), err
}

func (c *Command) findScript() (path string, args []string, err error) {
	script := c.Script
	if !filepath.IsAbs(script) {
		script = filepath.Join(c.Dir, script)
	}
	if script, err = filepath.Abs(script); err != nil {
		return "", nil, err
	}
	info, err := os.Stat(script)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, fmt.Errorf("%s does not exist", script)
	case err != nil:
		return "", nil, err
	case !info.Mode().IsRegular():
		return "", nil, fmt.Errorf("%s is no file", script)
	}
	interpreter := map[string]string{".py": "python3", ".sh": "sh"}[filepath.Ext(script)]
	if interpreter == "" {
		if path, err = exec.LookPath(script); err != nil {
			return "", nil, hint.Add(fmt.Errorf("%s cannot be executed", script), "make it executable: chmod +x, or name its interpreter: cmd: [INTERPRETER, SCRIPT]")
		}
		return path, []string{script}, nil
	}
	if path, err = c.lookPath(interpreter); err != nil {
		return "", nil, hint.Add(fmt.Errorf("%s is run with %s: %w", script, interpreter, err), "put the folder of "+interpreter+" into PATH, or name the interpreter: cmd: [INTERPRETER, SCRIPT]")
	}
	return path, []string{interpreter, script}, nil
}

// inherited are the variables of our environment that a child gets.
var inherited = []string{"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"}

// environment is what a child gets: the few variables that every program may
// count on, as other MCP clients hand them on, and those of its entry. The rest
// of ours holds secrets that are none of its business.
func environment(extra map[string]string) []string {
	all := map[string]string{}
	for _, name := range inherited {
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
func (c *Command) lookPath(name string) (string, error) {
	path, err := c.search(name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path) // a relative one would start from the child's directory
}

func (c *Command) search(name string) (string, error) {
	path, ok := c.Env["PATH"]
	switch {
	case strings.ContainsRune(name, filepath.Separator) && !filepath.IsAbs(name) && c.Dir != "":
		return exec.LookPath(filepath.Join(c.Dir, name))
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
