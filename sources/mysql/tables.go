package mysql

import (
	"context"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
)

// tables knows the layouts of rows, by the bytes of the TABLE_MAP that announced them.
type tables struct {
	byMap map[string]*rowimage.Layout
	bytes int // roughly what they take

	// columns returns what information_schema says about a table now; nil when there is no server to ask.
	columns lookup
	flavor  string
	treated *treatments
	asked   borrowed
}

type lookup func(ctx context.Context, schema, table string) (now []rowimage.Column, at Place, err error)

// Limits of what is remembered. A table of 1,000 columns takes half a megabyte.
const (
	maxLayouts     = 10_000
	maxLayoutBytes = 64 << 20
)

func newTables(flavor string, treated *treatments, columns lookup, asked borrowed) *tables {
	return &tables{byMap: map[string]*rowimage.Layout{}, columns: columns, flavor: flavor, treated: treated, asked: asked}
}

// forget drops what depends on information_schema: a statement may have changed it.
func (t *tables) forget() {
	clear(t.byMap)
	t.bytes = 0
}

// layout returns the layout that the TABLE_MAP announces. Equal TABLE_MAPs give the same pointers.
func (t *tables) layout(ctx context.Context, body []byte) (*rowimage.Layout, error) {
	if l, ok := t.byMap[string(body)]; ok {
		return l, nil
	}
	l, err := t.read(ctx, body)
	if err != nil {
		return nil, err
	}
	if l, err = t.treated.layout(l); err != nil {
		return nil, err
	}
	size := 4*len(body) + 400*l.Columns()
	if len(t.byMap) >= maxLayouts || t.bytes+size > maxLayoutBytes {
		t.forget()
	}
	t.byMap[string(body)] = l
	t.bytes += size
	return l, nil
}

func (t *tables) read(ctx context.Context, body []byte) (*rowimage.Layout, error) {
	m, err := rowimage.ParseTableMap(body, t.flavor)
	if err != nil {
		return nil, err
	}
	of := t.treated.of(m.Schema, m.Table)
	l, err := rowimage.ReadExcept(m, func(column string) bool { return of(column).Drop })
	if err != nil {
		return nil, err
	}
	if t.flavor == FlavorMariaDB {
		l.HideHashes()
	}
	switch {
	case !m.Named() && t.columns == nil:
		return nil, cdc.Errorf("CDCD-1312", "the binlog does not name the columns of %s", l.Table()).
			WithFix("SET GLOBAL binlog_row_metadata = 'FULL'")
	case m.Named() && (t.columns == nil || !l.Ambiguous(t.flavor)):
		return l, nil
	}
	now, at, err := t.columns(ctx, l.Table().Schema, l.Table().Name)
	if err != nil {
		return nil, err
	}
	if !m.Named() {
		t.asked.note(l.Table().Schema, l.Table().Name, at)
		return rowimage.Resolve(m, now, t.flavor)
	}
	return l.Refine(now, t.flavor), nil
}
