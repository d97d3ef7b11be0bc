package testservers

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// signalOrphan makes the kernel send the signal to the process when the thread that started it has ended.
func signalOrphan(attr *syscall.SysProcAttr, signal syscall.Signal) { attr.Pdeathsig = signal }

// processes returns the parent of every process that runs on the machine.
func processes() map[int]int {
	parents := map[int]int{}
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		// "pid (name) state ppid ...", where the name may hold spaces and parentheses: proc(5).
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if zombie := string(fields[0]) == "Z"; zombie {
			continue
		}
		if parent, err := strconv.Atoi(string(fields[1])); err == nil {
			parents[pid] = parent
		}
	}
	return parents
}
