// Package apart has work done by a child process, which is this program once more, within limits: what runs away there, or
// takes the process down with it, hurts nobody here.
//
//	func main() {
//		apart.Main(map[string]apart.Work{"compile": compile}) // first of all: it does not return in the child
//		…
//		err := apart.Run(ctx, "compile", []string{dir}, module, apart.Limits{Memory: 1 << 30, Time: 30 * time.Second})
//
// The child has none of the program's environment, the lowest priority but one for the processor, and is the first that the
// kernel ends when memory is short. It ends with the program, however that ends.
package apart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/internal/child"
)

// Work is something that can be done apart. Its error is what [Run] returns, as text.
type Work func(ctx context.Context, args []string, input io.Reader) error

// Limits bound the child.
type Limits struct {
	Memory int64         // bytes of address space beyond what a program takes that does nothing
	Time   time.Duration // of processors; by the clock it may take four times as long, for the machine may be busy
	Files  int64         // bytes of the largest file that it may write; 0: 1 GiB
}

// Failed is the error of work that was done to its end and failed.
type Failed struct{ Text string }

// Error is what the work has said.
func (f *Failed) Error() string { return f.Text }

// marker is the environment variable that makes a process the child.
const marker = "CDCD_APART"

// order is its value.
type order struct {
	Work   string
	Args   []string
	Limits Limits
}

// Main does the work if this process is the child, and then ends it. In the program itself it returns at once.
func Main(works map[string]Work) {
	text, marked := os.LookupEnv(marker)
	if !marked {
		return
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil || works[o.Work] == nil {
		fmt.Fprintf(os.Stderr, "%s has no work that this program knows\n", marker)
		os.Exit(2)
	}
	debug.SetTraceback("none") // the first line says why, and nobody reads the rest
	debug.SetMemoryLimit(o.Limits.Memory / 2)
	if err := confine(o.Limits); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if err := works[o.Work](context.Background(), o.Args, os.Stdin); err != nil {
		fmt.Fprint(os.Stderr, err)
		os.Exit(failedCode)
	}
	os.Exit(0)
}

const failedCode = 96 // of work that failed; the runtime of Go ends with 2

// Run has work done. A [Failed] is the work's own error; any other says how the child came to its end.
func Run(ctx context.Context, work string, args []string, input []byte, limits Limits) error {
	if limits.Files == 0 {
		limits.Files = 1 << 30
	}
	text, err := json.Marshal(order{work, args, limits})
	if err != nil {
		return err
	}
	cmd := exec.Command(self())
	cmd.Args = []string{os.Args[0]}
	cmd.Env = []string{marker + "=" + string(text), "GOMAXPROCS=2"}
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(input)
	said := &lastWords{}
	cmd.Stderr = said
	ctx, cancel := context.WithTimeout(ctx, 4*limits.Time)
	defer cancel()
	p, err := child.Start(cmd)
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("it took longer than %s", 4*limits.Time)
		}
		return ctx.Err()
	}
	err = p.Err()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == failedCode:
		return &Failed{said.text()}
	case errors.As(err, &exit) && exit.UserTime()+exit.SystemTime() >= limits.Time*9/10: // the two are counted in other steps
		return fmt.Errorf("it took more than %s of processor time", limits.Time)
	}
	return fmt.Errorf("%s: %w", said.text(), err)
}

// lastWords keeps the beginning of what a child says: when Go's runtime ends a process, that is where the reason stands.
type lastWords struct{ b []byte }

func (w *lastWords) Write(p []byte) (int, error) {
	w.b = append(w.b, p[:min(len(p), 4<<10-len(w.b))]...)
	return len(p), nil
}

func (w *lastWords) text() string {
	lines := strings.Split(strings.TrimSpace(string(w.b)), "\n")
	for _, line := range lines {
		for _, sign := range []string{"fatal error: ", "panic: "} {
			if strings.HasPrefix(line, sign) {
				return line
			}
		}
	}
	if lines[0] == "" {
		return "it ended without a word"
	}
	return lines[0]
}
