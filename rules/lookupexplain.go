package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/mask/method"
)

// LookUp puts a question of a look-up to the source.
type LookUp func(q *cdc.Query) (*cdc.Answer, error)

// LookingIn returns the same set, which looks up what its rules want where it explains an event. Decide and what is like it leave that to
// the caller all the same.
func (s *Set) LookingIn(source LookUp) *Set {
	looking := *s
	looking.source = source
	return &looking
}

// LookedUp is what came of a look-up for an event.
type LookedUp struct {
	Name  string   `json:"name"`
	Table string   `json:"table"`
	By    string   `json:"by,omitempty"`   // id = 7; "" when a part of the key is NULL
	Asked bool     `json:"asked"`          // of the source
	Rows  []string `json:"rows,omitempty"` // that count, JSON, with what the rule delivers of them; *** for what it masks
	At    string   `json:"at,omitempty"`   // the GTIDs that had been executed where it was read
}

// lookUp has the rule's look-ups made for an event that is matched so far, and takes what they find into the explanation.
func (x *Explanation) lookUp(r *Rule, source LookUp, m cdc.RuleMatch, e cdc.Event) {
	because := letThrough(x.because())
	looker, rows, open := NewLooker(r), make([]Rows, len(r.Lookups)), false
	fails := func(err error) {
		x.Outcome, x.To, x.Error = Failing, nil, problem(err)
		x.Summary = "fails: " + x.Error.What + because
	}
	for n, l := range r.Lookups {
		looked := LookedUp{Name: l.Name, Table: l.Table}
		key, err := looker.Key(e, n)
		if err != nil {
			fails(err)
			return
		}
		if key != nil {
			looked.By = keyText(l, key)
		}
		switch {
		case key == nil: // nothing equals NULL
		case source == nil:
			open = true
		default:
			q := l.Query()
			q.Keys, q.After = [][]cdc.Value{key}, e.Position()
			a, err := source(&q)
			if err != nil {
				x.Lookups = append(x.Lookups, looked)
				x.Outcome, x.To, x.Error = Undecided, nil, problem(err)
				x.Summary = fmt.Sprintf("matches if look-up %s finds what it should, but it could not be made: %s%s", l.Name, plainError(err), because)
				return
			}
			looked.Asked, rows[n].At, looked.At = true, a.At, a.At
			for _, i := range slices.Concat(a.Rows...) {
				rows[n].Rows = append(rows[n].Rows, a.Batch.Event(i).After())
			}
		}
		x.Lookups = append(x.Lookups, looked)
	}
	if open {
		if r.mayDrop() {
			x.Outcome, x.To = Undecided, nil
			x.Summary = "matches if " + some(r.lookupNames(), "and") + map[bool]string{true: " is", false: " are"}[len(r.Lookups) == 1] +
				" found as the rule wants, but nobody looked" + because
		}
		return
	}
	taken, kept, err := looker.Take(e, m, rows)
	switch {
	case err != nil:
		fails(err)
	case !kept:
		x.Outcome, x.To = NotMatched, nil
		x.Summary = "does not match because " + looker.whyNot(e, rows) + because
	default:
		for n, l := range taken.Lookups {
			for _, row := range l.Rows {
				x.Lookups[n].Rows = append(x.Lookups[n].Rows, shownRow(r.Show, l.Name, row))
			}
		}
	}
}

// shownRow writes what a rule shows of a row that its look-up has found. What the methods of masks make of values is the business of
// who delivers, and needs keys.
func shownRow(show *cdc.Show, name string, row cdc.Row) string {
	if show == nil {
		return string(cdc.AppendRow(nil, row))
	}
	dst := []byte{'{'}
	for i := range row.Len() {
		c, v := &row.Table().Columns[i], row.Value(i)
		of := func(p cdc.Path) bool { return p.Of == name && (p.Column == "*" || p.Column == c.Name) }
		if v.IsAbsent() || len(show.Select) > 0 && !slices.ContainsFunc(show.Select, of) {
			continue
		}
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(cdc.AppendString(dst, c.Name), ':')
		if !v.IsNull() && slices.ContainsFunc(show.Mask, func(m cdc.MaskPath) bool { return of(m.Path) }) {
			dst = cdc.AppendString(dst, method.Redacted)
		} else {
			dst = cdc.AppendJSON(dst, c, v)
		}
	}
	return string(append(dst, '}'))
}

// because is what the summary says after "because".
func (x *Explanation) because() string {
	_, because, _ := strings.Cut(x.Summary, " because ")
	if because != "" {
		because = " because " + because
	}
	return because
}

// mayDrop reports whether what is looked up may keep the rule from matching.
func (r *Rule) mayDrop() bool {
	return r.Having != "" || slices.ContainsFunc(r.Lookups, func(l *Lookup) bool { return l.Missing != MissingNull || l.Where != "" })
}

// whyNot says what dropped a change.
func (l *Looker) whyNot(e cdc.Event, rows []Rows) string {
	for n, spec := range l.rule.Lookups {
		if found, err := l.counting(l.last, e, n, rows[n].Rows); err == nil && len(found) == 0 && spec.Missing == MissingDrop {
			if n := len(rows[n].Rows); n > 0 {
				return fmt.Sprintf("look-up %s finds %s in %s, of which none satisfies its where", spec.Name, rowCount(n), spec.Table)
			}
			return fmt.Sprintf("look-up %s finds no row in %s", spec.Name, spec.Table)
		}
	}
	return "what is looked up does not satisfy having"
}

// keyText writes a key for people: id = 7.
func keyText(l *Lookup, key []cdc.Value) string {
	var parts []string
	for i, part := range l.By {
		parts = append(parts, part.Column+" = "+clip(key[i].String()))
	}
	return some(parts, "and")
}

// lookupLines describes the look-ups below the conditions.
func (x *Explanation) lookupLines() string {
	var b strings.Builder
	for i, l := range x.Lookups {
		if i == 0 {
			b.WriteString("  lookup\n")
		}
		switch {
		case l.By == "":
			fmt.Fprintf(&b, "    · %s: a part of its key is NULL, so there is no row\n", l.Name)
		case !l.Asked:
			fmt.Fprintf(&b, "    · %s in %s by %s: nobody looked\n", l.Name, l.Table, l.By)
		case len(l.Rows) == 0:
			fmt.Fprintf(&b, "    ✗ %s in %s by %s: no row that is delivered\n", l.Name, l.Table, l.By)
		default:
			fmt.Fprintf(&b, "    ✓ %s in %s by %s: %s\n", l.Name, l.Table, l.By, rowCount(len(l.Rows)))
			for _, row := range l.Rows[:min(len(l.Rows), 5)] {
				fmt.Fprintf(&b, "        %s\n", row)
			}
		}
	}
	return b.String()
}
