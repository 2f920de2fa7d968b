package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cdcd-project/cdcd/internal/apart"
	"github.com/cdcd-project/cdcd/internal/dbserver"
)

func TestMain(m *testing.M) {
	apart.Main(map[string]apart.Work{compileWork: compile}) // for tests that are not a process of their own
	testscript.Main(m, map[string]func(){"cdcd": main})     // as a process, signals included
}

// Transcripts of the command line are in testdata; go test ./cmd/cdcd -run Script -update writes what they compare
// anew. Beside testscript's own commands they have
//
//	exits CODE COMMAND [ARG…]
//
// which runs a command and demands that exit code, and
//
//	guest FILE VERSION COLUMN
//
// which writes a plugin, and
//
//	unzstd FROM TO
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("NO_COLOR", "1")
			env.Setenv("PORT", strconv.Itoa(dbserver.FreePort())) // transcripts run beside each other
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
			"guest": writeGuest,
			"unzstd": func(ts *testscript.TestScript, _ bool, args []string) {
				zr, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
				ts.Check(err)
				defer zr.Close()
				text, err := zr.DecodeAll([]byte(ts.ReadFile(args[0])), nil)
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
			},
		},
	})
}

// exits runs a command and demands an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
