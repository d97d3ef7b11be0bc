package testservers

import (
	"os/exec"
	"syscall"
	"time"
)

// Subject is any other program that a test starts and kills, such as the product itself. It ends with the process that
// started it, as the servers do.
type Subject struct{ process *process }

// StartSubject starts a command that adds its output to the file log.
func StartSubject(cmd *exec.Cmd, log string) (*Subject, error) {
	p, err := startProcess(cmd, log, syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	return &Subject{p}, nil
}

// PID is the id of the program's process.
func (p *Subject) PID() int { return p.process.cmd.Process.Pid }

// Kill ends the program at once, as a crash would.
func (p *Subject) Kill() { p.process.kill() }

// Stop asks the program to end and gives its exit code, which is -1 when it did not end within the patience and was killed.
func (p *Subject) Stop(patience time.Duration) int {
	p.process.stop(syscall.SIGTERM, patience)
	return p.process.cmd.ProcessState.ExitCode()
}

// HasEnded reports whether the program runs no more.
func (p *Subject) HasEnded() bool { return p.process.hasEnded() }
