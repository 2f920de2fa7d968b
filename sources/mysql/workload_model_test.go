package mysql_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// shape is a table, with what the stream says is in it.
type shape struct {
	columns []string // in the server's order
	types   map[string]string
	key     []string // none: rows are told apart by nothing
	rows    map[string]*modelRow

	reading string         // of a table without a key: its last one, and what came of it
	read    map[string]int // rows by their text
}

type modelRow struct {
	values map[string]string // JSON by column
	n      int               // how often, without a key
	seen   bool              // the stream had it
}

func newShape(columns, types []string, key ...string) *shape {
	sh := &shape{columns: columns, key: key, types: map[string]string{}, rows: map[string]*modelRow{}, read: map[string]int{}}
	for i := range types {
		sh.types[columns[i]] = types[i]
	}
	return sh
}

func (sh *shape) text(values map[string]string) string {
	var fields []string
	for _, column := range sh.columns {
		fields = append(fields, fmt.Sprintf("%q:%s", column, values[column]))
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func (sh *shape) keyOf(values map[string]string) string {
	if len(sh.key) == 0 {
		return sh.text(values)
	}
	var parts []string
	for _, column := range sh.key {
		parts = append(parts, values[column])
	}
	return strings.Join(parts, " ")
}

// each changes all rows, and puts them under their keys anew.
func (sh *shape) each(change func(values map[string]string)) {
	rows := sh.rows
	sh.rows = map[string]*modelRow{}
	for _, row := range rows {
		change(row.values)
		sh.rows[sh.keyOf(row.values)] = row
	}
}

// list returns the rows as text, in order.
func (sh *shape) list() []string {
	var out []string
	for _, row := range sh.rows {
		for range max(row.n, 1) {
			out = append(out, sh.text(row.values))
		}
	}
	slices.Sort(out)
	return out
}

// design is what tables there are. The one who makes the statements has one without rows.
type design map[string]*shape

// effect is what a statement does to tables that the stream does not say.
type effect func(design)

func placed(columns []string, name string, at int) []string {
	columns = slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return c == name })
	return slices.Insert(columns, min(at, len(columns)), name)
}

func addColumn(table, name, kind, value string, at int) effect {
	return func(d design) {
		sh := d[table]
		sh.columns, sh.types[name] = placed(sh.columns, name, at), kind
		sh.each(func(values map[string]string) { values[name] = value })
	}
}

func dropColumn(table, name string) effect {
	return func(d design) {
		sh := d[table]
		sh.columns = slices.DeleteFunc(slices.Clone(sh.columns), func(c string) bool { return c == name })
		sh.each(func(values map[string]string) { delete(values, name) })
	}
}

func renameColumn(table, name, to string) effect {
	return func(d design) {
		sh := d[table]
		sh.columns = slices.Clone(sh.columns)
		sh.columns[slices.Index(sh.columns, name)] = to
		sh.types[to] = sh.types[name]
		sh.each(func(values map[string]string) { values[to] = values[name]; delete(values, name) })
	}
}

// convert moves a column and gives it another type.
func convert(table, name, kind string, at int) effect {
	return func(d design) {
		sh := d[table]
		was := sh.types[name]
		sh.columns, sh.types[name] = placed(sh.columns, name, at), kind
		sh.each(func(values map[string]string) {
			value := values[name]
			switch {
			case value == "null" || was == kind:
			case kind == "VARCHAR(60)" && was != "VARCHAR(30)" && was != "DECIMAL(14,2)":
				values[name] = `"` + value + `"`
			case kind == "DECIMAL(14,2)":
				values[name] = `"` + value + `.00"`
			}
		})
	}
}

func rekey(table string, key ...string) effect {
	return func(d design) {
		d[table].key = key
		d[table].each(func(map[string]string) {})
	}
}

// rename renames from, to, from, to …
func rename(names ...string) effect {
	return func(d design) {
		for pair := range slices.Chunk(names, 2) {
			d[pair[1]] = d[pair[0]]
			delete(d, pair[0])
		}
	}
}

func create(table string, columns, types []string, key ...string) effect {
	return func(d design) { d[table] = newShape(columns, types, key...) }
}

func like(table, other string) effect {
	return func(d design) {
		d[table] = newShape(d[other].columns, nil, d[other].key...)
		d[table].types = maps.Clone(d[other].types)
	}
}

func truncate(table string) effect { return func(d design) { clear(d[table].rows) } }

func drop(table string) effect { return func(d design) { delete(d, table) } }

// replay applies a stream, and what statements did between its rows, to tables.
type replay struct {
	tables  design
	effects map[string]effect // by GTID
	places  map[string]string // numbers of statements by their place in the log
	applied map[string]bool
	waiting []statementAt // that the capture has met and that are not applied yet
	ids     map[string]bool
	last    cdc.Checkpoint
	counts  map[string]int
}

// statementAt is a statement of the log that the capture has met.
type statementAt struct {
	gtid, file string
	pos        uint64
	when       time.Time
}

// step is what a capture did: it began a session, met a statement, or handed over a frame.
type step struct {
	statement *statementAt
	frame     *cdc.Batch
	mark      bool // everything must have been seen, and must be seen again
}

func (p *replay) run(steps []step) error {
	for i, s := range steps {
		var err error
		switch {
		case s.statement != nil:
			p.waiting = append(p.waiting, *s.statement)
		case s.frame != nil:
			err = p.frame(s.frame)
		case s.mark:
			err = p.allSeen()
		default:
			p.waiting = nil
		}
		if err != nil {
			return fmt.Errorf("step %d of %d: %w", i, len(steps), err)
		}
	}
	for gtid := range p.effects {
		if !p.applied[gtid] {
			return fmt.Errorf("the capture never met %s", gtid)
		}
	}
	return p.allSeen()
}

func (p *replay) allSeen() error {
	for name, sh := range p.tables {
		for _, row := range sh.rows {
			if !row.seen {
				return fmt.Errorf("the stream never had %s of %s", sh.text(row.values), name)
			}
			row.seen = false
		}
	}
	return nil
}

// pass applies statements of which is says true, up to the first of which it does not.
func (p *replay) pass(is func(statementAt) bool) {
	for len(p.waiting) > 0 && is(p.waiting[0]) {
		gtid := p.name(p.waiting[0])
		p.waiting = p.waiting[1:]
		if do := p.effects[gtid]; do != nil && !p.applied[gtid] {
			p.applied[gtid] = true
			do(p.tables)
		}
	}
}

// name returns a statement's GTID. Without GTIDs that is its number.
func (p *replay) name(s statementAt) string {
	at := fmt.Sprint(s.file, ":", s.pos)
	if _, ok := p.places[at]; !ok {
		p.places[at] = fmt.Sprint(len(p.places))
	}
	if s.gtid == "" {
		return p.places[at]
	}
	return s.gtid
}

func beforePlace(s statementAt, file string, pos uint64) bool {
	if len(s.file) != len(file) || s.file != file {
		return len(s.file) < len(file) || len(s.file) == len(file) && s.file < file
	}
	return s.pos < pos
}

func (p *replay) frame(b *cdc.Batch) error {
	h, cp := b.Header(), b.Checkpoint()
	if p.last.NextNo > 0 && (h.FirstPartNo != p.last.PartNos[0] || cp.NextNo != p.last.NextNo+uint64(b.Len())) {
		return fmt.Errorf("numbers: first %d, next %d after %+v", h.FirstPartNo, cp.NextNo, p.last)
	}
	p.last = cp
	p.pass(func(s statementAt) bool { return s.when.Before(h.Created) }) // rows of snapshots stand first in a frame
	for i := range b.Len() {
		ev := b.Event(i)
		at := ev.Position()
		if ev.Op() != cdc.OpSnapshot {
			p.pass(func(s statementAt) bool { return beforePlace(s, at.File, at.Pos) })
		}
		if err := p.event(ev); err != nil {
			return fmt.Errorf("event %d of a frame that was begun at %s: %w: %s", i, h.Created, err, cdc.AppendEvent(nil, ev))
		}
	}
	p.pass(func(s statementAt) bool { return beforePlace(s, cp.File, cp.Pos) })
	return nil
}

func (p *replay) event(ev cdc.Event) error {
	if id := ev.ID(); p.ids[id] {
		return fmt.Errorf("the identity comes twice")
	} else {
		p.ids[id] = true
	}
	name := ev.Table().Name
	if name == "marks" {
		return nil
	}
	p.counts[ev.Op().String()]++
	sh := p.tables[name]
	if sh == nil {
		return fmt.Errorf("there is no table %s", name)
	}
	var columns, key []string
	for _, c := range ev.Table().Columns {
		columns = append(columns, c.Name)
	}
	for _, i := range ev.Table().Key() {
		key = append(key, columns[i])
	}
	if !slices.Equal(columns, sh.columns) || !slices.Equal(key, sh.key) {
		return fmt.Errorf("the table has the columns %v and the key %v", sh.columns, sh.key)
	}
	var e struct{ Before, After map[string]json.RawMessage }
	if err := json.Unmarshal(cdc.AppendEvent(nil, ev), &e); err != nil {
		return err
	}
	texts := func(image map[string]json.RawMessage) map[string]string {
		out := map[string]string{}
		for column, value := range image {
			out[column] = string(value)
		}
		return out
	}
	if ev.Op() == cdc.OpSnapshot {
		return sh.snapshot(texts(e.After), ev.Position())
	}
	if ev.Before().Exists() {
		values := texts(e.Before)
		k := sh.keyOf(values)
		have := sh.rows[k]
		switch {
		case have == nil:
			return fmt.Errorf("there is no such row")
		case !maps.Equal(have.values, values):
			return fmt.Errorf("the row was %s", sh.text(have.values))
		case have.n > 1:
			have.n--
		default:
			delete(sh.rows, k)
		}
	}
	if ev.After().Exists() {
		values := texts(e.After)
		k := sh.keyOf(values)
		have := sh.rows[k]
		switch {
		case have == nil:
			sh.rows[k] = &modelRow{values: values, n: 1, seen: true}
		case len(sh.key) == 0:
			have.n++
		default:
			return fmt.Errorf("there is the row %s already", sh.text(have.values))
		}
	}
	return nil
}

// snapshot checks a row that was read: it is what the stream makes of the table at this very place.
func (sh *shape) snapshot(values map[string]string, at cdc.Position) error {
	k := sh.keyOf(values)
	have := sh.rows[k]
	if have == nil {
		return fmt.Errorf("there is no such row")
	}
	if !maps.Equal(have.values, values) {
		return fmt.Errorf("the row is %s", sh.text(have.values))
	}
	have.seen = true
	if len(sh.key) > 0 {
		return nil
	}
	if from := fmt.Sprint(at.File, ":", at.Pos); from != sh.reading {
		sh.reading = from
		clear(sh.read)
	}
	if sh.read[k]++; sh.read[k] > have.n {
		return fmt.Errorf("it comes %d times, the table has it %d times", sh.read[k], have.n)
	}
	return nil
}
