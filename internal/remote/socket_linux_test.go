package remote

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// TestUnixSocketOfAnotherProcess: the file may be ours, what counts is who
// listens.
func TestUnixSocketOfAnotherProcess(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can listen as somebody else")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	for _, folder := range []string{dir, filepath.Dir(dir)} { // for the other user
		if err := os.Chmod(folder, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	const other = 12345
	listening := make(chan net.Listener)
	go func() {
		runtime.LockOSThread() // which ends with this goroutine, for it is another user's from here on
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), other, ^uintptr(0)); errno != 0 {
			t.Error(errno)
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Error(err)
		}
		listening <- l
	}()
	l := <-listening
	if t.Failed() {
		t.FailNow()
	}
	defer l.Close()
	if err := os.Chown(path, 0, 0); err != nil {
		t.Fatal(err)
	}
	p := client(t, "", func(c *Config, _ *Options) { c.URL, c.UDS = "", path })
	_, err := invoke(t, p, `{}`)
	wantKind(t, err, Identity, "is served by user 12345, who is neither root nor us")
	if !errors.Is(err, errOwner) {
		t.Errorf("error %v", err)
	}
}
