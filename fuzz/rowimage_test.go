package fuzz

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// rawEvent is an event as it stands in a log with checksums, which nobody looks at here.
func rawEvent(kind replication.EventType, body []byte) []byte {
	raw := make([]byte, replication.EventHeaderSize, replication.EventHeaderSize+len(body)+replication.BinlogChecksumLength)
	raw[4] = byte(kind)
	raw = append(append(raw, body...), 0, 0, 0, 0)
	le.PutUint32(raw[9:], uint32(len(raw)))
	return raw
}

// formats are the first events of logs, which say how to read the others.
var formats = sync.OnceValues(func() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, flavor := range []string{"mysql", "mariadb"} {
		log, err := os.ReadFile(filepath.Join("testdata", "binlog", flavor+".binlog"))
		if err != nil {
			return nil, err
		}
		out[flavor] = log[4 : 4+le.Uint32(log[4+9:])]
	}
	return out, nil
})

// newParser returns a parser that has read the beginning of a log of the flavor. It leaves the images of row events in
// their NdbData.
func newParser(t testing.TB, flavor string) *replication.BinlogParser {
	t.Helper()
	format, err := formats()
	if err != nil {
		t.Fatal(err)
	}
	p := replication.NewBinlogParser()
	p.SetFlavor(flavor)
	p.SetTimestampStringLocation(time.UTC)
	p.SetRenderJSONAsMySQLText(true)
	p.SetRowsEventDecodeFunc(func(e *replication.RowsEvent, data []byte) error {
		at, err := e.DecodeHeader(data)
		if err == nil {
			e.NdbData = data[at:len(data):len(data)] // else go-mysql reads on in the checksum
		}
		return err
	})
	if _, err := p.Parse(format[flavor]); err != nil {
		t.Fatal(err)
	}
	return p
}

// parse is p.Parse, which panics on some hostile events: they are refused, too.
func parse(p *replication.BinlogParser, raw []byte) (ev *replication.BinlogEvent, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("go-mysql panics: %v", r)
		}
	}()
	return p.Parse(raw)
}

// columnTypes are the types that a generated table draws from, with how many bytes of metadata they have.
var columnTypes = []struct {
	tp    byte
	bytes int
	metas []uint16 // what servers write; as in the event
}{
	{gomysql.MYSQL_TYPE_TINY, 0, nil}, {gomysql.MYSQL_TYPE_SHORT, 0, nil}, {gomysql.MYSQL_TYPE_INT24, 0, nil},
	{gomysql.MYSQL_TYPE_LONG, 0, nil}, {gomysql.MYSQL_TYPE_LONGLONG, 0, nil}, {gomysql.MYSQL_TYPE_YEAR, 0, nil},
	{gomysql.MYSQL_TYPE_FLOAT, 1, []uint16{4}}, {gomysql.MYSQL_TYPE_DOUBLE, 1, []uint16{8}},
	{gomysql.MYSQL_TYPE_NEWDECIMAL, 2, []uint16{12 | 2<<8, 10 | 10<<8, 65 | 30<<8, 1, 9, 18 | 9<<8, 38 | 38<<8, 20 | 1<<8}},
	{gomysql.MYSQL_TYPE_BIT, 2, []uint16{1, 7, 1 << 8, 3 | 2<<8, 8 << 8}},
	{gomysql.MYSQL_TYPE_DATE, 0, nil},
	{gomysql.MYSQL_TYPE_TIME2, 1, []uint16{0, 1, 2, 3, 4, 5, 6}}, {gomysql.MYSQL_TYPE_DATETIME2, 1, []uint16{0, 1, 2, 3, 4, 5, 6}},
	{gomysql.MYSQL_TYPE_TIMESTAMP2, 1, []uint16{0, 1, 2, 3, 4, 5, 6}},
	{gomysql.MYSQL_TYPE_VARCHAR, 2, []uint16{0, 20, 255, 256, 1024}}, {gomysql.MYSQL_TYPE_VAR_STRING, 2, []uint16{20, 300}},
	{gomysql.MYSQL_TYPE_STRING, 2, []uint16{0xfe | 16<<8, 0xfe | 4<<8, 0xee | 44<<8, 0xfe}}, // 0xee: the length is 300
	{gomysql.MYSQL_TYPE_STRING, 2, []uint16{0xf7 | 1<<8, 0xf7 | 2<<8}}, {gomysql.MYSQL_TYPE_STRING, 2, []uint16{0xf8 | 1<<8, 0xf8 | 3<<8, 0xf8 | 8<<8}},
	{gomysql.MYSQL_TYPE_BLOB, 1, []uint16{1, 2, 3, 4}}, {gomysql.MYSQL_TYPE_GEOMETRY, 1, []uint16{4}}, {gomysql.MYSQL_TYPE_VECTOR, 1, []uint16{4}},
	{gomysql.MYSQL_TYPE_JSON, 1, []uint16{4}},
}

// layoutOf reads the body of a TABLE_MAP.
func layoutOf(body []byte, flavor string) (*rowimage.Layout, *rowimage.TableMap, error) {
	m, err := rowimage.ParseTableMap(body[min(8, len(body)):], flavor)
	if err != nil {
		return nil, nil, err
	}
	l, err := rowimage.Read(m)
	return l, m, err
}

var memberLists = [][]string{{"a", "b"}, {"", "red", "blue,ish"}, nil, {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}}

// tableMap makes the body of a TABLE_MAP with complete metadata: three bytes of spec for each column choose its type,
// its measures, and whether it is unsigned, in which character set, and with which members.
func tableMap(spec []byte, flavor string) (body []byte, columns int) {
	var types, metas, signs, collations, names, enums, sets []byte
	numeric := 0
	for ; len(spec) >= 3 && columns < 300; spec, columns = spec[3:], columns+1 {
		choice := columnTypes[int(spec[0])%len(columnTypes)]
		meta := uint16(spec[1])<<4 | uint16(spec[1])>>4
		if n := len(choice.metas); n > 0 && spec[0] < 200 {
			meta = choice.metas[int(spec[1])%n]
		}
		types = append(types, choice.tp)
		metas = append(metas, []byte{byte(meta), byte(meta >> 8)}[:choice.bytes]...)
		names = append(names, 3, 'c', byte('0'+columns%250/10), byte('0'+columns%10))
		list := memberLists[int(spec[2]>>1)%len(memberLists)]
		members := []byte{byte(len(list))}
		for _, m := range list {
			members = append(append(members, byte(len(m))), m...)
		}
		switch tp := choice.tp; {
		case tp <= gomysql.MYSQL_TYPE_DOUBLE || tp == gomysql.MYSQL_TYPE_LONGLONG || tp == gomysql.MYSQL_TYPE_INT24 ||
			tp == gomysql.MYSQL_TYPE_YEAR || tp == gomysql.MYSQL_TYPE_NEWDECIMAL:
			if numeric%8 == 0 {
				signs = append(signs, 0)
			}
			signs[numeric/8] |= spec[2] & 1 << (7 - numeric%8)
			numeric++
		case tp == gomysql.MYSQL_TYPE_STRING && byte(meta) == 0xf7:
			enums = append(enums, members...)
		case tp == gomysql.MYSQL_TYPE_STRING && byte(meta) == 0xf8:
			sets = append(sets, members...)
		case tp == gomysql.MYSQL_TYPE_VECTOR || tp == gomysql.MYSQL_TYPE_GEOMETRY && flavor == "mariadb":
			collations = append(collations, 63)
		case tp == gomysql.MYSQL_TYPE_STRING || tp == gomysql.MYSQL_TYPE_VARCHAR || tp == gomysql.MYSQL_TYPE_VAR_STRING || tp == gomysql.MYSQL_TYPE_BLOB:
			collations = append(collations, []byte{45, 63, 8, 33, 28, 35, 84, 54, 11, 12}[int(spec[2])%10])
		}
	}
	length := func(n int) []byte { return gomysql.AppendLengthEncodedInteger(nil, uint64(n)) }
	body = []byte{7, 0, 0, 0, 0, 0, 1, 0, 1, 's', 0, 1, 't', 0}
	body = append(append(body, length(columns)...), types...)
	body = append(append(body, length(len(metas))...), metas...)
	body = append(body, make([]byte, (columns+7)/8)...)
	for _, field := range []struct {
		kind  byte
		value []byte
	}{{replication.TABLE_MAP_OPT_META_SIGNEDNESS, signs}, {replication.TABLE_MAP_OPT_META_COLUMN_CHARSET, collations},
		{replication.TABLE_MAP_OPT_META_COLUMN_NAME, names}, {replication.TABLE_MAP_OPT_META_SET_STR_VALUE, sets},
		{replication.TABLE_MAP_OPT_META_ENUM_STR_VALUE, enums}} {
		if len(field.value) > 0 {
			body = append(append(append(body, field.kind), length(len(field.value))...), field.value...)
		}
	}
	return body, columns
}

var rowKinds = []replication.EventType{replication.WRITE_ROWS_EVENTv2, replication.UPDATE_ROWS_EVENTv2, replication.DELETE_ROWS_EVENTv2}

// rowsBody makes the body of a row event: bitmaps of the columns that are present, then images.
func rowsBody(columns int, kind replication.EventType, present, images []byte) []byte {
	n := (columns + 7) / 8
	bitmaps := n
	if kind == replication.UPDATE_ROWS_EVENTv2 {
		bitmaps = 2 * n
	}
	body := []byte{7, 0, 0, 0, 0, 0, 1, 0, 2, 0}
	body = gomysql.AppendLengthEncodedInteger(body, uint64(columns))
	for i := range bitmaps {
		b := byte(0xff)
		if i < len(present) {
			b = present[i]
		}
		if i%n == n-1 && columns%8 != 0 {
			b &= 1<<(columns%8) - 1
		}
		body = append(body, b)
	}
	return append(body, images...)
}

// imagesOf makes what passes for row images of a table: mostly, values have the lengths that they should have.
func imagesOf(random *rand.Rand, te *replication.TableMapEvent, rows int) (images []byte) {
	for range rows {
		for range (te.ColumnCount + 7) / 8 {
			images = append(images, byte(random.Uint32()&random.Uint32()&random.Uint32()))
		}
		for i, tp := range te.ColumnType {
			meta := int(te.ColumnMeta[i])
			n, prefix := 0, 0
			switch tp {
			case gomysql.MYSQL_TYPE_TINY, gomysql.MYSQL_TYPE_YEAR:
				n = 1
			case gomysql.MYSQL_TYPE_SHORT:
				n = 2
			case gomysql.MYSQL_TYPE_INT24, gomysql.MYSQL_TYPE_DATE:
				n = 3
			case gomysql.MYSQL_TYPE_LONG, gomysql.MYSQL_TYPE_FLOAT:
				n = 4
			case gomysql.MYSQL_TYPE_LONGLONG, gomysql.MYSQL_TYPE_DOUBLE:
				n = 8
			case gomysql.MYSQL_TYPE_TIME2:
				n = 3 + (meta+1)/2
			case gomysql.MYSQL_TYPE_DATETIME2:
				n = 5 + (meta+1)/2
			case gomysql.MYSQL_TYPE_TIMESTAMP2:
				n = 4 + (meta+1)/2
			case gomysql.MYSQL_TYPE_BIT:
				n = meta>>8 + (meta&0xff+7)/8
			case gomysql.MYSQL_TYPE_NEWDECIMAL:
				bytes := []int{0, 1, 1, 2, 2, 3, 3, 4, 4}
				whole, scale := max(meta>>8-meta&0xff, 0), meta&0xff
				n = whole/9*4 + bytes[whole%9] + scale/9*4 + bytes[scale%9]
			case gomysql.MYSQL_TYPE_STRING:
				prefix = 1
				if b := byte(meta >> 8); b == gomysql.MYSQL_TYPE_ENUM || b == gomysql.MYSQL_TYPE_SET {
					n, prefix = meta&0xff, 0
				} else if b == 0xee {
					prefix = 2
				}
			case gomysql.MYSQL_TYPE_VARCHAR, gomysql.MYSQL_TYPE_VAR_STRING:
				if prefix = 1; meta > 255 {
					prefix = 2
				}
			default:
				prefix = min(meta, 4)
			}
			if prefix > 0 {
				n = random.IntN(20)
				images = append(images, byte(n))
				images = append(images, make([]byte, prefix-1)...)
			}
			for range n {
				b := byte(random.Uint32())
				if random.IntN(3) > 0 {
					b &= 0x83 // small numbers, short members, plausible fractions
				}
				images = append(images, b)
			}
		}
	}
	return images
}

// decodeBoth decodes the images with the transcoder and with go-mysql.
func decodeBoth(l *rowimage.Layout, kind replication.EventType, e *replication.RowsEvent) (ours, theirs *cdc.Batch, ourErr, theirErr error) {
	images := rowimage.Event{Layout: l, After: e.ColumnBitmap1}
	info := cdc.EventInfo{Op: cdc.OpInsert}
	switch kind {
	case replication.UPDATE_ROWS_EVENTv2:
		images.Before, images.After, info.Op = e.ColumnBitmap1, e.ColumnBitmap2, cdc.OpUpdate
	case replication.DELETE_ROWS_EVENTv2:
		images.Before, images.After, info.Op = e.ColumnBitmap1, nil, cdc.OpDelete
	}
	seal := func(fill func(b *cdc.Builder) error) (*cdc.Batch, error) {
		var b cdc.Builder
		b.Reset(cdc.Header{Source: "fuzz", FirstPartNo: 1})
		b.AddTx(cdc.Tx{})
		b.AddTable(l.Table())
		if err := fill(&b); err != nil {
			return nil, err
		}
		return cdc.Open(b.Seal(cdc.Checkpoint{}), nil)
	}
	ours, ourErr = seal(func(b *cdc.Builder) (err error) {
		for data := e.NdbData; len(data) > 0; {
			skipped, skipErr := images.Skip(data)
			if info.Before, info.After, data, err = images.Append(b, data); err != nil {
				return err
			}
			if skipErr != nil || len(skipped) != len(data) {
				return fmt.Errorf("Skip leaves %d bytes, error %w, and Append %d", len(skipped), skipErr, len(data))
			}
			b.AddEvent(info)
		}
		return nil
	})
	theirs, theirErr = seal(func(b *cdc.Builder) (err error) {
		if !slices.ContainsFunc(append(slices.Clone(images.Before), images.After...), func(b byte) bool { return b != 0 }) && len(e.NdbData) > 0 {
			return errors.New("rows without columns, of which go-mysql finds more and more")
		}
		if err := e.DecodeData(0, e.NdbData); err != nil {
			return err
		}
		step := 1
		if info.Op == cdc.OpUpdate {
			step = 2
		}
		for i := 0; i < len(e.Rows); i += step {
			at, err := l.AppendDecoded(b, e.Rows[i], e.SkippedColumns[i])
			if err != nil {
				return err
			}
			if info.After = at; info.Op != cdc.OpInsert {
				info.Before, info.After = at, 0
			}
			if info.Op == cdc.OpUpdate {
				if info.After, err = l.AppendDecoded(b, e.Rows[i+1], e.SkippedColumns[i+1]); err != nil {
					return err
				}
			}
			b.AddEvent(info)
		}
		return nil
	})
	return ours, theirs, ourErr, theirErr
}

// generatedImages gives tables and images that are mostly right: each type by itself, whose values no others can hide,
// and wide tables.
func generatedImages(t testing.TB, each int, take func(spec, present, images []byte, choice byte)) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for seed := range each * len(columnTypes) {
		spec := make([]byte, 3*(1+random.IntN(30)))
		for i := range spec {
			spec[i] = byte(random.IntN(200))
		}
		if seed%8 > 0 {
			spec = spec[:3]
			spec[0] = byte(seed / each)
		}
		flavor := []string{"mysql", "mariadb"}[seed%2]
		body, _ := tableMap(spec, flavor)
		ev, err := parse(newParser(t, flavor), rawEvent(replication.TABLE_MAP_EVENT, body))
		if err != nil {
			t.Fatal(err)
		}
		images := imagesOf(random, ev.Event.(*replication.TableMapEvent), 1+seed%3)
		take(spec, nil, images, byte(seed))
		if seed%8 == 0 {
			take(spec, []byte{byte(random.Uint32()), byte(random.Uint32())}, images, byte(seed+1))
			take(spec, nil, images[:random.IntN(len(images))], byte(seed))
		}
	}
}

// FuzzRowImage: tables of all types, with any images. What the transcoder writes is what go-mysql's decoder gives; it
// refuses more only where a server cannot have written the value.
func FuzzRowImage(f *testing.F) {
	generatedImages(f, 4, func(spec, present, images []byte, choice byte) { f.Add(spec, present, images, choice) })
	f.Fuzz(func(t *testing.T, spec, present, images []byte, choice byte) { agree(t, spec, present, images, choice) })
}

func TestTheTranscoderAgreesWithGoMySQLAboutGeneratedRows(t *testing.T) {
	both := 0
	generatedImages(t, 400, func(spec, present, images []byte, choice byte) {
		if agree(t, spec, present, images, choice) {
			both++
		}
	})
	if both < 1000 {
		t.Errorf("only %d events were accepted by both", both)
	}
}

// agree decodes the images both ways, and reports whether there was something to compare.
func agree(t *testing.T, spec, present, images []byte, choice byte) bool {
	t.Helper()
	flavor := []string{"mysql", "mariadb"}[choice%2]
	kind := rowKinds[int(choice/2)%len(rowKinds)]
	body, columns := tableMap(spec, flavor)
	p := newParser(t, flavor)
	ev, err := parse(p, rawEvent(replication.TABLE_MAP_EVENT, body))
	if err != nil {
		return false
	}
	te := ev.Event.(*replication.TableMapEvent)
	l, _, err := layoutOf(body, flavor)
	if err != nil || columns == 0 {
		return false
	}
	if ev, err = parse(p, rawEvent(kind, rowsBody(columns, kind, present, images))); err != nil {
		t.Fatalf("the row event is refused: %v", err)
	}
	ours, theirs, ourErr, theirErr := decodeBoth(l, kind, ev.Event.(*replication.RowsEvent))
	if ours != nil {
		checkValues(t, ours)
	}
	if bytes.IndexByte(te.ColumnType, gomysql.MYSQL_TYPE_JSON) >= 0 {
		return false // what they refuse differs, and numbers are written differently; package jsonb has its own target
	}
	switch {
	case ourErr != nil && theirErr != nil:
	case ourErr != nil:
		if text := ourErr.Error(); !strings.Contains(text, "the binlog holds") && !strings.Contains(text, "belong to no row") {
			t.Errorf("spec %x, present %x, images %x: the transcoder refuses what go-mysql accepts: %v", spec, present, images, ourErr)
		}
	case theirErr != nil:
		t.Errorf("spec %x, present %x, images %x: go-mysql refuses what the transcoder accepts: %.300v", spec, present, images, theirErr)
	default:
		if got, want := texts(ours), texts(theirs); !slices.Equal(got, want) {
			t.Errorf("spec %x, present %x, images %x:\n got %s\nwant %s", spec, present, images, got, want)
		}
		return true
	}
	return false
}

// checkValues reads all values of a frame. Geometries, vectors and what is said to be UTF-8 may be anything, as the
// transcoder only copies them.
func checkValues(t *testing.T, b *cdc.Batch) {
	t.Helper()
	for i := range b.Len() {
		e := b.Event(i)
		for _, r := range [...]cdc.Row{e.Before(), e.After()} {
			for c := range r.Len() {
				if v := r.Value(c); r.Kind(c) != cdc.KindAbsent && v.IsAbsent() {
					t.Errorf("event %d, column %d: its bytes lie outside", i, c)
				}
			}
		}
	}
	if err := b.Verify(); err != nil && !strings.Contains(err.Error(), "not a geometry") && !strings.Contains(err.Error(), "not a vector") {
		t.Error(err)
	}
}

func texts(b *cdc.Batch) (out []string) {
	for i := range b.Len() {
		e := b.Event(i)
		for _, r := range [...]cdc.Row{e.Before(), e.After()} {
			for c := range r.Len() {
				v := r.Value(c)
				out = append(out, fmt.Sprintf("%d:%d:%d:%s:%x", i, c, v.Kind(), hex.EncodeToString([]byte(v.Text())), v.Uint64()))
			}
		}
	}
	return out
}

// FuzzTableMap: whatever a TABLE_MAP says, it becomes a layout or is refused; what go-mysql reads of it is the same. A layout's table can be written into a
// frame, information_schema saying the same gives the same, and any bytes can be read as its rows.
func FuzzTableMap(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for seed := range 60 {
		spec := make([]byte, 3*(1+random.IntN(30)))
		for i := range spec {
			spec[i] = byte(random.IntN(200))
		}
		body, _ := tableMap(spec, []string{"mariadb", "mysql"}[seed%2])
		f.Add(body, []byte("some bytes to be read as rows \x00\x01\x02\xff"), seed%2 == 0, seed%3 == 0)
	}
	for _, flavor := range []string{"mysql", "mariadb"} {
		for i, body := range recordedTableMaps(f, flavor) {
			if i%8 == 0 {
				f.Add(body, []byte{}, flavor == "mariadb", false)
			}
		}
	}
	f.Fuzz(func(t *testing.T, body, images []byte, mariadb, partial bool) {
		flavor := "mysql"
		if mariadb {
			flavor = "mariadb"
		}
		l, m, err := layoutOf(body, flavor)
		if m != nil && !claimsManyMembers(body) && bytes.IndexByte(body, 140) < 0 && bytes.IndexByte(body, 141) < 0 {
			sameAsGoMySQL(t, body, flavor, l)
		}
		if err != nil {
			return
		}
		table := l.Table()
		if l.Columns() != len(table.Columns) || l.Columns() != m.Columns() {
			t.Fatalf("%d columns of %d, the table has %d", l.Columns(), m.Columns(), len(table.Columns))
		}
		var frame cdc.Builder
		frame.Reset(cdc.Header{Source: "fuzz", FirstPartNo: 1})
		frame.AddTx(cdc.Tx{})
		frame.AddTable(table)
		present := bytes.Repeat([]byte{0xff}, (l.Columns()+7)/8)
		e := rowimage.Event{Layout: l, Before: present, After: present, Partial: partial}
		for data := images; len(data) > 0; {
			info := cdc.EventInfo{Op: cdc.OpUpdate}
			if info.Before, info.After, data, err = e.Append(&frame, data); err != nil {
				break
			}
			frame.AddEvent(info)
		}
		b, err := cdc.Open(frame.Seal(cdc.Checkpoint{}), nil)
		if err != nil {
			if !m.Named() || len(table.Columns) == 0 {
				return
			}
			t.Fatalf("frame: %v", err)
		}
		checkValues(t, b)

		now := make([]rowimage.Column, len(table.Columns))
		for i, c := range table.Columns {
			now[i] = rowimage.Column{Column: c, Known: true}
		}
		if same, err := rowimage.Resolve(m, now, flavor); err == nil {
			for i, c := range same.Table().Columns {
				if c.Kind != table.Columns[i].Kind {
					t.Errorf("column %d is %s, information_schema makes it %s", i, table.Columns[i].Kind, c.Kind)
				}
			}
		}
		runtime.KeepAlive(b)
	})
}

// sameAsGoMySQL compares a TABLE_MAP that was read with what go-mysql reads. l is nil if its columns are refused.
func sameAsGoMySQL(t *testing.T, body []byte, flavor string, l *rowimage.Layout) {
	t.Helper()
	ev, err := parse(newParser(t, flavor), rawEvent(replication.TABLE_MAP_EVENT, body))
	if l == nil {
		return // both may refuse it: go-mysql the whole TABLE_MAP, cdcd the columns
	}
	if err != nil {
		t.Errorf("%x: go-mysql refuses what we accept: %v", body, err)
		return
	}
	te, table := ev.Event.(*replication.TableMapEvent), l.Table()
	if string(te.Schema) != table.Schema || string(te.Table) != table.Name || int(te.ColumnCount) != len(table.Columns) {
		t.Errorf("%x: %s of %d columns, go-mysql reads %s.%s of %d", body, table, len(table.Columns), te.Schema, te.Table, te.ColumnCount)
		return
	}
	collations, ofMembers, unsigned := te.CollationMap(), te.EnumSetCollationMap(), te.UnsignedMap()
	enums, sets, names := te.EnumStrValueMap(), te.SetStrValueMap(), te.ColumnNameString()
	vector := bytes.IndexByte(te.ColumnType, gomysql.MYSQL_TYPE_VECTOR) >= 0 // go-mysql knows not that it has a collation
	for i, c := range table.Columns {
		if len(names) > 0 && c.Name != names[i] {
			t.Errorf("%x: column %d is %q, go-mysql reads %q", body, i, c.Name, names[i])
		}
		if _, nullable := te.Nullable(i); c.Nullable != nullable {
			t.Errorf("%x: column %d can be NULL: %v, go-mysql reads %v", body, i, c.Nullable, nullable)
		}
		if want := unsigned[i] && te.ColumnType[i] != gomysql.MYSQL_TYPE_YEAR; c.Unsigned != want {
			t.Errorf("%x: column %d is unsigned: %v, go-mysql reads %v", body, i, c.Unsigned, want)
		}
		want, ok := collations[i]
		if o, has := ofMembers[i]; has {
			want, ok = o, true
		}
		switch c.Kind {
		case cdc.KindString, cdc.KindEnum, cdc.KindSet:
			if ok && !vector && c.Collation != uint16(want) {
				t.Errorf("%x: column %d has collation %d, go-mysql reads %d", body, i, c.Collation, want)
			}
		}
		if list := append(slices.Clone(enums[i]), sets[i]...); len(list) != len(c.Members) || want == 45 && utf8.ValidString(strings.Join(list, "")) && !slices.Equal(list, c.Members) {
			t.Errorf("%x: column %d has members %q, go-mysql reads %q", body, i, c.Members, list)
		}
		if key := slices.Index(te.PrimaryKey, uint64(i)) + 1; int(c.Key) != key {
			t.Errorf("%x: column %d has place %d in the key, go-mysql reads %d", body, i, c.Key, key)
		}
	}
}

func TestTableMapsOfServersAreReadAsGoMySQLReadsThem(t *testing.T) {
	for _, flavor := range []string{"mysql", "mariadb"} {
		for _, body := range recordedTableMaps(t, flavor) {
			l, m, err := layoutOf(body, flavor)
			if err != nil || !m.Named() {
				t.Errorf("%s %x: %v", flavor, body, err)
				continue
			}
			sameAsGoMySQL(t, body, flavor, l)
		}
	}
}

// claimsManyMembers reports a length of three bytes or more, for which go-mysql would allocate before it looks at the
// members themselves.
func claimsManyMembers(body []byte) bool {
	return bytes.IndexByte(body, 0xfd) >= 0 || bytes.IndexByte(body, 0xfe) >= 0 && bytes.Count(body, []byte{0xfe}) != bytes.Count(body, []byte{gomysql.MYSQL_TYPE_STRING})
}

// typesLog returns a recorded log, with which TestEveryTypeOnBothServers of sources/mysql has filled a server: rows of
// all types with ordinary values and those at the limits.
func typesLog(t testing.TB, flavor string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "binlog", "types-"+flavor+".binlog.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	log, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// recordedTableMaps returns the bodies of the TABLE_MAPs of that log.
func recordedTableMaps(t testing.TB, flavor string) (bodies [][]byte) {
	t.Helper()
	if err := newParser(t, flavor).ParseReader(bytes.NewReader(typesLog(t, flavor)[4:]), func(ev *replication.BinlogEvent) error {
		if ev.Header.EventType == replication.TABLE_MAP_EVENT {
			raw := ev.RawData
			bodies = append(bodies, bytes.Clone(raw[replication.EventHeaderSize:len(raw)-replication.BinlogChecksumLength]))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return bodies
}

// The rows that real servers have written must be the same for the transcoder and for go-mysql's decoder.
func TestTheTranscoderAgreesWithGoMySQLAboutRecordedLogs(t *testing.T) {
	for _, flavor := range []string{"mysql", "mariadb"} {
		rows := 0
		var l *rowimage.Layout
		err := newParser(t, flavor).ParseReader(bytes.NewReader(typesLog(t, flavor)[4:]), func(ev *replication.BinlogEvent) (err error) {
			if ev.Header.EventType == replication.TABLE_MAP_EVENT {
				l, _, err = layoutOf(ev.RawData[replication.EventHeaderSize:len(ev.RawData)-replication.BinlogChecksumLength], flavor)
				return err
			}
			e, ok := ev.Event.(*replication.RowsEvent)
			if !ok {
				return nil
			}
			ours, theirs, ourErr, theirErr := decodeBoth(l, replication.WRITE_ROWS_EVENTv2, e)
			if ourErr != nil || theirErr != nil {
				t.Errorf("%s: the transcoder says %v, go-mysql %v", l.Table(), ourErr, theirErr)
				return nil
			}
			checkValues(t, ours)
			for i := range ours.Len() {
				got, want := ours.Event(i).After(), theirs.Event(i).After()
				for c := range got.Len() {
					rows++
					if g, w := got.Value(c), want.Value(c); !g.Equal(w) && !(g.Kind() == cdc.KindJSON && equalDocuments(g.Text(), w.Text())) {
						t.Errorf("%s: got %.200s, want %.200s", l.Table(), g, w)
					}
				}
			}
			return nil
		})
		if err != nil || rows < 300 {
			t.Errorf("%s: %d values, error %v", flavor, rows, err)
		}
	}
}

// equalDocuments compares documents; go-mysql writes numbers with other digits.
func equalDocuments(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}
