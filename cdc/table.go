package cdc

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Table is a table as it was when a change was written. Tables are immutable once they are in a frame or came out of
// one; equal tables read through one [Tables] are the same pointer, so a pointer may key what was compiled for it.
type Table struct {
	Schema  string // database
	Name    string
	Columns []Column

	// Dropped names the columns that the source leaves out. It is known of a table that the source was asked for; frames
	// do not have it.
	Dropped []string

	// made once by readTable, since a table is asked for them with every event
	key  []int
	json *jsonNames
}

// Column describes one column.
type Column struct {
	Name      string
	Type      string   // SQL type as information_schema says it when known ("decimal(12,2)", "bigint unsigned"), for people
	Kind      Kind     // kind of its values, unless they are null or absent
	Nullable  bool     // true also when it is not known
	Unsigned  bool     // integers and decimals
	Float32   bool     // FLOAT: a float64 that holds a float32
	Fsp       uint8    // fractional digits of time, datetime and timestamp
	Precision uint8    // digits of a decimal; bits of a bit
	Scale     uint8    // digits after the point of a decimal
	Key       uint16   // place in the primary key from 1; 0 when not part of it
	Collation uint16   // collation id of the server; 0 when not known or not text
	Members   []string // members of an enum or set, in order
}

// String returns schema.name.
func (t *Table) String() string { return t.Schema + "." + t.Name }

// Column returns the index of the named column (names are compared exactly), or -1.
func (t *Table) Column(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Key returns the indexes of the primary key's columns in key order; empty when there is none. The slice is shared.
func (t *Table) Key() []int {
	if t.key != nil {
		return t.key
	}
	return t.keyColumns()
}

func (t *Table) keyColumns() []int {
	key := []int{}
	for i := range t.Columns {
		if t.Columns[i].Key != 0 {
			key = append(key, i)
		}
	}
	slices.SortStableFunc(key, func(i, j int) int { return cmp.Compare(t.Columns[i].Key, t.Columns[j].Key) })
	return key
}

// ParseType fills a column's kind and measures from an SQL type as information_schema's COLUMN_TYPE writes it, e.g.
// "decimal(12,2) unsigned", "enum('a','b')", "datetime(3)". It reports whether the type is known. Character columns
// with the binary collation are of kind bytes in MySQL only when their type says so (binary, varbinary, blob).
func ParseType(sqlType string) (Column, bool) {
	c := Column{Type: sqlType, Nullable: true}
	text := strings.ToLower(strings.TrimSpace(sqlType))
	word := text
	if i := strings.IndexAny(text, " ("); i >= 0 {
		word = text[:i]
	}
	args, attributes := "", sqlType
	if i := strings.IndexByte(sqlType, '('); i >= 0 {
		if j := strings.LastIndexByte(sqlType, ')'); j > i {
			args, attributes = sqlType[i+1:j], sqlType[j+1:]
		}
	}
	attributes = strings.ToLower(attributes)
	arg := func(i int) uint8 {
		parts := strings.Split(args, ",")
		if i >= len(parts) {
			return 0
		}
		n, _ := strconv.ParseUint(strings.TrimSpace(parts[i]), 10, 8)
		return uint8(n)
	}
	c.Unsigned = strings.Contains(attributes, " unsigned") || strings.Contains(attributes, " zerofill") || word == "serial"
	switch word {
	case "tinyint", "smallint", "mediumint", "int", "integer", "bigint", "serial", "bool", "boolean":
		c.Kind = KindInt64
		if c.Unsigned {
			c.Kind = KindUint64
		}
	case "year":
		c.Kind = KindInt64
	case "float":
		c.Kind, c.Float32 = KindFloat64, args == "" || strings.Contains(args, ",") || arg(0) <= 24
	case "double", "real":
		c.Kind = KindFloat64
	case "decimal", "numeric", "dec", "fixed":
		c.Kind, c.Precision, c.Scale = KindDecimal, arg(0), arg(1)
		if args == "" {
			c.Precision = 10
		}
	case "char", "varchar", "nchar", "nvarchar", "text", "tinytext", "mediumtext", "longtext",
		"inet4", "inet6", "uuid":
		c.Kind = KindString
	case "binary", "varbinary", "blob", "tinyblob", "mediumblob", "longblob":
		c.Kind = KindBytes
	case "date":
		c.Kind = KindDate
	case "time":
		c.Kind, c.Fsp = KindTime, arg(0)
	case "datetime":
		c.Kind, c.Fsp = KindDatetime, arg(0)
	case "timestamp":
		c.Kind, c.Fsp = KindTimestamp, arg(0)
	case "json":
		c.Kind = KindJSON
	case "enum":
		c.Kind, c.Members = KindEnum, parseMembers(args)
	case "set":
		c.Kind, c.Members = KindSet, parseMembers(args)
	case "bit":
		c.Kind, c.Precision = KindBit, max(arg(0), 1)
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
		"geometrycollection", "geomcollection":
		c.Kind = KindGeometry
	case "vector":
		c.Kind = KindVector
	default:
		return c, false
	}
	return c, true
}

// parseMembers splits the members of an enum or set. In information_schema a quote within a member is doubled, and
// backslash, newline, carriage return and zero byte are escaped by a backslash.
func parseMembers(s string) []string {
	var out []string
	for i := 0; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		var b strings.Builder
		for i++; i < len(s); i++ {
			c := s[i]
			if c == '\'' {
				if i+1 == len(s) || s[i+1] != '\'' {
					break
				}
				i++
			}
			if c == '\\' && i+1 < len(s) {
				i++
				switch c = s[i]; c {
				case 'n':
					c = '\n'
				case 'r':
					c = '\r'
				case '0':
					c = 0
				}
			}
			b.WriteByte(c)
		}
		out = append(out, b.String())
	}
	return out
}
