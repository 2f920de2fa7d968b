package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// This file is about tests of rules that look something up: what a look-up brings stands in the test, as does what it should find.

// fixtureRows are rows of a look-up as a test has them: those that the source would bring, in its order.
type fixtureRows struct {
	rows  []map[string]any
	many  bool // they are written as a list
	place strictyaml.Place
}

// at returns the place of a column of a row.
func (f *fixtureRows) at(row int, column string) strictyaml.Place {
	if f.many {
		return f.place.At(row, column)
	}
	return f.place.At(column)
}

// testRows reads what look-ups bring in a test: its own, and those of the test that it is derived from.
func (p *parser) testRows(at strictyaml.Place, y *testYAML, r *Rule) map[string]fixtureRows {
	var rows map[string]fixtureRows
	if i := slices.IndexFunc(r.tests, func(f fixture) bool { return f.name == y.Base }); i >= 0 && y.Base != "" {
		rows = maps.Clone(r.tests[i].rows)
	}
	if rows == nil {
		rows = map[string]fixtureRows{}
	}
	maps.Copy(rows, p.rowsOfTest(at.At("lookup"), y.Lookup, r))
	return rows
}

// expectedRows reads what a test expects look-ups to find.
func (p *parser) expectedRows(at strictyaml.Place, y expectYAML, r *Rule, x *expectation, refused bool) {
	switch {
	case !at.Exists():
	case refused:
		p.fail(at, codeValue, "a rule that does not match delivers nothing").Hint("remove 'lookup'")
	default:
		x.found = p.rowsOfTest(at, y.Lookup, r)
	}
}

func (p *parser) rowsOfTest(at strictyaml.Place, y map[string]any, r *Rule) map[string]fixtureRows {
	out := map[string]fixtureRows{}
	for _, name := range at.Keys() {
		if place := at.At(name); !slices.Contains(r.lookupNames(), name) {
			f := place.KeyError(codeFixture, fmt.Sprintf("the rule has no look-up '%s'", clip(name)))
			if near, ok := nearest(name, r.lookupNames()); ok {
				f.Hint("did you mean '%s'?", near)
			}
			p.add(f)
			continue
		}
		rows := fixtureRows{place: at.At(name)}
		switch v := y[name].(type) {
		case nil:
		case map[string]any:
			rows.rows = []map[string]any{v}
		case []any:
			rows.many = true
			for i, item := range v {
				row, ok := item.(map[string]any)
				if !ok {
					p.fail(rows.place.At(i), codeFixture, "this is not a row").Hint("write {column: value}")
				}
				rows.rows = append(rows.rows, row)
			}
		default:
			p.fail(rows.place, codeFixture, "these are not rows").Hint("write %s: {column: value}, a list of such, or null for none", name)
		}
		out[name] = rows
	}
	return out
}

// lookUp returns what the rule's look-ups leave of a match, with the rows that the test has.
func (run *testRun) lookUp(title string, f *fixture, s *fixtureStep, e cdc.Event, m cdc.RuleMatch) ([]cdc.RuleMatch, *Finding, error) {
	rows, fail, err := run.rowsFor(title, f, s, e)
	if fail != nil || err != nil {
		return nil, fail, err
	}
	m, kept, err := run.looker.Take(e, m, rows)
	if err != nil {
		return nil, nil, err
	}
	if !kept {
		run.dropped = "what is looked up"
		return nil, nil, nil
	}
	return []cdc.RuleMatch{m}, nil, nil
}

// rowsFor returns the rows that a test has for the rule's look-ups.
func (run *testRun) rowsFor(title string, f *fixture, s *fixtureStep, e cdc.Event) ([]Rows, *Finding, error) {
	if run.looker == nil {
		run.looker = NewLooker(run.rule)
	}
	rows := make([]Rows, len(run.rule.Lookups))
	for n, l := range run.rule.Lookups {
		key, err := run.looker.Key(e, n)
		if err != nil {
			return nil, nil, err
		}
		if key == nil {
			continue
		}
		given, ok := f.rows[l.Name]
		if !ok {
			return nil, s.expect.place.Error(codeTest, fmt.Sprintf("%s: %s is looked up in %s, and the test does not say what is there", title, l.Name, l.Table)).
				Hint("add 'lookup: {%s: {column: value}}' to the test, or 'lookup: {%s: null}' if there is no row", l.Name, l.Name), nil
		}
		var fail *Finding
		if rows[n].Rows, fail = run.rowsOf(l, &given); fail != nil {
			return nil, fail, nil
		}
		rows[n].Rows = rows[n].Rows[:min(len(rows[n].Rows), l.Limit)]
	}
	return rows, nil, nil
}

// rowsOf makes rows of a look-up's table, with the columns that it asks for.
func (run *testRun) rowsOf(l *Lookup, given *fixtureRows) ([]cdc.Row, *Finding) {
	i := slices.IndexFunc(run.looked, func(t *cdc.Table) bool { return t.String() == l.Table })
	if i < 0 {
		return nil, given.place.Error(codeFixture, fmt.Sprintf("no known table is called '%s'", l.Table))
	}
	t := run.looked[i]
	asked := *t
	if columns := l.Query().Columns; columns != nil {
		asked.Columns = nil
		for _, name := range columns {
			if i := t.Column(name); i >= 0 {
				asked.Columns = append(asked.Columns, t.Columns[i])
			}
		}
	}
	var rows []cdc.Row
	for i, values := range given.rows {
		for column := range values { // those that are not asked for must be columns, too
			if f := given.noColumn(t, i, column); f != nil {
				return nil, f
			}
		}
		values = maps.Clone(values)
		maps.DeleteFunc(values, func(column string, _ any) bool { return asked.Column(column) < 0 })
		if values == nil {
			values = map[string]any{}
		}
		e, fail := newEvent(&asked, eventSpec{op: cdc.OpSnapshot, after: values}, func(_, column, msg, hint string) *Finding {
			return given.at(i, column).Error(codeFixture, msg).Hint("%s", hint)
		})
		if fail != nil {
			return nil, fail
		}
		rows = append(rows, e.After())
	}
	return rows, nil
}

// noColumn says so when a table has no such column.
func (f *fixtureRows) noColumn(t *cdc.Table, row int, column string) *Finding {
	if t.Column(column) >= 0 {
		return nil
	}
	fail := f.at(row, column).KeyError(codeFixture, noColumnMsg(t, column))
	if near, ok := nearest(column, columnNames(t)); ok {
		fail.Hint("did you mean '%s'?", near)
	}
	return fail
}

// compareFound says in what the rows that were found are not those that were expected. Of a row those columns count that the test
// names.
func (run *testRun) compareFound(title string, s *fixtureStep, m cdc.RuleMatch) *Finding {
	for _, l := range m.Lookups {
		want, ok := s.expect.found[l.Name]
		if !ok {
			continue
		}
		if len(l.Rows) != len(want.rows) {
			return want.place.Error(codeTest, fmt.Sprintf("%s: look-up %s finds %s, but it should find %s", title, l.Name, rowCount(len(l.Rows)), rowCount(len(want.rows))))
		}
		for i, values := range want.rows {
			for _, column := range slices.Sorted(maps.Keys(values)) {
				at, t := want.at(i, column), l.Rows[i].Table()
				if f := want.noColumn(t, i, column); f != nil {
					return f
				}
				c := &t.Columns[t.Column(column)]
				v, hint := fixtureValue(c, values[column])
				if hint != "" {
					shown, _ := json.Marshal(values[column])
					return at.Error(codeFixture, fmt.Sprintf("%s is not a value of %s (%s)", clip(string(shown)), column, sqlType(c))).Hint("%s", hint)
				}
				got, text := cdc.AppendJSON(nil, c, l.Rows[i].Value(t.Column(column))), cdc.AppendJSON(nil, c, v)
				if string(got) != string(text) && !sameDocument(got, text) {
					return at.Error(codeTest, fmt.Sprintf("%s: %s%s is %s, but it should be %s", title, l.Name, selector(column), clip(string(got)), clip(string(text))))
				}
			}
		}
	}
	return nil
}

func rowCount(n int) string {
	switch n {
	case 0:
		return "no row"
	case 1:
		return "one row"
	}
	return fmt.Sprintf("%d rows", n)
}
