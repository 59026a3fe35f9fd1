package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxSecretBytes bounds a secret's file.
const maxSecretBytes = 64 << 10

// readFile reads a file of at most limit bytes; what names it in the error
// about a larger one. Only what is a file is opened: a FIFO would hold up the
// start, silently, until somebody writes to it. What the process was handed
// (/dev/stdin, a shell's process substitution) may be a pipe.
func readFile(path string, limit int64, what string) ([]byte, error) {
	path = expandHome(path)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case mode.IsRegular() || mode.IsDir() || inherited(path): // reading a folder has an error of its own
	case mode&fs.ModeNamedPipe != 0:
		return nil, errors.New("it is not a file but a pipe; one that the process inherits is named /dev/stdin or /dev/fd/N")
	default:
		return nil, errors.New("it is not a file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("over %d bytes: not %s", limit, what)
	}
	return data, err
}

func inherited(path string) bool {
	path = filepath.Clean(path)
	return path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/")
}
