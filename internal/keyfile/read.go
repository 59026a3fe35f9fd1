package keyfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds what is read from one file. The certificates that a system
// trusts come to a quarter of a megabyte.
const maxFile = 4 << 20

// ReadFile returns the content of a file of certificates or keys. It never
// waits and never reads without end, whatever somebody put there: what is not
// a regular file, or is larger than 4 MiB, is an error. Only a path below
// /dev/fd may be a pipe: whoever started the process handed that over. Errors
// name the path.
func ReadFile(path string) ([]byte, error) {
	data, err := readFile(path, nil)
	if err != nil {
		return nil, about(path, err)
	}
	return data, nil
}

// readFile is ReadFile. If check is set, it is asked about the file that was
// opened, not about whatever has the name later.
func readFile(path string, check func(fs.FileInfo) error) ([]byte, error) {
	flags := os.O_RDONLY
	if !inherited(path) {
		flags |= openNonblock // opening a FIFO waits for its other end
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := regular(path, info); err != nil {
		return nil, err
	}
	if check != nil {
		if err := check(info); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fault(ErrUnsupported, "larger than %d bytes", maxFile)
	}
	return data, nil
}

// inherited reports whether path names an open descriptor. It looks at the
// path as it is written: a link in a tree of certificates may lead there too.
func inherited(path string) bool {
	path = filepath.Clean(path)
	return path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/")
}

// regular refuses what is no file.
func regular(path string, info fs.FileInfo) error {
	mode := info.Mode()
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return errors.New("it is a folder")
	case inherited(path):
		return nil
	case mode&fs.ModeNamedPipe != 0:
		return errors.New("it is not a file but a pipe")
	case mode&fs.ModeDevice != 0:
		return errors.New("it is not a file but a device")
	}
	return errors.New("it is not a file")
}
