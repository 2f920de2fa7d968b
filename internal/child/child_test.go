//go:build unix

package child

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary play the parent that is killed.
func TestMain(m *testing.M) {
	if os.Getenv("CHILD_TEST_PARENT") == "" {
		os.Exit(m.Run())
	}
	p, err := Start(exec.Command("sleep", "1000"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(p.PID())
	<-p.Done()
}

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestChildDiesWhenItsParentIsKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("only Linux kills the children of the dead")
		return
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "CHILD_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	fmt.Sscan(line, &pid)
	if gone(pid) {
		t.Fatalf("child %d does not run", pid)
	}
	time.Sleep(100 * time.Millisecond) // a child whose thread went idle must not die early
	if gone(pid) {
		t.Fatalf("child %d died before its parent", pid)
	}
	parent.Process.Kill()
	parent.Wait()
	for deadline := time.Now().Add(10 * time.Second); !gone(pid); time.Sleep(10 * time.Millisecond) {
		if state := procState(pid); state == "Z" {
			return // dead; whether its new parent collects it is up to the system
		}
		if time.Now().After(deadline) {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("child %d outlives its parent", pid)
		}
	}
}

func procState(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest[:min(1, len(rest))]
}

func TestStopWaitsForAnOrderlyEndAndKillsOnlyAfterTheGrace(t *testing.T) {
	tests := []struct {
		name, script string
		grace        time.Duration
		wantErr      bool
	}{
		{"ends when asked", `trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done`, 30 * time.Second, false},
		{"does not listen", `trap '' TERM; echo ready; while :; do sleep 0.01; done`, 100 * time.Millisecond, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			cmd := exec.Command("sh", "-c", test.script)
			cmd.Stdout = w
			p, err := Start(cmd)
			w.Close()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Read(make([]byte, 10)); err != nil { // the trap is set
				t.Fatal(err)
			}
			if err := p.Stop(test.grace); (err != nil) != test.wantErr {
				t.Errorf("stop: got %v, want an error: %v", err, test.wantErr)
			}
			if !gone(p.PID()) {
				t.Errorf("process %d runs after Stop", p.PID())
			}
			if (p.Err() != nil) != test.wantErr {
				t.Errorf("its end: got %v, want an error: %v", p.Err(), test.wantErr)
			}
			if err := p.Stop(time.Second); err != nil {
				t.Errorf("stop of what has ended: %v", err)
			}
		})
	}
}

func TestStartOfWhatIsNotThereIsAnError(t *testing.T) {
	if _, err := Start(exec.Command("/no/such/program")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want not exist", err)
	}
}
