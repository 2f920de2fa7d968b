package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

// stateOf makes a state of "rule=text" and "file/rule=text".
func stateOf(no uint64, list ...string) *bus.RuleState {
	st := &bus.RuleState{Revision: cdc.Revision{No: no}, Rules: map[string]bus.StoredRule{}, Layout: map[string]bus.Layout{}}
	for _, one := range list {
		place, text, _ := strings.Cut(one, "=")
		file, name, in := strings.Cut(place, "/")
		if !in {
			file, name = "", place
		}
		st.Rules[name] = bus.StoredRule{Name: name, File: file, Text: text, Revision: cdc.Revision{No: no}, Who: "ana"}
		if in {
			layout := st.Layout[file]
			layout.Rules = append(layout.Rules, name)
			st.Layout[file] = layout
		}
	}
	return st
}

// What files change is put on what others have published since; a rule that both have changed is a conflict.
func TestPushedFilesAreMergedByRule(t *testing.T) {
	for _, test := range []struct {
		name               string
		base, newest, mine []string
		all                bool // the files are all that there are
		want               string
	}{
		{"nothing was there", nil, nil, []string{"f/a=1"}, true, "+a"},
		{"nothing is changed", []string{"f/a=1"}, []string{"f/a=1"}, []string{"f/a=1"}, true, ""},
		{"mine alone", []string{"f/a=1", "f/b=1"}, []string{"f/a=1", "f/b=1"}, []string{"f/a=2", "f/b=1"}, true, "+a"},
		{"another rule was changed meanwhile", []string{"f/a=1", "f/b=1"}, []string{"f/a=1", "f/b=2"}, []string{"f/a=2", "f/b=1"}, true, "+a"},
		{"another rule was made meanwhile", []string{"f/a=1"}, []string{"f/a=1", "c=1"}, []string{"f/a=2"}, true, "+a"},
		{"the same was done meanwhile", []string{"f/a=1"}, []string{"f/a=2"}, []string{"f/a=2"}, true, ""},
		{"both have changed it", []string{"f/a=1"}, []string{"f/a=2"}, []string{"f/a=3"}, true, "conflict: a"},
		{"both have made it", nil, []string{"a=2"}, []string{"f/a=3"}, true, "conflict: a"},
		{"changed here, removed there", []string{"f/a=1"}, nil, []string{"f/a=3"}, true, "conflict: a"},
		{"removed here, changed there", []string{"f/a=1", "f/b=1"}, []string{"f/a=2", "f/b=1"}, []string{"f/b=1"}, true, "conflict: a"},
		{"removed on both sides", []string{"f/a=1", "f/b=1"}, []string{"f/b=1"}, []string{"f/b=1"}, true, ""},
		{"removed here", []string{"f/a=1", "f/b=1"}, []string{"f/a=1", "f/b=1"}, []string{"f/b=1"}, true, "-a"},
		{"another file is not read", []string{"f/a=1", "g/b=1"}, []string{"f/a=1", "g/b=1"}, []string{"f/a=2"}, false, "+a"},
		{"another file is gone", []string{"f/a=1", "g/b=1"}, []string{"f/a=1", "g/b=1"}, []string{"f/a=1"}, true, "-b"},
		{"a rule of no file stays", []string{"f/a=1", "b=1"}, []string{"f/a=1", "b=1"}, []string{"f/a=1"}, true, ""},
		{"a file that somebody else has pushed stays", []string{"f/a=1"}, []string{"f/a=1", "g/b=1"}, []string{"f/a=1"}, true, ""},
		{"moved to another file", []string{"f/a=1"}, []string{"f/a=1"}, []string{"g/a=1"}, true, "+a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := stateOf(0, test.mine...)
			p := &pushed{rules: files.Rules, layout: files.Layout, scope: func(file string) bool {
				_, read := files.Layout[file]
				return read || test.all && file != ""
			}}
			newest := stateOf(2, test.newest...)
			c, err := p.merge(stateOf(1, test.base...), newest)
			var got []string
			for _, r := range c.changed {
				got = append(got, "+"+r.Name)
			}
			for _, name := range c.removed {
				got = append(got, "-"+name)
			}
			text := strings.Join(got, " ")
			if err != nil {
				text = "conflict: " + strings.TrimSuffix(fmt.Sprint(err)[strings.Index(err.Error(), "CDCD-2310: ")+11:], " since your base 1")
				if strings.HasPrefix(text, "conflict: revision 2 by ana") || strings.HasSuffix(text, "was removed") {
					text = "conflict: a"
				}
			}
			if test.want == "" && !c.empty() {
				text = fmt.Sprintf("layout %v", c.layout)
			}
			if text != test.want {
				t.Fatalf("got %q, want %q", text, test.want)
			}
			if err == nil {
				after := c.apply(newest)
				for name, r := range files.Rules {
					if base := stateOf(1, test.base...).Rules[name]; base.Text != r.Text && after.Rules[name].Text != r.Text {
						t.Errorf("afterwards %s is %q, want %q", name, after.Rules[name].Text, r.Text)
					}
				}
				if !slices.Equal(slices.Sorted(maps.Keys(newest.Rules)), slices.Sorted(maps.Keys(stateOf(2, test.newest...).Rules))) {
					t.Error("the newest state was changed")
				}
			}
		})
	}
}

func TestATextDiffShowsWhatWasTakenOutAndPutIn(t *testing.T) {
	d := &api.RuleDiff{Rule: "a", From: "one\ntwo\nthree\n", To: "one\n2\nthree\nfour\n"}
	want := "--- a (x)\n+++ a (y)\n@@ -1,3 +1,4 @@\n one\n-two\n+2\n three\n+four\n"
	if got := unified(d, "x", "y"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := unified(&api.RuleDiff{Rule: "a", To: "one\n"}, "x", "y"); got != "--- a (x)\n+++ a (y)\n@@ -0,0 +1,1 @@\n+one\n" {
		t.Errorf("got\n%s", got)
	}
}

func TestRuleFilesAreCalledAsSeenFromTheConfiguration(t *testing.T) {
	for file, want := range map[string]string{
		"/etc/cdcd/rules/orders.yaml":     "rules/orders.yaml",
		"/etc/cdcd/team/a/orders.yaml":    "team/a/orders.yaml",
		"/etc/cdcd/draft.yaml":            "draft.yaml",
		"/home/anna/orders.yaml":          "rules/orders.yaml", // whose rules a pull would else have beside rules/orders.yaml, too
		"/home/anna/cdcd.yaml":            "rules/cdcd.yaml",   // which is not the configuration
		"/etc/cdcd/../other/orders.yaml":  "rules/orders.yaml",
		"/etc/cdcd/rules/../orders.yaml":  "orders.yaml",
		"/etc/cdcd-other/rules/more.yaml": "rules/more.yaml",
	} {
		if got := fileName("/etc/cdcd", file); got != want {
			t.Errorf("%s: got %s, want %s", file, got, want)
		}
	}
}

func TestAStreamWithoutRevisionsHasNoRulesInForce(t *testing.T) {
	stream, err := bus.Open(t.Context(), bus.Config{Source: "shop", Writer: "test", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	store, err := stream.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if set, err := newRuleBook(store).newest(t.Context()); set != nil || err != nil {
		t.Errorf("got %v, %v; want no set and no error", set, err)
	}
}
