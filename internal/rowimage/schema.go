package rowimage

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// Column is a column as information_schema describes it now.
type Column struct {
	cdc.Column
	Known   bool   // the type is known
	Charset string // name of its character set, if it has one
	Hidden  bool   // it stands in row images only: see [HashColumn]
}

// HashColumn is the n-th column that MariaDB adds to a table for UNIQUE keys of long columns.
func HashColumn(n int) Column {
	return Column{Known: true, Hidden: true, Column: cdc.Column{Name: hashPrefix + strconv.Itoa(n), Type: "bigint unsigned", Kind: cdc.KindUint64,
		Unsigned: true, Nullable: true}}
}

// New makes the layout of a table from what information_schema says, the same as [Read] makes of a TABLE_MAP that says
// everything: the binlog's types follow from the SQL types, and from there on it is one road. flavor is "mysql" or
// "mariadb".
func New(schema, table string, now []Column, flavor string) (*Layout, error) {
	l, _, err := expected(schema, table, now, flavor)
	return l, err
}

// Resolve takes names, keys and members from information_schema, which tells what the table is like now, not what it
// was like when the rows were written. So everything that the TABLE_MAP does say must agree. flavor is "mysql" or
// "mariadb".
func Resolve(m *TableMap, now []Column, flavor string) (*Layout, error) {
	logged, err := Read(m)
	if err != nil {
		return nil, err
	}
	contradiction := func(format string, args ...any) error {
		return cdc.Errorf("CDCD-1303", "%s was another table when its rows were written: %s", logged.table, fmt.Sprintf(format, args...)).
			WithFix("SET GLOBAL binlog_row_metadata = 'FULL' before the next ALTER TABLE; `cdcd resync` begins a new epoch behind these rows")
	}
	if len(now) != len(logged.columns) {
		return nil, contradiction("it had %d columns, information_schema knows %d", len(logged.columns), len(now))
	}
	l, types, err := expected(logged.table.Schema, logged.table.Name, now, flavor)
	if err != nil {
		return nil, err
	}
	for i := range now {
		c, was := &l.table.Columns[i], &logged.table.Columns[i]
		if types[i] != (binlogType{m.columns[i].tp, m.columns[i].size}) {
			return nil, contradiction("column %d was %s, %s is %s now", i+1, was.Type, c.Name, now[i].Type)
		}
		if m := unshown(c, l.columns[i].charset); m != "" {
			return nil, cdc.Errorf("CDCD-1308", "column %s of %s: information_schema may not show its member %q as it is: there, "+
				"characters such as emoji are question marks", c.Name, l.table, m).WithFix("SET GLOBAL binlog_row_metadata = 'FULL'")
		}
		if m.signs && isNumber(&m.columns[i]) && c.Unsigned != was.Unsigned {
			return nil, contradiction("column %d (%s now) was unsigned: %v", i+1, c.Name, was.Unsigned)
		}
		c.Nullable = was.Nullable
	}
	return l, nil
}

// unshown returns a member of an enum or set that information_schema may not have shown as it is: there, on both servers,
// characters beyond the basic plane are question marks.
func unshown(c *cdc.Column, cs *charset) string {
	if cs == nil || cs.width < 4 {
		return ""
	}
	for _, m := range c.Members {
		if strings.Contains(m, "?") {
			return m
		}
	}
	return ""
}

// expected returns the layout of a table, and the types that a TABLE_MAP gives its columns.
func expected(schema, table string, now []Column, flavor string) (*Layout, []binlogType, error) {
	t := &cdc.Table{Schema: schema, Name: table, Columns: make([]cdc.Column, len(now))}
	l := &Layout{table: t, columns: make([]column, len(now))}
	types := make([]binlogType, len(now))
	for i := range now {
		n, c, v := &now[i], &t.Columns[i], &l.columns[i]
		*c = cdc.Column{Name: n.Name, Nullable: n.Nullable, Unsigned: n.Unsigned, Collation: n.Collation, Members: n.Members, Key: n.Key}
		switch {
		case n.Charset != "":
			if v.charset = charsetByName[n.Charset]; v.charset == nil {
				v.charset = &charset{name: n.Charset, width: 1}
			}
		case n.Kind == cdc.KindBytes:
			v.charset = binaryCharset
		case n.Collation != 0:
			v.charset = charsetOf(uint64(n.Collation))
		}
		var err error
		if types[i], err = n.binlogType(v.charset); err == nil {
			err = describe(c, v, types[i].tp, types[i].size, uint16(types[i].size))
		}
		if err != nil {
			return nil, nil, columnError(t, i, err)
		}
		if c.Kind == cdc.KindGeometry {
			c.Type = geometryName(n.Type)
		}
		n.refine(c, v, flavor)
		v.hidden = n.Hidden
	}
	l.settle()
	return l, types, nil
}

// binlogType is the type of a column in the binlog, and its measure: a size in bytes, or how [describe] wants it.
type binlogType struct {
	tp   byte
	size int
}

// binlogType returns the type that the TABLE_MAP of such a column says.
func (n *Column) binlogType(cs *charset) (binlogType, error) {
	text := strings.ToLower(n.Type)
	word := text
	if i := strings.IndexAny(text, " ("); i >= 0 {
		word = text[:i]
	}
	length := 0
	if _, rest, ok := strings.Cut(text, "("); ok {
		digits, _, _ := strings.Cut(rest, ")")
		length, _ = strconv.Atoi(digits)
	}
	width := 1
	if cs != nil {
		width = cs.width
	}
	if strings.Contains(text, "mariadb-5.3") { // a comment behind temporals of the old format
		switch word {
		case "time":
			return binlogType{gomysql.MYSQL_TYPE_TIME, 0}, nil
		case "datetime":
			return binlogType{gomysql.MYSQL_TYPE_DATETIME, 0}, nil
		case "timestamp":
			return binlogType{gomysql.MYSQL_TYPE_TIMESTAMP, 0}, nil
		}
	}
	blob, varchar := byte(gomysql.MYSQL_TYPE_BLOB), binlogType{gomysql.MYSQL_TYPE_VARCHAR, length * width}
	if strings.HasSuffix(text, "compressed*/") { // varchar(100) /*M!100301 COMPRESSED*/
		blob, varchar = typeBlobCompressed, binlogType{typeVarcharCompressed, length*width + 1}
	}
	switch word {
	case "tinyint":
		return binlogType{gomysql.MYSQL_TYPE_TINY, 0}, nil
	case "smallint":
		return binlogType{gomysql.MYSQL_TYPE_SHORT, 0}, nil
	case "mediumint":
		return binlogType{gomysql.MYSQL_TYPE_INT24, 0}, nil
	case "int":
		return binlogType{gomysql.MYSQL_TYPE_LONG, 0}, nil
	case "bigint":
		return binlogType{gomysql.MYSQL_TYPE_LONGLONG, 0}, nil
	case "year":
		return binlogType{gomysql.MYSQL_TYPE_YEAR, 0}, nil
	case "float":
		return binlogType{gomysql.MYSQL_TYPE_FLOAT, 4}, nil
	case "double":
		return binlogType{gomysql.MYSQL_TYPE_DOUBLE, 8}, nil
	case "decimal":
		return binlogType{gomysql.MYSQL_TYPE_NEWDECIMAL, int(n.Precision)<<8 | int(n.Scale)}, nil
	case "bit":
		return binlogType{gomysql.MYSQL_TYPE_BIT, int(n.Precision)/8<<8 | int(n.Precision)%8}, nil
	case "date":
		return binlogType{gomysql.MYSQL_TYPE_DATE, 0}, nil
	case "time":
		return binlogType{gomysql.MYSQL_TYPE_TIME2, int(n.Fsp)}, nil
	case "datetime":
		return binlogType{gomysql.MYSQL_TYPE_DATETIME2, int(n.Fsp)}, nil
	case "timestamp":
		return binlogType{gomysql.MYSQL_TYPE_TIMESTAMP2, int(n.Fsp)}, nil
	case "char", "binary":
		return binlogType{gomysql.MYSQL_TYPE_STRING, length * width}, nil
	case "varchar", "varbinary":
		return varchar, nil
	case "tinytext", "tinyblob":
		return binlogType{blob, 1}, nil
	case "text", "blob":
		return binlogType{blob, 2}, nil
	case "mediumtext", "mediumblob":
		return binlogType{blob, 3}, nil
	case "longtext", "longblob":
		return binlogType{blob, 4}, nil
	case "enum":
		return binlogType{gomysql.MYSQL_TYPE_ENUM, memberBytes(&n.Column)}, nil
	case "set":
		return binlogType{gomysql.MYSQL_TYPE_SET, memberBytes(&n.Column)}, nil
	case "json":
		return binlogType{gomysql.MYSQL_TYPE_JSON, 4}, nil
	case "vector":
		return binlogType{gomysql.MYSQL_TYPE_VECTOR, 4}, nil
	case "uuid", "inet6", "inet4":
		return binlogType{gomysql.MYSQL_TYPE_STRING, mariadbTypes[word]}, nil
	}
	if n.Known && n.Kind == cdc.KindGeometry {
		return binlogType{gomysql.MYSQL_TYPE_GEOMETRY, 4}, nil
	}
	return binlogType{}, fmt.Errorf("its type %s is not known", n.Type)
}

// geometryName is the name that the TABLE_MAP has for it.
func geometryName(sqlType string) string {
	word, _, _ := strings.Cut(strings.ToLower(sqlType), " ")
	if word == "geomcollection" {
		return "geometrycollection"
	}
	return word
}

// mariadbTypes are those that the log has as plain binary columns, with their sizes.
var mariadbTypes = map[string]int{"uuid": 16, "inet6": 16, "inet4": 4}

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

// refine changes a binary column into what MariaDB's types hold.
func (n *Column) refine(c *cdc.Column, v *column, flavor string) {
	word, _, _ := strings.Cut(strings.ToLower(n.Type), " ")
	size := mariadbTypes[word]
	if flavor != gomysql.MariaDBFlavor || size == 0 || v.convert != convertBinary || v.size != size {
		return
	}
	v.convert, v.size, v.charset = convertInet, size, nil
	if word == "uuid" {
		v.convert = convertUUID
	}
	c.Kind, c.Type, c.Collation = cdc.KindString, word, 0
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
