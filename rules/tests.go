package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// testYAML is one test of a rule, as it is written: of one event, of several in order, or of the event of an earlier
// test with some of it changed.
type testYAML struct {
	Name   string         `yaml:"name,required"`
	Event  eventYAML      `yaml:"event"`
	Events []stepYAML     `yaml:"events"`
	Base   string         `yaml:"base"`
	Set    map[string]any `yaml:"set"`
	Lookup map[string]any `yaml:"lookup"`
	Expect expectYAML     `yaml:"expect"`
}

type eventYAML struct {
	Op         string         `yaml:"op,required"`
	Table      string         `yaml:"table"`
	Before     map[string]any `yaml:"before"`
	After      map[string]any `yaml:"after"`
	CommitTime string         `yaml:"commit_time"`
}

type stepYAML struct {
	Op         string         `yaml:"op,required"`
	Table      string         `yaml:"table"`
	Before     map[string]any `yaml:"before"`
	After      map[string]any `yaml:"after"`
	CommitTime string         `yaml:"commit_time"`
	Expect     expectYAML     `yaml:"expect"`
}

type expectYAML struct {
	Match  *bool    `yaml:"match"`
	Change string   `yaml:"change"`
	Error  *bool    `yaml:"error"`
	To     []string `yaml:"to"`

	// Of rules with a filter, and from before on with select or mask: what is delivered.
	Tags    []string       `yaml:"tags"`
	Reason  string         `yaml:"reason"`
	Before  map[string]any `yaml:"before"`
	After   map[string]any `yaml:"after"`
	Without []string       `yaml:"without"`

	Lookup map[string]any `yaml:"lookup"` // of rules with look-ups: what is found
}

// fixture is one test of a rule.
type fixture struct {
	name  string
	steps []fixtureStep
	place strictyaml.Place
	rows  map[string]fixtureRows // by look-up
}

// fixtureStep is an event of a test and what is expected of it.
type fixtureStep struct {
	op            cdc.Op
	table         string // "" when the rule names one table only
	before, after map[string]any
	commit        time.Time
	expect        expectation
	place         strictyaml.Place            // of the event
	set           map[string]strictyaml.Place // of what a derived event has of its own: op, before.status
}

// expectation is what should become of an event.
type expectation struct {
	match  *bool
	change string // "" when the test does not say
	fails  bool
	to     []string
	place  strictyaml.Place

	delivered bool // it says something about what is delivered
	tags      []string
	reason    string
	values    [2]map[string]any // of columns, by image
	without   [][2]string       // image and column

	found map[string]fixtureRows // by look-up
}

// tests reads the tests of a rule, as far as can be said without knowing its tables.
func (p *parser) tests(at strictyaml.Place, tests []testYAML, r *Rule) {
	if len(tests) > maxTests {
		p.fail(at, codeLimit, "%d tests of one rule; at most %d are read", len(tests), maxTests)
		return
	}
	names := map[string]bool{}
	for i := range tests {
		y, at := &tests[i], at.At(i)
		if p.badWithin(at) {
			continue
		}
		if names[y.Name] {
			p.fail(at.At("name"), codeDuplicate, "rule '%s' has two tests '%s'", clip(r.Name), clip(y.Name))
		}
		names[y.Name] = true
		f := fixture{name: y.Name, place: at}
		whole := p.expectation(at.At("expect"), y.Expect, r)
		event, events, base := at.At("event"), at.At("events"), at.At("base")
		switch {
		case event.Exists() && !events.Exists() && !base.Exists():
			f.steps = []fixtureStep{p.step(event, y.Event, r)}
		case events.Exists() && !event.Exists() && !base.Exists():
			for i, s := range y.Events {
				step := p.step(events.At(i), eventYAML{s.Op, s.Table, s.Before, s.After, s.CommitTime}, r)
				step.expect = p.expectation(events.At(i, "expect"), s.Expect, r)
				f.steps = append(f.steps, step)
			}
			if len(y.Events) == 0 {
				p.fail(events, codeValue, "the test has no event").Hint("write events: [{op: insert, after: {column: value}, expect: {match: true}}]")
			}
		case base.Exists() && !event.Exists() && !events.Exists():
			if step, ok := p.derived(at, y, r); ok {
				f.steps = []fixtureStep{step}
			}
		case event.Exists() || events.Exists() || base.Exists():
			p.fail(at, codeValue, "a test has one of 'event', 'events' and 'base'").Hint("make several tests of it")
		case !at.At("set").Exists():
			p.fail(at, codeKey, "the test has no event").Hint("add 'event: {op: update, before: {…}, after: {…}}'")
		}
		if set := at.At("set"); set.Exists() && !base.Exists() {
			p.add(set.KeyError(codeValue, "'set' changes the event of 'base', and there is none").Hint("add 'base: <name of an earlier test>', or write the event"))
		}
		f.rows = p.testRows(at, y, r)
		for i := range f.steps {
			if s := &f.steps[i]; !s.expect.place.Exists() {
				if s.expect = whole; !whole.place.Exists() {
					place := at.At("name")
					if len(f.steps) > 1 {
						place = s.place
					}
					p.fail(place, codeValue, "the test expects nothing").Hint("write expect: {match: true}, {match: false} or {error: true}")
				}
			}
		}
		r.tests = append(r.tests, f)
	}
}

// step reads an event of a test.
func (p *parser) step(at strictyaml.Place, y eventYAML, r *Rule) fixtureStep {
	s := fixtureStep{table: y.Table, before: y.Before, after: y.After, commit: fixtureTime, place: at}
	if op := p.oneOf(at.At("op"), "operation", y.Op, opNames); op >= 0 {
		s.op = cdc.Op(op + 1)
		p.images(&s)
	}
	if t := at.At("commit_time"); t.Exists() {
		s.commit = p.instant(t, y.CommitTime)
	}
	return s
}

func (p *parser) instant(at strictyaml.Place, text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		p.fail(at, codeFixture, "'%s' is not a time", clip(text)).Hint("write it like 2026-01-01T00:00:00Z")
	}
	return t.UTC()
}

// derived makes the event of an earlier test with some of it changed.
func (p *parser) derived(at strictyaml.Place, y *testYAML, r *Rule) (fixtureStep, bool) {
	i := slices.IndexFunc(r.tests, func(f fixture) bool { return f.name == y.Base })
	if i < 0 {
		e := p.fail(at.At("base"), codeFixture, "no earlier test of the rule is called '%s'", clip(y.Base))
		names := make([]string, len(r.tests))
		for i := range r.tests {
			names[i] = r.tests[i].name
		}
		if near, ok := nearest(y.Base, names); ok {
			e.Hint("did you mean '%s'?", near)
		}
		return fixtureStep{}, false
	}
	if len(r.tests[i].steps) != 1 {
		if at.At("base").Exists() && len(r.tests[i].steps) > 1 {
			p.fail(at.At("base"), codeFixture, "'%s' is a test of several events", clip(y.Base)).Hint("name a test of one event")
		}
		return fixtureStep{}, false
	}
	s := r.tests[i].steps[0]
	s.expect = expectation{}
	s.before, s.after = maps.Clone(s.before), maps.Clone(s.after)
	if s.set = maps.Clone(s.set); s.set == nil {
		s.set = map[string]strictyaml.Place{}
	}
	for _, key := range slices.Sorted(maps.Keys(y.Set)) { // before and after come before their columns
		value, place := y.Set[key], at.At("set", key)
		s.set[key] = place
		image, column, dotted := strings.Cut(key, ".")
		rows := map[string]*map[string]any{beforeVar: &s.before, afterVar: &s.after}[image]
		text, isText := value.(string)
		whole, isMap := value.(map[string]any)
		switch {
		case rows != nil && dotted:
			if *rows == nil {
				*rows = map[string]any{}
			}
			(*rows)[column] = value
		case rows != nil && isMap:
			*rows = maps.Clone(whole)
		case rows != nil && value == nil:
			*rows = nil
		case key == "op" && isText:
			if op := p.oneOf(place, "operation", text, opNames); op >= 0 {
				s.op = cdc.Op(op + 1)
			}
		case key == "table" && isText:
			s.table = text
		case key == "commit_time" && isText:
			s.commit = p.instant(place, text)
		default:
			p.add(place.KeyError(codeFixture, fmt.Sprintf("'%s' cannot be set so", clip(key))).
				Hint("set before.<column>, after.<column>, before, after, op, table or commit_time"))
			return fixtureStep{}, false
		}
	}
	s.place = at
	p.images(&s)
	return s, true
}

// expectation reads what is expected of an event.
func (p *parser) expectation(at strictyaml.Place, y expectYAML, r *Rule) expectation {
	x := expectation{match: y.Match, fails: y.Error != nil && *y.Error, place: at}
	if !at.Exists() || p.badWithin(at) {
		return x
	}
	change, to := at.At("change"), at.At("to")
	refused := x.fails || x.match != nil && !*x.match
	if change.Exists() && p.oneOf(change, "change", y.Change, changeNames) >= 0 {
		x.change = y.Change
		switch {
		case r.Where == "":
			p.fail(change, codeValue, "only rules with 'where' have a change").Hint("write expect: {match: true}")
		case refused:
			p.fail(change, codeValue, "a rule that does not match has no change").Hint("write expect: {change: %s}", x.change)
		}
	}
	if to.Exists() {
		x.to = sorted(y.To)
		if refused && len(x.to) > 0 {
			p.fail(to, codeValue, "a rule that does not match delivers nothing").Hint("remove 'to'")
		}
		for i, feed := range y.To {
			if r.Mode == Active && !slices.Contains(r.To, feed) {
				e := p.fail(to.At(i), codeValue, "the rule does not deliver to '%s'", clip(feed))
				if len(r.To) > 0 {
					e.Hint("it delivers to %s", strings.Join(r.To, ", "))
				}
			}
		}
	}
	p.delivery(at, y, r, &x, refused)
	p.expectedRows(at.At("lookup"), y, r, &x, refused)
	switch {
	case change.Exists() || to.Exists() || x.delivered || x.found != nil:
	case x.match == nil && y.Error == nil:
		p.fail(at, codeValue, "the test expects nothing").Hint("write expect: {match: true}, {match: false} or {error: true}")
	case y.Error != nil && !*y.Error && x.match == nil:
		p.fail(at, codeValue, "the test does not say whether the rule matches").Hint("write expect: {match: true} or {match: false}")
	case x.fails && x.match != nil && *x.match:
		p.fail(at, codeValue, "a rule that fails does not match").Hint("write expect: {error: true}")
	}
	return x
}

// delivery reads what a test expects to be delivered.
func (p *parser) delivery(at strictyaml.Place, y expectYAML, r *Rule, x *expectation, refused bool) {
	for i, key := range []string{"tags", "reason", beforeVar, afterVar, "without"} {
		place := at.At(key)
		switch {
		case !place.Exists():
		case r.Filter == nil && i < 2:
			p.fail(place, codeValue, "only a plugin gives %s, and the rule has no 'filter'", key).Hint("remove '%s'", key)
		case r.Filter == nil && r.Show == nil:
			p.fail(place, codeValue, "the change is delivered as it is: the rule has no 'select', 'mask' or 'filter'").Hint("remove '%s'", key)
		case refused:
			p.fail(place, codeValue, "a rule that does not match delivers nothing").Hint("remove '%s'", key)
		default:
			x.delivered = true
		}
	}
	x.tags, x.reason, x.values = y.Tags, y.Reason, [2]map[string]any{y.Before, y.After}
	for i, text := range y.Without {
		image, column, ok := strings.Cut(text, ".")
		if !ok || !slices.Contains(images[:], image) {
			p.fail(at.At("without", i), codeValue, "'%s' is not a column of a row image", clip(text)).Hint("write before.<column> or after.<column>")
			continue
		}
		x.without = append(x.without, [2]string{image, column})
	}
}

var changeNames = []string{cdc.Entered, cdc.Stayed, cdc.Left}

// images says whether a test's event has the row images that its operation has.
func (p *parser) images(s *fixtureStep) {
	for i, rows := range [...]map[string]any{s.before, s.after} {
		at := s.place
		if place, ok := s.set[images[i]]; ok {
			at = place
		}
		switch need := hasImage(s.op, i); {
		case need && rows == nil:
			p.fail(at, codeFixture, "the event of %s needs '%s'", article(s.op), images[i]).Hint("write %s: {column: value, …}", images[i])
		case !need && rows != nil:
			if inner := at.At(images[i]); inner.Exists() {
				at = inner
			}
			if place, ok := s.set["op"]; ok {
				p.fail(place, codeFixture, "%s has no '%s'", article(s.op), images[i]).Hint("add '%s: null' to 'set'", images[i])
				continue
			}
			p.fail(at, codeFixture, "%s has no '%s'", article(s.op), images[i]).Hint("remove it, or change 'op'")
		}
	}
}

func article(op cdc.Op) string {
	if op == cdc.OpInsert || op == cdc.OpUpdate {
		return "an " + op.String()
	}
	return "a " + op.String()
}

// TestResult is the outcome of one test of a rule.
type TestResult struct {
	Rule    string
	Name    string
	Passed  bool
	Failure *Finding // what went wrong, and where the test stands; nil when it passed
}

// Test runs the tests that stand in the rule files, against the tables as they are now. Tests of rules that are not
// active run too. A test whose event comes to a plugin fails if nobody is there to ask it: see [Set.Asking]. looked are as in
// [Set.Check]; what look-ups find stands in the tests.
func (s *Set) Test(tables []*cdc.Table, looked ...*cdc.Table) []TestResult {
	var results []TestResult
	for _, r := range s.rules {
		run := testRun{rule: r, tables: tables, looked: append(slices.Clip(tables), looked...), programs: map[*cdc.Table][maxOps]*program{}, ask: s.ask}
		for i := range r.tests {
			f := &r.tests[i]
			fail := run.test(f)
			results = append(results, TestResult{Rule: r.Name, Name: f.name, Passed: fail == nil, Failure: fail})
		}
	}
	return results
}

// testRun runs the tests of one rule.
type testRun struct {
	rule     *Rule
	tables   []*cdc.Table
	programs map[*cdc.Table][maxOps]*program
	ask      Ask
	dropped  string       // who drops the event that is looked at
	looked   []*cdc.Table // that look-ups may be in
	looker   *Looker
}

// test returns nil when the rule does what the test expects.
func (run *testRun) test(f *fixture) *Finding {
	for i := range f.steps {
		s := &f.steps[i]
		title := fmt.Sprintf("'%s'", clip(f.name))
		if len(f.steps) > 1 {
			title += fmt.Sprintf(", event %d", i+1)
		}
		e, fail := run.event(s)
		if fail != nil {
			return fail
		}
		run.dropped = ""
		match, fail, err := run.judge(s, e)
		if fail == nil && err == nil && len(match) > 0 && run.rule.Filter != nil {
			match, fail, err = run.askPlugin(title, s, e, match[0])
		}
		if fail == nil && err == nil && len(match) > 0 && len(run.rule.Lookups) > 0 {
			match, fail, err = run.lookUp(title, f, s, e, match[0])
		}
		if fail == nil {
			fail = run.compare(title, s, match, err)
		}
		if fail == nil && s.expect.found != nil && len(match) > 0 {
			fail = run.compareFound(title, s, match[0])
		}
		if fail == nil && s.expect.delivered {
			fail = run.compareDelivery(title, s, e, match)
		}
		if fail != nil {
			return fail
		}
	}
	return nil
}

// event builds the event of a step.
func (run *testRun) event(s *fixtureStep) (cdc.Event, *Finding) {
	t, fail := run.rule.testTable(s, run.tables)
	if fail != nil {
		return cdc.Event{}, fail
	}
	tx := cdc.Tx{GTID: "0-1-1", CommitTime: s.commit, Rows: 1, Ends: true}
	return newEvent(t, eventSpec{op: s.op, before: s.before, after: s.after, source: "test", tx: tx, no: 1, partNo: 1}, func(image, column, msg, hint string) *Finding {
		e := s.placeOf(image, column).Error(codeFixture, msg)
		if hint != "" {
			e.Hint("%s", hint)
		}
		return e
	})
}

// placeOf returns where a value stands.
func (s *fixtureStep) placeOf(image, column string) strictyaml.Place {
	if place, ok := s.set[image+"."+column]; ok {
		return place
	}
	if place, ok := s.set[image]; ok {
		return place.At(column)
	}
	if s.set != nil {
		return s.place.At("base")
	}
	return s.place.At(image, column)
}

// askPlugin returns what the rule's plugin leaves of a match.
func (run *testRun) askPlugin(title string, s *fixtureStep, e cdc.Event, m cdc.RuleMatch) ([]cdc.RuleMatch, *Finding, error) {
	name := run.rule.Filter.Plugin
	if run.ask == nil {
		return nil, s.expect.place.Error(codeTest, fmt.Sprintf("%s: plugin %s judges this event, and there is nobody to ask it", title, name)), nil
	}
	a, err := run.ask(run.rule, e)
	if err != nil {
		failure := s.expect.place.Error(codeTest, fmt.Sprintf("%s: plugin %s could not be asked: %s", title, name, plainError(err)))
		var own *cdc.Error
		if errors.As(err, &own) && own.Fix != "" {
			failure.Hint("%s", own.Fix)
		}
		return nil, failure, nil
	}
	m, kept, err := run.rule.Take(m, a.Verdict)
	if !kept {
		if err == nil {
			run.dropped = "plugin " + name
		}
		return nil, nil, err
	}
	return []cdc.RuleMatch{m}, nil, nil
}

// compareDelivery says in what the record of a match is not what was expected.
func (run *testRun) compareDelivery(title string, s *fixtureStep, e cdc.Event, match []cdc.RuleMatch) *Finding {
	x := s.expect
	fail := func(at strictyaml.Place, format string, args ...any) *Finding {
		return at.Error(codeTest, title+": "+fmt.Sprintf(format, args...))
	}
	var record struct {
		Rules  []struct{ Reason string }
		Tags   []string
		Before map[string]json.RawMessage
		After  map[string]json.RawMessage
	}
	var d cdc.Delivery
	cdc.Deliver(&d, "", &cdc.Decision{Event: e, Matches: match})
	run.rule.narrowed(&d)
	if err := json.Unmarshal(cdc.AppendDelivery(nil, &d), &record); err != nil {
		return fail(x.place, "its record cannot be read: %s", err)
	}
	if x.place.At("tags").Exists() && !slices.Equal(sorted(record.Tags), sorted(x.tags)) {
		return fail(x.place.At("tags"), "the tags are [%s], but should be [%s]", strings.Join(record.Tags, ", "), strings.Join(x.tags, ", "))
	}
	if got := record.Rules[0].Reason; x.place.At("reason").Exists() && got != x.reason {
		return fail(x.place.At("reason"), "the reason is '%s', but should be '%s'", clip(got), clip(x.reason))
	}
	rows := [2]map[string]json.RawMessage{record.Before, record.After}
	for i, image := range images {
		for _, column := range slices.Sorted(maps.Keys(x.values[i])) {
			at, t := x.place.At(image, column), e.Table()
			n := t.Column(column)
			if n < 0 {
				return at.Error(codeFixture, fmt.Sprintf("%s has no column '%s'", t.Name, clip(column)))
			}
			v, hint := fixtureValue(&d.Columns[n], x.values[i][column])
			if hint != "" {
				shown, _ := json.Marshal(x.values[i][column])
				return at.Error(codeFixture, fmt.Sprintf("%s is not a value of %s (%s)", clip(string(shown)), column, sqlType(&d.Columns[n]))).Hint("%s", hint)
			}
			want := string(cdc.AppendJSON(nil, &d.Columns[n], v))
			got, ok := rows[i][column]
			switch {
			case !ok:
				return fail(at, "%s%s is not delivered, but it should be as %s", image, selector(column), clip(want))
			case string(got) != want && !sameDocument(got, []byte(want)):
				return fail(at, "%s%s is delivered as %s, but it should be as %s", image, selector(column), clip(string(got)), clip(want))
			}
		}
	}
	for i, column := range x.without {
		at := x.place.At("without", i)
		n := slices.Index(images[:], column[0])
		if e.Table().Column(column[1]) < 0 {
			return at.Error(codeFixture, fmt.Sprintf("%s has no column '%s'", e.Table().Name, clip(column[1])))
		}
		if got, ok := rows[n][column[1]]; ok {
			return fail(at, "%s%s is delivered as %s, but it should not be", column[0], selector(column[1]), clip(string(got)))
		}
	}
	return nil
}

// sameDocument reports whether two JSON texts are the same but for blanks and the order of members.
func sameDocument(a, b []byte) bool {
	var docs [2]any
	for i, text := range [][]byte{a, b} {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		if dec.Decode(&docs[i]) != nil {
			return false
		}
	}
	return reflect.DeepEqual(docs[0], docs[1])
}

// judge returns what the rule's condition makes of an event.
func (run *testRun) judge(s *fixtureStep, e cdc.Event) ([]cdc.RuleMatch, *Finding, error) {
	if !slices.Contains(run.rule.On, s.op) {
		return nil, nil, nil
	}
	byOp, known := run.programs[e.Table()]
	if !known {
		site, err := newSite(e.Table(), run.rule.lang)
		if err != nil {
			return nil, s.place.Error(codeTest, err.Error()), nil
		}
		byOp, _ = compile(run.rule, site)
		run.programs[e.Table()] = byOp
	}
	match, err := byOp[s.op].alone(e)
	return match, nil, err
}

// compare says in what an outcome is not what was expected.
func (run *testRun) compare(title string, s *fixtureStep, match []cdc.RuleMatch, err error) *Finding {
	x := s.expect
	fail := func(at strictyaml.Place, format string, args ...any) *Finding {
		return at.Error(codeTest, title+": "+fmt.Sprintf(format, args...))
	}
	switch {
	case x.fails && err == nil && match != nil:
		return fail(x.place, "the rule matches, but it should fail")
	case x.fails && err == nil && run.dropped != "":
		return fail(x.place, "%s drops it, but it should fail", run.dropped)
	case x.fails && err == nil:
		return fail(x.place, "the rule does not match, but it should fail")
	case x.fails:
		return nil
	case err != nil:
		failure := fail(x.place, "the rule fails: %s", plainError(err))
		var absent absentError
		if errors.As(err, &absent) {
			failure.Hint("give %s a value in the event", absent.column)
		} else if own, ok := err.(*cdc.Error); ok && own.Fix != "" {
			failure.Hint("%s", own.Fix)
		}
		return failure
	case match != nil && x.match != nil && !*x.match:
		return fail(x.place, "the rule matches, but it should not")
	case match != nil && x.change != "" && match[0].Change != x.change:
		return fail(x.place.At("change"), "the row %s, but it should have %s", match[0].Change, x.change)
	case match != nil && x.to != nil && !slices.Equal(match[0].To, x.to):
		return fail(x.place.At("to"), "it is delivered to %s, but it should be to %s", feedList(match[0].To), feedList(x.to))
	case match != nil || x.match != nil && !*x.match || x.match == nil && x.change == "" && len(x.to) == 0 && !x.delivered && x.found == nil:
		return nil
	case !slices.Contains(run.rule.On, s.op):
		return fail(x.place, "the rule is not for %ss", s.op).Hint("add %s to 'on'", s.op)
	case x.change != "":
		return fail(x.place.At("change"), "the row is not in the filter before or after, but it should have %s", x.change)
	}
	if run.dropped != "" {
		return fail(x.place, "%s drops it, but the rule should match", run.dropped)
	}
	return fail(x.place, "the rule does not match, but it should")
}

func feedList(feeds []string) string {
	if len(feeds) == 0 {
		return "no feed"
	}
	return strings.Join(feeds, ", ")
}

// plainError returns an error without its code.
func plainError(err error) string {
	if own, ok := err.(*cdc.Error); ok {
		return own.What
	}
	return err.Error()
}

// testTable returns the table of a test's event.
func (r *Rule) testTable(s *fixtureStep, tables []*cdc.Table) (*cdc.Table, *Finding) {
	var named []*cdc.Table
	for _, t := range tables {
		if r.names(t) {
			named = append(named, t)
		}
	}
	if s.table != "" {
		for _, t := range named {
			if t.String() == s.table {
				return t, nil
			}
		}
		at := s.place.At("table")
		if place, ok := s.set["table"]; ok {
			at = place
		}
		fail := at.Error(codeFixture, fmt.Sprintf("'%s' is not a known table of rule '%s'", clip(s.table), r.Name))
		if near, ok := nearest(s.table, tableNames(named)); ok {
			fail.Hint("did you mean '%s'?", near)
		}
		return nil, fail
	}
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		return nil, s.place.Error(codeFixture, fmt.Sprintf("no known table is one of rule '%s'", r.Name))
	}
	return nil, s.place.Error(codeFixture, fmt.Sprintf("rule '%s' is for %d tables, and the event does not say which", r.Name, len(named))).
		Hint("add 'table: %s'", named[0])
}
