package rowimage

import (
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
)

// Mask replaces the values of a column.
type Mask interface {
	// Column describes the column as readers of the frame see it. Name and Key stay as they are.
	Column(c cdc.Column) cdc.Column
	// Value returns what stands for a value that is neither null nor absent; it must be of the kind that Column says.
	// place is schema.table.column, c the column unmasked. The value is only valid during the call.
	Value(place string, c *cdc.Column, v cdc.Value) (cdc.Value, error)
}

// Treatment is what becomes of a column before it is written anywhere. The zero value leaves it as it is.
type Treatment struct {
	Drop bool // neither its name nor its values are written
	Mask Mask // nil: its values are written as they are
}

// Treat returns the table as readers of frames see it, and where each column has gone: its index there, or -1. Where
// nothing is to be done it returns t itself. A table that would lose its key, or all columns, is refused.
func Treat(t *cdc.Table, of func(column string) Treatment) (treated *cdc.Table, at []int, err error) {
	treated = &cdc.Table{Schema: t.Schema, Name: t.Name, Dropped: slices.Clone(t.Dropped)}
	at = make([]int, len(t.Columns))
	masked := false
	for i := range t.Columns {
		c := &t.Columns[i]
		treatment := of(c.Name)
		switch {
		case treatment.Drop && c.Key != 0:
			return nil, nil, cdc.Errorf("CDCD-1212", "drop_columns would take %s from %s, which is part of its primary key", c.Name, t).
				WithFix("mask it with hmac, which keeps rows apart, or exclude the table")
		case treatment.Drop:
			at[i] = -1
			treated.Dropped = append(treated.Dropped, c.Name)
			continue
		case treatment.Mask != nil:
			masked = true
			treated.Columns = append(treated.Columns, treatment.Mask.Column(*c))
		default:
			treated.Columns = append(treated.Columns, *c)
		}
		at[i] = len(treated.Columns) - 1
	}
	switch {
	case len(treated.Columns) == 0 && len(t.Columns) > 0:
		return nil, nil, cdc.Errorf("CDCD-1212", "drop_columns would take every column of %s", t).WithFix("exclude the table")
	case !masked && len(treated.Columns) == len(t.Columns):
		return t, at, nil
	}
	return treated, at, nil
}

// masked is a column whose values are masked.
type masked struct {
	mask   Mask
	place  string
	column cdc.Column // unmasked
}

// Treat returns the layout with columns dropped and masked, and without what is the server's own. Where nothing is to be
// done it returns l itself.
func (l *Layout) Treat(of func(column string) Treatment) (*Layout, error) {
	of = l.withoutHidden(of)
	table, at, err := Treat(l.table, of)
	if err != nil || table == l.table {
		return l, err
	}
	// The names of dropped columns are for people who look at a schema; in a table of frames they are nowhere.
	table.Dropped = nil
	out := *l
	out.table, out.columns, out.untreated, out.bad = table, slices.Clone(l.columns), l.table, &badText{}
	for i := range out.columns {
		c, from := &out.columns[i], &l.table.Columns[i]
		c.at, c.bad = at[i], out.bad
		if treatment := of(from.Name); c.at >= 0 && treatment.Mask != nil {
			c.masked = &masked{treatment.Mask, l.table.String() + "." + from.Name, *from}
		}
	}
	return &out, nil
}

func (l *Layout) withoutHidden(of func(column string) Treatment) func(column string) Treatment {
	hidden := map[string]bool{}
	for i := range l.columns {
		if l.columns[i].hidden {
			hidden[l.table.Columns[i].Name] = true
		}
	}
	return func(column string) Treatment {
		if hidden[column] {
			return Treatment{Drop: true}
		}
		return of(column)
	}
}

// maskLast replaces the value that was written last, which is the column's.
func (c *column) maskLast(b *cdc.Builder) error {
	return b.Replace(c.at, func(v cdc.Value) (cdc.Value, error) { return c.masked.mask.Value(c.masked.place, &c.masked.column, v) })
}
