package child

import (
	"io/fs"
	"os"
	"path/filepath"
)

// warnWritable says so, once, when other users can put a program of their own in
// the place of what is started: it would run as us, and be believed.
func (s *Server) warnWritable(path string, args []string) {
	if s.warned {
		return
	}
	s.warned = true
	files := []string{path}
	if s.cmd.Script != "" {
		files = append(files, args[len(args)-1])
	}
	seen := map[string]bool{}
	for _, file := range files {
		for _, place := range []string{file, filepath.Dir(file), s.cmd.Dir} {
			if real, err := filepath.EvalSymlinks(place); err == nil && !seen[real] && writable(real) {
				seen[real] = true
				s.o.Logger.Warn(s.o.Role+": other users can replace what is started", "path", real,
					"hint", "take their right to write away: chmod o-w "+real)
			}
		}
	}
}

// writable reports whether everybody may write to a file, or remove another's
// from a folder. Where there are no such rights, nobody may.
func writable(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() && info.Mode()&fs.ModeSticky != 0 {
		return false
	}
	return canTell && info.Mode().Perm()&0o002 != 0
}
