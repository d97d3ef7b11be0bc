//go:build unix && !linux

package testservers

import (
	"bytes"
	"fmt"
	"os/exec"
	"syscall"
)

// signalOrphan does nothing: only Linux tells a process that its parent has ended.
func signalOrphan(*syscall.SysProcAttr, syscall.Signal) {}

// processes returns the parent of every process that runs on the machine.
func processes() map[int]int {
	parents := map[int]int{}
	out, _ := exec.Command("ps", "-A", "-o", "pid=,ppid=,stat=").Output()
	for line := range bytes.Lines(out) {
		var pid, parent int
		var state string
		if n, _ := fmt.Sscan(string(line), &pid, &parent, &state); n == 3 && state[0] != 'Z' {
			parents[pid] = parent
		}
	}
	return parents
}
