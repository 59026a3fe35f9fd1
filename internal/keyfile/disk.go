package keyfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// The operations that [Disk] names to its Step hook.
const (
	OpMkdir  = "mkdir"  // make one folder
	OpCreate = "create" // create an empty file that nobody else can open
	OpChmod  = "chmod"  // give it its owner and mode, still empty
	OpWrite  = "write"  // write its content
	OpSync   = "sync"   // flush a file or folder to the disk
	OpRename = "rename" // rename; the path is the new name
	OpRemove = "remove" // remove one file or empty folder
)

// TempPrefix starts the name of everything that a [Disk] makes and has not
// renamed into place yet. After a crash such things stay behind: see
// [Disk.Sweep].
const TempPrefix = ".sallyport-tmp-"

// Disk changes files and folders in such an order that a crash at any point
// leaves each of them whole: as it was, or as it was to be. All changes of a
// certificate tree go through one, so that a test can stop at each step.
//
// The zero value works. The fields are set before first use; the methods may
// be called from several goroutines.
type Disk struct {
	// Step, if set, is called before each operation that changes the disk,
	// with one of the Op constants and the path that it is about. Once it has
	// returned an error the Disk is dead, as after a crash: that operation and
	// every later one fail with this error and change nothing, so that
	// clean-up does not happen either. A write that it stops leaves half of
	// its content. It runs with the Disk locked: it must not use it.
	Step func(op, path string) error

	// Waiting, if set, is called once by a Lock that has to wait.
	Waiting func(tree string)

	mu   sync.Mutex
	dead error
}

func (d *Disk) step(op, path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead == nil && d.Step != nil {
		if err := d.Step(op, path); err != nil {
			d.dead = &fs.PathError{Op: op, Path: path, Err: err}
		}
	}
	return d.dead
}

// WriteFile makes path hold data: it creates a temporary file in path's
// folder, which has to exist, gives it its mode while it is empty, writes and
// syncs it, renames it over path and syncs the folder. A reader sees the old
// content or the new, and a private key (mode 0600) can at no time be opened
// by anyone else. The mode is the one asked for, whatever the umask.
//
// A file that is replaced hands down its owner and group where the process may
// set them (so that root may renew the key of a service account), and a
// private key that root keeps at 0640 for a group stays at 0640.
func (d *Disk) WriteFile(path string, data []byte, mode fs.FileMode) error {
	return d.WriteFileLike(path, path, data, mode)
}

// WriteFileLike is WriteFile, but owner and group come from the file like: for
// what is to stand beside it or to take its place later. Without such a file
// they are those of the process.
func (d *Disk) WriteFileLike(path, like string, data []byte, mode fs.FileMode) error {
	if err := d.writeFile(path, like, data, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func (d *Disk) writeFile(path, like string, data []byte, mode fs.FileMode) (err error) {
	tmp := tempName(path)
	if err := d.step(OpCreate, tmp); err != nil {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode&0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), d.discard(tmp))
		}
	}()
	if err := d.step(OpChmod, tmp); err != nil {
		return err
	}
	if err := inherit(f, like, mode); err != nil {
		return err
	}
	if err := d.step(OpWrite, tmp); err != nil {
		_, _ = f.Write(data[:len(data)/2])
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := d.step(OpSync, tmp); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return d.Rename(tmp, path)
}

// discard removes the temporary file of a write that failed. A file that is
// gone, or a Disk that is dead, is not worth a second error.
func (d *Disk) discard(tmp string) error {
	if d.step(OpRemove, tmp) != nil {
		return nil
	}
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Mkdir makes the folder path and those of its parents that are missing, each
// synced into its parent. The umask applies. A folder that exists is fine.
func (d *Disk) Mkdir(path string, mode fs.FileMode) error {
	path = filepath.Clean(path)
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return nil
	}
	if err == nil {
		return fmt.Errorf("making folder %s: it exists and is not a folder", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("making folder: %w", err)
	}
	parent := filepath.Dir(path)
	if err := d.Mkdir(parent, mode); err != nil {
		return err
	}
	if err := d.step(OpMkdir, path); err != nil {
		return err
	}
	// Another process may just have made it.
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making folder: %w", err)
	}
	return d.SyncDir(parent)
}

// TempDir makes an empty folder beside path, to be filled and then renamed to
// path: the way to let a folder appear complete or not at all. Its name starts
// with TempPrefix. The parent has to exist; the umask applies.
func (d *Disk) TempDir(path string, mode fs.FileMode) (string, error) {
	tmp := tempName(path)
	if err := d.step(OpMkdir, tmp); err != nil {
		return "", err
	}
	if err := os.Mkdir(tmp, mode); err != nil {
		return "", fmt.Errorf("making a temporary folder: %w", err)
	}
	return tmp, nil
}

// Rename gives a file or folder the name path and syncs the folders that it
// left and entered. A file may replace a file, a folder an empty folder.
// Content has to be synced before: WriteFile does.
func (d *Disk) Rename(old, path string) error {
	if was, err := os.Lstat(old); err == nil && was.IsDir() {
		if is, err := os.Lstat(path); err == nil && is.IsDir() {
			if err := d.step(OpRemove, path); err != nil {
				return err
			}
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("replacing an empty folder: %w", err)
			}
		}
	}
	if err := d.step(OpRename, path); err != nil {
		return err
	}
	if err := os.Rename(old, path); err != nil {
		return err
	}
	to, from := filepath.Dir(path), filepath.Dir(old)
	if err := d.SyncDir(to); err != nil || from == to {
		return err
	}
	return d.SyncDir(from)
}

// SyncDir flushes the names in a folder to the disk.
func (d *Disk) SyncDir(dir string) error {
	if err := d.step(OpSync, dir); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("syncing folder %s: %w", dir, err)
	}
	return nil
}

// RemoveAll removes a file, or a folder and all in it. A folder first gets a
// temporary name, so that nobody ever sees it half empty. Removing what does
// not exist is fine.
func (d *Disk) RemoveAll(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing: %w", err)
	}
	if info.IsDir() && !strings.HasPrefix(filepath.Base(path), TempPrefix) {
		tmp := tempName(path)
		if err := d.Rename(path, tmp); err != nil {
			return err
		}
		path = tmp
	}
	if err := d.removeTree(path); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

func (d *Disk) removeTree(path string) error {
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := d.removeTree(filepath.Join(path, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := d.step(OpRemove, path); err != nil {
		return err
	}
	return os.Remove(path)
}

// Sweep removes from dir, not from the folders in it, what a crashed run left
// behind under a temporary name. Call it with the tree locked: another run's
// files have such names too. A dir that does not exist is fine.
func (d *Disk) Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for leftovers: %w", err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), TempPrefix) {
			if err := d.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// tempName is a name beside path that is nobody's.
func tempName(path string) string {
	base := strings.TrimPrefix(filepath.Base(path), TempPrefix)
	return filepath.Join(filepath.Dir(path), TempPrefix+base+"-"+rand.Text()[:10])
}
