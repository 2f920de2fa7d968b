package mysql

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// lookupTable is a table as one kind of question reads it.
type lookupTable struct {
	schema, name string
	shape        string           // what the server says it is
	layout       *rowimage.Layout // of the columns that are wanted
	by           []lookupColumn
	index        string // that finds the keys; "" if there is none
	covered      int    // how many of its columns the keys have
	unique       bool   // a key has one row at most
	order        []cdc.Order
	key          []string // the primary key, or a unique one that serves as well; nil: there is none
}

// lookupColumn is a column that is looked up by.
type lookupColumn struct {
	cdc.Column
	charset   string // "" when it is not text
	collation string
}

func (t *lookupTable) String() string { return t.schema + "." + t.name }

// lookupIndex is an index as SHOW INDEX tells it.
type lookupIndex struct {
	name     string
	columns  []string // "" where it is an expression
	unique   bool
	notNull  bool
	prefix   bool
	unusable bool
}

// table returns the table that a question asks, as it was when that was asked first or the table had been altered.
func (l *Lookups) table(c *lookupConn, q *cdc.Query) (*lookupTable, error) {
	id := lookupID(q)
	l.mu.Lock()
	t := l.tables[id]
	l.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := c.describe(q)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tables) > 10_000 { // rules come and go
		clear(l.tables)
	}
	l.tables[id] = t
	return t, nil
}

func (l *Lookups) forget(q *cdc.Query) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tables, lookupID(q))
}

func lookupID(q *cdc.Query) string {
	return fmt.Sprintf("%q %q %q %v %v", q.Table, q.Columns, q.By, q.Order, q.Limit > 1)
}

// describe finds out how to ask. Should the table be altered before it is asked, its shape will tell.
func (c *lookupConn) describe(q *cdc.Query) (*lookupTable, error) {
	t := &lookupTable{order: q.Order}
	var ok bool
	if t.schema, t.name, ok = strings.Cut(q.Table, "."); !ok {
		return nil, cdc.Errorf(codeNoTable, "look-up of %s: it is not schema.table", q.Table).WithFix("name the table with its schema")
	}
	var err error
	if t.shape, err = c.shape(t); err != nil {
		return nil, err
	}
	found, _, err := c.sv.schemaColumns(whereTable(t.schema, t.name))
	if err != nil {
		return nil, err
	}
	all := found[t.schema+"\x00"+t.name]
	if len(all) == 0 {
		return nil, cdc.Errorf(codeNoTable, "there is no table %s that the source's user may read", t).
			WithFix("GRANT SELECT ON %s.%s TO the user, or correct the name", rowimage.QuoteName(t.schema), rowimage.QuoteName(t.name))
	}
	refuse := func(format string, args ...any) error {
		return cdc.Errorf("CDCD-1343", "look-up of %s: %s", t, fmt.Sprintf(format, args...)).WithFix("correct the rule's look-up; `cdcd schema %s` lists the columns", t)
	}
	of := c.l.treated.of(t.schema, t.name)
	column := func(name, use string, plain bool) (*rowimage.Column, error) {
		i := slices.IndexFunc(all, func(c rowimage.Column) bool { return strings.EqualFold(c.Name, name) })
		switch {
		case i < 0 || all[i].Hidden:
			return nil, refuse("it has no column %s to %s", name, use)
		case of(all[i].Name).Drop:
			return nil, refuse("the source drops column %s, so it cannot %s", name, use)
		case plain && of(all[i].Name).Mask != nil:
			return nil, refuse("the source masks column %s, so it cannot %s", name, use)
		}
		return &all[i], nil
	}

	collations, err := c.sv.query("SELECT COLUMN_NAME, COALESCE(CHARACTER_SET_NAME, ''), COALESCE(COLLATION_NAME, '') FROM information_schema.COLUMNS WHERE " + whereTable(t.schema, t.name))
	if err != nil {
		return nil, err
	}
	for _, name := range q.By {
		found, err := column(name, "be looked up by", true)
		if err != nil {
			return nil, err
		}
		by := lookupColumn{}
		whole, err := rowimage.New(t.schema, t.name, []rowimage.Column{*found}, c.sv.flavor)
		if err != nil {
			return nil, err
		}
		by.Column = whole.Table().Columns[0]
		for _, row := range collations {
			if row[0] == by.Name {
				by.charset, by.collation = row[1], row[2]
			}
		}
		switch by.Kind {
		case cdc.KindJSON, cdc.KindGeometry, cdc.KindVector:
			return nil, refuse("column %s is of type %s, by which nothing is looked up", name, by.Type)
		}
		t.by = append(t.by, by)
	}
	for _, o := range q.Order {
		if _, err := column(o.Column, "order rows", true); err != nil {
			return nil, err
		}
	}
	wanted := all
	if len(q.Columns) > 0 {
		wanted = nil
		for _, name := range q.Columns {
			found, err := column(name, "be read", false)
			if err != nil {
				return nil, err
			}
			wanted = append(wanted, *found)
		}
	}
	wanted = slices.Clone(wanted)
	has := func(key rowimage.Column) bool {
		return key.Key == 0 || slices.ContainsFunc(wanted, func(c rowimage.Column) bool { return c.Name == key.Name })
	}
	if slices.ContainsFunc(all, func(c rowimage.Column) bool { return !has(c) }) { // half a key is none
		for i := range wanted {
			wanted[i].Key = 0
		}
	}
	if t.layout, err = layoutOfColumns(t.schema, t.name, wanted, c.sv.flavor, c.l.treated); err != nil {
		return nil, err
	}

	indexes, err := c.sv.indexes(t.schema, t.name)
	if err != nil {
		return nil, err
	}
	t.choose(indexes)
	return t, nil
}

// choose chooses the index that finds keys in the fewest rows, and if it can in their order.
func (t *lookupTable) choose(indexes []lookupIndex) {
	by := map[string]bool{}
	for _, c := range t.by {
		by[c.Name] = true
	}
	best := [3]int{}
	for _, x := range indexes {
		covered := 0
		for covered < len(x.columns) && by[x.columns[covered]] {
			covered++
		}
		whole := covered == len(x.columns)
		if x.unique && whole {
			t.unique = true
		}
		if x.unique && x.notNull && !x.prefix && t.key == nil { // the primary key comes first
			t.key = x.columns
		}
		if x.unusable || covered == 0 {
			continue
		}
		ordered := 0
		for ordered < len(t.order) && covered+ordered < len(x.columns) && strings.EqualFold(x.columns[covered+ordered], t.order[ordered].Column) {
			ordered++
		}
		score := [3]int{covered, ordered, 0}
		if x.unique && whole {
			score = [3]int{len(by) + 1, 0, 0}
		}
		if slices.Compare(score[:], best[:]) > 0 {
			best, t.index, t.covered = score, x.name, covered
		}
	}
}

// indexes lists the indexes of a table, the primary key first.
func (s *server) indexes(schema, table string) ([]lookupIndex, error) {
	result, err := s.execute("SHOW INDEX FROM " + rowimage.QuoteName(schema) + "." + rowimage.QuoteName(table))
	if err != nil {
		return nil, err
	}
	defer result.Close()
	var list []lookupIndex
	for i := range result.RowNumber() {
		text := func(column string) string { return textOf(result, i, column) }
		name := text("Key_name")
		if n := len(list); n == 0 || list[n-1].name != name {
			list = append(list, lookupIndex{name: name, unique: text("Non_unique") == "0", notNull: true})
		}
		x := &list[len(list)-1]
		x.columns = append(x.columns, text("Column_name"))
		x.notNull = x.notNull && text("Null") != "YES"
		x.prefix = x.prefix || text("Sub_part") != ""
		switch text("Index_type") {
		case "BTREE", "HASH":
		default:
			x.unusable = true
		}
		x.unusable = x.unusable || text("Visible") == "NO" || text("Ignored") == "YES"
	}
	slices.SortStableFunc(list, func(a, b lookupIndex) int {
		first := func(x lookupIndex) int {
			if x.name == "PRIMARY" {
				return 0
			}
			return 1
		}
		return cmp.Compare(first(a), first(b))
	})
	return list, nil
}

// shape returns the server's own description of a table.
func (c *lookupConn) shape(t *lookupTable) (string, error) {
	rows, err := c.sv.query("SHOW CREATE TABLE " + rowimage.QuoteName(t.schema) + "." + rowimage.QuoteName(t.name))
	if err != nil {
		return "", err
	}
	if len(rows) == 0 || len(rows[0]) < 2 {
		return "", fmt.Errorf("SHOW CREATE TABLE says nothing about %s", t)
	}
	return autoIncrement.ReplaceAllString(rows[0][1], ""), nil
}

// One statement reads many keys. Measured on MariaDB 10.11 and MySQL 9.7, a row for each of 500 keys: as a join of the keys'
// table 3 ms, as WHERE id IN (…) as long, one statement after the other 60 ms. The join says which row is of which key, as the
// server compares them; IN does not.
//
// Where a key may have several rows, each gets a SELECT of its own with its ORDER BY and LIMIT, so that the server ends reading
// where an index has the order. These are put together with UNION ALL, which makes other types of some columns: so they say
// the rows' primary keys, and the rows are joined to them. 100 keys took 2 to 5 ms so, and more at once took longer for each.
const (
	keysJoined = 500
	keysUnited = 100
)

func (t *lookupTable) atOnce() int {
	switch {
	case t.unique:
		return keysJoined
	case t.key != nil:
		return keysUnited
	}
	return 1
}

// lookupKey is a key as it goes to the server.
type lookupKey struct {
	ordinal int
	params  []string
}

// keys returns the keys that a row may have.
func (t *lookupTable) keys(q *cdc.Query) []lookupKey {
	var keys []lookupKey
	for i, values := range q.Keys {
		key := lookupKey{ordinal: i}
		for j := range t.by {
			text, ok := t.by[j].param(values[j])
			if !ok {
				break
			}
			key.params = append(key.params, text)
		}
		if len(key.params) == len(t.by) {
			keys = append(keys, key)
		}
	}
	return keys
}

// statement returns what reads the rows of some keys, with its parameters. The last column is the key's ordinal.
func (t *lookupTable) statement(keys []lookupKey, limit int) (string, []string) {
	exprs, joined, direct := make([]string, len(t.by)), make([]string, len(t.by)), make([]string, len(t.by))
	times := make([]int, len(t.by)) // that a condition needs its parameter, if it has it itself
	for i := range t.by {
		width := 1
		for _, k := range keys {
			width = max(width, len(k.params[i]))
		}
		expr := t.by[i].expr(width)
		exprs[i] = expr + " AS k" + strconv.Itoa(i)
		joined[i], _ = t.by[i].condition("k.k" + strconv.Itoa(i))
		direct[i], times[i] = t.by[i].condition(expr)
	}
	key, on, where := strings.Join(exprs, ", "), strings.Join(joined, " AND "), strings.Join(direct, " AND ")
	table := rowimage.QuoteName(t.schema) + "." + rowimage.QuoteName(t.name) + " t"
	found := table
	if t.index != "" {
		found += " FORCE INDEX (" + rowimage.QuoteName(t.index) + ")"
	}
	var params []string
	for _, k := range keys {
		for i, p := range k.params {
			n := 1
			if !t.unique {
				n = times[i]
			}
			params = append(params, slices.Repeat([]string{p}, n)...)
		}
	}
	columns := t.layout.SelectListOf("t")
	union := func(each func(ordinal int) string) string {
		parts := make([]string, len(keys))
		for i, k := range keys {
			parts[i] = each(k.ordinal)
		}
		return strings.Join(parts, " UNION ALL ")
	}
	var order, same, names []string
	for _, o := range t.order {
		by := "t." + rowimage.QuoteName(o.Column)
		if o.Desc {
			by += " DESC"
		}
		order = append(order, by)
	}
	for _, name := range t.key {
		name = rowimage.QuoteName(name)
		names, same = append(names, "t."+name), append(same, "t."+name+" = u."+name)
		if !slices.Contains(order, "t."+name) && !slices.Contains(order, "t."+name+" DESC") {
			order = append(order, "t."+name)
		}
	}
	by := ""
	if len(order) > 0 {
		by = " ORDER BY " + strings.Join(order, ", ")
	}
	switch {
	case t.unique:
		return "SELECT " + columns + ", k.o FROM (" + union(func(o int) string { return fmt.Sprintf("SELECT %d AS o, %s", o, key) }) +
			") k STRAIGHT_JOIN " + found + " ON " + on, params
	case len(keys) == 1:
		return fmt.Sprintf("SELECT %s, %d AS o FROM %s WHERE %s%s LIMIT %d", columns, keys[0].ordinal, found, where, by, limit), params
	}
	return "SELECT " + columns + ", u.o FROM (" + union(func(o int) string {
		return fmt.Sprintf("(SELECT %d AS o, %s FROM %s WHERE %s%s LIMIT %d)", o, strings.Join(names, ", "), found, where, by, limit)
	}) + ") u STRAIGHT_JOIN " + table + " ON " + strings.Join(same, " AND ") + " ORDER BY u.o, " + strings.Join(order, ", "), params
}

// lookupRows takes the rows of an answer.
type lookupRows struct {
	c          *lookupConn
	t          *lookupTable
	q          *cdc.Query
	a          *cdc.Answer
	number, tx int // of the table and the transaction in the frame

	width   int // of the ordinal
	columns int // without it
}

// read reads the rows of some keys.
func (r *lookupRows) read(keys []lookupKey) error {
	statement, params := r.t.statement(keys, max(1, r.q.Limit))
	err := r.c.sv.stream(statement, params, r.expect, r.add)
	var my *gomysql.MyError
	switch {
	case rowimage.Altered(err):
		return errOtherShape
	case errors.As(err, &my):
		switch my.Code {
		case 1054, 1412, 1176: // unknown column, definition has changed, no such index
			return errOtherShape
		}
	}
	return err
}

// expect checks the columns, of which the ordinal is the last.
func (r *lookupRows) expect(fields []*gomysql.Field) error {
	r.columns = len(fields) - 1
	switch f := fields[r.columns]; f.Type {
	case gomysql.MYSQL_TYPE_TINY:
		r.width = 1
	case gomysql.MYSQL_TYPE_SHORT:
		r.width = 2
	case gomysql.MYSQL_TYPE_LONG, gomysql.MYSQL_TYPE_INT24:
		r.width = 4
	case gomysql.MYSQL_TYPE_LONGLONG:
		r.width = 8
	default:
		return fmt.Errorf("look-up of %s: the server sends numbers of keys as type %d", r.t, f.Type)
	}
	return r.t.layout.Expect(fields[:r.columns])
}

// add takes a row. What it is without the ordinal is what a SELECT without it gives.
func (r *lookupRows) add(packet []byte) error {
	with, without := (r.columns+1+2+7)/8, (r.columns+2+7)/8 // bytes that say which values are NULL
	if len(packet) < 1+with+r.width {
		return cdc.Errorf("CDCD-1340", "%s: the server sent no row", r.t)
	}
	var number [8]byte
	copy(number[:], packet[len(packet)-r.width:])
	key := int(binary.LittleEndian.Uint64(number[:]))
	if key < 0 || key >= len(r.a.Rows) {
		return cdc.Errorf("CDCD-1340", "%s: the server sent a row of key %d of %d", r.t, key, len(r.a.Rows))
	}
	packet = packet[:len(packet)-r.width]
	if with > without {
		copy(packet[1:], packet[:1+without])
		packet = packet[1:]
	}
	n := r.c.frame.Len()
	info := cdc.EventInfo{No: uint64(n), Tx: r.tx, Row: uint32(n), Table: r.number, Op: cdc.OpSnapshot}
	var err error
	if info.After, err = r.t.layout.AppendResult(&r.c.frame, packet); err != nil {
		return err
	}
	if r.c.frame.Size() > r.c.l.cfg.MaxBytes {
		return cdc.Errorf("CDCD-1349", "look-up of %s: the answer for %d keys has more than %d bytes", r.t, len(r.q.Keys), r.c.l.cfg.MaxBytes).
			WithFix("name fewer columns or rows in the rule's look-up, or raise source.mysql.lookup.max_bytes")
	}
	r.c.frame.AddEvent(info)
	r.a.Rows[key] = append(r.a.Rows[key], n)
	return nil
}
