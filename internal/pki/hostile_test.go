//go:build unix

package pki

import (
	"context"
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestFIFOsHoldNobodyUp: what a plugin's service account may put in its own
// folder must not keep the certificates of all others from being renewed.
func TestFIFOsHoldNobodyUp(t *testing.T) {
	for name, file := range map[string]func(tree *Tree) string{
		"certificate":  func(tree *Tree) string { return tree.plugin("A").certFile() },
		"key":          func(tree *Tree) string { return tree.plugin("A").keyFile() },
		"copy of CA":   func(tree *Tree) string { return tree.plugin("A").copyFile() },
		"client.pem":   func(tree *Tree) string { return tree.gateway().pemFile() },
		"key in .next": func(tree *Tree) string { return tree.plugin("A").next().keyFile() },
	} {
		t.Run(name, func(t *testing.T) {
			tree := newTree(t, nil, "A", "B")
			path := file(tree)
			if name == "key in .next" {
				if err := errors.Join(os.Mkdir(tree.plugin("A").nextDir(), 0o700), os.Remove(tree.plugin("A").keyFile())); err != nil {
					t.Fatal(err)
				}
			} else if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			before := leafOf(t, tree.plugin("B")).SerialNumber
			done := make(chan struct{})
			go func() {
				defer close(done)
				if _, err := tree.Check(0); err != nil {
					t.Errorf("check: %v", err)
				}
				_ = tree.Renew(context.Background(), Renewal{Force: true}) // A's state is an error
				_, _ = tree.Inspect(path, 0)
			}()
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				t.Fatal("it waits for the FIFO")
			}
			if leafOf(t, tree.plugin("B")).SerialNumber.Cmp(before) == 0 {
				t.Error("B was not renewed")
			}
			if slices.Contains([]string{"certificate", "key"}, name) {
				report, err := tree.Check(0)
				if err != nil || report.Status != StatusBroken {
					t.Errorf("check says %v, %v", report.Status, err)
				}
			}
		})
	}
}
