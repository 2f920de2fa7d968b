package rules

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// testYAML is one test of a rule, as it is written.
type testYAML struct {
	Name   string     `yaml:"name,required"`
	Event  eventYAML  `yaml:"event,required"`
	Expect expectYAML `yaml:"expect,required"`
}

type eventYAML struct {
	Op     string         `yaml:"op,required"`
	Table  string         `yaml:"table"`
	Before map[string]any `yaml:"before"`
	After  map[string]any `yaml:"after"`
}

type expectYAML struct {
	Match  *bool  `yaml:"match"`
	Change string `yaml:"change"`
	Error  *bool  `yaml:"error"`
}

// fixture is one test of a rule.
type fixture struct {
	name          string
	op            cdc.Op
	table         string // "" when the rule names one table only
	before, after map[string]any
	wantMatch     *bool
	wantChange    string // "" when the test does not say
	wantError     bool
	place         strictyaml.Place
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
		f := fixture{name: y.Name, table: y.Event.Table, before: y.Event.Before, after: y.Event.After, wantMatch: y.Expect.Match, place: at}
		if names[y.Name] {
			p.fail(at.At("name"), codeDuplicate, "rule '%s' has two tests '%s'", clip(r.Name), clip(y.Name))
		}
		names[y.Name] = true
		op := p.oneOf(at.At("event", "op"), "operation", y.Event.Op, opNames)
		if op >= 0 {
			f.op = cdc.Op(op + 1)
			p.images(at.At("event"), &f)
		}
		f.wantError = y.Expect.Error != nil && *y.Expect.Error
		change := at.At("expect", "change")
		if change.Exists() && p.oneOf(change, "change", y.Expect.Change, changeNames) >= 0 {
			f.wantChange = y.Expect.Change
			switch {
			case r.Where == "":
				p.fail(change, codeValue, "only rules with 'where' have a change").Hint("write expect: {match: true}")
			case f.wantError || f.wantMatch != nil && !*f.wantMatch:
				p.fail(change, codeValue, "a rule that does not match has no change").Hint("write expect: {change: %s}", f.wantChange)
			}
		}
		switch {
		case change.Exists():
		case y.Expect.Match == nil && y.Expect.Error == nil:
			p.fail(at.At("expect"), codeValue, "the test expects nothing").Hint("write expect: {match: true}, {match: false} or {error: true}")
		case y.Expect.Error != nil && !*y.Expect.Error && y.Expect.Match == nil:
			p.fail(at.At("expect"), codeValue, "the test does not say whether the rule matches").Hint("write expect: {match: true} or {match: false}")
		case f.wantError && f.wantMatch != nil && *f.wantMatch:
			p.fail(at.At("expect"), codeValue, "a rule that fails does not match").Hint("write expect: {error: true}")
		}
		r.tests = append(r.tests, f)
	}
}

var changeNames = []string{cdc.Entered, cdc.Stayed, cdc.Left}

// images says whether a test's event has the row images that its operation has.
func (p *parser) images(at strictyaml.Place, f *fixture) {
	needBefore := f.op == cdc.OpUpdate || f.op == cdc.OpDelete
	needAfter := f.op != cdc.OpDelete
	for _, img := range [...]struct {
		key          string
		need, exists bool
	}{{beforeVar, needBefore, f.before != nil}, {afterVar, needAfter, f.after != nil}} {
		switch {
		case img.need && !img.exists:
			p.fail(at, codeFixture, "the event of %s needs '%s'", article(f.op), img.key).Hint("write %s: {column: value, …}", img.key)
		case !img.need && img.exists:
			p.fail(at.At(img.key), codeFixture, "%s has no '%s'", article(f.op), img.key).Hint("remove it, or change 'op'")
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

// Test runs the tests that stand in the rule files, against the tables as they are now. Tests of rules that are off or
// shadow run too.
func (s *Set) Test(tables []*cdc.Table) []TestResult {
	var results []TestResult
	programs := map[*cdc.Table][maxOps]*program{}
	for _, r := range s.rules {
		clear(programs)
		for i := range r.tests {
			f := &r.tests[i]
			fail := r.runTest(f, tables, programs)
			results = append(results, TestResult{Rule: r.Name, Name: f.name, Passed: fail == nil, Failure: fail})
		}
	}
	return results
}

// runTest returns nil when the rule does what the test expects.
func (r *Rule) runTest(f *fixture, tables []*cdc.Table, programs map[*cdc.Table][maxOps]*program) *Finding {
	t, fail := r.testTable(f, tables)
	if fail != nil {
		return fail
	}
	e, fail := f.event(t)
	if fail != nil {
		return fail
	}
	var match []cdc.RuleMatch
	var err error
	if slices.Contains(r.On, f.op) {
		byOp, known := programs[t]
		if !known {
			site, err := newSite(t)
			if err != nil {
				return f.place.Error(codeTest, err.Error())
			}
			byOp, _ = compile(r, site)
			programs[t] = byOp
		}
		match, err = byOp[f.op].alone(e)
	}
	matched := match != nil
	expect := f.place.At("expect")
	switch {
	case f.wantError && err == nil && matched:
		return expect.Error(codeTest, fmt.Sprintf("'%s': the rule matches, but it should fail", clip(f.name)))
	case f.wantError && err == nil:
		return expect.Error(codeTest, fmt.Sprintf("'%s': the rule does not match, but it should fail", clip(f.name)))
	case !f.wantError && err != nil:
		failure := expect.Error(codeTest, fmt.Sprintf("'%s': the rule fails: %s", clip(f.name), plainError(err)))
		var absent absentError
		if errors.As(err, &absent) {
			failure.Hint("give %s a value in the event", absent.column)
		} else if own, ok := err.(*cdc.Error); ok && own.Fix != "" {
			failure.Hint("%s", own.Fix)
		}
		return failure
	case f.wantMatch != nil && *f.wantMatch && !matched && !slices.Contains(r.On, f.op):
		return expect.Error(codeTest, fmt.Sprintf("'%s': the rule is not for %ss", clip(f.name), f.op)).Hint("add %s to 'on'", f.op)
	case f.wantChange != "" && matched && match[0].Change != f.wantChange:
		return expect.At("change").Error(codeTest, fmt.Sprintf("'%s': the row %s, but it should have %s", clip(f.name), match[0].Change, f.wantChange))
	case f.wantChange != "" && !matched:
		return expect.At("change").Error(codeTest, fmt.Sprintf("'%s': the row is not in the filter before or after, but it should have %s", clip(f.name), f.wantChange))
	case f.wantMatch != nil && *f.wantMatch && !matched:
		return expect.Error(codeTest, fmt.Sprintf("'%s': the rule does not match, but it should", clip(f.name)))
	case f.wantMatch != nil && !*f.wantMatch && matched:
		return expect.Error(codeTest, fmt.Sprintf("'%s': the rule matches, but it should not", clip(f.name)))
	}
	return nil
}

// plainError returns an error without its code.
func plainError(err error) string {
	if own, ok := err.(*cdc.Error); ok {
		return own.What
	}
	return err.Error()
}

// testTable returns the table of a test's event.
func (r *Rule) testTable(f *fixture, tables []*cdc.Table) (*cdc.Table, *Finding) {
	var named []*cdc.Table
	for _, t := range tables {
		if r.names(t) {
			named = append(named, t)
		}
	}
	if f.table != "" {
		for _, t := range named {
			if t.String() == f.table {
				return t, nil
			}
		}
		fail := f.place.At("event", "table").Error(codeFixture, fmt.Sprintf("'%s' is not a known table of rule '%s'", clip(f.table), r.Name))
		names := make([]string, len(named))
		for i, t := range named {
			names[i] = t.String()
		}
		if near, ok := nearest(f.table, names); ok {
			fail.Hint("did you mean '%s'?", near)
		}
		return nil, fail
	}
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		return nil, f.place.At("event").Error(codeFixture, fmt.Sprintf("no known table is one of rule '%s'", r.Name))
	}
	return nil, f.place.At("event").Error(codeFixture, fmt.Sprintf("rule '%s' is for %d tables, and the event does not say which", r.Name, len(named))).
		Hint("add 'table: %s'", named[0])
}

// event builds the test's event.
func (f *fixture) event(t *cdc.Table) (cdc.Event, *Finding) {
	return newEvent(t, eventSpec{op: f.op, before: f.before, after: f.after}, func(image, column, msg, hint string) *Finding {
		e := f.place.At("event", image, column).Error(codeFixture, msg)
		if hint != "" {
			e.Hint("%s", hint)
		}
		return e
	})
}

// fixtureValue returns the value that x, in its delivered JSON form, is for a column; or a hint how to write one.
func fixtureValue(c *cdc.Column, x any) (cdc.Value, string) {
	if x == nil {
		if !c.Nullable {
			return cdc.Value{}, "the column is NOT NULL"
		}
		return cdc.NullValue(), ""
	}
	text, isText := x.(string)
	num, isNum := x.(json.Number)
	switch c.Kind {
	case cdc.KindBool:
		if b, ok := x.(bool); ok {
			return cdc.BoolValue(b), ""
		}
		return cdc.Value{}, "write true or false"
	case cdc.KindInt64:
		if b, ok := x.(bool); ok && isFlag(c) {
			return cdc.Int64Value(map[bool]int64{true: 1}[b]), ""
		}
		if n, err := strconv.ParseInt(string(num), 10, 64); isNum && err == nil {
			return cdc.Int64Value(n), ""
		}
		return cdc.Value{}, "write a whole number without quotes"
	case cdc.KindUint64, cdc.KindBit:
		n, err := strconv.ParseUint(string(num), 10, 64)
		if b, ok := x.(bool); ok && isFlag(c) {
			n, err, isNum = map[bool]uint64{true: 1}[b], nil, true
		}
		if !isNum || err != nil {
			return cdc.Value{}, "write a whole number, 0 or more, without quotes"
		}
		if c.Kind == cdc.KindBit {
			return cdc.BitValue(n), ""
		}
		return cdc.Uint64Value(n), ""
	case cdc.KindFloat64:
		f, err := strconv.ParseFloat(string(num), 64)
		if !isNum || err != nil {
			return cdc.Value{}, "write a number without quotes"
		}
		if c.Float32 {
			f = float64(float32(f))
		}
		return cdc.Float64Value(f), ""
	case cdc.KindDecimal:
		return decimalValue(c, text, isText)
	case cdc.KindString, cdc.KindEnum:
		if !isText {
			return cdc.Value{}, "write it in quotes"
		}
		if c.Kind == cdc.KindEnum && len(c.Members) > 0 && !slices.Contains(c.Members, text) {
			if near, ok := nearest(text, c.Members); ok {
				return cdc.Value{}, fmt.Sprintf("did you mean '%s'?", near)
			}
			return cdc.Value{}, "it is one of '" + strings.Join(c.Members, "', '") + "'"
		}
		return cdc.TextValue(c.Kind, text), ""
	case cdc.KindSet:
		return setValue(c, x)
	case cdc.KindBytes:
		raw, err := base64.StdEncoding.DecodeString(text)
		if !isText || err != nil {
			return cdc.Value{}, "write it in base64"
		}
		return cdc.TextValue(c.Kind, string(raw)), ""
	case cdc.KindDate, cdc.KindDatetime:
		out, hint := civilText(text, c)
		if !isText || hint != "" {
			return cdc.Value{}, orElse(hint, "write it in quotes")
		}
		return cdc.CivilValue(c.Kind, parseCivil(out)), ""
	case cdc.KindTime:
		out, hint := civilText(text, c)
		if !isText || hint != "" {
			return cdc.Value{}, orElse(hint, "write it in quotes")
		}
		return cdc.TimeValue(parseTime(out)), ""
	case cdc.KindTimestamp:
		if strings.HasPrefix(text, "0000-00-00") {
			return cdc.TimestampValue(0), ""
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if !isText || err != nil {
			return cdc.Value{}, "write it like '2026-01-01T00:00:00Z'"
		}
		return cdc.TimestampValue(at.UnixMicro()), ""
	case cdc.KindJSON:
		raw, err := json.Marshal(x)
		if err != nil {
			return cdc.Value{}, "write a JSON value"
		}
		return cdc.TextValue(c.Kind, string(raw)), ""
	case cdc.KindGeometry:
		return geometryValue(x)
	case cdc.KindVector:
		return vectorValue(x)
	}
	return cdc.Value{}, "values of this type cannot be written"
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

// decimalValue fills in the digits that the column has.
func decimalValue(c *cdc.Column, text string, isText bool) (cdc.Value, string) {
	d, err := parseDecimal(text)
	if !isText || err != nil {
		return cdc.Value{}, "write the digits in quotes: \"12.50\""
	}
	_, fraction, point := strings.Cut(string(d), ".")
	if len(strings.TrimRight(fraction, "0")) > int(c.Scale) {
		return cdc.Value{}, fmt.Sprintf("the column has %d digits after the point", c.Scale)
	}
	s := string(d)
	if missing := int(c.Scale) - len(fraction); missing > 0 {
		if !point {
			s += "."
		}
		s += strings.Repeat("0", missing)
	}
	return cdc.TextValue(cdc.KindDecimal, s), ""
}

func setValue(c *cdc.Column, x any) (cdc.Value, string) {
	items, ok := x.([]any)
	if !ok {
		return cdc.Value{}, "write a list: [a, b]"
	}
	var members []string
	for _, item := range items {
		m, ok := item.(string)
		if !ok || strings.Contains(m, ",") || len(c.Members) > 0 && !slices.Contains(c.Members, m) {
			return cdc.Value{}, "its members are '" + strings.Join(c.Members, "', '") + "'"
		}
		members = append(members, m)
	}
	return cdc.TextValue(cdc.KindSet, strings.Join(members, ",")), ""
}

func geometryValue(x any) (cdc.Value, string) {
	m, _ := x.(map[string]any)
	srid, _ := m["srid"].(json.Number)
	wkb, _ := m["wkb"].(string)
	n, err := strconv.ParseUint(string(srid), 10, 32)
	raw, err2 := base64.StdEncoding.DecodeString(wkb)
	if err != nil || err2 != nil || len(raw) == 0 {
		return cdc.Value{}, "write {srid: 4326, wkb: \"…\"} with the WKB in base64"
	}
	return cdc.TextValue(cdc.KindGeometry, string(binary.LittleEndian.AppendUint32(nil, uint32(n)))+string(raw)), ""
}

func vectorValue(x any) (cdc.Value, string) {
	items, ok := x.([]any)
	if !ok {
		return cdc.Value{}, "write a list of numbers"
	}
	var raw []byte
	for _, item := range items {
		num, _ := item.(json.Number)
		f, err := strconv.ParseFloat(string(num), 32)
		if err != nil {
			return cdc.Value{}, "write a list of numbers"
		}
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(f)))
	}
	return cdc.TextValue(cdc.KindVector, string(raw)), ""
}

// parseCivil reads what civilText gave.
func parseCivil(s string) cdc.Civil {
	n := func(from, to int) int {
		if to > len(s) {
			return 0
		}
		v, _ := strconv.Atoi(s[from:to])
		return v
	}
	return cdc.Civil{Year: n(0, 4), Month: n(5, 7), Day: n(8, 10), Hour: n(11, 13), Minute: n(14, 16), Second: n(17, 19), Micro: micros(s[min(len(s), 19):])}
}

// micros reads a fraction such as .123.
func micros(fraction string) int {
	digits := strings.TrimPrefix(fraction, ".")
	v, _ := strconv.Atoi((digits + "000000")[:6])
	return v
}

// parseTime reads what civilText gave for a TIME.
func parseTime(s string) int64 {
	digits := strings.TrimPrefix(s, "-")
	parts := strings.SplitN(digits, ":", 3)
	hours, _ := strconv.Atoi(parts[0])
	minutes, _ := strconv.Atoi(parts[1])
	whole, fraction, _ := strings.Cut(parts[2], ".")
	seconds, _ := strconv.Atoi(whole)
	n := int64(hours*3600+minutes*60+seconds)*1_000_000 + int64(micros(fraction))
	if s != digits {
		return -n
	}
	return n
}
