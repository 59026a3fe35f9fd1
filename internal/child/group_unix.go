//go:build unix

package child

import "syscall"

// ownGroup puts a child into a process group of its own, so that what it starts
// can be ended with it, and a Ctrl-C at our terminal does not end it before us.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// endGroup asks a group to end, killGroup ends it. That there is nobody left is
// no error.
func endGroup(pid int)  { _ = syscall.Kill(-pid, syscall.SIGTERM) }
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// canTell says that a file's mode tells who may write to it.
const canTell = true
