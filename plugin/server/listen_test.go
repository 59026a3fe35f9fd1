package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnixSocketInAFolderOfOthers: who can rename there can replace our socket.
func TestUnixSocketInAFolderOfOthers(t *testing.T) {
	for mode, warned := range map[os.FileMode]bool{0o700: false, 0o755: false, 0o775: false, 0o777: true, 0o777 | os.ModeSticky: false} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		log := &logLines{}
		l, err := listenUnix(t.Context(), filepath.Join(dir, "s"), log.logger())
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if text := log.String(); strings.Contains(text, "other users can replace the Unix socket") != warned {
			t.Errorf("mode %s: log %q", mode, text)
		}
	}
}

// TestUnixSocketOfAnotherUser is left alone, served or not.
func TestUnixSocketOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := listenUnix(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l.(*unixListener).Listener.Close() // as a kill does: the socket stays
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	_, err = listenUnix(t.Context(), path, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "there is a socket of user 12345, and we are user 0") {
		t.Errorf("error %v", err)
	}
	log := &logLines{}
	if err := os.Chown(filepath.Dir(path), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l, err = listenUnix(t.Context(), path, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if !strings.Contains(log.String(), "another user's, who can replace it") {
		t.Errorf("log %q", log)
	}
}
