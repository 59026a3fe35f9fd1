package child

import (
	"os"
	"syscall"
)

// ownGroup keeps a Ctrl-C at our console from the child.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// endGroup has no gentle way here; killGroup ends the process itself.
func endGroup(int) {}

func killGroup(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
		_ = p.Release()
	}
}

// canTell says that a file's mode does not tell who may write to it.
const canTell = false
