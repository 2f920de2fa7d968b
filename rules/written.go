package rules

import (
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// Written is an event that somebody wrote into a file, with values in the form in which they are delivered.
type Written struct {
	Op            string
	Table         string // "" when there is only one
	Before, After map[string]any
	CommitTime    string
	Captured      bool // a column that is not given was not in the row image; else it is NULL if it may be
}

// Event makes the event that stands at a place of a file. What is wrong with it is of type [Findings].
func (w *Written) Event(at strictyaml.Place, tables []*cdc.Table) (cdc.Event, error) {
	p := parser{}
	s := p.step(at, eventYAML{w.Op, w.Table, w.Before, w.After, w.CommitTime}, nil)
	t, wrong := tableOf(w.Table, tables)
	if wrong != nil {
		p.fail(at.At("table"), codeFixture, "%s", wrong.What).Hint("%s", strings.ReplaceAll(wrong.Fix, `"`, ""))
	}
	if len(p.errs) > 0 {
		return cdc.Event{}, p.errs
	}
	tx := cdc.Tx{GTID: "0-1-1", CommitTime: s.commit.Truncate(time.Microsecond), Rows: 1, Ends: true}
	e, fail := newEvent(t, eventSpec{op: s.op, before: s.before, after: s.after, captured: w.Captured, source: "test", tx: tx, no: 1, partNo: 1},
		func(image, column, msg, hint string) *Finding {
			e := at.At(image, column).Error(codeFixture, msg)
			if t.Column(column) < 0 {
				e = at.At(image, column).KeyError(codeFixture, msg)
			}
			if hint != "" {
				e.Hint("%s", hint)
			}
			return e
		})
	if fail != nil {
		return cdc.Event{}, Findings{fail}
	}
	return e, nil
}

// SchemaSection is the section `tables` of a schema file, in a file that has other things, too.
type SchemaSection map[string]tableYAML

// Tables returns the tables of the section, which stands at a place of a file. What is wrong with it is of type [Findings].
func (s SchemaSection) Tables(at strictyaml.Place) ([]*cdc.Table, error) {
	p := parser{}
	tables := p.schemaTables(at, s)
	return tables, p.errs.Err()
}
