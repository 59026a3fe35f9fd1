//go:build !linux

package upstream

// waitDead cannot wait for a child without reaping it here.
func waitDead(int) bool { return false }
