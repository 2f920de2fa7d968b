package mysql

import (
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
)

// Mask replaces the values of a column before they are written anywhere. It may be used by several goroutines at once.
type Mask interface {
	// Column describes the column as readers of frames see it. Name and Key must stay as they are.
	Column(c cdc.Column) cdc.Column
	// Value returns what stands for a value that is neither null nor absent: a pure function of what it gets, of the kind
	// that Column says. place is schema.table.column, c the column unmasked. The value is only valid during the call.
	Value(place string, c *cdc.Column, v cdc.Value) (cdc.Value, error)
}

// ColumnMask says which columns a mask is for.
type ColumnMask struct {
	Columns string // schema.table.column with * and ? as wildcards, e.g. "crm.*.phone"
	Mask    Mask
}

// treatments says what becomes of columns before they are written anywhere. It is immutable.
type treatments struct {
	drop  []cdc.ColumnGlob
	masks []columnMask
}

type columnMask struct {
	columns cdc.ColumnGlob
	mask    Mask
}

func newTreatments(cfg *Config) (*treatments, error) {
	t := &treatments{}
	parse := func(key, text string) (cdc.ColumnGlob, error) {
		g, err := cdc.ParseColumnGlob(text)
		if err != nil {
			return g, cdc.Errorf("CDCD-1213", "%s: '%s' is not a pattern of columns: %w", key, text, err).
				WithFix("write it like shop.customers.email or *.*.email")
		}
		return g, nil
	}
	for _, text := range cfg.DropColumns {
		g, err := parse("drop_columns", text)
		if err != nil {
			return nil, err
		}
		t.drop = append(t.drop, g)
	}
	for _, m := range cfg.MaskColumns {
		g, err := parse("mask_columns", m.Columns)
		if err != nil {
			return nil, err
		}
		t.masks = append(t.masks, columnMask{g, m.Mask})
	}
	return t, nil
}

// of says what becomes of the table's columns: what is to be dropped is dropped, else the first mask counts.
func (t *treatments) of(schema, table string) func(column string) rowimage.Treatment {
	return func(column string) rowimage.Treatment {
		for _, g := range t.drop {
			if g.Match(schema, table, column) {
				return rowimage.Treatment{Drop: true}
			}
		}
		for _, m := range t.masks {
			if m.columns.Match(schema, table, column) {
				return rowimage.Treatment{Mask: m.mask}
			}
		}
		return rowimage.Treatment{}
	}
}

// layout returns the layout as rows of the table are written.
func (t *treatments) layout(l *rowimage.Layout) (*rowimage.Layout, error) {
	return l.Treat(t.of(l.Table().Schema, l.Table().Name))
}

// table returns the table as readers of frames see it.
func (t *treatments) table(of *cdc.Table) (*cdc.Table, error) {
	out, _, err := rowimage.Treat(of, t.of(of.Schema, of.Name))
	return out, err
}

// plain reports whether a column is written as it is.
func (t *treatments) plain(schema, table, column string) bool {
	return t.of(schema, table)(column) == rowimage.Treatment{}
}
