package keyfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// lockName is the file that a Lock holds. It stays: removing it would let two
// processes hold two files of the same name. It is empty and only its owner
// can open it, so that nobody else can keep the tree locked.
const lockName = ".lock"

// retryLock is how long Lock waits between two attempts.
const retryLock = 50 * time.Millisecond

// errLocked is what tryLock returns when another process has the lock.
var errLocked = errors.New("locked")

// Lock makes the folder tree if it is missing (mode 0755, the umask applies)
// and takes the lock on it, so that of two runs at once one waits for the
// other. It waits until ctx is done. The lock is gone when unlock is called
// or the process ends, however it ends; unlock may be called more than once.
func (d *Disk) Lock(ctx context.Context, tree string) (unlock func(), err error) {
	path := filepath.Join(tree, lockName)
	for announced := false; ; announced = true {
		f, err := d.tryLock(tree, path)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("locking %s: %w", tree, err)
		}
		if !announced && d.Waiting != nil {
			d.Waiting(tree)
		}
		select {
		case <-ctx.Done():
			return nil, hint.Add(
				fmt.Errorf("locking %s: another process is changing it: %w", tree, context.Cause(ctx)),
				"let the other run end, then try again")
		case <-time.After(retryLock):
		}
	}
}

// tryLock returns the locked file, errLocked, or what is wrong.
func (d *Disk) tryLock(tree, path string) (*os.File, error) {
	if err := d.Mkdir(tree, 0o755); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := d.step(OpCreate, path); err != nil {
			return nil, err
		}
	}
	// Not through a link: a run by root must not make files elsewhere.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|openNoFollow|openNonblock, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errLocked // the tree was deleted just now: once more
	}
	if err != nil {
		return nil, err
	}
	if err := acquire(f, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// acquire locks f, which was opened at path. Whoever held the lock before may
// have deleted the tree: then f is nobody's, and a lock on it keeps nobody out.
func acquire(f *os.File, path string) error {
	if err := flock(f); err != nil {
		return err
	}
	held, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(held, there) {
		return errLocked
	}
	return err
}
