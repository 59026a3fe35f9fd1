package child

import (
	"errors"

	"golang.org/x/sys/unix"
)

// waitDead waits for a child to die without reaping it: its number, which is
// also its group's, cannot become another's before the group has been killed.
func waitDead(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
