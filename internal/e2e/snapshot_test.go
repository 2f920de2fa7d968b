package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

// readTable is a table that is read by snapshots while it is changed.
type readTable struct {
	name    string
	columns []string
	key     int    // that many columns are the key
	create  string // its columns
	fill    string // a row as expressions of n
	rows    int
	change  func(r *rand.Rand) string // a statement that changes it
}

var readTables = []readTable{
	{"lines", []string{"code", "line", "sku", "n"}, 2, "code INT, line SMALLINT, sku VARCHAR(20) NOT NULL, n INT NOT NULL, PRIMARY KEY (code, line)",
		"n DIV 3, n % 3, CONCAT('sku ', n % 97), n", 25_000, func(r *rand.Rand) string {
			switch code := r.IntN(9000); r.IntN(4) {
			case 0:
				return fmt.Sprintf("DELETE FROM ledger.lines WHERE code = %d AND line < 2", code)
			case 1:
				return fmt.Sprintf("INSERT INTO ledger.lines VALUES (%d, %d, 'new', %d)", code, r.IntN(4), r.IntN(100))
			case 2:
				return fmt.Sprintf("UPDATE ledger.lines SET code = %d WHERE code = %d AND line = 0", r.IntN(9000), code)
			default:
				return fmt.Sprintf("UPDATE ledger.lines SET n = n + 1 WHERE code BETWEEN %d AND %d", code, code+r.IntN(20))
			}
		}},
	{"notes", []string{"v", "s"}, 0, "v INT NOT NULL, s VARCHAR(60) NOT NULL", "n % 1000, CONCAT('note ', n)", 5_000, func(r *rand.Rand) string {
		if r.IntN(2) == 0 {
			return fmt.Sprintf("INSERT INTO ledger.notes VALUES (%d, 'new')", r.IntN(1000))
		}
		return fmt.Sprintf("UPDATE ledger.notes SET s = LEFT(CONCAT('x', s), 50) WHERE v = %d", r.IntN(1000))
	}},
	{"orders", []string{"id", "v", "s"}, 1, "id INT PRIMARY KEY, v INT NOT NULL, s VARCHAR(200) NOT NULL",
		"n * 3, n, CONCAT('an order with the number ', n, REPEAT(' and so on', 8))", 50_000, func(r *rand.Rand) string {
			switch id := r.IntN(150_000); r.IntN(5) {
			case 0:
				return fmt.Sprintf("INSERT INTO ledger.orders VALUES (%d, %d, 'new')", id, r.IntN(100))
			case 1:
				return fmt.Sprintf("DELETE FROM ledger.orders WHERE id = %d", id/3*3)
			case 2:
				return fmt.Sprintf("UPDATE ledger.orders SET id = %d WHERE id = %d", r.IntN(150_000), id/3*3)
			default:
				return fmt.Sprintf("UPDATE ledger.orders SET v = v + 1 WHERE id BETWEEN %d AND %d", id, id+r.IntN(60))
			}
		}},
	{"people", []string{"email", "v"}, 1, "email VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, v INT NOT NULL",
		"CONCAT(IF(n % 2, 'Ä', 'b'), n * 7 % 20011, '@example.com'), n", 20_000, func(r *rand.Rand) string {
			switch n := r.IntN(20_011); r.IntN(4) {
			case 0:
				return fmt.Sprintf("UPDATE ledger.people SET email = 'c%d@example.com' WHERE email = 'B%d@example.com'", n, r.IntN(20_011))
			case 1:
				return fmt.Sprintf("DELETE FROM ledger.people WHERE email = 'ä%d@example.com'", n)
			default:
				return fmt.Sprintf("UPDATE ledger.people SET v = v + 1 WHERE email IN ('a%d@example.com', 'b%d@example.com')", n, n)
			}
		}},
}

// replica is what a partner makes of the records: rows by table and key.
type replica struct {
	rows  map[string]map[string]string
	bag   map[string]int    // rows of the table without a key
	read  map[string]string // by the same: what put the row there or took it away; a snapshot's id, or "log"
	ids   map[string]bool
	whole string // which reading of the table without a key is in bag
	last  uint64 // part_no
	count map[string]int
}

// replay applies all delivered records in order.
func replay(lines []byte) (*replica, error) {
	r := &replica{rows: map[string]map[string]string{}, bag: map[string]int{}, read: map[string]string{}, ids: map[string]bool{}, count: map[string]int{}}
	text := bufio.NewScanner(bytes.NewReader(lines))
	text.Buffer(nil, 1<<20)
	for text.Scan() {
		if err := r.apply(text.Bytes()); err != nil {
			return r, fmt.Errorf("%w: %s", err, text.Bytes())
		}
	}
	return r, text.Err()
}

func (r *replica) apply(text []byte) error {
	var record struct {
		ID, Op, Table string
		Before, After map[string]any
		Source        struct {
			File   string
			Pos    uint64
			PartNo uint64 `json:"part_no"`
		}
	}
	numbers := json.NewDecoder(bytes.NewReader(text))
	numbers.UseNumber()
	if err := numbers.Decode(&record); err != nil {
		return err
	}
	if r.ids[record.ID] {
		return fmt.Errorf("the identity comes twice")
	}
	r.ids[record.ID] = true
	if record.Source.PartNo != r.last+1 {
		return fmt.Errorf("part_no %d after %d", record.Source.PartNo, r.last)
	}
	r.last = record.Source.PartNo
	r.count[record.Op]++
	name := strings.TrimPrefix(record.Table, "ledger.")
	i := slices.IndexFunc(readTables, func(t readTable) bool { return t.name == name })
	if i < 0 {
		return nil
	}
	table, by := &readTables[i], "log"
	if record.Op == "snapshot" {
		by = record.Source.File
	}
	if table.key == 0 {
		if reading := fmt.Sprint(by, record.Source.Pos); by != "log" && reading != r.whole { // it is all there is
			r.whole = reading
			clear(r.bag)
		}
		if record.Before != nil {
			r.bag[table.text(record.Before)]--
		}
		if record.After != nil {
			r.bag[table.text(record.After)]++
		}
		return nil
	}
	rows := r.rows[name]
	if rows == nil {
		rows = map[string]string{}
		r.rows[name] = rows
	}
	if record.Before != nil {
		key, was := table.keyText(record.Before), table.text(record.Before)
		if have, ok := rows[key]; ok && have != was {
			return fmt.Errorf("the row before was %s", have)
		}
		delete(rows, key)
		r.read[name+key] = by
	}
	if record.After == nil {
		return nil
	}
	key, row := table.keyText(record.After), table.text(record.After)
	have, there := rows[key]
	switch before, known := r.read[name+key]; {
	case record.Op != "snapshot":
	case before == by:
		return fmt.Errorf("the row comes twice from one snapshot")
	case there && have != row:
		return fmt.Errorf("the snapshot contradicts what was there: %s", have)
	case known && !there:
		return fmt.Errorf("the snapshot has a row that was deleted")
	}
	rows[key], r.read[name+key] = row, by
	return nil
}

func (t *readTable) text(row map[string]any) string {
	values := make([]string, len(t.columns))
	for i, c := range t.columns {
		values[i] = fmt.Sprint(row[c])
	}
	return strings.Join(values, "|")
}

func (t *readTable) keyText(row map[string]any) string {
	return strings.Join(strings.Split(t.text(row), "|")[:t.key], "|")
}

// same compares with the tables as they are.
func (r *replica) same(t *testing.T, db *testenv.Server) {
	t.Helper()
	for _, table := range readTables {
		var want, got []string
		for _, row := range db.Query(t, "SELECT "+strings.Join(table.columns, ", ")+" FROM ledger."+table.name) {
			want = append(want, strings.Join(row, "|"))
		}
		if table.key > 0 {
			got = slices.Collect(maps.Values(r.rows[table.name]))
		} else {
			for row, n := range r.bag {
				if n < 0 {
					t.Errorf("%s: %d times %s", table.name, n, row)
				}
				got = append(got, slices.Repeat([]string{row}, max(0, n))...)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			missing := slices.DeleteFunc(slices.Clone(want), func(row string) bool { _, ok := slices.BinarySearch(got, row); return ok })
			extra := slices.DeleteFunc(slices.Clone(got), func(row string) bool { _, ok := slices.BinarySearch(want, row); return ok })
			t.Errorf("%s: %d rows, want %d; missing %.300v, too many %.300v", table.name, len(got), len(want), missing, extra)
		}
	}
}

// fill makes the tables with their rows.
func fill(t *testing.T, db *testenv.Server) {
	t.Helper()
	const digits = "(SELECT 0 n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
	numbers := fmt.Sprintf("(SELECT a.n + 10*b.n + 100*c.n + 1000*d.n + 10000*e.n AS n FROM %s a, %[1]s b, %[1]s c, %[1]s d, %[1]s e) numbers", digits)
	statements := []string{"SET NAMES utf8mb4", "CREATE DATABASE ledger", "CREATE TABLE ledger.marks (id INT PRIMARY KEY)"}
	for _, table := range readTables {
		statements = append(statements, fmt.Sprintf("CREATE TABLE ledger.%s (%s)", table.name, table.create),
			fmt.Sprintf("INSERT INTO ledger.%s SELECT %s FROM %s WHERE n < %d", table.name, table.fill, numbers, table.rows))
	}
	db.Exec(t, statements...)
}

// change changes the tables until the returned function is called.
func change(t *testing.T, db *testenv.Server, seed uint64) (stop func()) {
	t.Helper()
	conn, random := db.Conn(t), rand.New(rand.NewPCG(seed, 1))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // stop awaits it
		defer close(done)
		for ctx.Err() == nil {
			statements := []string{"BEGIN"}
			for range 1 + random.IntN(4) {
				statements = append(statements, readTables[random.IntN(len(readTables))].change(random))
			}
			statements = append(statements, []string{"COMMIT", "COMMIT", "COMMIT", "ROLLBACK"}[random.IntN(4)])
			for _, s := range statements {
				_, _ = conn.Execute(s) // a key that is there already changes nothing
			}
			time.Sleep(time.Duration(random.IntN(4)) * time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func() { cancel(); <-done }
}

// Rows are read beside their changes, and whatever moment cdcd is killed at, applying the records in order gives the tables.
func TestSnapshotsSurviveKills(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, db *testenv.Server) {
		n, random := seed(t)
		fill(t, db)
		stop := change(t, db, n)
		d := deploy(t, db, options{mysql: "    snapshot: initial\n", rotate: "{every: 200ms, rows: 20000}",
			rules: strings.Replace(everything, "    to:", "    on: [insert, update, delete, snapshot]\n    to:", 1)})
		d.start(t)
		during, asked := 0, 0
		for i := range min(kills(t), 20) {
			if i%3 == 0 { // anywhere, from before anything is open
				time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond)
			} else { // while rows are read
				d.capturing(t)
				if len(d.snapshots(t)) > 0 {
					during++ // they have outlived a kill
				} else {
					table := []string{"orders", "orders", readTables[random.IntN(len(readTables))].name}[random.IntN(3)]
					if stdout, stderr, code := d.cdcd(t, "snapshot", "ledger."+table); code != 0 {
						t.Fatalf("snapshot of %s: exit code %d\n%s%s", table, code, stdout, stderr)
					}
					asked++
				}
				time.Sleep(time.Duration(random.IntN(120)) * time.Millisecond)
			}
			d.alive(t)
			d.kill()
			d.start(t)
		}
		d.capturing(t)
		await(t, d, "the snapshots are complete", func() bool { return len(d.snapshots(t)) == 0 })
		stop()
		db.Exec(t, "INSERT INTO ledger.marks VALUES (1)")
		var lines []byte
		await(t, d, "everything is delivered", func() bool {
			var err error
			if lines, err = delivered(d.bucket); err != nil {
				t.Fatal(err)
			}
			return bytes.Contains(lines, []byte(`"op":"insert","table":"ledger.marks"`))
		})
		r, err := replay(lines)
		if err != nil {
			t.Fatal(err)
		}
		r.same(t, db)
		d.stop(t)
		d.verify(t)
		t.Logf("%d kills were certainly outlived by snapshots, %d were asked for beside the initial one; records: %v", during, asked, r.count)
	})
}

// snapshots returns the snapshots under way.
func (d *deployment) snapshots(t *testing.T) (jobs []json.RawMessage) {
	t.Helper()
	stdout, stderr, code := d.cdcd(t, "snapshot", "list", "-o", "json")
	var answer struct{ Result []json.RawMessage }
	if err := json.Unmarshal([]byte(stdout), &answer); code != 0 || err != nil {
		t.Fatalf("snapshot list: exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	return answer.Result
}

func await(t *testing.T, d *deployment, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !is(); time.Sleep(100 * time.Millisecond) {
		d.alive(t)
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s\n%s", what, d.tail())
		}
	}
}
