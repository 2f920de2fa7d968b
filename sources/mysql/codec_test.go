package mysql_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

var codecSeed = flag.Uint64("codec-seed", 0, "seed of the tables that are made up; 0 takes the time")

// TestASnapshotRowEqualsTheStreamedRow makes up tables and rows, and compares what the stream says of an INSERT with what
// a SELECT says of the row: table entry and row image must be the same bytes.
func TestASnapshotRowEqualsTheStreamedRow(t *testing.T) {
	t.Parallel()
	seed := *codecSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("go test ./sources/mysql -run %s -codec-seed %d", t.Name(), seed)
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		const tables, rows = 30, 8
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), flavor: s.Flavor}
		s.Exec(t, "CREATE DATABASE shop CHARACTER SET utf8mb4")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		conn := s.Conn(t)
		execute := func(statement string) bool {
			if _, err := conn.Execute(statement); err != nil {
				if !strings.Contains(err.Error(), "Row size too large") && !strings.Contains(err.Error(), "Too many keys") {
					t.Errorf("%s: %v", statement, err)
				}
				return false
			}
			return true
		}
		for _, statement := range append([]string{"SET SESSION innodb_strict_mode = OFF"}, session...) {
			execute(statement)
		}
		want := 0
		definitions := map[string]string{}
		for i := range tables {
			name := fmt.Sprintf("made up %d", i)
			definition, columns := g.table()
			definitions[name] = definition
			if !execute(fmt.Sprintf("CREATE TABLE shop.`%s` %s", name, definition)) {
				continue
			}
			execute("BEGIN")
			for seq := range rows {
				if execute(fmt.Sprintf("INSERT IGNORE INTO shop.`%s` %s", name, g.row(columns, seq))) {
					want++
				}
			}
			execute("COMMIT")
		}
		r.wait(t, want)
		streamed := map[string][]cdc.Event{}
		for _, b := range r.frames {
			for i := range b.Len() {
				streamed[b.Event(i).Table().Name] = append(streamed[b.Event(i).Table().Name], b.Event(i))
			}
		}
		if len(streamed) < tables/2 {
			t.Errorf("only %d tables of %d have rows", len(streamed), tables)
		}
		for name, events := range streamed {
			same := true
			selected, err := mysql.SelectRows(t.Context(), config(s), "shop", name, "ORDER BY seq")
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if len(selected) != len(events) {
				t.Errorf("%s: %d rows selected, %d streamed", name, len(selected), len(events))
			} else {
				for i := 0; i < len(selected) && same; i++ {
					same = sameImage(t, events[i].After(), selected[i].Event(0).After())
				}
			}
			if !same || err != nil {
				t.Logf("%s %s", name, definitions[name])
			}
		}
	})
}

// MySQL counts VECTOR among the columns with a character set; go-mysql does not, and gave all columns behind one the
// collation of their neighbour: text became bytes.
func TestColumnsBehindAVectorKeepTheirCharacterSets(t *testing.T) {
	t.Parallel()
	s := testenv.MySQL(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (v VECTOR(1), b BLOB, l VARCHAR(9) CHARACTER SET latin1, u TEXT CHARACTER SET utf16)")
	r := begin(t, config(s), cdc.Checkpoint{}, nil)
	s.Exec(t, "SET NAMES utf8mb4", "INSERT INTO shop.a VALUES (TO_VECTOR('[1]'), 'b', 'é', 'ü')")
	compare(t, short(r.wait(t, 1)), []string{`insert shop.a null null -> {"v":[1],"b":"Yg==","l":"é","u":"ü"}`})
}

// information_schema shows members beyond the basic plane with question marks, on both servers.
func TestMembersThatInformationSchemaCannotShow(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "SET NAMES utf8mb4", "CREATE DATABASE shop CHARACTER SET utf8mb4", "CREATE TABLE shop.a (id INT PRIMARY KEY, e ENUM('😀', 'b'), s SET('x🦊', 'b'))")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		s.Exec(t, "SET NAMES utf8mb4", "INSERT INTO shop.a VALUES (1, '😀', 'x🦊,b')")
		want := string(cdc.AppendRow(nil, event(r, t).After()))
		if want != `{"id":1,"e":"😀","s":["x🦊","b"]}` {
			t.Errorf("streamed %s", want)
		}
		selected, err := mysql.SelectRows(t.Context(), config(s), "shop", "a", "")
		if err != nil || len(selected) != 1 {
			t.Fatal(selected, err)
		}
		if got := string(cdc.AppendRow(nil, selected[0].Event(0).After())); got != want {
			t.Errorf("selected %s", got)
		}
		s.Exec(t, "SET GLOBAL binlog_row_metadata = 'MINIMAL'", "INSERT INTO shop.a VALUES (2, 'b', 'b')")
		r.ends(t, "CDCD-1308") // rather than deliver "?"
	})
}

// event waits for the first event.
func event(r *running, t *testing.T) cdc.Event {
	t.Helper()
	return r.waitFrame(t, func(b *cdc.Batch) bool { return b.Len() > 0 }).Event(0)
}

// A server that is not strict takes a row without a geometry where there must be one; MariaDB then stores no bytes at all.
func TestGeometriesWithoutBytesAreNull(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, g GEOMETRY NOT NULL)")
	r := begin(t, config(s), cdc.Checkpoint{}, nil)
	s.Exec(t, "SET SESSION sql_mode = ''", "INSERT IGNORE INTO shop.a (id) VALUES (1)")
	compare(t, short(r.wait(t, 1)), []string{`insert shop.a {"id":1} null -> {"id":1,"g":null}`})
	selected, err := mysql.SelectRows(t.Context(), config(s), "shop", "a", "")
	if err != nil || len(selected) != 1 {
		t.Fatal(selected, err)
	}
	sameImage(t, event(r, t).After(), selected[0].Event(0).After())
}

// A table may be altered between the question what it is like and the rows.
func TestRowsOfAnAlteredTableAreRefused(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT, v VARCHAR(10), d DECIMAL(5,2), t DATETIME(3))", "INSERT INTO shop.a VALUES (1, 'v', 1.5, NOW(3))")
		for _, as := range []string{"id, v, d, CAST(t AS DATETIME(6)) AS t", "id, CONVERT(v USING latin1) AS v, d, t", "id, v, CAST(d AS DECIMAL(5,3)) AS d, t",
			"id + 1 AS id, v, d, t", "v AS id, v, d, t"} {
			_, err := mysql.SelectRows(t.Context(), config(s), "shop", "a", "", "(SELECT "+as+" FROM shop.a) AS a")
			var coded *cdc.Error
			if !errors.As(err, &coded) || coded.Code != "CDCD-1341" {
				t.Errorf("%s: %v", as, err)
			}
		}
		if _, err := mysql.SelectRows(t.Context(), config(s), "shop", "none", ""); err == nil || !strings.Contains(err.Error(), "CDCD-1342") {
			t.Errorf("no such table: %v", err)
		}
	})
}

// sameImage compares two rows with the tables that they are of, as frames hold them.
func sameImage(t *testing.T, streamed, selected cdc.Row) bool {
	t.Helper()
	if bytes.Equal(frameOf(streamed), frameOf(selected)) {
		return true
	}
	a, b := streamed.Table(), selected.Table()
	for i := range max(len(a.Columns), len(b.Columns)) {
		if i >= len(a.Columns) || i >= len(b.Columns) {
			t.Errorf("%s: %d columns in the stream, %d in the snapshot", a, len(a.Columns), len(b.Columns))
			return false
		}
		if x, y := fmt.Sprintf("%+v", a.Columns[i]), fmt.Sprintf("%+v", b.Columns[i]); x != y {
			t.Errorf("%s:\n streamed %.900s\n selected %.900s", a, x, y)
			continue
		}
		x, y := streamed.Value(i), selected.Value(i)
		if x != y || streamed.Kind(i) != selected.Kind(i) {
			t.Errorf("%s: column %s, %s:\n streamed %s %.600s\n selected %s %.600s", a, a.Columns[i].Name, a.Columns[i].Type, x.Kind(), x, y.Kind(), y)
		}
	}
	if !t.Failed() {
		t.Errorf("%s: the values are the same, the bytes are not", a)
	}
	return false
}

// frameOf returns a frame that holds nothing but the row.
func frameOf(r cdc.Row) []byte {
	var b cdc.Builder
	b.Reset(cdc.Header{})
	b.AddEvent(cdc.EventInfo{Tx: b.AddTx(cdc.Tx{}), Table: b.AddTable(r.Table()), Op: cdc.OpSnapshot, After: b.CopyRow(r)})
	return b.Seal(cdc.Checkpoint{})
}

// generator makes up tables and values. The same seed gives the same ones.
type generator struct {
	*rand.Rand
	flavor string
}

// madeUp is a column: its definition without its name, and what makes up values as SQL.
type madeUp struct {
	name, sql string
	value     func() string // nil: generated by the server
	key       string        // how it may stand in a primary key; "" if it cannot
	null      bool
}

func (g *generator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g *generator) table() (definition string, columns []madeUp) {
	columns = []madeUp{{name: "seq", sql: "INT NOT NULL", key: "seq"}}
	for range 1 + g.IntN(14) {
		c := g.column()
		c.name = g.one("c", "Ä", "select", "a b", "日本", "q'\"", "back`tick", "x.y", "$", "1") + fmt.Sprint(len(columns))
		if c.null = g.IntN(2) == 0; c.null {
			c.sql += " NULL"
		} else if c.value != nil {
			c.sql += " NOT NULL"
		}
		if g.IntN(12) == 0 && c.value != nil && c.null {
			c.sql += " INVISIBLE"
		}
		columns = append(columns, c)
	}
	if g.IntN(3) == 0 {
		generated := madeUp{name: "generated", sql: "INT GENERATED ALWAYS AS (seq + 1) " + g.one("STORED", "VIRTUAL")}
		columns = slices.Insert(columns, g.IntN(len(columns)+1), generated)
	}
	if at := g.IntN(len(columns)); at > 0 { // seq stands anywhere
		columns[0], columns[at] = columns[at], columns[0]
	}
	var parts, key []string
	for _, c := range columns {
		parts = append(parts, quoted(c.name)+" "+c.sql)
		if c.key != "" && !c.null && (c.name == "seq" || g.IntN(4) == 0) && len(key) < 4 && !strings.Contains(c.sql, "INVISIBLE") {
			key = append(key, strings.ReplaceAll(c.key, "?", quoted(c.name)))
		}
	}
	if g.IntN(4) > 0 {
		g.Shuffle(len(key), func(i, j int) { key[i], key[j] = key[j], key[i] })
		if !slices.Contains(key, "seq") { // else rows might collide
			key = append(key, "seq")
		}
		parts = append(parts, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
	}
	return "(" + strings.Join(parts, ",\n\t") + ") ROW_FORMAT=DYNAMIC", columns
}

func (g *generator) row(columns []madeUp, seq int) string {
	var names, values []string
	for _, c := range columns {
		switch {
		case c.name == "seq":
			values = append(values, fmt.Sprint(seq))
		case c.value == nil:
			continue
		case c.null && g.IntN(4) == 0:
			values = append(values, "NULL")
		default:
			values = append(values, c.value())
		}
		names = append(names, quoted(c.name))
	}
	return "(" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
}

func quoted(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func (g *generator) column() madeUp {
	kinds := []func() madeUp{g.integer, g.integer, g.float, g.decimal, g.bit, g.temporal, g.temporal, g.temporal, g.text, g.text, g.text,
		g.binary, g.binary, g.enum, g.set, g.geometry}
	if g.flavor == "mysql" {
		kinds = append(kinds, g.json, g.json, g.vector)
	} else {
		kinds = append(kinds, g.uuid, g.inet)
	}
	return kinds[g.IntN(len(kinds))]()
}

func (g *generator) integer() madeUp {
	width := g.IntN(5)
	sql := [...]string{"TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT"}[width] + g.one("", "", " UNSIGNED", " UNSIGNED ZEROFILL")
	bits := [...]uint{8, 16, 24, 32, 64}[width]
	return madeUp{sql: sql, key: "?", value: func() string {
		n := g.Uint64() >> (64 - bits) >> (g.UintN(bits + 1))
		if g.IntN(5) == 0 {
			n = []uint64{0, 1, 1<<bits - 1, 1 << (bits - 1), 1<<(bits-1) - 1}[g.IntN(5)]
		}
		if strings.Contains(sql, "UNSIGNED") {
			return fmt.Sprint(n)
		}
		return fmt.Sprint(int64(n<<(64-bits)) >> (64 - bits))
	}}
}

func (g *generator) float() madeUp {
	sql := g.one("FLOAT", "DOUBLE", "FLOAT UNSIGNED", "DOUBLE UNSIGNED", "FLOAT(8,3)", "DOUBLE(20,5)", "DOUBLE UNSIGNED ZEROFILL")
	return madeUp{sql: sql, value: func() string {
		f := math.Float64frombits(g.Uint64())
		if strings.HasPrefix(sql, "FLOAT") {
			f = float64(math.Float32frombits(g.Uint32()))
		}
		if g.IntN(4) == 0 {
			f = []float64{0, math.Copysign(0, -1), 1.1, -1.1, 1e15, 1e-7, math.MaxFloat32, math.SmallestNonzeroFloat64, 16777217}[g.IntN(9)]
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			f = 0.1
		}
		return fmt.Sprintf("%.17e", f)
	}}
}

func (g *generator) decimal() madeUp {
	precision := 1 + g.IntN(65)
	scale := g.IntN(min(precision, 30) + 1)
	if g.flavor == "mariadb" {
		scale = g.IntN(min(precision, 38) + 1)
	}
	return madeUp{sql: fmt.Sprintf("DECIMAL(%d,%d)%s", precision, scale, g.one("", "", " UNSIGNED", " ZEROFILL")), key: "?", value: func() string {
		text := g.one("", "-")
		for range g.IntN(precision - scale + 1) {
			text += g.one("0", "9", "1", "5")
		}
		text += "0."
		for range g.IntN(scale + 1) {
			text += g.one("0", "9", "1", "5")
		}
		return "'" + text + "'"
	}}
}

func (g *generator) bit() madeUp {
	n := 1 + g.IntN(64)
	return madeUp{sql: fmt.Sprintf("BIT(%d)", n), value: func() string { return fmt.Sprintf("b'%b'", g.Uint64()>>(64-n)>>g.IntN(n)) }}
}

func (g *generator) temporal() madeUp {
	fsp := g.IntN(7)
	fraction := func() string {
		return fmt.Sprintf("%06d", g.one2(0, g.IntN(1_000_000), 999_999))[:fsp]
	}
	withFraction := func(text string) string {
		if fsp == 0 {
			return "'" + text + "'"
		}
		return "'" + text + "." + fraction() + "'"
	}
	date := func() string {
		return fmt.Sprintf("%04d-%02d-%02d", g.one2(0, g.IntN(10000), 1000, 9999), g.IntN(13), g.IntN(32))
	}
	clock := func() string { return fmt.Sprintf("%02d:%02d:%02d", g.IntN(24), g.IntN(60), g.IntN(60)) }
	switch g.IntN(5) {
	case 0:
		return madeUp{sql: "DATE", key: "?", value: func() string { return "'" + date() + "'" }}
	case 1:
		return madeUp{sql: "YEAR", key: "?", value: func() string { return fmt.Sprint(g.one2(0, 1901, 2155, 1901+g.IntN(255))) }}
	case 2:
		return madeUp{sql: fmt.Sprintf("TIME(%d)", fsp), key: "?", value: func() string {
			return withFraction(fmt.Sprintf("%s%02d:%02d:%02d", g.one("", "-"), g.one2(0, 1, g.IntN(839), 838), g.IntN(60), g.IntN(60)))
		}}
	case 3:
		return madeUp{sql: fmt.Sprintf("DATETIME(%d)", fsp), key: "?", value: func() string { return withFraction(date() + " " + clock()) }}
	}
	return madeUp{sql: fmt.Sprintf("TIMESTAMP(%d)", fsp), value: func() string {
		if g.IntN(6) == 0 {
			return "'0000-00-00 00:00:00'"
		}
		return withFraction(time.Unix(int64(g.one2(14401, g.IntN(1<<31), 1<<31-1)), 0).UTC().Format(time.DateTime))
	}}
}

func (g *generator) one2(of ...int) int { return of[g.IntN(len(of))] }

func (g *generator) text() madeUp {
	charset := g.one("utf8mb4", "utf8mb4", "utf8mb4 COLLATE utf8mb4_bin", "utf8mb3", "latin1", "latin1 COLLATE latin1_bin", "ascii", "utf16", "utf16le",
		"ucs2", "utf32", "sjis", "cp932", "gbk", "big5", "euckr", "ujis", "cp1251", "koi8r", "latin2", "greek", "hebrew", "cp850", "macroman")
	n := []int{0, 1, 10, 20, 63, 64, 255, 256}[g.IntN(8)]
	kind, key := "", "?"
	switch g.IntN(6) {
	case 0, 1:
		n = min(n, 255)
		kind = fmt.Sprintf("CHAR(%d)", n)
	case 2, 3:
		kind = fmt.Sprintf("VARCHAR(%d)", n)
	case 4:
		kind, n = g.one("TINYTEXT", "TEXT"), 60
	default:
		kind, n = g.one("MEDIUMTEXT", "LONGTEXT"), 300
	}
	if n > 20 {
		key = "?(9)"
	}
	if n == 0 || strings.HasSuffix(kind, "TEXT") && g.flavor == "mysql" && n == 0 {
		key = ""
	}
	return madeUp{sql: kind + " CHARACTER SET " + charset, key: key, value: func() string { return g.words(n) }}
}

// words returns text of up to n characters as an SQL literal.
func (g *generator) words(n int) string {
	var b strings.Builder
	alphabet := []rune(g.one("abc xyz ", "äöüß€ ", "Жук да я", "日本語漢字 ", "😀🦊a ", `'"\`+"\n\x00\t %_", "אבג αβγ"))
	for range g.IntN(n + 1) {
		b.WriteRune(alphabet[g.IntN(len(alphabet))])
	}
	return literal(b.String())
}

func literal(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`, "\n", `\n`).Replace(text) + "'"
}

func (g *generator) binary() madeUp {
	n := []int{1, 4, 16, 16, 20, 255}[g.IntN(6)]
	kind := g.one("BINARY(%d)", "BINARY(%d)", "VARBINARY(%d)", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB", "CHAR(%d) CHARACTER SET binary",
		"TEXT CHARACTER SET binary")
	if strings.Contains(kind, "%d") {
		kind = fmt.Sprintf(kind, n)
	}
	return madeUp{sql: kind, key: "?(1)", value: func() string {
		raw := make([]byte, g.IntN(n+1))
		for i := range raw {
			raw[i] = byte(g.one2(0, ' ', g.IntN(256)))
		}
		return "x'" + hex.EncodeToString(raw) + "'"
	}}
}

func (g *generator) members(most int) []string {
	list := []string{"", "a", "b ", " c", "it's", `back\slash`, `"q"`, "ä", "Ж", "日本", "new\nline", "(", ")", "x)", "'", "''", "%", "tab\t", "ß€"}
	g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	list = list[:1+g.IntN(len(list))]
	for len(list) < most && g.IntN(3) == 0 {
		for range 60 {
			list = append(list, fmt.Sprintf("m%d", len(list)))
		}
	}
	return list[:min(len(list), most)]
}

func (g *generator) enum() madeUp {
	members := g.members(300)
	return madeUp{sql: g.memberType("ENUM", members), value: func() string { return fmt.Sprint(g.IntN(len(members) + 1)) }}
}

func (g *generator) set() madeUp {
	members := slices.DeleteFunc(g.members(64), func(m string) bool { return m == "" })
	if len(members) == 0 {
		members = []string{"x"}
	}
	return madeUp{sql: g.memberType("SET", members), value: func() string { return fmt.Sprint(g.Uint64() & (1<<len(members) - 1)) }}
}

func (g *generator) memberType(word string, members []string) string {
	list := make([]string, len(members))
	for i := range members {
		list[i] = literal(members[i])
	}
	charset := g.one("utf8mb4 COLLATE utf8mb4_bin", "utf8mb4 COLLATE utf8mb4_bin", "utf16 COLLATE utf16_bin", "ucs2 COLLATE ucs2_bin")
	if strings.Contains(strings.Join(list, ""), "😀") && strings.HasPrefix(charset, "ucs2") {
		charset = "utf8mb4 COLLATE utf8mb4_bin"
	}
	return word + "(" + strings.Join(list, ",") + ") CHARACTER SET " + charset
}

func (g *generator) geometry() madeUp {
	kind := g.one("GEOMETRY", "POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRYCOLLECTION")
	return madeUp{sql: kind, value: func() string {
		n := func() string { return fmt.Sprint(float64(g.IntN(900)) / 10) }
		at := n() + " " + n()
		text := map[string]string{"POINT": "(" + at + ")", "LINESTRING": "(" + at + "," + n() + " " + n() + ")", "POLYGON": "((0 0,0 " + n() + ",9 9,0 0))",
			"MULTIPOINT": "(" + at + ")", "MULTILINESTRING": "((" + at + ",1 1))", "MULTIPOLYGON": "(((0 0,0 7,9 9,0 0)))",
			"GEOMETRYCOLLECTION": g.one(" EMPTY", "(POINT("+at+"))")}
		of := kind
		if of == "GEOMETRY" {
			of = g.one("POINT", "LINESTRING", "POLYGON", "GEOMETRYCOLLECTION")
		}
		return "ST_GeomFromText('" + of + text[of] + "', " + g.one("0", "4326") + ")"
	}}
}

func (g *generator) json() madeUp {
	return madeUp{sql: "JSON", value: func() string {
		switch g.IntN(6) {
		case 0:
			return g.one("CAST(CAST('838:59:58.5' AS TIME(6)) AS JSON)", "CAST(CAST('-00:00:01' AS TIME) AS JSON)", "CAST(TIMESTAMP'2026-11-21 01:02:03.5' AS JSON)",
				"CAST(DATE'2026-11-21' AS JSON)", "CAST(x'00ff' AS JSON)", "JSON_ARRAY(REPEAT(x'ff', 100))", "CAST(b'101' AS JSON)", "CAST(YEAR('2026-01-01') AS JSON)",
				"CAST(ST_GeomFromText('POINT(1 2)') AS JSON)", "JSON_ARRAY(CAST('12345678901234567890.123456789' AS DECIMAL(40,15)), -0.5, 1e0)")
		case 1:
			return literal(fmt.Sprint(g.Uint64()))
		case 2:
			return literal(fmt.Sprint(int64(g.Uint64())))
		}
		return literal(g.document(0))
	}}
}

func (g *generator) document(depth int) string {
	switch n := g.IntN(8); {
	case n == 0:
		return g.one("true", "false", "null", `""`, "[]", "{}")
	case n == 1:
		f := math.Float64frombits(g.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			f = 1.5
		}
		return fmt.Sprintf("%e", f)
	case n == 2:
		return g.one("0.1", "-0.0", "1.0", "1e15", "1e14", "123456789012345.6", "1e-5", "1e-16", "100000000000000000000", "-1", "65535", "65536", "32768")
	case n == 3 || depth > 3:
		return g.one(`"a\"b\\c\n\t\u0001\b"`, `"<&>"`, `"ä 日本 😀"`, `": , "`, `"\u2028"`, `"\/"`)
	case n < 6:
		var parts []string
		for i := range g.IntN(5) {
			parts = append(parts, fmt.Sprintf(`"%s%d" : %s`, g.one("k", "a b", "ä", `q\"`, ""), i, g.document(depth+1)))
		}
		return "{" + strings.Join(parts, " ,") + "}"
	default:
		var parts []string
		for range g.IntN(5) {
			parts = append(parts, g.document(depth+1))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
}

func (g *generator) vector() madeUp {
	n := 1 + g.IntN(8)
	return madeUp{sql: fmt.Sprintf("VECTOR(%d)", n), value: func() string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = fmt.Sprint(g.NormFloat64())
		}
		return "TO_VECTOR('[" + strings.Join(parts, ",") + "]')"
	}}
}

func (g *generator) uuid() madeUp {
	return madeUp{sql: "UUID", key: "?", value: func() string {
		a, b := g.Uint64(), g.Uint64()
		if g.IntN(8) == 0 {
			a, b = 0, 0
		}
		return fmt.Sprintf("'%08x-%04x-%04x-%04x-%012x'", uint32(a>>32), uint16(a>>16), uint16(a), uint16(b>>48), b&(1<<48-1))
	}}
}

func (g *generator) inet() madeUp {
	kind := g.one("INET6", "INET4")
	return madeUp{sql: kind, key: "?", value: func() string {
		if kind == "INET4" {
			return g.one("'0.0.0.0'", "'10.0.0.0'", fmt.Sprintf("'%d.%d.%d.%d'", g.IntN(256), g.IntN(256), g.IntN(256), g.IntN(256)))
		}
		return g.one("'::'", "'::1'", "'::ffff:192.0.2.1'", "'::192.0.2.1'", "'2001:db8::1:0:0:1'", fmt.Sprintf("'%x:%x::%x'", g.IntN(65536), g.IntN(65536), g.IntN(65536)))
	}}
}
