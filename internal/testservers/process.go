package testservers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// process is a server's main process, with everything that it starts in turn.
type process struct {
	cmd   *exec.Cmd
	log   string        // the file that takes its output
	ended chan struct{} // closed when it has ended and was waited for
}

// startProcess starts a command that adds its output to the file log. It gets a process group of its own, so that
// a Ctrl-C in the terminal ends the tests and not, under their feet, the server. When this process ends in whatever
// way, the kernel sends the command the signal orphaned.
func startProcess(cmd *exec.Cmd, log string, orphaned syscall.Signal) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	signalOrphan(cmd.SysProcAttr, orphaned)

	p := &process{cmd: cmd, log: log, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// To the kernel, the parent is the thread that forked. Keep that thread as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its result stays in cmd.ProcessState
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// waitReady calls ping until it succeeds. It gives up when the process ends or after the patience; the error carries
// the end of the log.
func (p *process) waitReady(patience time.Duration, ping func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() {
		select {
		case <-p.ended: // whoever may answer on its port now, it is another
			cancel()
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ping(ctx)
		switch {
		case p.hasEnded():
			return fmt.Errorf("%s: %s\n%s", p.cmd.Path, p.cmd.ProcessState, p.logEnd())
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s is not ready after %s: %w\n%s", p.cmd.Path, patience, err, p.logEnd())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// logEnd returns the last lines of the log, as far as it can be read.
func (p *process) logEnd() []byte {
	const lines = 20
	text, _ := os.ReadFile(p.log)
	all := bytes.SplitAfter(text, []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], nil)
}

// stop sends the signal that makes the server shut down in order, and kills it when it has not ended after the
// patience. Whatever the server started has ended, too, when stop returns.
func (p *process) stop(signal syscall.Signal, patience time.Duration) {
	tree := p.tree()
	_ = p.cmd.Process.Signal(signal) // an error means that it has ended already
	select {
	case <-p.ended:
		waitGone(tree)
	case <-time.After(patience):
		p.kill()
	}
}

// kill ends the server and all that it started at once, and waits until they are gone.
func (p *process) kill() {
	// A stopped server neither starts more processes nor cleans up after those that die.
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	tree := p.tree()
	for _, pid := range tree {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.ended
	waitGone(tree)
}

// signalAll sends the signal to the server first and then to all that it started.
func (p *process) signalAll(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal)
	for _, pid := range p.tree() {
		_ = syscall.Kill(pid, signal)
	}
}

// tree returns the ids of the server's process and of all its descendants, or nothing when it has ended.
func (p *process) tree() []int {
	if p.hasEnded() {
		return nil // its id may belong to another process by now
	}
	all := processes()
	tree := []int{p.cmd.Process.Pid}
	for i := 0; i < len(tree); i++ {
		for pid, parent := range all {
			if parent == tree[i] {
				tree = append(tree, pid)
			}
		}
	}
	return tree
}

// waitGone returns when none of the processes runs any more. They have been told to end; ten seconds are plenty.
func waitGone(pids []int) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		all := processes()
		if !slices.ContainsFunc(pids, func(pid int) bool { _, running := all[pid]; return running }) {
			return
		}
	}
}
