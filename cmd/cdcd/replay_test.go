package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

func TestAReplayLooksUpAsItIsAsked(t *testing.T) {
	s := testenv.MariaDB(t)
	l := newLooking(t, s, s.Addr)
	d := l.run()
	d.waitFor(t, "stderr", "reading the source's log")
	l.order(1, 20)
	l.wait(20)
	if code := d.end(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	s.Exec(t, "UPDATE shop.customers SET v = 1000000")
	t.Setenv("LOOKING", testenv.Password)

	records := func(dir string) (text []byte) {
		files, err := filepath.Glob(filepath.Join(dir, "p=00", "dt=*", "*.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, body...)
		}
		return text
	}
	replay := func(how string) []byte {
		var out strings.Builder
		into := filepath.Join(l.dir, how)
		if code := run(t.Context(), []string{"replay", "-c", filepath.Join(l.dir, "cdcd.yaml"), "--lookup", how, "--into", into, "--yes"}, strings.NewReader(""), &out, &out); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, out.String())
		}
		return records(filepath.Join(into, "acme"))
	}
	if got, want := replay("recorded"), records(filepath.Join(l.dir, "out")); !bytes.Equal(got, want) || len(want) == 0 {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := replay("now"); bytes.Count(got, []byte(`"v":1000000`)) != 20 {
		t.Errorf("not as the source is now:\n%s", got)
	}
	if got := replay("none"); bytes.Count(got, []byte(`"customer":null`)) != 20 {
		t.Errorf("something was looked up:\n%s", got)
	}
}
