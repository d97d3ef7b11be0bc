package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc: USER_HZ, a hundredth of a second on every Linux that Go runs on.
const tick = 10 * time.Millisecond

type cpu struct {
	self   time.Duration
	reaped time.Duration // of children that have ended
}

// cpuOf reads the CPU time of a process, user and system, from Linux's /proc: proc(5).
func cpuOf(pid int) (cpu, error) {
	fields, err := statOf(strconv.Itoa(pid))
	if err != nil {
		return cpu{}, err
	}
	// utime, stime, cutime and cstime are the fields 14 to 17; fields begins with the third.
	var ticks [4]int64
	for i := range ticks {
		if ticks[i], err = strconv.ParseInt(fields[11+i], 10, 64); err != nil {
			return cpu{}, err
		}
	}
	return cpu{time.Duration(ticks[0]+ticks[1]) * tick, time.Duration(ticks[2]+ticks[3]) * tick}, nil
}

func childrenOf(parent int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var children []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fields, err := statOf(e.Name()); err == nil && fields[1] == strconv.Itoa(parent) {
			children = append(children, pid)
		}
	}
	return children, nil
}

// statOf gives what stands behind the name of a process, which may hold spaces and parentheses itself.
func statOf(pid string) ([]string, error) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return nil, fmt.Errorf("the CPU time of a process is known on Linux alone: %w", err)
	}
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])), nil
}

// peakMemory reads the most memory (RSS) that a process ever had, in bytes.
func peakMemory(pid int) (int64, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no VmHWM of process %d", pid)
}
