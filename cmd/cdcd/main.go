package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	_ "time/tzdata" // rules name time zones, and the smallest images have no database of them

	"github.com/cdcd-project/cdcd/internal/apart"
)

func main() {
	apart.Main(map[string]apart.Work{compileWork: compile})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C kills, whatever the verb is doing
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program: it does what args say and returns the exit code. It reads the environment and the working
// directory; everything else comes in as an argument.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{
		ui:    newUI(stdout, stderr, formatIn(args)),
		stdin: stdin,
		env:   os.Environ(),

		describe: describeServer,
	}
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil {
		a.ui.fail(kind(cmd), interrupted(ctx, err))
	}
	return exitCode(interrupted(ctx, err))
}
