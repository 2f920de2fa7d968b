package jsonb_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/cdcd-project/cdcd/internal/jsonb"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

var le = binary.LittleEndian

// image is a row of which the log holds these columns, by number. A column with diffs is there, too.
type image struct {
	columns map[int][]byte // INT and JSON, without the length; nil is NULL
	partial map[int]bool   // these hold diffs
}

// readRows returns the row images of a binlog file that are of a table, which has INT and JSON columns only. An update
// has two.
func readRows(t *testing.T, path, table string) (images []image) {
	t.Helper()
	p := replication.NewBinlogParser()
	p.SetFlavor("mysql")
	partial := false
	var body []byte
	p.SetRowsEventDecodeFunc(func(e *replication.RowsEvent, data []byte) error {
		at, err := e.DecodeHeader(data)
		body = bytes.Clone(data[at:])
		return err
	})
	err := p.ParseFile(path, 0, func(e *replication.BinlogEvent) error {
		rows, ok := e.Event.(*replication.RowsEvent)
		if !ok || string(rows.Table.Table) != table {
			return nil
		}
		partial = e.Header.EventType == replication.PARTIAL_UPDATE_ROWS_EVENT
		for rest := body; len(rest) > 0; {
			var one image
			one, rest = cutImage(rows, rows.ColumnBitmap1, rest, false)
			images = append(images, one)
			if len(rows.ColumnBitmap2) > 0 {
				one, rest = cutImage(rows, rows.ColumnBitmap2, rest, partial)
				images = append(images, one)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return images
}

// cutImage cuts the first image off the rows. Only the second image of a partial update has value options.
func cutImage(e *replication.RowsEvent, present, data []byte, options bool) (image, []byte) {
	one := image{columns: map[int][]byte{}, partial: map[int]bool{}}
	bit := func(bits []byte, i int) bool { return bits[i/8]>>(i%8)&1 != 0 }
	var partial []byte
	if options {
		value, _, n := mysql.LengthEncodedInt(data)
		data = data[n:]
		if value&1 != 0 {
			n := (int(e.Table.JsonColumnCount()) + 7) / 8
			partial, data = data[:n], data[n:]
		}
	}
	there := 0
	for i := range int(e.ColumnCount) {
		if bit(present, i) {
			there++
		}
	}
	nulls := data[:(there+7)/8]
	data = data[(there+7)/8:]
	null, document := 0, 0
	for i := range int(e.ColumnCount) {
		isPartial := false
		if e.Table.ColumnType[i] == mysql.MYSQL_TYPE_JSON {
			isPartial = partial != nil && bit(partial, document) // a bit for each JSON column, be it in the image or not
			document++
		}
		if !bit(present, i) {
			continue
		}
		null++
		if bit(nulls, null-1) {
			one.columns[i] = nil
			continue
		}
		n, size := 0, 4 // an INT
		if e.Table.ColumnType[i] == mysql.MYSQL_TYPE_JSON {
			n = int(e.Table.ColumnMeta[i])
			size = int(mysql.FixedLengthInt(data[:n]))
		}
		one.columns[i], one.partial[i] = data[n:n+size:n+size], isPartial
		data = data[n+size:]
	}
	return one, data
}

// compact is what the server shows without the spaces.
func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
	return b.String()
}

// documents are SQL expressions.
func documents() []string {
	quote := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(string(b)) + "'"
	}
	as := func(value, typ string) string { return "CAST(CAST(" + value + " AS " + typ + ") AS JSON)" }
	scalars := []string{
		"'null'", "'true'", "'false'", "'\"\"'", "'-32768'", "'-32769'", "'32767'", "'32768'", "'65535'", "'65536'", "'-2147483648'",
		"'-2147483649'", "'4294967295'", "'4294967296'", "'9223372036854775807'", "'-9223372036854775808'", "'18446744073709551615'",
		"'18446744073709551616'", "'0'", "'0.0'", "'-0.0'", "'1.0'", "'1e300'", "'-1e-300'", "'1.7976931348623157e308'", "'5e-324'",
		"'1e15'", "'1e14'", "'123456789012345678.9'", "'1234567890123456.7'", "'12345678901234567'", "'0.1'", "'1e-14'", "'1e-15'",
		"'1.5e-15'", "'9.9e-16'", "'1e-16'", "'1e16'", "'1e17'", "'1.5e-7'",
		as("'2026-11-21'", "DATE"), as("'0001-01-01'", "DATE"), as("'9999-12-31'", "DATE"), as("'2026-00-00'", "DATE"), as("'0000-00-00'", "DATE"),
		as("'2026-11-21 01:02:03'", "DATETIME"), as("'2026-11-21 01:02:03.5'", "DATETIME(3)"), as("'9999-12-31 23:59:59.999999'", "DATETIME(6)"),
		as("'0000-00-00 00:00:00'", "DATETIME"), "CAST(FROM_UNIXTIME(1) AS JSON)", "CAST(TIMESTAMP'2026-11-21 00:00:00.000001' AS JSON)",
		as("'00:00:00'", "TIME"), as("'-838:59:59'", "TIME"), as("'838:59:59.000000'", "TIME(6)"), as("'-00:00:00.000001'", "TIME(6)"), as("'12:34:56.5'", "TIME(1)"),
		as("0", "DECIMAL(1)"), as("'-0.5'", "DECIMAL(1,1)"), as("'0.000'", "DECIMAL(30,3)"), as("'-0.001'", "DECIMAL(30,3)"), as("2026", "YEAR"),
		as("'12345678901234567890.12345678901234567890'", "DECIMAL(65,30)"), as("'-99999999999999999999999999999999999.999999999999999999999999999999'", "DECIMAL(65,30)"),
		as("'99999999999999999999999999999999999999999999999999999999999999999'", "DECIMAL(65)"), as("'123456789'", "DECIMAL(9)"),
		as("'1234567890.0987654321'", "DECIMAL(20,10)"), as("'0.000000000000000000000000000001'", "DECIMAL(30,30)"),
		as("b'101'", "BINARY"), as("''", "BINARY(0)"), "CAST(x'00ff10' AS JSON)", "JSON_QUOTE('x')", "CAST(POINT(1.5,-2) AS JSON)", "CAST(1.5 AS JSON)", "CAST(1 = 1 AS JSON)",
		as("REPEAT('a', 57)", "BINARY"), as("REPEAT('a', 58)", "BINARY"), as("REPEAT('a', 1000)", "BINARY"), as("1.25", "FLOAT"), as("1.1", "DOUBLE"),
	}
	for p := 1; p <= 65; p += 7 {
		for s := 0; s <= min(p, 30); s += 5 {
			scalars = append(scalars, as("'"+strings.Repeat("907", 22)[:p-s]+"."+strings.Repeat("1907", 8)[:s]+"'", fmt.Sprintf("DECIMAL(%d,%d)", p, s)))
		}
	}
	docs := append(scalars, "JSON_ARRAY("+strings.Join(scalars, ",")+")", "'[]'", "'{}'", "'[[],{},[[]],{\"\":{}}]'",
		quote("\x00\x01\b\f\n\r\t\x1f\x7f\"\\/<&>ä€🚀\u2028\u2029'"),
		quote(map[string]any{`a"b`: 1, "": 2, "a b": 3, "\n": 4, "ü🚀": 5, `\`: 6, "$.[]*": 7, strings.Repeat("k", 60000): 8}),
		quote(strings.Repeat("x", 127)), quote(strings.Repeat("x", 128)), quote(strings.Repeat("ä", 40000)),
		quote([]any{strings.Repeat("x", 32000), 70000, strings.Repeat("y", 32000), -70000, 1.5, 5000000000}),
		quote([]any{strings.Repeat("x", 33000), 70000, strings.Repeat("y", 33000), -70000, 4294967295, 1.5, 5000000000, map[string]any{"a": 70000}}),
		quote(map[string]any{"large": strings.Repeat("x", 70000), "n": 70000, "m": -70000, "small": map[string]any{"n": 70000}, "o": []any{}}),
		"'"+strings.Repeat("[", 100)+strings.Repeat("]", 100)+"'", "'"+strings.Repeat("[", 99)+"1"+strings.Repeat("]", 99)+"'",
		"'"+strings.Repeat("[", 100)+"1"+strings.Repeat("]", 100)+"'", `'`+strings.Repeat(`{"a":`, 100)+"70000"+strings.Repeat("}", 100)+`'`)
	for i, value := range scalars {
		docs = append(docs, fmt.Sprintf("JSON_OBJECT('k%d', %s, 'list', JSON_ARRAY(%s, %s))", i, value, value, scalars[(i*7+3)%len(scalars)]))
	}

	random := rand.New(rand.NewPCG(1, 2))
	var doubles, numbers []string
	for range 2000 {
		f := math.Float64frombits(random.Uint64())
		if !math.IsNaN(f) && !math.IsInf(f, 0) {
			doubles = append(doubles, fmt.Sprintf("%.17e", f))
		}
		f = math.Ldexp(random.Float64(), random.IntN(120)-60)
		doubles = append(doubles, fmt.Sprintf("%.17e", f), fmt.Sprintf("%.*e", random.IntN(6), f))
		numbers = append(numbers, fmt.Sprint(int64(random.Uint64())>>random.IntN(64)))
	}
	docs = append(docs, "'["+strings.Join(doubles, ",")+"]'", "'["+strings.Join(numbers, ",")+"]'")

	var tree func(depth int) any
	tree = func(depth int) any {
		switch n := random.IntN(8); {
		case n < 2 && depth > 0:
			list := make([]any, random.IntN(6))
			for i := range list {
				list[i] = tree(depth - 1)
			}
			return list
		case n < 4 && depth > 0:
			members := map[string]any{}
			for range random.IntN(6) {
				members[strings.Repeat(string(rune('a'+random.IntN(300))), random.IntN(4))] = tree(depth - 1)
			}
			return members
		case n == 4:
			return strings.Repeat(string(rune(1+random.IntN(0xd000))), random.IntN(200))
		case n == 5:
			return random.NormFloat64()
		case n == 6:
			return random.IntN(200000) - 100000
		}
		return []any{nil, true, false}[random.IntN(3)]
	}
	for range 300 {
		docs = append(docs, quote([]any{tree(6), tree(6)}))
	}
	return docs
}

func TestTextIsWhatTheServerShows(t *testing.T) {
	s := testenv.MySQL(t, "--max-allowed-packet=64M")
	conn := s.Conn(t)
	for _, q := range []string{"SET NAMES utf8mb4", "SET sql_mode = ''", "CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY, doc JSON, bits BIT(12))",
		"CREATE TABLE d.j (id INT PRIMARY KEY, doc JSON)"} {
		if _, err := conn.Execute(q); err != nil {
			t.Fatal(err)
		}
	}
	docs := documents()
	for i, expression := range docs {
		if _, err := conn.Execute(fmt.Sprintf("INSERT INTO d.j VALUES (%d, %s)", i, expression)); err != nil {
			t.Fatalf("%.200s: %v", expression, err)
		}
	}
	// Values of columns become other opaque values than literals do.
	more := []string{"INSERT INTO d.t VALUES (1, NULL, b'101010101010')", "CREATE TABLE d.c (a BLOB, b VARBINARY(10), c BINARY(3), d BIT(64), e TINYBLOB, f ENUM('x','y'), g SET('p','q'), h GEOMETRY, i TIMESTAMP(6) NULL, j YEAR, k FLOAT)",
		"INSERT INTO d.c VALUES ('a\\0b', 'xyz', 'x', b'1', '', 'y', 'p,q', POINT(1,2), '2026-11-21 01:02:03.25', 1999, 1.1)",
		fmt.Sprintf("INSERT INTO d.j SELECT %d, JSON_ARRAY(a,b,c,d,e,f,g,h,i,j,k,(SELECT bits FROM d.t)) FROM d.c", len(docs)),
		// An update in place leaves gaps.
		fmt.Sprintf(`INSERT INTO d.j VALUES (%d, '{"a":"a long text","b":["x","yy","zzz",70000],"c":{"d":1.5,"e":"f"},"gone":"soon"}')`, len(docs)+1),
		fmt.Sprintf(`UPDATE d.j SET doc = JSON_SET(doc, '$.a', 'short', '$.b[0]', 1, '$.b[1]', 'y') WHERE id = %d`, len(docs)+1),
		fmt.Sprintf(`UPDATE d.j SET doc = JSON_REMOVE(JSON_SET(doc, '$.b[2]', 'zzzz'), '$.gone', '$.c.d', '$.b[0]') WHERE id = %d`, len(docs)+1),
	}
	for _, q := range more {
		if _, err := conn.Execute(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	result, err := conn.Execute("SELECT id, CAST(doc AS CHAR) FROM d.j ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]string{}
	for i := range result.Values {
		id, _ := result.GetInt(i, 0)
		text, _ := result.GetString(i, 1)
		want[int(id)] = compact(t, text)
	}
	if len(want) != len(docs)+2 {
		t.Fatalf("%d documents of %d", len(want), len(docs)+2)
	}
	last := map[int][]byte{}
	for _, path := range s.BinlogFiles(t) {
		for _, one := range readRows(t, path, "j") {
			last[int(le.Uint32(one.columns[0]))] = one.columns[1]
		}
	}
	for id := range len(want) {
		text, err := jsonb.AppendText(nil, last[id])
		if err != nil || string(text) != want[id] {
			expression := "columns and gaps"
			if id < len(docs) {
				expression = docs[id]
			}
			t.Errorf("%.300s:\n got %.300s, error %v\nwant %.300s\nbytes % .100x", expression, text, err, want[id], last[id])
		}
	}
}
