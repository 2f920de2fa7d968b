package rowimage

import (
	"fmt"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// Layout is what a TABLE_MAP event says about the rows that follow it, in the form that values are converted by.
// It is immutable.
type Layout struct {
	table   *cdc.Table
	columns []column // of the row image, in its order
	jsons   int      // how many of them hold binary JSON

	bad       *badText
	untreated *cdc.Table // with all columns of the row image; nil when that is table
}

// Table returns the table that the rows are of. It is always the same pointer.
func (l *Layout) Table() *cdc.Table { return l.table }

// column is all that the conversion of one column's values needs.
type column struct {
	convert   conversion
	kind      cdc.Kind
	fixed     uint8 // bytes of a value in a row image, when they are always the same
	prefix    uint8 // bytes of the length that stands before a value otherwise
	fsp       uint8
	precision uint8
	scale     uint8
	unsigned  bool
	json      uint16 // number among the columns with binary JSON, from 1; 0 for others
	at        int    // the column's index in the frame's table; -1 if it is dropped
	size      int    // BINARY: its length; ENUM, SET: bytes of a value
	charset   *charset
	members   []string // of ENUM and SET
	packed    bool     // it is a COMPRESSED column
	skips     bool     // its values cannot be converted, but skipped
	hidden    bool     // the server's own, which no SELECT * and no information_schema shows
	masked    *masked  // nil if its values are written as they are
	longest   uint64   // bytes that a value of a COMPRESSED column can have
	isMember  map[string]struct{}
	bad       *badText // of the layout
}

type conversion uint8

const (
	convertInt conversion = iota + 1
	convertYear
	convertFloat
	convertDecimal
	convertBit
	convertDate
	convertTime
	convertDatetime
	convertTimestamp
	convertText
	convertBytes  // BLOB, VARBINARY, GEOMETRY, VECTOR: as they are
	convertBinary // BINARY: padded to its size
	convertUUID   // MariaDB's UUID
	convertInet   // MariaDB's INET4 and INET6
	convertEnum
	convertSet
	convertJSON
)

// realType undoes what TABLE_MAP does to CHAR, BINARY, ENUM and SET, which share a type: the metadata holds the real
// type and the length, whose upper two bits are hidden in the type.
func realType(tp byte, meta uint16) (byte, int) {
	if tp != gomysql.MYSQL_TYPE_STRING || meta < 256 {
		return tp, int(meta)
	}
	b0, b1 := byte(meta>>8), byte(meta)
	size := int(b1)
	if b0&0x30 != 0x30 {
		b0, size = b0|0x30, size|int(b0&0x30^0x30)<<4
	}
	switch b0 {
	case gomysql.MYSQL_TYPE_STRING, gomysql.MYSQL_TYPE_ENUM, gomysql.MYSQL_TYPE_SET:
		return b0, size
	}
	return gomysql.MYSQL_TYPE_NULL, size // nothing that a server writes
}

// Read describes the columns by what the event says. Where it does not name them, nothing but the physical types is sure.
func Read(m *TableMap) (*Layout, error) {
	return ReadExcept(m, func(string) bool { return false })
}

// ReadExcept is [Read] for who drops some columns: of those, values need only be skipped, so that text of any character
// set will do.
func ReadExcept(m *TableMap, dropped func(column string) bool) (*Layout, error) {
	t := &cdc.Table{Schema: m.Schema, Name: m.Table, Columns: make([]cdc.Column, len(m.columns))}
	l := &Layout{table: t, columns: make([]column, len(m.columns))}
	for i := range m.columns {
		was, c, v := &m.columns[i], &t.Columns[i], &l.columns[i]
		*c = cdc.Column{Name: was.name, Nullable: was.nullable, Unsigned: was.unsigned, Collation: uint16(was.collation), Members: was.members, Key: was.key}
		if was.collation != 0 {
			v.charset = charsetOf(was.collation)
			if hasMembers(was) {
				var err error
				if c.Members, err = decodeMembers(was.members, v.charset); err != nil {
					return nil, columnError(t, i, err)
				}
			}
		}
		if err := describe(c, v, was.tp, was.size, was.meta); err != nil && !(v.skips && dropped(c.Name)) {
			return nil, columnError(t, i, err)
		}
		if was.tp == gomysql.MYSQL_TYPE_GEOMETRY || was.tp == gomysql.MYSQL_TYPE_VECTOR {
			c.Collation, v.charset = 0, nil // servers count them among the columns with a character set
			if was.tp == gomysql.MYSQL_TYPE_GEOMETRY && was.geometry < uint64(len(geometryNames)) {
				c.Type = geometryNames[was.geometry]
			}
		}
	}
	l.settle()
	return l, nil
}

// settle fills in what follows from the table.
func (l *Layout) settle() {
	l.bad = &badText{}
	for i := range l.columns {
		c, v := &l.table.Columns[i], &l.columns[i]
		v.bad = l.bad
		v.at, v.kind, v.fsp, v.precision, v.scale = i, c.Kind, c.Fsp, c.Precision, c.Scale
		if v.convert == convertJSON {
			l.jsons++
			v.json = uint16(l.jsons)
		}
		if len(v.members) > 0 {
			v.isMember = make(map[string]struct{}, len(v.members))
			for _, m := range v.members {
				v.isMember[m] = struct{}{}
			}
		}
	}
}

// HideHashes marks the columns that MariaDB adds at the end of a table for UNIQUE keys of long columns. [Layout.Treat]
// drops them.
func (l *Layout) HideHashes() {
	for i := len(l.columns) - 1; i >= 0; i-- {
		c, v := &l.table.Columns[i], &l.columns[i]
		if !strings.HasPrefix(c.Name, hashPrefix) || v.convert != convertInt || v.fixed != 8 || !c.Unsigned || !c.Nullable {
			return
		}
		v.hidden = true
	}
}

const hashPrefix = "DB_ROW_HASH_"

// name returns a column's name for messages.
func (l *Layout) name(i int) string {
	if l.untreated != nil {
		return columnName(l.untreated, i)
	}
	return columnName(l.table, i)
}

var geometryNames = [...]string{"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
	"multipolygon", "geometrycollection"}

func decodeMembers(members []string, cs *charset) ([]string, error) {
	out := make([]string, len(members))
	for i, m := range members {
		var err error
		if out[i], err = cs.decode(m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// describe fills in what follows from the binlog's type. What it accepts, put and set can convert.
func describe(c *cdc.Column, v *column, tp byte, size int, meta uint16) error {
	is := func(kind cdc.Kind, how conversion, name string) { c.Kind, v.convert, c.Type = kind, how, name }
	integer := func(name string, bytes uint8) {
		is(cdc.KindInt64, convertInt, name)
		v.fixed = bytes
		if v.unsigned = c.Unsigned; c.Unsigned {
			c.Kind, c.Type = cdc.KindUint64, name+" unsigned"
		}
	}
	temporal := func(kind cdc.Kind, how conversion, name string, bytes uint8) error {
		if meta > 6 {
			return fmt.Errorf("it has %d fractional digits", meta)
		}
		is(kind, how, name)
		c.Fsp, v.fixed = uint8(meta), bytes+uint8(meta+1)/2
		if meta > 0 {
			c.Type = fmt.Sprintf("%s(%d)", name, meta)
		}
		return nil
	}
	short := func(longest int) { // text whose length takes one byte, or two when it can be 256 or more
		if v.prefix = 1; longest > 255 {
			v.prefix = 2
		}
	}
	long := func() error {
		if meta < 1 || meta > 4 {
			return fmt.Errorf("its lengths take %d bytes", meta)
		}
		v.prefix = uint8(meta)
		return nil
	}
	isBinary := v.charset == binaryCharset
	if !isBinary && c.Collation == 0 && v.charset == nil {
		isBinary = true // no metadata: the caller asks information_schema
	}
	var err error
	switch tp {
	case gomysql.MYSQL_TYPE_TINY:
		integer("tinyint", 1)
	case gomysql.MYSQL_TYPE_SHORT:
		integer("smallint", 2)
	case gomysql.MYSQL_TYPE_INT24:
		integer("mediumint", 3)
	case gomysql.MYSQL_TYPE_LONG:
		integer("int", 4)
	case gomysql.MYSQL_TYPE_LONGLONG:
		integer("bigint", 8)
	case gomysql.MYSQL_TYPE_YEAR:
		is(cdc.KindInt64, convertYear, "year")
		c.Unsigned, v.fixed = false, 1
	case gomysql.MYSQL_TYPE_FLOAT, gomysql.MYSQL_TYPE_DOUBLE:
		is(cdc.KindFloat64, convertFloat, "double")
		v.fixed = 8
		if tp == gomysql.MYSQL_TYPE_FLOAT {
			c.Type, c.Float32, v.fixed = "float", true, 4
		}
		if c.Unsigned {
			c.Type += " unsigned"
		}
	case gomysql.MYSQL_TYPE_NEWDECIMAL:
		precision, scale := int(meta>>8), int(meta&0xff)
		if precision < 1 || precision > 65 || scale > precision {
			return fmt.Errorf("it is a decimal of %d digits, %d of them after the point", precision, scale)
		}
		is(cdc.KindDecimal, convertDecimal, fmt.Sprintf("decimal(%d,%d)", precision, scale))
		c.Precision, c.Scale, v.fixed = uint8(precision), uint8(scale), uint8(decimalSize(precision, scale))
		if c.Unsigned {
			c.Type += " unsigned"
		}
	case gomysql.MYSQL_TYPE_BIT:
		n := int(meta>>8)*8 + int(meta&0xff)
		if n < 1 || n > 64 {
			return fmt.Errorf("it has %d bits", n)
		}
		is(cdc.KindBit, convertBit, fmt.Sprintf("bit(%d)", n))
		c.Precision, v.fixed = uint8(n), uint8(n+7)/8
	case gomysql.MYSQL_TYPE_DATE:
		is(cdc.KindDate, convertDate, "date")
		v.fixed = 3
	case gomysql.MYSQL_TYPE_TIME2:
		err = temporal(cdc.KindTime, convertTime, "time", 3)
	case gomysql.MYSQL_TYPE_DATETIME2:
		err = temporal(cdc.KindDatetime, convertDatetime, "datetime", 5)
	case gomysql.MYSQL_TYPE_TIMESTAMP2:
		err = temporal(cdc.KindTimestamp, convertTimestamp, "timestamp", 4)
	case gomysql.MYSQL_TYPE_VARCHAR, gomysql.MYSQL_TYPE_VAR_STRING, typeVarcharCompressed:
		length := int(meta)
		if short(length); tp == typeVarcharCompressed {
			length-- // the byte that tells how it is compressed
			v.packed, v.longest = true, uint64(max(length, 0))
		}
		if isBinary {
			is(cdc.KindBytes, convertBytes, fmt.Sprintf("varbinary(%d)", length))
		} else {
			is(cdc.KindString, convertText, fmt.Sprintf("varchar(%d)", length/v.charset.width))
		}
	case gomysql.MYSQL_TYPE_STRING:
		short(size)
		if isBinary {
			is(cdc.KindBytes, convertBinary, fmt.Sprintf("binary(%d)", size))
			v.size = size
		} else {
			is(cdc.KindString, convertText, fmt.Sprintf("char(%d)", size/v.charset.width))
		}
	case gomysql.MYSQL_TYPE_BLOB, typeBlobCompressed:
		prefix := [...]string{"", "tiny", "", "medium", "long"}[min(meta, 4)]
		v.packed, v.longest = tp == typeBlobCompressed, 1<<(8*min(meta, 4))-1
		if err = long(); isBinary {
			is(cdc.KindBytes, convertBytes, prefix+"blob")
		} else {
			is(cdc.KindString, convertText, prefix+"text")
		}
	case gomysql.MYSQL_TYPE_ENUM:
		if size != 1 && size != 2 {
			return fmt.Errorf("its values take %d bytes", size)
		}
		is(cdc.KindEnum, convertEnum, memberType("enum", c.Members))
		v.fixed, v.size, v.members = uint8(size), size, c.Members
	case gomysql.MYSQL_TYPE_SET:
		if size < 1 || size > 8 || len(c.Members) > 64 {
			return fmt.Errorf("its values take %d bytes and have %d members", size, len(c.Members))
		}
		is(cdc.KindSet, convertSet, memberType("set", c.Members))
		v.fixed, v.size, v.members = uint8(size), size, c.Members
	case gomysql.MYSQL_TYPE_JSON:
		is(cdc.KindJSON, convertJSON, "json")
		err = long()
	case gomysql.MYSQL_TYPE_GEOMETRY:
		is(cdc.KindGeometry, convertBytes, "geometry")
		err = long()
	case gomysql.MYSQL_TYPE_VECTOR:
		is(cdc.KindVector, convertBytes, "vector")
		err = long()
	case gomysql.MYSQL_TYPE_TIME, gomysql.MYSQL_TYPE_DATETIME, gomysql.MYSQL_TYPE_TIMESTAMP:
		return fmt.Errorf("it has the temporal format of before MySQL 5.6, whose length the binlog does not tell")
	default:
		return fmt.Errorf("its type %d is not known", tp)
	}
	if c.Kind == cdc.KindBytes {
		c.Collation = 0
	}
	if err == nil && v.charset != nil && !v.charset.known && v.convert == convertText {
		v.skips = true
		err = fmt.Errorf("the character set %s is not supported", v.charset.name)
	}
	return err
}

func memberType(name string, members []string) string {
	var b strings.Builder
	b.WriteString(name)
	b.WriteByte('(')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\'')
		b.WriteString(strings.ReplaceAll(m, "'", "''"))
		b.WriteByte('\'')
	}
	b.WriteByte(')')
	return b.String()
}

func columnError(t *cdc.Table, i int, err error) error {
	e := cdc.Errorf("CDCD-1308", "column %s of %s: %w", columnName(t, i), t, err)
	return e.WithFix("ALTER TABLE %s MODIFY the column to a type and character set that can be captured, or do not capture the table", t)
}

func columnName(t *cdc.Table, i int) string {
	if name := t.Columns[i].Name; name != "" {
		return name
	}
	return fmt.Sprintf("number %d", i+1)
}
