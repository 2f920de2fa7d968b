// Package child runs a server program as a child process that never outlives its parent: it is killed by the kernel
// when the parent dies, however that happens (on Linux), and it does not share the terminal's Ctrl-C.
//
//	c, err := child.Start(exec.Command("mariadbd", …))
//	select {
//	case <-c.Done(): // it ended by itself
//	case <-ctx.Done():
//		err = c.Stop(10 * time.Second)
//	}
package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a started program. Its methods may be called by several goroutines at once.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // what Wait said; written before done is closed
}

// Start starts cmd, which must not have been started yet. It sets cmd.SysProcAttr where that is nil.
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = attributes()
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	// The kernel's "kill it when the parent dies" means the thread that forked (golang/go#27505), so that thread is
	// kept for as long as the child lives. The goroutine ends with the child; Done says when.
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended and was waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the process ended, nil for exit code 0. It must only be called after Done is closed.
func (p *Process) Err() error { return p.err }

// Signal sends a signal. A process that has ended already is no error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.cmd.Path, err)
	}
	return nil
}

// Stop asks the process to end (SIGTERM) and waits for it. After the grace period it is killed and an error returned.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		p.Kill()
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("stop %s: not ended %v after SIGTERM, killed", p.cmd.Path, grace)
	}
}

// Kill ends the process at once (SIGKILL) and waits for it.
func (p *Process) Kill() {
	p.cmd.Process.Kill() // fails only when it has ended
	<-p.done
}
