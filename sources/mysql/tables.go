package mysql

import (
	"context"
	"fmt"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/go-mysql-org/go-mysql/replication"
)

// tables knows the layouts of rows, by the bytes of the TABLE_MAP that announced them.
type tables struct {
	byMap map[string]*layout

	// columns returns what information_schema says about a table now; nil when there is no server to ask.
	columns func(ctx context.Context, schema, table string) ([]schemaColumn, error)
	flavor  string
}

const maxLayouts = 10_000

func newTables(flavor string, columns func(ctx context.Context, schema, table string) ([]schemaColumn, error)) *tables {
	return &tables{byMap: map[string]*layout{}, columns: columns, flavor: flavor}
}

// forget drops what depends on information_schema: a statement may have changed it.
func (t *tables) forget() { clear(t.byMap) }

// layout returns the layout that the TABLE_MAP announces. Equal TABLE_MAPs give the same pointers.
func (t *tables) layout(ctx context.Context, body []byte, te *replication.TableMapEvent) (*layout, error) {
	if l, ok := t.byMap[string(body)]; ok {
		return l, nil
	}
	l, named, err := readTableMap(te)
	if err != nil {
		return nil, err
	}
	switch {
	case !named:
		if l, err = t.fallback(ctx, l, te); err != nil {
			return nil, err
		}
	case t.flavor == FlavorMariaDB && t.columns != nil:
		if err := t.refine(ctx, l); err != nil {
			return nil, err
		}
	}
	if len(t.byMap) >= maxLayouts {
		clear(t.byMap)
	}
	t.byMap[string(body)] = l
	return l, nil
}

// fallback takes names, keys and members from information_schema, which tells what the table is like now, not what it
// was like when the rows were written. So everything that the TABLE_MAP does say must agree.
func (t *tables) fallback(ctx context.Context, l *layout, te *replication.TableMapEvent) (*layout, error) {
	name := l.table.String()
	if t.columns == nil {
		return nil, cdc.Errorf("CDCD-1312", "the binlog does not name the columns of %s", name).
			WithFix("SET GLOBAL binlog_row_metadata = 'FULL'")
	}
	now, err := t.columns(ctx, l.table.Schema, l.table.Name)
	if err != nil {
		return nil, err
	}
	contradiction := func(format string, args ...any) error {
		return cdc.Errorf("CDCD-1303", "%s was another table when its rows were written: %s", name, fmt.Sprintf(format, args...)).
			WithFix("SET GLOBAL binlog_row_metadata = 'FULL' before the next ALTER TABLE; these rows can only be read by a new epoch")
	}
	if len(now) != len(l.columns) {
		return nil, contradiction("it had %d columns, information_schema knows %d", len(l.columns), len(now))
	}
	out := &layout{table: &cdc.Table{Schema: l.table.Schema, Name: l.table.Name, Columns: make([]cdc.Column, len(now))},
		columns: make([]column, len(now))}
	for i := range now {
		c, v := &out.table.Columns[i], &out.columns[i]
		logged := &l.table.Columns[i]
		// Everything anew, as if the TABLE_MAP had said what information_schema says.
		*c = cdc.Column{Name: now[i].name, Nullable: logged.Nullable, Unsigned: now[i].parsed.Unsigned,
			Collation: now[i].collation, Members: now[i].parsed.Members, Key: now[i].key}
		if now[i].charset != "" {
			if v.charset = charsetByName[now[i].charset]; v.charset == nil {
				v.charset = &charset{name: now[i].charset, width: 1}
			}
		} else if now[i].parsed.Kind == cdc.KindBytes {
			v.charset = binaryCharset
		}
		tp, size := realType(te.ColumnType[i], te.ColumnMeta[i])
		if now[i].unsignedKnown(te, i) && logged.Unsigned != c.Unsigned {
			return nil, contradiction("column %d (%s now) was unsigned: %v", i+1, now[i].name, logged.Unsigned)
		}
		if v.charset == nil && textual(now[i].parsed.Kind) {
			v.charset = utf8mb4Charset // uuid, inet: ASCII
		}
		if err := describe(c, v, tp, size, te.ColumnMeta[i]); err != nil {
			return nil, columnError(out.table, i, err)
		}
		if now[i].refine(c, v, t.flavor) {
			continue
		}
		if c.Kind != now[i].parsed.Kind || !sameMeasures(c, &now[i].parsed) || len(c.Members) > 0 && v.size != memberBytes(c) {
			return nil, contradiction("column %d was %s, %s is %s now", i+1, c.Type, now[i].name, now[i].parsed.Type)
		}
		c.Type = now[i].parsed.Type
	}
	return out, nil
}

func textual(k cdc.Kind) bool { return k == cdc.KindString }

// sameMeasures compares what both sides must know. Lengths of text are compared by name: the log multiplies them.
func sameMeasures(logged, now *cdc.Column) bool {
	if logged.Fsp != now.Fsp || logged.Precision != now.Precision || logged.Scale != now.Scale || logged.Float32 != now.Float32 {
		return false
	}
	word := func(s string) string {
		s, _, _ = strings.Cut(strings.ToLower(s), "(")
		s, _, _ = strings.Cut(s, " ")
		return s
	}
	switch logged.Kind {
	case cdc.KindGeometry, cdc.KindEnum, cdc.KindSet, cdc.KindVector:
		return true
	case cdc.KindString, cdc.KindBytes:
		a, _, _ := strings.Cut(strings.ToLower(logged.Type), " ")
		b, _, _ := strings.Cut(strings.ToLower(now.Type), " ")
		return a == b || word(now.Type) == word(logged.Type) && !strings.Contains(b, "(")
	}
	return word(logged.Type) == word(now.Type) || word(now.Type) == "real"
}

// memberBytes returns how many bytes a value of an enum or set takes.
func memberBytes(c *cdc.Column) int {
	n := len(c.Members)
	if c.Kind == cdc.KindEnum {
		if n < 256 {
			return 1
		}
		return 2
	}
	if n = (n + 7) / 8; n > 4 {
		return 8
	}
	return n
}

// refine makes text of MariaDB's UUID, INET4 and INET6, which the log holds as plain binary columns.
func (t *tables) refine(ctx context.Context, l *layout) error {
	candidate := false
	for i := range l.columns {
		if v := &l.columns[i]; v.convert == convertBinary && (v.size == 16 || v.size == 4) {
			candidate = true
		}
	}
	if !candidate {
		return nil
	}
	now, err := t.columns(ctx, l.table.Schema, l.table.Name)
	if err != nil {
		return err
	}
	for _, s := range now {
		if i := l.table.Column(s.name); i >= 0 {
			s.refine(&l.table.Columns[i], &l.columns[i], t.flavor)
		}
	}
	return nil
}
