package fuzz

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/cdcd-project/cdcd/rules"
)

// FuzzRuleFile reads anything as a rule file. Reading never panics, says where each mistake is, and is the same twice;
// what is accepted makes a set whose versions do not depend on the file's name.
func FuzzRuleFile(f *testing.F) {
	pages, err := filepath.Glob("../rules/testdata/*.txtar")
	if err != nil || len(pages) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, page := range pages {
		src, err := os.ReadFile(page)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range txtar.Parse(src).Files {
			if file.Name == "rules.yaml" {
				f.Add(file.Data)
			}
		}
	}
	f.Add([]byte("version: 1\nrules: []\n"))
	f.Add([]byte("version: 1\nrules:\n  - &a {name: x, <<: *a}\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		rs, err := rules.Parse("a.yaml", src)
		again, err2 := rules.Parse("b.yaml", src)
		if (err == nil) != (err2 == nil) || len(rs) != len(again) {
			t.Fatalf("read twice: %v, %v", err, err2)
		}
		if err != nil {
			var findings rules.Findings
			if !errors.As(err, &findings) || len(findings) == 0 {
				t.Fatalf("not findings: %#v", err)
			}
			for i, e := range findings {
				if e.Line < 1 || e.Col < 1 || e.Msg == "" || !strings.HasPrefix(e.Code, "CDCD-21") {
					t.Fatalf("finding %+v", e)
				}
				if i > 0 && findings[i-1].Line > e.Line {
					t.Fatalf("line %d before line %d", findings[i-1].Line, e.Line)
				}
			}
		}
		for i := range rs {
			if rs[i].Version != again[i].Version || rs[i].Version == "" {
				t.Fatalf("rule %s: versions %q and %q", rs[i].Name, rs[i].Version, again[i].Version)
			}
			if f := rs[i].Filter; f != nil && (!json.Valid(f.Config) || f.Config[0] != '{') {
				t.Fatalf("rule %s: its plugin would get %s", rs[i].Name, f.Config)
			}
		}
		set, err := rules.New(rs)
		if err != nil {
			t.Fatalf("the rules of one file do not go together: %v", err)
		}
		set.Only(set.Feeds()...)
		set.Check(nil)
		set.Test(nil)
	})
}
