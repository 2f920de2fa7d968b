package rowimage

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// TableMap is a TABLE_MAP event: what the log says of a table before its rows. [ParseTableMap] reads it in one pass, and in
// memory in proportion to its bytes, whatever they claim.
type TableMap struct {
	Schema, Table string

	columns []logged
	named   bool // it names the columns
	signs   bool // it says which numbers are unsigned
}

// logged is what a TABLE_MAP says of a column.
type logged struct {
	name      string
	tp        byte // as [realType] tells it
	size      int
	meta      uint16
	nullable  bool
	unsigned  bool
	collation uint64 // 0 where it is not told
	members   []string
	geometry  uint64
	key       uint16 // place in the primary key, from 1
}

// Columns returns how many columns the table has.
func (m *TableMap) Columns() int { return len(m.columns) }

// Named reports whether the columns are named, as they are with binlog_row_metadata = FULL.
func (m *TableMap) Named() bool { return m.named }

// MariaDB's column types that only it writes: COMPRESSED columns.
const (
	typeBlobCompressed    = 140
	typeVarcharCompressed = 141
)

// mostColumns is how many columns a table can have.
const mostColumns = 4096

// The optional fields of a TABLE_MAP that are read. They speak of columns of some kind, one after the other: the n-th
// collation is that of the n-th column with text.
const (
	fieldSigns = iota + 1
	fieldDefaultCollation
	fieldCollations
	fieldNames
	fieldSetMembers
	fieldEnumMembers
	fieldGeometries
	fieldKey
	fieldKeyWithPrefixes
	fieldDefaultCollationOfMembers
	fieldCollationsOfMembers
	fieldsEnd
)

// ParseTableMap reads a TABLE_MAP from the table's name on: without header, table id and flags, which change from one event
// to the next, and without checksum. flavor is "mysql" or "mariadb".
func ParseTableMap(body []byte, flavor string) (*TableMap, error) {
	m := &TableMap{}
	if err := m.parse(&cutter{rest: body}, flavor); err != nil {
		return nil, cdc.Errorf("CDCD-1307", "the columns of %s.%s cannot be decoded: %w", m.Schema, m.Table, err)
	}
	return m, nil
}

func (m *TableMap) parse(c *cutter, flavor string) error {
	m.Schema, m.Table = c.name(), c.name()
	types := c.bytes(c.packed())
	if len(types) > mostColumns {
		return fmt.Errorf("it has %d columns", len(types))
	}
	m.columns = make([]logged, len(types))
	metas := cutter{rest: c.bytes(c.packed())}
	for i, tp := range types {
		l := &m.columns[i]
		l.meta = metas.meta(tp)
		l.tp, l.size = realType(tp, l.meta)
	}
	nullable := c.bytes(uint64(len(types)+7) / 8)
	if c.short || metas.short || len(metas.rest) > 0 {
		return errCutMap
	}
	for i := range m.columns {
		m.columns[i].nullable = bit(nullable, i)
	}
	for seen := 0; len(c.rest) > 0; {
		kind := c.bytes(1)[0]
		value := cutter{rest: c.bytes(c.packed())}
		if kind >= fieldsEnd && !c.short {
			continue // of a later version
		}
		if c.short || seen&(1<<kind|1<<otherForm[kind]) != 0 {
			return errCutMap
		}
		seen |= 1 << kind
		if err := m.field(kind, &value, flavor); err != nil {
			return err
		}
		if value.short || len(value.rest) > 0 {
			return fmt.Errorf("its field %d has another length than its columns ask for", kind)
		}
	}
	return nil
}

// otherForm is the field that says the same in another form: a server writes one of the two.
var otherForm = [fieldsEnd]byte{
	fieldDefaultCollation: fieldCollations, fieldCollations: fieldDefaultCollation,
	fieldDefaultCollationOfMembers: fieldCollationsOfMembers, fieldCollationsOfMembers: fieldDefaultCollationOfMembers,
	fieldKey: fieldKeyWithPrefixes, fieldKeyWithPrefixes: fieldKey,
}

var errCutMap = errors.New("the TABLE_MAP is cut short or contradicts itself")

// SkipFields looks whether the optional fields of a TABLE_MAP can be told apart.
func SkipFields(fields []byte) error {
	for c := (&cutter{rest: fields}); len(c.rest) > 0; {
		c.byte()
		if c.bytes(c.packed()); c.short {
			return errCutMap
		}
	}
	return nil
}

// field takes what an optional field says.
func (m *TableMap) field(kind byte, value *cutter, flavor string) error {
	switch kind {
	case fieldSigns:
		m.signs = true
		bits, n := value.rest, 0
		m.each(isNumber, func(l *logged) {
			if n>>3 < len(bits) {
				l.unsigned = bits[n>>3]>>(7-n&7)&1 != 0
			}
			n++
		})
		value.bytes(uint64(n+7) / 8)
	case fieldDefaultCollation:
		m.collations(value, hasText(flavor))
	case fieldCollations:
		m.each(hasText(flavor), func(l *logged) { l.collation = value.packed() })
	case fieldDefaultCollationOfMembers:
		m.collations(value, hasMembers)
	case fieldCollationsOfMembers:
		m.each(hasMembers, func(l *logged) { l.collation = value.packed() })
	case fieldNames:
		m.named = len(m.columns) > 0
		m.each(nil, func(l *logged) { l.name = string(value.bytes(uint64(value.byte()))) })
	case fieldSetMembers:
		m.each(isType(gomysql.MYSQL_TYPE_SET), func(l *logged) { l.members = value.list() })
	case fieldEnumMembers:
		m.each(isType(gomysql.MYSQL_TYPE_ENUM), func(l *logged) { l.members = value.list() })
	case fieldGeometries:
		m.each(isType(gomysql.MYSQL_TYPE_GEOMETRY), func(l *logged) { l.geometry = value.packed() })
	case fieldKey, fieldKeyWithPrefixes:
		for at := uint16(1); len(value.rest) > 0; at++ {
			column := value.packed()
			if kind == fieldKeyWithPrefixes {
				value.packed() // of how many characters the key is
			}
			if column >= uint64(len(m.columns)) || m.columns[column].key != 0 {
				return fmt.Errorf("its primary key has a column that is not there, or is there twice")
			}
			m.columns[column].key = at
		}
	}
	return nil
}

// each goes through the columns of a kind.
func (m *TableMap) each(is func(*logged) bool, do func(*logged)) {
	for i := range m.columns {
		if l := &m.columns[i]; is == nil || is(l) {
			do(l)
		}
	}
}

// collations takes the collation that most columns of a kind have, and which of them has another.
func (m *TableMap) collations(value *cutter, is func(*logged) bool) {
	usual, others := value.packed(), map[uint64]uint64{}
	for len(value.rest) > 0 {
		n := value.packed()
		others[n] = value.packed()
	}
	n := uint64(0)
	m.each(is, func(l *logged) {
		var ok bool
		if l.collation, ok = others[n]; !ok {
			l.collation = usual
		}
		n++
	})
}

func isNumber(l *logged) bool {
	switch l.tp {
	case gomysql.MYSQL_TYPE_TINY, gomysql.MYSQL_TYPE_SHORT, gomysql.MYSQL_TYPE_INT24, gomysql.MYSQL_TYPE_LONG, gomysql.MYSQL_TYPE_LONGLONG,
		gomysql.MYSQL_TYPE_DECIMAL, gomysql.MYSQL_TYPE_NEWDECIMAL, gomysql.MYSQL_TYPE_FLOAT, gomysql.MYSQL_TYPE_DOUBLE, gomysql.MYSQL_TYPE_YEAR:
		return true
	}
	return false
}

// hasText tells the columns that a server counts as such with a character set. MySQL counts VECTOR among them, MariaDB the
// geometries.
func hasText(flavor string) func(*logged) bool {
	return func(l *logged) bool {
		switch l.tp {
		case gomysql.MYSQL_TYPE_STRING, gomysql.MYSQL_TYPE_VAR_STRING, gomysql.MYSQL_TYPE_VARCHAR, gomysql.MYSQL_TYPE_BLOB, gomysql.MYSQL_TYPE_VECTOR,
			typeBlobCompressed, typeVarcharCompressed:
			return true
		case gomysql.MYSQL_TYPE_GEOMETRY:
			return flavor == gomysql.MariaDBFlavor
		}
		return false
	}
}

func hasMembers(l *logged) bool {
	return l.tp == gomysql.MYSQL_TYPE_ENUM || l.tp == gomysql.MYSQL_TYPE_SET
}

func isType(tp byte) func(*logged) bool { return func(l *logged) bool { return l.tp == tp } }

// cutter cuts pieces off bytes. What is not there is empty, and noted.
type cutter struct {
	rest  []byte
	short bool
}

func (c *cutter) bytes(n uint64) (b []byte) {
	if n > uint64(len(c.rest)) {
		c.rest, c.short = nil, true
		return nil
	}
	b, c.rest = c.rest[:n], c.rest[n:]
	return b
}

func (c *cutter) byte() byte {
	if b := c.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// packed cuts off a number of one, three, four or nine bytes.
func (c *cutter) packed() uint64 {
	switch first := c.byte(); first {
	case 252:
		return uintLE(c.bytes(2))
	case 253:
		return uintLE(c.bytes(3))
	case 254:
		return uintLE(c.bytes(8))
	case 251, 255: // NULL, and nothing
		c.rest, c.short = nil, true
		return 0
	default:
		return uint64(first)
	}
}

// name cuts off a name with a zero behind it.
func (c *cutter) name() string {
	name := string(c.bytes(uint64(c.byte())))
	c.bytes(1)
	return name
}

// list cuts off the members of an ENUM or SET.
func (c *cutter) list() (members []string) {
	for range c.packed() {
		if c.short {
			return nil
		}
		members = append(members, string(c.bytes(c.packed())))
	}
	return members
}

// meta cuts off what is told of a column of the type.
func (c *cutter) meta(tp byte) uint16 {
	n := uint64(0)
	switch tp {
	case gomysql.MYSQL_TYPE_STRING, gomysql.MYSQL_TYPE_NEWDECIMAL:
		if b := c.bytes(2); b != nil {
			return binary.BigEndian.Uint16(b)
		}
	case gomysql.MYSQL_TYPE_VARCHAR, gomysql.MYSQL_TYPE_VAR_STRING, gomysql.MYSQL_TYPE_BIT, typeVarcharCompressed:
		n = 2
	case gomysql.MYSQL_TYPE_BLOB, gomysql.MYSQL_TYPE_DOUBLE, gomysql.MYSQL_TYPE_FLOAT, gomysql.MYSQL_TYPE_GEOMETRY, gomysql.MYSQL_TYPE_VECTOR,
		gomysql.MYSQL_TYPE_JSON, gomysql.MYSQL_TYPE_TIME2, gomysql.MYSQL_TYPE_DATETIME2, gomysql.MYSQL_TYPE_TIMESTAMP2, typeBlobCompressed:
		n = 1
	}
	return uint16(uintLE(c.bytes(n)))
}
