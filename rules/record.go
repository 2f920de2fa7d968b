package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// Recorded is a test that was made of an event.
type Recorded struct {
	Rule string // that it is a test of
	Test string // its name
	File string // that the rule stands in
	Line int    // of the test in Text
	Text []byte // the file with the test
}

// Record makes a test of an event for a rule, or for the only one that is for the event if rule is "". It expects what
// the rule decides now. read returns the text of the file that the rule stands in; but for the test's lines it stays as it
// is. The name of the test is that of the event if name is "". CDCD-2136 says why there cannot be such a test.
func (s *Set) Record(e cdc.Event, rule, name string, read func(file string) ([]byte, error)) (Recorded, error) {
	r, err := s.recordFor(e, rule)
	if err != nil {
		return Recorded{}, err
	}
	no := func(format string, args ...any) *cdc.Error {
		return cdc.Errorf(codeRecord, "event %s cannot be made a test of rule '%s': "+format, append([]any{e.ID(), r.Name}, args...)...)
	}
	if name == "" {
		name = "event " + e.ID()
	}
	if slices.ContainsFunc(r.tests, func(f fixture) bool { return f.name == name }) {
		return Recorded{}, no("it has a test '%s'", clip(name)).WithFix("give the test another name: --name …")
	}
	if e.Incomplete() {
		return Recorded{}, no("it was captured without its largest values")
	}
	out := Recorded{Rule: r.Name, Test: name, File: r.doc.File()}
	src, err := read(out.File)
	if err != nil {
		return Recorded{}, err
	}
	old, err := parse(r.lang, out.File, src)
	i := slices.IndexFunc(old, r.isOf)
	if err != nil || i < 0 {
		return Recorded{}, no("%s has changed meanwhile", out.File)
	}
	x := explainRules([]*Rule{r}, e, s.ask, s.source)[0]
	if x.Filter != nil && x.Filter.Verdict == notAsked {
		why := "there is nobody to ask it"
		if x.Filter.Why != "" {
			why = x.Filter.Why
		}
		return Recorded{}, no("plugin %s decides, and it was not asked: %s", r.Filter.Plugin, why)
	}
	text, line, err := old[i].withTest(src, testText(e, name, r, x))
	if err != nil {
		return Recorded{}, no("%w", err).WithFix("write the rule in block form, each key on a line of its own")
	}
	out.Text, out.Line = text, line

	// What was written is read again: it must be the same rules, and the test must pass.
	rs, err := parse(r.lang, out.File, text)
	if err != nil {
		return Recorded{}, no("%w", err)
	}
	for i, after := range rs {
		if i >= len(old) || after.Name != old[i].Name || after.Version != old[i].Version {
			return Recorded{}, no("the rule cannot be added to as it is written").WithFix("write the rule in block form, each key on a line of its own")
		}
		if after.Name != r.Name {
			continue
		}
		if r.Filter != nil && after.Filter.Digest == "" {
			after = after.pinned(r.Filter.Digest)
		}
		run := testRun{rule: after, tables: []*cdc.Table{e.Table()}, programs: map[*cdc.Table][maxOps]*program{}, ask: s.ask}
		if fail := run.test(&after.tests[len(after.tests)-1]); fail != nil {
			return Recorded{}, no("as a test it comes out otherwise: %s", fail.Msg)
		}
	}
	return out, nil
}

// recordFor returns the rule that a test is made for.
func (s *Set) recordFor(e cdc.Event, rule string) (*Rule, error) {
	if rule != "" {
		i := slices.IndexFunc(s.rules, func(r *Rule) bool { return r.Name == rule })
		if i < 0 {
			return nil, s.noRule(rule)
		}
		if !s.rules[i].names(e.Table()) {
			return nil, cdc.Errorf(codeRecord, "rule '%s' is not for %s", rule, e.Table())
		}
		return s.rules[i], nil
	}
	var fitting []string
	var found *Rule
	for _, r := range s.rules {
		if r.names(e.Table()) && r.isFor(e.Op()) {
			found, fitting = r, append(fitting, r.Name)
		}
	}
	switch len(fitting) {
	case 0:
		return nil, cdc.Errorf(codeRecord, "no rule is for %ss of %s", e.Op(), e.Table()).WithFix("name the rule: --rule NAME")
	case 1:
		return found, nil
	}
	return nil, cdc.Errorf(codeRecord, "%d rules are for %ss of %s: %s", len(fitting), e.Op(), e.Table(), some(fitting, "and")).
		WithFix("say which: --rule %s", fitting[0])
}

var namesNow = regexp.MustCompile(`\bnow\b`)

// testText returns a test as an entry of a list, not indented.
func testText(e cdc.Event, name string, r *Rule, x Explanation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- name: %s\n  event:\n    op: %s\n    table: %s\n", flowText(name), e.Op(), flowText(e.Table().String()))
	if namesNow.MatchString(r.When) {
		fmt.Fprintf(&b, "    commit_time: %s\n", e.CommitTime().UTC().Format("2006-01-02T15:04:05.999999Z07:00"))
	}
	for i, row := range [...]cdc.Row{e.Before(), e.After()} {
		if row.Exists() {
			fmt.Fprintf(&b, "    %s: %s\n", images[i], flow(cdc.AppendRow(nil, row)))
		}
	}
	expect := map[Outcome]string{Matched: "match: true", Failing: "error: true"}[x.Outcome]
	switch {
	case x.Change != "":
		expect = "change: " + x.Change
	case expect == "":
		expect = "match: false"
	}
	if len(x.To) > 0 {
		to, _ := json.Marshal(x.To) // strings only
		expect += ", to: " + flow(to)
	}
	if x.Filter != nil {
		expect += x.Filter.expected()
	}
	fmt.Fprintf(&b, "  expect: {%s}\n", expect)
	return b.String()
}

func flow(text []byte) string { return strictyaml.Flow(text) }

func flowText(s string) string { return flow(cdc.AppendString(nil, s)) }

// withTest returns src with a test at the end of the rule's, and the line it begins on. All else stays as it is.
func (r *Rule) withTest(src []byte, test string) ([]byte, int, error) {
	at := r.place.Pos()
	lines := bytes.SplitAfter(src, []byte("\n"))
	if at.Line > len(lines) || len(lines[at.Line-1]) < at.Col || lines[at.Line-1][at.Col-1] == '{' {
		return nil, 0, fmt.Errorf("it is written in braces")
	}
	indent, last := at.Col-1, at.Line // of the rule's keys; the last line of the rule, counted from 1
	keys := indent
	belongs := func(line []byte) bool { return depth(line) >= keys }
	head := ""
	if tests := r.place.At("tests"); tests.Exists() {
		at := tests.Pos()
		if line := lines[at.Line-1]; len(line) < at.Col || line[at.Col-1] != '-' {
			return nil, 0, fmt.Errorf("its tests are written in brackets")
		}
		indent, last = at.Col-1, at.Line
		belongs = func(line []byte) bool {
			return depth(line) > indent || depth(line) == indent && bytes.HasPrefix(line[indent:], []byte("-"))
		}
	} else {
		head = strings.Repeat(" ", indent) + "tests:\n"
		indent += 2
	}
	for n := last; n < len(lines); n++ {
		if len(bytes.TrimSpace(lines[n])) == 0 {
			continue
		}
		if !belongs(lines[n]) {
			break
		}
		last = n + 1
	}
	pad := strings.Repeat(" ", indent)
	text := head + pad + strings.ReplaceAll(strings.TrimSuffix(test, "\n"), "\n", "\n"+pad) + "\n"
	line := last + 1
	if head != "" {
		line++
	}
	before := bytes.Join(lines[:last], nil)
	if bytes.HasSuffix(before, []byte("\r\n")) {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	} else if !bytes.HasSuffix(before, []byte("\n")) {
		text = "\n" + text
	}
	return slices.Concat(before, []byte(text), bytes.Join(lines[last:], nil)), line, nil
}

// depth returns how far a line is indented.
func depth(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " ")) }
