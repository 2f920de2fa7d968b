package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

func TestExitCodesTellWhatHappened(t *testing.T) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"ok", context.Background(), nil, 0},
		{"negative verdict", context.Background(), errNegative, 1},
		{"usage", context.Background(), usagef("x"), 2},
		{"configuration", context.Background(), fmt.Errorf("load: %w", strictyaml.Errors{{Code: "CDCD-1011"}}), 2},
		{"one located error", context.Background(), &strictyaml.Error{Code: "CDCD-2104"}, 2},
		{"rule", context.Background(), cdc.Errorf("CDCD-2110", "x"), 2},
		{"data folder", context.Background(), cdc.Errorf("CDCD-1030", "locked"), 3},
		{"server", context.Background(), fmt.Errorf("start: %w", cdc.Errorf("CDCD-1101", "refused")), 3},
		{"anything else", context.Background(), io.ErrUnexpectedEOF, 3},
		{"interrupted", canceled, fmt.Errorf("read: %w", context.Canceled), 130},
		{"failed while being interrupted", canceled, io.ErrUnexpectedEOF, 3},
		{"canceled by itself", context.Background(), context.Canceled, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := exitCode(interrupted(tt.ctx, tt.err)); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestResultsAreTheSameInEveryFormat(t *testing.T) {
	type item struct {
		Name string `json:"name"`
		N    any    `json:"n"`
	}
	items := []item{{"1", 1}, {"a: b", nil}, {"<&>", "yes"}, {"true", true}}
	human := func(w io.Writer) { fmt.Fprintln(w, "four") }
	tests := []struct {
		format, want string
	}{
		{"table", "four\n"},
		{"jsonl", `{"name":"1","n":1}
{"name":"a: b","n":null}
{"name":"<&>","n":"yes"}
{"name":"true","n":true}
`},
		{"yaml", `kind: k
ok: true
result:
  - name: "1"
    "n": 1
  - name: 'a: b'
    "n": null
  - name: <&>
    "n": "yes"
  - name: "true"
    "n": true
error: null
`},
	}
	for _, tt := range tests {
		t.Run(tt.format, func(t *testing.T) {
			var out, errOut bytes.Buffer
			if err := newUI(&out, &errOut, tt.format).result("k", items, human); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want || errOut.Len() != 0 {
				t.Errorf("got\n%s\nwant\n%s\nstderr: %s", &out, tt.want, &errOut)
			}
		})
	}
}

func TestANegativeVerdictIsAResultAndNotAnError(t *testing.T) {
	for format, want := range map[string]string{
		"table": "bad\n",
		"json":  "{\n  \"kind\": \"k\",\n  \"ok\": false,\n  \"result\": 1,\n  \"error\": null\n}\n",
		"jsonl": `{"kind":"k","ok":false,"result":1,"error":null}` + "\n",
	} {
		var out, errOut bytes.Buffer
		u := newUI(&out, &errOut, format)
		err := u.verdict("k", false, 1, func(w io.Writer) { fmt.Fprintln(w, "bad") })
		u.fail("k", err)
		if out.String() != want || errOut.Len() != 0 || exitCode(err) != 1 {
			t.Errorf("%s: got\n%s\nwant\n%s\nstderr: %s, exit code %d", format, &out, want, &errOut, exitCode(err))
		}
	}
}

func TestErrorsSayWhatWhereAndHowToMendIt(t *testing.T) {
	cause := cdc.Errorf("CDCD-1203", "binlog_row_image is MINIMAL;\nupdates would lose columns").WithFix("SET PERSIST a;\nSET PERSIST b;")
	located := &strictyaml.Error{File: "r.yaml", Line: 3, Col: 2, Width: 2, Code: "CDCD-2104", Msg: "no column 'x'", Suggestion: "did you mean 'y'?", Snippet: " xx"}
	warning := &strictyaml.Error{File: "r.yaml", Line: 9, Col: 1, Code: "CDCD-2150", Msg: "careful", Warning: true}
	tests := []struct {
		name  string
		err   error
		color bool
		want  string
	}{
		{"coded, wrapped", fmt.Errorf("check: %w", cause), false, `error CDCD-1203: check: binlog_row_image is MINIMAL;
    updates would lose columns
    → SET PERSIST a;
      SET PERSIST b;
    more: cdcd errors CDCD-1203
`},
		{"plain", io.ErrUnexpectedEOF, false, "error: unexpected EOF\n"},
		{"joined", errors.Join(cause, io.ErrClosedPipe), false, `error CDCD-1203: binlog_row_image is MINIMAL;
    updates would lose columns
    → SET PERSIST a;
      SET PERSIST b;
error: io: read/write on closed pipe
    more: cdcd errors CDCD-1203
`},
		{"located, with a warning", strictyaml.Errors{located, warning}, false, `r.yaml:3:2: error CDCD-2104: no column 'x'
   3 |  xx
     |  ^^ did you mean 'y'?
r.yaml:9:1: warning CDCD-2150: careful
2 findings
    more: cdcd errors CDCD-2104
`},
		{"in colour", located, true, "r.yaml:3:2: \x1b[31merror CDCD-2104\x1b[0m: no column 'x'\n   3 |  xx\n     |  \x1b[31m^^\x1b[0m did you mean 'y'?\n    more: cdcd errors CDCD-2104\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			u := newUI(&out, &errOut, "table")
			u.colorErr = tt.color
			u.fail("k", tt.err)
			if errOut.String() != tt.want || out.Len() != 0 {
				t.Errorf("got\n%q\nwant\n%q\nstdout: %s", &errOut, tt.want, &out)
			}
		})
	}
}

func TestColourNeedsATerminalOrAFlag(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, tt := range []struct {
		flag string
		env  []string
		want bool
	}{{"auto", nil, false}, {"always", []string{"NO_COLOR=1"}, true}, {"never", nil, false}} {
		u := newUI(null, &bytes.Buffer{}, "table") // the null device is a character device too
		if err := u.setColor(tt.flag, tt.env); err != nil || u.colorOut != tt.want {
			t.Errorf("--color %s: got %v, %v; want %v", tt.flag, u.colorOut, err, tt.want)
		}
	}
}

func TestSecretsComeFromTheEnvironmentOrAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(" from file \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"A=old", "A=from env", "EMPTY="}
	tests := []struct {
		name       string
		m          mysqlConfig
		want, code string
	}{
		{"env", mysqlConfig{PasswordEnv: "A"}, "from env", ""},
		{"env not set", mysqlConfig{PasswordEnv: "B"}, "", "CDCD-1017"},
		{"env empty", mysqlConfig{PasswordEnv: "EMPTY"}, "", "CDCD-1017"},
		{"file", mysqlConfig{PasswordFile: file}, " from file ", ""},
		{"no file", mysqlConfig{PasswordFile: file + "x"}, "", "CDCD-1017"},
		{"in the URL", mysqlConfig{URL: "mysql://u:p%40ss@h"}, "p@ss", ""},
		{"none", mysqlConfig{URL: "mysql://u@h"}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.m.Password(env)
			var e *cdc.Error
			code := ""
			if errors.As(err, &e) {
				code = e.Code
			}
			if got != tt.want || code != tt.code {
				t.Errorf("got %q, %v; want %q, %s", got, err, tt.want, tt.code)
			}
		})
	}
	s3 := &s3Config{AccessKeyEnv: "A", SecretKeyEnv: "B"}
	if _, _, err := s3.Keys(env); err == nil || exitCode(err) != 2 {
		t.Errorf("a missing secret key: got %v", err)
	}
	var none *s3Config
	if a, b, err := none.Keys(env); a+b != "" || err != nil {
		t.Errorf("no keys: got %q, %q, %v", a, b, err)
	}
}

func TestPasswordsInURLsAreNotPrinted(t *testing.T) {
	for in, want := range map[secretURL]string{
		"mysql://u:p@h:3306":           "mysql://u:REDACTED@h:3306",
		"mysql://u:p@:/x@h":            "mysql://u:REDACTED@h",
		"mysql://u@h":                  "mysql://u@h",
		"nats://a:1,nats://x:secret@b": "nats://a:1,nats://x:REDACTED@b",
		"":                             "",
	} {
		if got := fmt.Sprintf("%s|%v|%s", in.Redacted(), in, &in); got != want+"|"+want+"|"+want {
			t.Errorf("%q: got %s, want %s", string(in), got, want)
		}
	}
}

func TestLogsAreForPeopleOrForMachines(t *testing.T) {
	for format, want := range map[string]string{
		"text": `^[0-9:.]{12} WRN disk is full free=0 for=1m30s\n$`,
		"json": `^\{"time":"[^"]+","level":"WARN","msg":"disk is full","free":0,"for":"1m30s"\}\n$`,
		"auto": `^\{"time":"[^"]+","level":"WARN","msg":"disk is full","free":0,"for":"1m30s"\}\n$`, // stderr is no terminal here
	} {
		var out, errOut bytes.Buffer
		a := &app{ui: newUI(&out, &errOut, "table"), color: "auto", logFormat: format, logLevel: "warn"}
		if err := a.start(); err != nil {
			t.Fatal(err)
		}
		a.log.Info("not shown")
		a.log.Warn("disk is full", "free", 0, "for", 90*time.Second)
		if !regexp.MustCompile(want).MatchString(errOut.String()) || out.Len() != 0 {
			t.Errorf("--log-format %s: got %q, want %s", format, &errOut, want)
		}
	}
}

// Every code that the program can print has a page, every page is well formed and about a code that exists.
func TestEveryErrorCodeHasAPage(t *testing.T) {
	used := map[string]string{}
	code := regexp.MustCompile(`"(CDCD-[0-9]{4})"`)
	err := filepath.WalkDir(filepath.Join("..", ".."), func(name string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "..":
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(strings.TrimSpace(line), "//") {
				continue
			}
			for _, m := range code.FindAllStringSubmatch(line, -1) {
				used[m[1]] = name
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]bool{}
	for _, p := range readCodePages() {
		pages[p.Code] = true
		if used[p.Code] == "" {
			t.Errorf("%s has a page, but is used nowhere", p.Code)
		}
		sections := []string{"# " + p.Code + ": ", "\n\n## What it means\n\n", "\n\n## Why it matters\n\n", "\n\n## What to do\n\n"}
		at := -1
		for _, s := range sections {
			next := strings.Index(p.Text, s)
			if next <= at {
				t.Errorf("%s has no %q in its place", p.Code, strings.TrimSpace(s))
			}
			at = next
		}
		if !strings.HasSuffix(p.Text, "\n") {
			t.Errorf("%s does not end with a line break", p.Code)
		}
	}
	for _, c := range slices.Sorted(func(yield func(string) bool) {
		for c := range used {
			if !pages[c] && !yield(c) {
				return
			}
		}
	}) {
		t.Errorf("%s is used in %s, but has no page cmd/cdcd/codes/%s.md", c, used[c], c)
	}
}

func TestInitWritesAboutTheServerItAsked(t *testing.T) {
	orders := &cdc.Table{Schema: "Web Shop", Name: "orders", Columns: []cdc.Column{
		{Name: "id", Kind: cdc.KindInt64, Key: 1}, {Name: "state", Kind: cdc.KindEnum, Members: []string{"new", "paid"}}}}
	var out, errOut bytes.Buffer
	asked := ""
	a := &app{ui: newUI(&out, &errOut, "table"), describe: func(_ context.Context, url string) (*sourceDescription, error) {
		asked = url
		return &sourceDescription{Tables: []*cdc.Table{orders}, Todo: []string{"SET PERSIST binlog_row_metadata='FULL'"}}, nil
	}}
	folder := t.TempDir()
	root := newRoot(a)
	root.SetArgs([]string{"init", "--from", "mysql://cdcd:s3cr3t@db:3307", folder})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	if asked != "mysql://cdcd:s3cr3t@db:3307" || !strings.Contains(out.String(), "\n  SET PERSIST binlog_row_metadata='FULL'\n") {
		t.Errorf("asked %q and printed\n%s", asked, &out)
	}
	cfg, err := loadConfig(filepath.Join(folder, "cdcd.yaml"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := cfg.Source.MySQL; cfg.Name != "web-shop" || m.URL != "mysql://cdcd@db:3307" || !slices.Equal(m.Tables, []string{"Web Shop.*"}) {
		t.Errorf("got name %q, url %q, tables %q", cfg.Name, string(m.URL), m.Tables)
	}
	rule, err := os.ReadFile(filepath.Join(folder, "rules", "example.yaml"))
	if want := "after.state == 'paid' && changed('state')"; err != nil || !strings.Contains(string(rule), want) {
		t.Errorf("the rule does not say %s:\n%s%v", want, rule, err)
	}
}
