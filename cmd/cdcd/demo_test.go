package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/dbserver"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

func TestTheDemoOnAPrivateServerDeliversWhatTheShopCounted(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "shop")
	var out, errOut bytes.Buffer
	code := run(t.Context(), []string{"demo", "--once", "--source", "live", "--data", folder, "-o", "json"}, nil, &out, &errOut)
	var answer struct {
		OK     bool
		Result demoVerdict
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil || code != 0 || !answer.OK {
		t.Fatalf("exit code %d, %v\n%s\n%s", code, err, &out, &errOut)
	}
	v := answer.Result
	for _, c := range v.Checks {
		if c.Got != c.Want {
			t.Errorf("%s: got %d, want %d", c.What, c.Got, c.Want)
		}
	}
	if v.Source != "live" || v.Checks[0].Want < 200_000 || v.Audit.Objects.Read < 2 || v.Audit.Bad != nil {
		t.Errorf("got %+v", v)
	}
	if v.First > 30 { // 10 s on a machine that does nothing else
		t.Errorf("the first object took %.1f s, want less than 30 s", v.First)
	}
	// The recorded counts are those of the same shop.
	text, err := demoFiles.ReadFile("demo/shop.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct{ Changes int }
	if err := json.Unmarshal(text, &recorded); err != nil || recorded.Changes != v.Checks[0].Want {
		t.Errorf("the recording has %d changes, a live shop makes %d: run scripts/record-demo", recorded.Changes, v.Checks[0].Want)
	}

	// What was begun before cannot be counted from the beginning.
	if code := run(t.Context(), []string{"demo", "--once", "--data", folder}, nil, &out, &errOut); code != 2 {
		t.Errorf("--once on a demo that has begun before: exit code %d\n%s", code, &errOut)
	}
}

func TestTheDemoGoesOnAfterKill(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "shop")
	d := startDemo(t, "demo", "--source", "live", "--data", folder)
	d.waitFor(t, "stdout", "First object")
	d.end(t, syscall.SIGKILL)
	// Started again, it delivers what the killed one had left, and what the shop does from now on.
	d = startDemo(t, "demo", "--data", folder)
	d.waitFor(t, "stderr", "demo: all is delivered: ")
	if code := d.end(t, os.Interrupt); code != 0 {
		t.Fatalf("exit code %d\n%s", code, d.said("stderr"))
	}

	// The partner has exactly the orders that the tables tell of.
	server, err := dbserver.Start(t.Context(), dbserver.Options{Dir: filepath.Join(folder, "db"), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Kill()
	conn, err := server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tables, err := mysql.Schema(t.Context(), mysql.Config{Addr: server.Socket, User: "root", Tables: []string{"shop.*"}})
	if got, want := shapes(tables), shapes(demoTables(t)); err != nil || got != want {
		t.Errorf("schema.yaml is not what the server has: %v\ngot\n%s\nwant\n%s", err, got, want)
	}
	r, err := conn.Execute("SELECT COUNT(*) FROM shop.orders WHERE paid_at IS NOT NULL AND total >= 1000")
	if err != nil {
		t.Fatal(err)
	}
	want, _ := r.GetInt(0, 0)
	count, err := (&demo{folder: folder}).count()
	if err != nil {
		t.Fatal(err)
	}
	// Orders that were paid while it was being stopped wait in the binlog for the next start.
	if got := int64(count.byRule["paid-big-order"]); got > want || got < want-2 || got == 0 || count.doubles > 0 || count.unreadable > 0 {
		t.Errorf("got %+v, want %d paid big orders", count, want)
	}
}

func TestTheDemoLeavesNothingBehind(t *testing.T) {
	for _, source := range []string{"live", "recorded"} {
		t.Run(source, func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			d := startDemo(t, "demo", "--source", source)
			d.waitFor(t, "stdout", "Try next")
			if found, _ := filepath.Glob(filepath.Join(tmp, "cdcd-demo-*")); len(found) != 1 {
				t.Fatalf("found %q while it runs", found)
			}
			code := d.end(t, os.Interrupt)
			left, err := os.ReadDir(tmp)
			if err != nil || len(left) > 0 || code != 0 {
				t.Errorf("exit code %d, left %v, %v\n%s", code, left, err, d.said("stderr"))
			}
		})
	}
}

func TestTheDemosRulesPassTheirTests(t *testing.T) {
	folder := t.TempDir()
	d := &demo{app: &app{ui: newUI(io.Discard, io.Discard, "table")}, folder: folder, source: "recorded", port: 8480}
	if err := d.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	set, err := parseRules(d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	tables := demoTables(t)
	if findings, err := set.Check(tables); err != nil || len(findings) > 0 {
		t.Errorf("findings %v, %v", findings, err)
	}
	results := set.Test(tables)
	if len(results) != 10 {
		t.Errorf("%d tests, want 10", len(results))
	}
	for _, r := range results {
		if !r.Passed {
			t.Errorf("rule %s, test %s: %v", r.Rule, r.Name, r.Failure)
		}
	}
}

// demoTables returns the tables of demo/schema.yaml.
func demoTables(t *testing.T) []*cdc.Table {
	t.Helper()
	text, err := demoFiles.ReadFile("demo/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := rules.ParseSchema("schema.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// shapes tells what rules know of tables.
func shapes(tables []*cdc.Table) string {
	var lines []string
	for _, table := range tables {
		for _, c := range table.Columns {
			lines = append(lines, fmt.Sprintln(table, c.Name, c.Kind, c.Nullable, c.Key, c.Members))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// The tour is for following: all its commands exist.
func TestTheTourNamesVerbsThatExist(t *testing.T) {
	var out, errOut bytes.Buffer
	a := &app{ui: newUI(&out, &errOut, "table")}
	root := newRoot(a)
	d := &demo{app: a, root: root, folder: "shop", cfg: &config{}}
	d.printTour(&out)
	commands := regexp.MustCompile(`(?m)^  cdcd (.*)$`).FindAllStringSubmatch(out.String(), -1)
	if len(commands) < 3 {
		t.Fatalf("only %q in\n%s", commands, &out)
	}
	for _, c := range commands {
		checkCommand(t, root, c[1])
	}
}

// checkCommand sees that the verb and the flags of a command line that a text shows exist.
func checkCommand(t *testing.T, root *cobra.Command, line string) {
	t.Helper()
	args := strings.Fields(strings.NewReplacer(",", " ").Replace(line))
	cmd, rest, err := root.Find(args)
	if err != nil || cmd == root || len(rest) > 0 && rest[0] == args[1] && cmd.HasSubCommands() {
		t.Errorf("cdcd %s: no such command: %v", line, err)
		return
	}
	for _, arg := range rest {
		if name, ok := strings.CutPrefix(arg, "--"); ok && cmd.Flags().Lookup(name) == nil && root.PersistentFlags().Lookup(name) == nil {
			t.Errorf("cdcd %s: no flag --%s", line, name)
		}
	}
}

// demoRun is a demo that runs as a process of its own; testscript.Main puts this program on PATH.
type demoRun struct {
	cmd    *exec.Cmd
	folder string // of stdout and stderr
}

func startDemo(t *testing.T, args ...string) *demoRun {
	t.Helper()
	d := &demoRun{cmd: exec.Command("cdcd", args...), folder: t.TempDir()}
	for name, to := range map[string]*io.Writer{"stdout": &d.cmd.Stdout, "stderr": &d.cmd.Stderr} {
		f, err := os.Create(filepath.Join(d.folder, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() // the process has its own
		*to = f
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.cmd.ProcessState == nil {
			d.cmd.Process.Kill()
			d.cmd.Wait()
		}
	})
	return d
}

func (d *demoRun) said(name string) string {
	text, _ := os.ReadFile(filepath.Join(d.folder, name))
	return string(text)
}

// waitFor waits until the demo has said something.
func (d *demoRun) waitFor(t *testing.T, name, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(d.said(name), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q was not said:\n%s\n%s", text, d.said("stdout"), d.said("stderr"))
		}
	}
}

// end sends a signal, waits for the end and returns the exit code.
func (d *demoRun) end(t *testing.T, sig os.Signal) int {
	t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	d.cmd.Wait() // its error is the exit code
	return d.cmd.ProcessState.ExitCode()
}

// Demos that are started together each have an address of their own, and hold it from when it is chosen.
func TestDemosThatAreStartedTogetherHaveTheirOwnAddresses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	if l, err := (&demo{port: port}).listen(); cdc.CodeOf(err) != "CDCD-1032" {
		t.Errorf("a port that was asked for and is taken: %v, %v", l, err)
	}
	seen := map[string]bool{}
	for range 20 {
		l, err := (&demo{port: port, anyPort: true}).listen()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		cfg := &config{listener: l}
		cfg.Console.Listen = l.Addr().String()
		if used, err := cfg.listen(); used != l || err != nil || seen[l.Addr().String()] {
			t.Errorf("%s: %v, %v", l.Addr(), used, err)
		}
		seen[l.Addr().String()] = true
	}
}
