package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/match"
)

// Indexing says what a change of a table must be like for the index to look at a rule at all.
type Indexing struct {
	Rule  *Rule
	Table *cdc.Table
	Ops   []cdc.Op

	Any   []string // questions about a column, of which one must not be false; empty: see Every
	Every []string // what is evaluated on every change to find out; the rule is looked at if one of these is not false
	Steps uint64   // at most, in the units of CEL's cost model, for all parts of the condition that stay CEL
	Cost  uint64   // at most, in the same units, for the whole condition as CEL would evaluate it
}

// Indexing says how each rule that is judged is found, for each table that it names. Rules that do not fit a table are
// left out, and those without a condition, unless a plugin judges every change for them.
func (s *Set) Indexing(tables []*cdc.Table) []Indexing {
	var out []Indexing
	for _, r := range s.rules {
		for _, t := range tables {
			if !r.judged() || !r.names(t) {
				continue
			}
			p := s.plans.of(t)
			first := len(out)
			for _, op := range r.On {
				in, ok := p.indexing(r, op)
				if !ok {
					continue
				}
				same := slices.IndexFunc(out[first:], func(o Indexing) bool { return slices.Equal(o.Any, in.Any) && slices.Equal(o.Every, in.Every) })
				if same >= 0 {
					out[first+same].Cost = max(out[first+same].Cost, in.Cost)
					out[first+same].Ops = append(out[first+same].Ops, op)
				} else {
					out = append(out, in)
				}
			}
		}
	}
	return out
}

// Finding returns the warning that the rule is evaluated on every change, nil when it is not. cost is what that was
// measured to take, 0 when it is not known.
func (in Indexing) Finding(cost time.Duration) *Finding {
	if len(in.Every) == 0 || in.Rule.When == "" && in.Rule.Where == "" {
		return nil
	}
	r, ops := in.Rule, make([]string, len(in.Ops))
	for i, op := range in.Ops {
		ops[i] = op.String()
	}
	takes := ""
	if cost > 0 {
		takes = fmt.Sprintf(", which takes ~%d ns each time", cost.Nanoseconds())
	}
	key := "when"
	if r.Where != "" {
		key = "where"
	}
	return r.place.At(key).Error(codeEvery, fmt.Sprintf("every %s of %s is asked: %s%s", strings.Join(ops, " and "), in.Table, strings.Join(in.Every, ", "), takes)).
		Warn().
		Hint("if it is only about some changes, say which: changed('column') && …, or compare a column with a constant")
}

func (p *tablePlan) indexing(r *Rule, op cdc.Op) (Indexing, bool) {
	out := Indexing{Rule: r, Table: p.site.table, Ops: []cdc.Op{op}}
	o := p.op(op)
	if o == nil {
		return out, false
	}
	found := false
	for i, e := range o.entries {
		if e.program.rule != r || e.condition.when == nil {
			if e.program.rule == r && r.Filter != nil && r.When == "" {
				found = true
				out.Every = append(out.Every, "plugin "+r.Filter.Plugin)
			}
			continue
		}
		found = true
		out.Cost += e.condition.when.steps
		for _, ask := range e.condition.when.asks {
			if out.Steps += ask.steps; out.Steps < ask.steps {
				out.Steps = ask.steps
			}
		}
		for _, w := range o.index.Describe(i) {
			text := e.condition.when.witness(p.site.table, w)
			if w.Asked || w.Atom == nil {
				out.Every = append(out.Every, text)
			} else {
				out.Any = append(out.Any, text)
			}
		}
	}
	return out, found
}

// witness writes what the index looks for as a condition.
func (c *condition) witness(t *cdc.Table, w match.Witness) string {
	if w.Atom == nil {
		return "several parts together"
	}
	text := c.atom(t, w.Atom)
	switch {
	case w.Upper != nil:
		return text + " && " + c.atom(t, w.Upper)
	case w.Negated:
		return "!(" + text + ")"
	}
	return text
}

var signs = map[match.Test]string{match.Equal: " == ", match.In: " in ", match.Less: " < ", match.LessEqual: " <= ", match.Greater: " > ", match.GreaterEqual: " >= ",
	match.Prefix: ".startsWith(", match.Suffix: ".endsWith(", match.Contains: ".contains("}

// atom writes an atom as a condition.
func (c *condition) atom(t *cdc.Table, a *match.Atom) string {
	if a.Test == match.Opaque {
		for _, r := range c.asks {
			if r.number == a.Number {
				return r.text
			}
		}
		return "…"
	}
	column := t.Columns[a.Slot.Column].Name
	slot := images[a.Slot.Image] + selector(column)
	switch a.Slot.Derived {
	case match.Lower:
		slot += ".lowerAscii()"
	case match.Upper:
		slot += ".upperAscii()"
	case match.Trimmed:
		slot += ".trim()"
	case match.Folded:
		sign := ".equals("
		if a.Test != match.Equal {
			sign = signs[a.Test]
		}
		return slot + strings.TrimSuffix(sign, "(") + "IgnoreCase(" + constantText(a.Const) + ")"
	}
	switch a.Test {
	case match.Changed:
		return "changed('" + column + "')"
	case match.Null:
		return slot + " == null"
	case match.Present:
		return "has(" + slot + ")"
	case match.In:
		items := make([]string, 0, 4)
		for i, k := range a.Consts {
			if i == 3 && len(a.Consts) > 4 {
				items = append(items, "…")
				break
			}
			items = append(items, constantText(k))
		}
		return slot + " in [" + strings.Join(items, ", ") + "]"
	}
	text := slot + signs[a.Test] + constantText(a.Const)
	if strings.HasSuffix(signs[a.Test], "(") {
		text += ")"
	}
	return text
}

func constantText(v cdc.Value) string {
	switch v.Kind() {
	case cdc.KindString, cdc.KindEnum:
		return "'" + clip(v.Text()) + "'"
	case cdc.KindDecimal:
		return clip(v.Text())
	}
	return clip(v.String())
}

// Sample returns a plain event of an operation on a table, to measure with: no column is NULL, and few rules match it.
func Sample(t *cdc.Table, op cdc.Op) (cdc.Event, error) {
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "sample"})
	row := func(has bool) uint32 {
		if !has {
			return 0
		}
		w.BeginRow(len(t.Columns))
		for i := range t.Columns {
			if v := sampleValue(&t.Columns[i]); !v.IsNull() {
				w.Set(i, v)
			} else {
				w.SetNull(i)
			}
		}
		return w.EndRow()
	}
	e := cdc.EventInfo{Op: op, Tx: w.AddTx(cdc.Tx{GTID: "0-1-1"}), Table: w.AddTable(t)}
	e.Before = row(hasImage(op, 0))
	e.After = row(hasImage(op, 1))
	w.AddEvent(e)
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		return cdc.Event{}, err
	}
	return b.Event(0), nil
}

func sampleValue(c *cdc.Column) cdc.Value {
	switch c.Kind {
	case cdc.KindBool:
		return cdc.BoolValue(false)
	case cdc.KindInt64:
		return cdc.Int64Value(1)
	case cdc.KindUint64:
		return cdc.Uint64Value(1)
	case cdc.KindBit:
		return cdc.BitValue(0)
	case cdc.KindFloat64:
		return cdc.Float64Value(1)
	case cdc.KindDecimal:
		return cdc.TextValue(c.Kind, "1.00")
	case cdc.KindString, cdc.KindBytes:
		return cdc.TextValue(c.Kind, "sample text")
	case cdc.KindEnum, cdc.KindSet:
		if len(c.Members) > 0 {
			return cdc.TextValue(c.Kind, c.Members[0])
		}
		return cdc.TextValue(c.Kind, "")
	case cdc.KindDate, cdc.KindDatetime:
		return cdc.CivilValue(c.Kind, cdc.Civil{Year: 2026, Month: 1, Day: 1})
	case cdc.KindTime:
		return cdc.TimeValue(0)
	case cdc.KindTimestamp:
		return cdc.TimestampValue(1_767_225_600_000_000)
	case cdc.KindJSON:
		return cdc.TextValue(c.Kind, `{"sample": [1, 2, "text"]}`)
	}
	return cdc.NullValue()
}
