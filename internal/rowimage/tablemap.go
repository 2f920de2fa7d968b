package rowimage

import (
	"fmt"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// Layout is what a TABLE_MAP event says about the rows that follow it, in the form that values are converted by.
// It is immutable.
type Layout struct {
	table   *cdc.Table
	columns []column // of the row image, in its order
}

// Table returns the table that the rows are of. It is always the same pointer.
func (l *Layout) Table() *cdc.Table { return l.table }

// column is all that the conversion of one column's values needs.
type column struct {
	convert  conversion
	kind     cdc.Kind
	at       int // the column's index in the frame's table
	charset  *charset
	size     int      // BINARY: its length; ENUM, SET: bytes of a value; integers: bytes
	members  []string // of ENUM and SET
	unsigned bool
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

// MariaDB's column types that only it writes.
const (
	typeBlobCompressed    = 140
	typeVarcharCompressed = 141
)

// realType undoes what TABLE_MAP does to CHAR, BINARY, ENUM and SET, which share a type: the metadata holds the real
// type and the length, whose upper two bits are hidden in the type.
func realType(tp byte, meta uint16) (byte, int) {
	if tp != gomysql.MYSQL_TYPE_STRING || meta < 256 {
		return tp, int(meta)
	}
	b0, b1 := byte(meta>>8), byte(meta)
	if b0&0x30 != 0x30 {
		return b0 | 0x30, int(b1) | int(b0&0x30^0x30)<<4
	}
	return b0, int(b1)
}

// Read describes the columns by what the event says. named reports whether it names them; without names, nothing but
// the physical types is sure.
func Read(te *replication.TableMapEvent) (l *Layout, named bool, err error) {
	defer func() {
		if r := recover(); r != nil { // go-mysql trusts that the metadata speaks of all columns
			err = cdc.Errorf("CDCD-1307", "the columns of %s.%s cannot be decoded: %v", te.Schema, te.Table, r)
		}
	}()
	n := int(te.ColumnCount)
	named = len(te.ColumnName) == n && n > 0
	t := &cdc.Table{Schema: string(te.Schema), Name: string(te.Table), Columns: make([]cdc.Column, n)}
	l = &Layout{table: t, columns: make([]column, n)}
	unsigned, collations, memberSets := te.UnsignedMap(), te.CollationMap(), te.EnumSetCollationMap()
	enums, sets, geometries := te.EnumStrValueMap(), te.SetStrValueMap(), te.GeometryTypeMap()
	for i := range n {
		c, v := &t.Columns[i], &l.columns[i]
		if named {
			c.Name = string(te.ColumnName[i])
		}
		known, nullable := te.Nullable(i)
		c.Nullable = !known || nullable
		if collation, ok := collations[i]; ok {
			c.Collation = uint16(collation)
			v.charset = charsetOf(collation)
		}
		c.Unsigned = unsigned[i]
		tp, size := realType(te.ColumnType[i], te.ColumnMeta[i])
		var list []string
		switch tp {
		case gomysql.MYSQL_TYPE_ENUM:
			list = enums[i]
		case gomysql.MYSQL_TYPE_SET:
			list = sets[i]
		}
		if collation, ok := memberSets[i]; ok {
			c.Collation = uint16(collation)
			if list, err = decodeMembers(list, charsetOf(collation)); err != nil {
				return nil, false, columnError(t, i, err)
			}
		}
		c.Members = list
		if err := describe(c, v, tp, size, te.ColumnMeta[i]); err != nil {
			return nil, false, columnError(t, i, err)
		}
		if tp == gomysql.MYSQL_TYPE_GEOMETRY {
			c.Collation, v.charset = 0, nil // MariaDB counts them among the columns with a character set
			if kind, ok := geometries[i]; ok && kind < uint64(len(geometryNames)) {
				c.Type = geometryNames[kind]
			}
		}
	}
	for at, i := range te.PrimaryKey {
		if i < uint64(n) {
			t.Columns[i].Key = uint16(at + 1)
		}
	}
	l.settle()
	return l, named, nil
}

// settle fills in what follows from the table.
func (l *Layout) settle() {
	for i := range l.columns {
		l.columns[i].at, l.columns[i].kind = i, l.table.Columns[i].Kind
	}
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

// describe fills in what follows from the binlog's type.
func describe(c *cdc.Column, v *column, tp byte, size int, meta uint16) error {
	integer := func(name string, bytes int) {
		c.Kind, v.convert, v.size = cdc.KindInt64, convertInt, bytes
		c.Type = name
		if v.unsigned = c.Unsigned; c.Unsigned {
			c.Kind, c.Type = cdc.KindUint64, name+" unsigned"
		}
	}
	fsp := func(name string, kind cdc.Kind, how conversion) {
		c.Kind, v.convert, c.Fsp, c.Type = kind, how, uint8(meta), name
		if meta > 0 {
			c.Type = fmt.Sprintf("%s(%d)", name, meta)
		}
	}
	isBinary := v.charset == binaryCharset
	if !isBinary && c.Collation == 0 && v.charset == nil {
		isBinary = true // no metadata: the caller asks information_schema
	}
	text := func(name string) {
		c.Kind, v.convert, c.Type = cdc.KindString, convertText, name
	}
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
		c.Kind, v.convert, c.Type, c.Unsigned = cdc.KindInt64, convertYear, "year", false
	case gomysql.MYSQL_TYPE_FLOAT, gomysql.MYSQL_TYPE_DOUBLE:
		c.Kind, v.convert, c.Type = cdc.KindFloat64, convertFloat, "double"
		if tp == gomysql.MYSQL_TYPE_FLOAT {
			c.Type, c.Float32 = "float", true
		}
		if c.Unsigned {
			c.Type += " unsigned"
		}
	case gomysql.MYSQL_TYPE_NEWDECIMAL:
		c.Kind, v.convert, c.Precision, c.Scale = cdc.KindDecimal, convertDecimal, uint8(meta>>8), uint8(meta)
		c.Type = fmt.Sprintf("decimal(%d,%d)", c.Precision, c.Scale)
		if c.Unsigned {
			c.Type += " unsigned"
		}
	case gomysql.MYSQL_TYPE_BIT:
		c.Kind, v.convert, c.Precision = cdc.KindBit, convertBit, uint8(meta>>8*8+meta&0xff)
		c.Type = fmt.Sprintf("bit(%d)", c.Precision)
	case gomysql.MYSQL_TYPE_DATE:
		c.Kind, v.convert, c.Type = cdc.KindDate, convertDate, "date"
	case gomysql.MYSQL_TYPE_TIME2:
		fsp("time", cdc.KindTime, convertTime)
	case gomysql.MYSQL_TYPE_DATETIME2:
		fsp("datetime", cdc.KindDatetime, convertDatetime)
	case gomysql.MYSQL_TYPE_TIMESTAMP2:
		fsp("timestamp", cdc.KindTimestamp, convertTimestamp)
	case gomysql.MYSQL_TYPE_VARCHAR, gomysql.MYSQL_TYPE_VAR_STRING:
		if isBinary {
			c.Kind, v.convert, c.Type = cdc.KindBytes, convertBytes, fmt.Sprintf("varbinary(%d)", meta)
			break
		}
		text(fmt.Sprintf("varchar(%d)", int(meta)/v.charset.width))
	case gomysql.MYSQL_TYPE_STRING:
		if isBinary {
			c.Kind, v.convert, v.size, c.Type = cdc.KindBytes, convertBinary, size, fmt.Sprintf("binary(%d)", size)
			break
		}
		text(fmt.Sprintf("char(%d)", size/v.charset.width))
	case gomysql.MYSQL_TYPE_BLOB:
		prefix := [...]string{"", "tiny", "", "medium", "long"}[min(meta, 4)]
		if isBinary {
			c.Kind, v.convert, c.Type = cdc.KindBytes, convertBytes, prefix+"blob"
			break
		}
		text(prefix + "text")
	case gomysql.MYSQL_TYPE_ENUM:
		c.Kind, v.convert, v.size, v.members = cdc.KindEnum, convertEnum, int(meta&0xff), c.Members
		c.Type = memberType("enum", c.Members)
	case gomysql.MYSQL_TYPE_SET:
		c.Kind, v.convert, v.size, v.members = cdc.KindSet, convertSet, int(meta&0xff), c.Members
		c.Type = memberType("set", c.Members)
	case gomysql.MYSQL_TYPE_JSON:
		c.Kind, v.convert, c.Type = cdc.KindJSON, convertJSON, "json"
	case gomysql.MYSQL_TYPE_GEOMETRY:
		c.Kind, v.convert, c.Type = cdc.KindGeometry, convertBytes, "geometry"
	case gomysql.MYSQL_TYPE_VECTOR:
		c.Kind, v.convert, c.Type = cdc.KindVector, convertBytes, "vector"
	case gomysql.MYSQL_TYPE_TIME, gomysql.MYSQL_TYPE_DATETIME, gomysql.MYSQL_TYPE_TIMESTAMP:
		return fmt.Errorf("it has the temporal format of before MySQL 5.6, whose length the binlog does not tell")
	case typeBlobCompressed, typeVarcharCompressed:
		return fmt.Errorf("it is a COMPRESSED column, which cannot be read from the binlog")
	default:
		return fmt.Errorf("its type %d is not known", tp)
	}
	if c.Kind == cdc.KindBytes {
		c.Collation = 0
	}
	if v.charset != nil && !v.charset.known && v.convert == convertText {
		return fmt.Errorf("the character set %s is not supported", v.charset.name)
	}
	return nil
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
	name := t.Columns[i].Name
	if name == "" {
		name = fmt.Sprintf("number %d", i+1)
	}
	e := cdc.Errorf("CDCD-1308", "column %s of %s: %w", name, t, err)
	return e.WithFix("ALTER TABLE %s MODIFY the column to a type and character set that can be captured, or do not capture the table", t)
}
