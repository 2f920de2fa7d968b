package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

var update = flag.Bool("update", false, "write what the pages in testdata should say")

// TestLanguage runs the pages of testdata: each explains one part of the rule language by example. A page has a
// schema, rules and events; it says what is found in the rules (found) and what is decided of each event (decided). A
// page that names a feed also says what that is delivered, one that has a file explain why it was decided. In a page with a
// file plugin, that says what the plugin of any rule makes of an event, by the column id.
func TestLanguage(t *testing.T) {
	pages, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, page := range pages {
		t.Run(strings.TrimSuffix(filepath.Base(page), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(page)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{}
			for _, f := range archive.Files {
				files[f.Name] = string(f.Data)
			}
			found, decided := runPage(t, files)
			got := map[string]string{"found": found, "decided": decided, "mended": ""}
			if _, ok := files["fix"]; ok {
				got["mended"] = mend(t, files)
			}
			if *update {
				archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "found" || f.Name == "decided" || f.Name == "mended" })
				for _, name := range []string{"found", "mended", "decided"} {
					if got[name] != "" {
						archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got[name])})
					}
				}
				if err := os.WriteFile(page, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for name, text := range got {
				if text != files[name] {
					t.Errorf("%s:\ngot:\n%s\nwant:\n%s", name, text, files[name])
				}
			}
		})
	}
}

// runPage returns the findings and the decisions of a page.
func runPage(t *testing.T, files map[string]string) (found, decided string) {
	tables, err := ParseSchema("schema.yaml", []byte(files["schema.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	rs, err := Parse("rules.yaml", []byte(files["rules.yaml"]))
	if err != nil {
		found = err.Error() + "\n"
	}
	set, err := New(rs)
	if err != nil {
		t.Fatal(err)
	}
	findings, _ := set.Check(tables)
	for _, f := range findings {
		found += f.Error() + "\n"
	}
	if text, ok := files["plugin"]; ok {
		set = set.Asking(pagePlugin(t, text))
		_, more := set.Coverage(tables)
		for _, f := range more {
			found += f.Error() + "\n"
		}
	}
	for _, r := range set.Test(tables) {
		if !r.Passed {
			found += r.Failure.Error() + "\n"
		}
	}
	for line := range strings.Lines(files["events"]) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		d := set.Decide(readEvent(t, tables, line))
		shown := d
		shown.Errors = slices.DeleteFunc(slices.Clone(d.Errors), isStale) // what is found in a rule does not bear repeating with every event
		if set.ask != nil {
			d = takeVerdicts(t, set, d)
			shown.Matches, shown.Errors = d.Matches, d.Errors
		}
		decided += strings.TrimSpace(line) + "\n" + printDecision(shown)
		if feed := strings.TrimSpace(files["feed"]); feed != "" {
			decided += printDelivery(t, feed, d)
		}
		_, explain := files["explain"]
		for _, x := range set.ExplainAll(d.Event) {
			checkExplanation(t, set, d, x)
			if explain {
				decided += "    " + strings.ReplaceAll(strings.TrimSpace(x.String()), "\n", "\n    ") + "\n"
			}
		}
	}
	return found, decided
}

// mend returns the rules after doing what the findings suggest, until there is nothing left that could be done.
func mend(t *testing.T, files map[string]string) string {
	tables, err := ParseSchema("schema.yaml", []byte(files["schema.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	src := []byte(files["rules.yaml"])
	for range 10 {
		var found Findings
		rs, err := Parse("rules.yaml", src)
		errors.As(err, &found)
		set, err := New(rs)
		if err != nil {
			t.Fatal(err)
		}
		more, _ := set.Check(tables)
		mended, applied := strictyaml.Apply(src, append(found, more...))
		if len(applied) == 0 {
			break
		}
		src = mended
	}
	return string(src)
}

func isStale(e cdc.RuleError) bool {
	var own *cdc.Error
	return errors.As(e.Err, &own) && own.Code == codeStale
}

func printDecision(d cdc.Decision) string {
	var b strings.Builder
	for _, m := range d.Matches {
		fmt.Fprintf(&b, "    %s", m.Name)
		if m.Change != "" {
			fmt.Fprintf(&b, ": %s", m.Change)
		}
		if len(m.To) > 0 {
			fmt.Fprintf(&b, " → %s", strings.Join(m.To, ", "))
		}
		b.WriteByte('\n')
	}
	for _, e := range d.Errors {
		fmt.Fprintf(&b, "    %s: %s: %v\n", e.Rule.Name, e.OnError, e.Err)
	}
	if b.Len() == 0 {
		return "    –\n"
	}
	return b.String()
}

// checkExplanation says where an explanation is not one of what was decided.
func checkExplanation(t *testing.T, set *Set, d cdc.Decision, x Explanation) {
	t.Helper()
	want, change := NotMatched, ""
	for _, m := range d.Matches {
		if m.Name == x.Rule {
			want, change = Matched, m.Change
		}
	}
	for _, e := range d.Errors {
		if e.Rule.Name == x.Rule {
			want = Failing
		}
	}
	got := x.Outcome
	judged := x.Mode == Active.String() || x.Mode == Shadow.String()
	if got == OtherOp || got == OtherTable || !judged {
		got = NotMatched
	}
	if got == Undecided {
		got = Matched // as a page decides without a plugin
	}
	if got != want || x.Change != change && judged {
		t.Errorf("%s is explained as %s %s, but was decided %s %s:\n%s", cdc.AppendEvent(nil, d.Event), x.Outcome, x.Change, want, change, x)
	}
	rows, failed := map[string]bool{}, false
	for _, c := range x.Conditions {
		rows[c.Image] = c.Step.Truth == IsTrue
		failed = failed || c.Step.Truth == Fails
	}
	if len(x.Conditions) > 0 && x.Conditions[0].Key == "where" {
		says := map[[2]bool]string{{true, true}: cdc.Stayed, {true, false}: cdc.Left, {false, true}: cdc.Entered}[[2]bool{rows[beforeVar], rows[afterVar]}]
		if failed != (x.Outcome == Failing) || !failed && says != x.Change {
			t.Errorf("%s %s is explained by %v:\n%s", x.Outcome, x.Change, rows, x)
		}
	}
	for _, c := range x.Conditions {
		if c.Key == "when" && c.Step.Truth != x.truth() && (x.Filter == nil && len(x.Lookups) == 0 || c.Step.Truth != IsTrue) || len(c.Because) == 0 {
			t.Errorf("%s is explained by %s because %q:\n%s", x.Outcome, c.Step.Truth, c.Because, x)
		}
		c.Step.each(0, func(s *Step, _ int) {
			if s.From < 0 || s.To > len(c.Text) || s.From >= s.To || s.Text == "" {
				t.Errorf("step %+v of %s covers nothing", *s, c.Text)
			}
		})
	}
}

// pagePlugin is a plugin that makes of each event what the page says, a line for each value of the column id.
func pagePlugin(t *testing.T, text string) Ask {
	type verdict struct {
		Drop      bool              `json:"drop"`
		Error     string            `json:"error"`
		World     string            `json:"world"`
		Fuel      int64             `json:"fuel"`
		Set       map[string]string `json:"set"`
		LeaveOut  []string          `json:"leave_out"`
		cdc.Edits                   // Tags, Reason and To
	}
	verdicts := map[string]verdict{}
	for line := range strings.Lines(text) {
		id, rest, _ := strings.Cut(line, " ")
		var v verdict
		if err := json.Unmarshal([]byte(rest), &v); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		verdicts[id] = v
	}
	return func(r *Rule, e cdc.Event) (Answer, error) {
		row := e.After()
		if !row.Exists() {
			row = e.Before()
		}
		v, ok := verdicts[fmt.Sprint(row.Value(0).Int64())]
		switch {
		case !ok:
			return Answer{Verdict: cdc.Verdict{Keep: true}}, nil
		case v.World != "":
			return Answer{}, errors.New(v.World)
		case v.Error != "":
			return Answer{Verdict: cdc.Verdict{Err: errors.New(v.Error)}, Fuel: v.Fuel}, nil
		case v.Drop:
			return Answer{Fuel: v.Fuel}, nil
		}
		edits := v.Edits
		for _, key := range slices.Sorted(maps.Keys(v.Set)) {
			image, column, _ := strings.Cut(key, ".")
			edits.Columns = append(edits.Columns, cdc.ColumnEdit{Column: column, Before: image == beforeVar, Value: cdc.TextValue(cdc.KindString, v.Set[key])})
		}
		for _, key := range v.LeaveOut {
			image, column, _ := strings.Cut(key, ".")
			edits.Columns = append(edits.Columns, cdc.ColumnEdit{Column: column, Before: image == beforeVar, Drop: true})
		}
		return Answer{Verdict: cdc.Verdict{Keep: true, Edits: &edits}, Fuel: v.Fuel}, nil
	}
}

// takeVerdicts asks the plugins of the rules that match, as an engine does.
func takeVerdicts(t *testing.T, set *Set, d cdc.Decision) cdc.Decision {
	var matches []cdc.RuleMatch
	for _, m := range d.Matches {
		r := set.rules[slices.IndexFunc(set.rules, func(r *Rule) bool { return r.Name == m.Name })]
		if r.Filter == nil {
			matches = append(matches, m)
			continue
		}
		a, err := set.ask(r, d.Event)
		if err != nil { // an engine would offer the batch again
			matches = append(matches, m)
			continue
		}
		m, kept, err := r.Take(m, a.Verdict)
		if err != nil {
			d.Errors = append(d.Errors, cdc.RuleError{Rule: m, OnError: r.OnError, Err: err})
		} else if kept {
			matches = append(matches, m)
		}
	}
	d.Matches = matches
	return d
}

// printDelivery prints what of a decision a partner receives.
func printDelivery(t *testing.T, feed string, d cdc.Decision) string {
	if !slices.ContainsFunc(d.Matches, func(m cdc.RuleMatch) bool { return slices.Contains(m.To, feed) }) {
		return ""
	}
	var record struct {
		Tags   json.RawMessage `json:"tags,omitempty"`
		Change string          `json:"change,omitempty"`
		Key    json.RawMessage `json:"key"`
		Before json.RawMessage `json:"before"`
		After  json.RawMessage `json:"after"`
	}
	if err := json.Unmarshal(cdc.AppendRecord(nil, feed, &d), &record); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	return "    " + feed + " gets " + string(text) + "\n"
}

func readEvent(t testing.TB, tables []*cdc.Table, line string) cdc.Event {
	t.Helper()
	var y struct {
		Op            string
		Table         string
		Before, After map[string]any
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(line)))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	if err := dec.Decode(&y); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	op, ok := cdc.ParseOp(y.Op)
	if !ok {
		t.Fatalf("%s: no such operation", line)
	}
	table := tables[0]
	if y.Table != "" {
		i := slices.IndexFunc(tables, func(t *cdc.Table) bool { return t.String() == y.Table })
		if i < 0 {
			t.Fatalf("%s: no such table", line)
		}
		table = tables[i]
	}
	e, fail := newEvent(table, eventSpec{op: op, before: y.Before, after: y.After}, func(image, column, msg, hint string) *Finding {
		return &Finding{Msg: image + "." + column + ": " + msg + "; " + hint}
	})
	if fail != nil {
		t.Fatalf("%s: %s", line, fail.Msg)
	}
	return e
}
