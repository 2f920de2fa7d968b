package rowimage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// Column is a column as information_schema describes it now.
type Column struct {
	cdc.Column
	Known   bool   // the type is known
	Charset string // name of its character set, if it has one
}

// Resolve takes names, keys and members from information_schema, which tells what the table is like now, not what it
// was like when the rows were written. So everything that the TABLE_MAP does say must agree. flavor is "mysql" or
// "mariadb".
func Resolve(te *replication.TableMapEvent, now []Column, flavor string) (*Layout, error) {
	l, _, err := Read(te)
	if err != nil {
		return nil, err
	}
	contradiction := func(format string, args ...any) error {
		return cdc.Errorf("CDCD-1303", "%s was another table when its rows were written: %s", l.table, fmt.Sprintf(format, args...)).
			WithFix("SET GLOBAL binlog_row_metadata = 'FULL' before the next ALTER TABLE; `cdcd resync` begins a new epoch behind these rows")
	}
	if len(now) != len(l.columns) {
		return nil, contradiction("it had %d columns, information_schema knows %d", len(l.columns), len(now))
	}
	out := &Layout{table: &cdc.Table{Schema: l.table.Schema, Name: l.table.Name, Columns: make([]cdc.Column, len(now))},
		columns: make([]column, len(now))}
	for i := range now {
		n, logged := &now[i], &l.table.Columns[i]
		c, v := &out.table.Columns[i], &out.columns[i]
		// Everything anew, as if the TABLE_MAP had said what information_schema says.
		*c = cdc.Column{Name: n.Name, Nullable: logged.Nullable, Unsigned: n.Unsigned, Collation: n.Collation,
			Members: n.Members, Key: n.Key}
		if n.Charset != "" {
			if v.charset = charsetByName[n.Charset]; v.charset == nil {
				v.charset = &charset{name: n.Charset, width: 1}
			}
		} else if n.Kind == cdc.KindBytes {
			v.charset = binaryCharset
		}
		tp, size := realType(te.ColumnType[i], te.ColumnMeta[i])
		if n.unsignedKnown(te, i) && logged.Unsigned != c.Unsigned {
			return nil, contradiction("column %d (%s now) was unsigned: %v", i+1, n.Name, logged.Unsigned)
		}
		if v.charset == nil && n.Kind == cdc.KindString {
			v.charset = utf8mb4Charset // uuid, inet: ASCII
		}
		if err := describe(c, v, tp, size, te.ColumnMeta[i]); err != nil {
			return nil, columnError(out.table, i, err)
		}
		if n.refine(c, v, flavor) {
			continue
		}
		if c.Kind != n.Kind || !sameMeasures(c, &n.Column) || len(c.Members) > 0 && v.size != memberBytes(c) {
			return nil, contradiction("column %d was %s, %s is %s now", i+1, c.Type, n.Name, n.Type)
		}
		c.Type = n.Type
	}
	out.settle()
	return out, nil
}

// Ambiguous reports whether information_schema may know better what a column holds: the log has MariaDB's UUID, INET4
// and INET6 as plain binary columns.
func (l *Layout) Ambiguous(flavor string) bool {
	return flavor == gomysql.MariaDBFlavor && slices.ContainsFunc(l.columns, func(v column) bool {
		return v.convert == convertBinary && (v.size == 16 || v.size == 4)
	})
}

// Refine returns the layout with text in the place of MariaDB's UUID, INET4 and INET6.
func (l *Layout) Refine(now []Column, flavor string) *Layout {
	t := &cdc.Table{Schema: l.table.Schema, Name: l.table.Name, Columns: slices.Clone(l.table.Columns)}
	out := &Layout{table: t, columns: slices.Clone(l.columns)}
	for i := range now {
		if at := t.Column(now[i].Name); at >= 0 {
			now[i].refine(&t.Columns[at], &out.columns[at], flavor)
		}
	}
	out.settle()
	return out
}

// unsignedKnown reports whether the TABLE_MAP says if the column is unsigned.
func (n *Column) unsignedKnown(te *replication.TableMapEvent, i int) bool {
	return len(te.SignednessBitmap) > 0 && te.IsNumericColumn(i) && n.Kind != cdc.KindFloat64
}

// refine changes a binary column into what MariaDB's types hold, and reports whether it was one.
func (n *Column) refine(c *cdc.Column, v *column, flavor string) bool {
	if flavor != gomysql.MariaDBFlavor {
		return false
	}
	word, _, _ := strings.Cut(strings.ToLower(n.Type), " ")
	size := map[string]int{"uuid": 16, "inet6": 16, "inet4": 4}[word]
	if size == 0 || v.convert != convertBinary && v.convert != convertText || v.size != 0 && v.size != size {
		return false
	}
	v.convert, v.size, v.charset = convertInet, size, nil
	if word == "uuid" {
		v.convert = convertUUID
	}
	c.Kind, c.Type, c.Collation = cdc.KindString, word, 0
	return true
}

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
