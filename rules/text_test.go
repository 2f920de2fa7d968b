package rules

import (
	"strings"
	"testing"
)

func TestAFileIsItsHeadAndTheTextsOfItsRules(t *testing.T) {
	for _, test := range []struct {
		name, src string
		texts     []string
	}{
		{"comments go with the rule below", "# orders\nversion: 1\nrules:\n\n  # big ones\n  - name: a\n    tables: [s.t]\n    when: |\n      after.x > '''\n      # still the condition\n      '''\n    to: [f]   # here\n  # small ones\n\n  # yes\n  - name: b\n    tables: [s.t]\n    to: [f]\n# end\n",
			[]string{"\n  # big ones\n  - name: a\n    tables: [s.t]\n    when: |\n      after.x > '''\n      # still the condition\n      '''\n    to: [f]   # here\n", "  # small ones\n\n  # yes\n  - name: b\n    tables: [s.t]\n    to: [f]\n# end\n"}},
		{"a list that is not indented", "version: 1\nrules:\n- name: a\n  tables: [s.t]\n  to: [f]\n-   name: b\n    tables: [s.t]\n    to: [f]\n",
			[]string{"- name: a\n  tables: [s.t]\n  to: [f]\n", "-   name: b\n    tables: [s.t]\n    to: [f]\n"}},
		{"no line end at the end", "version: 1\nrules:\n  - {name: a, tables: [s.t], to: [f]}",
			[]string{"  - {name: a, tables: [s.t], to: [f]}\n"}},
		{"other line ends", "version: 1\r\nrules:\r\n  - name: a\r\n    tables: [s.t]\r\n    to: [f]\r\n",
			[]string{"  - name: a\r\n    tables: [s.t]\r\n    to: [f]\r\n"}},
		{"no rules", "version: 1\nrules: []\n", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			rs, err := Parse("x.yaml", []byte(test.src))
			if err != nil {
				t.Fatal(err)
			}
			head, texts := Split([]byte(test.src), rs)
			if got, want := strings.Join(texts, "⏎⏎"), strings.Join(test.texts, "⏎⏎"); got != want {
				t.Errorf("texts:\n got %q\nwant %q", got, want)
			}
			if whole := head + strings.Join(texts, ""); strings.TrimSuffix(whole, "\n") != strings.TrimSuffix(test.src, "\n") {
				t.Errorf("together: %q", whole)
			}
		})
	}
}

func TestRulesThatDoNotStandOnLinesOfTheirOwnAreWrittenAnew(t *testing.T) {
	for _, src := range []string{
		"{version: 1, rules: [{name: a, tables: [s.t], to: [f]}, {name: b, tables: [s.t], when: \"after.x == 'é'\", to: [f]}]}",
		"rules:\n  - name: a\n    tables: [s.t]\n    to: [f] # who\n  - name: b\n    tables: [s.t]\n    when: |\n      after.x == 'é'\n      && true\n    to: [f]\nversion: 1\n",
		"version: 1\nrules:\n  -\n    name: a\n    tables: [s.t]\n    to: [f]\n  - name: b\n    tables: [s.t]\n    to: [f]\n",
	} {
		rs, err := Parse("x.yaml", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		head, texts := Split([]byte(src), rs)
		again, err := Parse("x.yaml", []byte(head+strings.Join(texts, "")))
		if err != nil {
			t.Fatalf("%q becomes %q: %v", src, head+strings.Join(texts, ""), err)
		}
		if len(again) != 2 || again[0].Version != rs[0].Version || again[1].Version != rs[1].Version {
			t.Errorf("%q becomes other rules: %q", src, head+strings.Join(texts, ""))
		}
	}
}

func TestAModeIsChangedAndNothingElse(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"  - name: a # x\n    tables: [s.t]\n    to: [f]\n", "  - name: a # x\n    mode: draft\n    tables: [s.t]\n    to: [f]\n"},
		{"  - tables: [s.t]\n    to: [f]\n    name: a", "  - tables: [s.t]\n    to: [f]\n    name: a\n    mode: draft"},
		{"# é\n- name: a\n  tables: [s.t]\n  mode: active # for now\n  to: [f]\n", "# é\n- name: a\n  tables: [s.t]\n  mode: draft # for now\n  to: [f]\n"},
		{"- name: a\n  tables: [s.t]\n  \"mode\": 'shadow'\n  to: [f]\n", "- name: a\n  tables: [s.t]\n  \"mode\": draft\n  to: [f]\n"},
		{"- {name: a, tables: [s.t], to: [f]}\n", "- {mode: draft, name: a, tables: [s.t], to: [f]}\n"},
		{"- {name: a, mode: \"off\", tables: [s.t], to: [f]}\n", "- {name: a, mode: draft, tables: [s.t], to: [f]}\n"},
	} {
		if got, err := WithMode(test.text, Draft); err != nil || got != test.want {
			t.Errorf("%q:\n got %q (%v)\nwant %q", test.text, got, err, test.want)
		}
	}
	if _, err := WithMode("- name: a\n  tables: [s.t]\n  mode: shadow\n", Active); err == nil || !strings.Contains(err.Error(), "names no feed") {
		t.Errorf("a rule without a feed becomes active: got %v", err)
	}
}
