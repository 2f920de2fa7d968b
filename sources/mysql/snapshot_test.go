package mysql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// mirror is a consumer: it applies the events of a stream, in order, to tables of its own, and checks what must hold.
type mirror struct {
	mu     sync.Mutex
	last   cdc.Checkpoint
	tables map[string]map[string]string // rows by key
	ids    map[string]bool
	source map[string]string // what put a row there last: an op, and the job of a snapshot
	counts map[string]int    // events by table and op
	frames int
	twice  bool           // the key is another one in between: a table is begun again
	bag    map[string]int // rows of tables without a key
	fail   func(frames int, b *cdc.Batch) error
	err    error
}

func newMirror() *mirror {
	return &mirror{tables: map[string]map[string]string{}, ids: map[string]bool{}, source: map[string]string{}, counts: map[string]int{}, bag: map[string]int{}}
}

type told struct {
	ID, Op, Table      string
	Key, Before, After json.RawMessage
	Position           struct{ File string }
}

func (m *mirror) handle(_ context.Context, b *cdc.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail(m.frames, b); err != nil {
			return err
		}
	}
	if err := b.Verify(); err != nil {
		m.err = errors.Join(m.err, err)
	}
	h, cp := b.Header(), b.Checkpoint()
	if m.last.NextNo > 0 && (h.FirstPartNo != m.last.PartNos[0] || cp.NextNo != m.last.NextNo+uint64(b.Len())) {
		m.err = errors.Join(m.err, fmt.Errorf("numbers: first %d, next %d after %+v", h.FirstPartNo, cp.NextNo, m.last))
	}
	for i := range b.Len() {
		if err := m.apply(b.Event(i)); err != nil {
			m.err = errors.Join(m.err, err)
		}
	}
	m.last = cp
	m.frames++
	return nil
}

func (m *mirror) apply(ev cdc.Event) error {
	id := ev.ID()
	if m.ids[id] {
		return fmt.Errorf("the identity %s comes twice", id)
	}
	m.ids[id] = true
	var e told
	text := cdc.AppendEvent(nil, ev)
	if err := json.Unmarshal(text, &e); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	m.counts[e.Table+" "+e.Op]++
	rows := m.tables[e.Table]
	if rows == nil {
		rows = map[string]string{}
		m.tables[e.Table] = rows
	}
	if len(ev.Table().Key()) == 0 {
		at := ev.Position()
		if from := fmt.Sprint(at.File, ":", at.Pos); e.Op == "snapshot" && m.source[e.Table] != from { // it is read in one go, and maybe again
			m.source[e.Table] = from // it is all there is, and what was changed before is in it
			maps.DeleteFunc(m.bag, func(row string, _ int) bool { return strings.HasPrefix(row, e.Table+"{") })
		}
		if b := string(e.Before); b != "null" && b != "" {
			m.bag[e.Table+b]--
		}
		if a := string(e.After); a != "null" && a != "" {
			m.bag[e.Table+a]++
		}
		return nil
	}
	key := func(image json.RawMessage) string {
		var columns map[string]json.RawMessage
		_ = json.Unmarshal(image, &columns)
		var b strings.Builder
		for _, i := range ev.Table().Key() {
			b.Write(columns[ev.Table().Columns[i].Name])
			b.WriteByte(0)
		}
		return b.String()
	}
	before, after := ev.Before(), ev.After()
	if e.Op == "snapshot" {
		k := key(e.After)
		if from := m.source[e.Table+"\x00"+k]; from == ev.Position().File && !m.twice {
			return fmt.Errorf("%s of %s comes twice from one snapshot", k, e.Table)
		}
		if have, ok := rows[k]; ok && have != string(e.After) && !m.twice {
			return fmt.Errorf("snapshot row %s of %s contradicts %s", e.After, e.Table, have)
		}
		m.source[e.Table+"\x00"+k] = ev.Position().File
	}
	if before.Exists() {
		k := key(e.Before)
		if have, ok := rows[k]; ok && have != string(e.Before) {
			return fmt.Errorf("%s %s: the row was %s", e.Op, text, have)
		}
		delete(rows, k)
		m.source[e.Table+"\x00"+k] = e.Op
	}
	if after.Exists() {
		k := key(e.After)
		rows[k] = string(e.After)
		if e.Op != "snapshot" {
			m.source[e.Table+"\x00"+k] = e.Op
		}
	}
	return nil
}

func (m *mirror) checkpoint() cdc.Checkpoint {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

func (m *mirror) rows(table string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Values(m.tables[table]))
}

func (m *mirror) count(what string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[what]
}

func (m *mirror) check(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		t.Fatal(m.err)
	}
}

// reading is a source with a Run in the background.
type reading struct {
	*mysql.Source
	cancel context.CancelFunc
	done   chan error
}

func read(t *testing.T, cfg mysql.Config, m *mirror) *reading {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	source, err := mysql.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &reading{Source: source, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- source.Run(ctx, m.checkpoint(), m.handle) }() // stop awaits it
	t.Cleanup(func() { r.stop(t) })
	return r
}

func (r *reading) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	select {
	case err := <-r.done:
		r.done <- err
		if !errors.Is(err, context.Canceled) && !t.Failed() {
			t.Fatalf("run ended: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Run does not end")
	}
}

// await waits for a condition.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// complete waits until the stream says that no snapshot is left.
func (m *mirror) complete(t *testing.T) {
	t.Helper()
	await(t, "snapshots are complete", func() bool {
		m.check(t)
		cp := m.checkpoint()
		if strings.Contains(cp.Snapshot, `"error"`) {
			t.Fatalf("a snapshot has failed: %s", cp.Snapshot)
		}
		return cp.Flavor != "" && !strings.Contains(cp.Snapshot, `"jobs"`)
	})
}

// caughtUp writes a mark and waits until it has come.
func (m *mirror) caughtUp(t *testing.T, conn *client.Conn) {
	t.Helper()
	execute(t, conn, "CREATE TABLE IF NOT EXISTS shop.marks (id INT PRIMARY KEY AUTO_INCREMENT)")
	before := m.count("shop.marks insert")
	execute(t, conn, "INSERT INTO shop.marks VALUES (NULL)")
	await(t, "the mark has come", func() bool { m.check(t); return m.count("shop.marks insert") > before })
}

// present returns what a snapshot of its own says of tables.
func present(t *testing.T, s *testenv.Server, tables ...string) *mirror {
	t.Helper()
	cfg := config(s, tables...)
	cfg.Snapshot = true
	m := newMirror()
	r := read(t, cfg, m)
	m.complete(t)
	r.stop(t)
	return m
}

// same compares the mirror with the table.
func (m *mirror) same(t *testing.T, s *testenv.Server, conn *client.Conn, tables ...string) {
	t.Helper()
	m.check(t)
	there := present(t, s, tables...)
	for _, table := range tables {
		got, want := m.rows(table), there.rows(table)
		compare(t, got, want)
		result, err := conn.Execute("SELECT COUNT(*) FROM " + table)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := result.GetInt(0, 0)
		if int(n) != len(want) {
			t.Errorf("%s has %d rows, a snapshot of it %d", table, n, len(want))
		}
	}
}

// writer changes a table until it is told to stop.
func writer(t *testing.T, s *testenv.Server, random *rand.Rand, one func(r *rand.Rand) string) (stop func()) {
	t.Helper()
	conn := s.Conn(t)
	random = rand.New(rand.NewPCG(random.Uint64(), 0)) // the test's own is the test's
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // stop awaits it
		defer close(done)
		for ; ctx.Err() == nil; time.Sleep(time.Millisecond) { // chunks wait for the log's end, so capture must be able to keep up
			n := 1
			if random.IntN(4) == 0 {
				n += random.IntN(10)
			}
			_, _ = conn.Execute("BEGIN")
			for range n {
				_, _ = conn.Execute(one(random)) // what fails changes nothing
			}
			end := "COMMIT"
			if random.IntN(10) == 0 {
				end = "ROLLBACK"
			}
			if _, err := conn.Execute(end); err != nil {
				return
			}
		}
	}()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	t.Cleanup(stop)
	return stop
}

func seeded(t *testing.T) *rand.Rand {
	n := uint64(time.Now().UnixNano())
	t.Logf("seed %d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// orders fills a table of n rows whose keys leave gaps.
func orders(t *testing.T, conn *client.Conn, n int) {
	t.Helper()
	execute(t, conn, "CREATE DATABASE IF NOT EXISTS shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY, v INT NOT NULL, s VARCHAR(100))")
	for at := 0; at < n; at += 500 {
		var b strings.Builder
		for i := at; i < min(n, at+500); i++ {
			fmt.Fprintf(&b, ",(%d,%d,'row %d')", 3*i, i, i)
		}
		execute(t, conn, "INSERT INTO shop.orders VALUES "+b.String()[1:])
	}
}

func changeOrders(n int) func(r *rand.Rand) string {
	return func(r *rand.Rand) string {
		id, other := r.IntN(3*n), r.IntN(3*n)
		switch r.IntN(5) {
		case 0:
			return fmt.Sprintf("INSERT INTO shop.orders VALUES (%d, %d, 'new')", id, other)
		case 1:
			return fmt.Sprintf("DELETE FROM shop.orders WHERE id = %d", id)
		case 2:
			return fmt.Sprintf("UPDATE shop.orders SET id = %d WHERE id = %d", other, id)
		default:
			return fmt.Sprintf("UPDATE shop.orders SET v = v + 1 WHERE id BETWEEN %d AND %d", id, id+r.IntN(20))
		}
	}
}

func TestASnapshotIsConsistentWithTheChangesAroundIt(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		random, conn := seeded(t), s.Conn(t)
		const n = 3000
		orders(t, conn, n)
		stop := writer(t, s, random, changeOrders(n))
		cfg := config(s)
		cfg.Snapshot, cfg.SnapshotRows = true, 100
		m := newMirror()
		r := read(t, cfg, m)
		m.complete(t)
		stop()
		m.caughtUp(t, conn)
		r.stop(t)
		m.same(t, s, conn, "shop.orders")
		t.Logf("%v", m.counts)
	})
}

// A run that ends anywhere, in the middle of a chunk too, goes on behind the last row that is in the stream.
func TestASnapshotGoesOnWhereItWasAfterEachInterruption(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		random, conn := seeded(t), s.Conn(t)
		const n = 2000
		orders(t, conn, n)
		execute(t, conn, "CREATE TABLE shop.more (a VARCHAR(20), b INT, v INT, PRIMARY KEY (a, b))")
		for i := range 200 {
			execute(t, conn, fmt.Sprintf("INSERT INTO shop.more VALUES ('k%d', %d, 0)", i%17, i))
		}
		change := changeOrders(n)
		stop := writer(t, s, random, func(r *rand.Rand) string {
			if r.IntN(5) == 0 {
				return fmt.Sprintf("UPDATE shop.more SET a = 'k%d', v = v + 1 WHERE a = 'K%d'", r.IntN(17), r.IntN(17))
			}
			return change(r)
		})
		m := newMirror()
		cfg := config(s)
		cfg.Snapshot, cfg.SnapshotRows, cfg.FrameRows = true, 60, 7
		for round := range 25 {
			frames, limit := 0, random.IntN(60)
			refuse := errors.New("no more")
			m.fail = func(int, *cdc.Batch) error {
				if frames++; frames > limit {
					return refuse
				}
				return nil
			}
			source, err := mysql.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+random.IntN(400))*time.Millisecond)
			err = source.Run(ctx, m.checkpoint(), m.handle)
			cancel()
			if !errors.Is(err, refuse) && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("round %d: %v", round, err)
			}
			m.check(t)
		}
		m.fail = nil
		r := read(t, cfg, m)
		m.complete(t)
		stop()
		m.caughtUp(t, conn)
		r.stop(t)
		m.same(t, s, conn, "shop.orders", "shop.more")
	})
}

// Tables are read on behind a key of any type, in the order that the column has.
func TestTablesAreReadByKeysOfAnyType(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		execute(t, conn, "CREATE DATABASE shop", "SET SESSION sql_mode = ''", "SET NAMES utf8mb4", "SET SESSION time_zone = '+02:00'")
		tables := []struct{ name, columns, rows string }{
			{"composite", "a INT, b VARCHAR(20), c DECIMAL(10,3), v INT, PRIMARY KEY (a, b, c)",
				"(1,'a',1.5,1),(1,'a',-1.5,2),(1,'B',0,3),(1,'b ',0.001,4),(2,'',0,5),(-7,'z',9999999.999,6),(1,'ä',0,7),(1,'b',7,8)"},
			{"backwards", "b INT, a INT, PRIMARY KEY (a, b)", "(3,1),(2,1),(1,2),(9,0),(8,0)"},
			{"folded", "k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY", "('a'),('B'),('c'),('Ä2'),('a1'),('Z'),('z2'),('it''s'),('\\\\'),('😀')"},
			{"bytewise", "k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY", "('a'),('B'),('c'),('ä'),('A'),('Z'),('z2'),('it''s'),('\\\\'),('😀'),('')"},
			{"latin", "k CHAR(10) CHARACTER SET latin1 PRIMARY KEY", "('a'),('B'),('ÿ'),('é2'),('\\''),('€'),('')"},
			{"wide", "k VARCHAR(10) CHARACTER SET utf16 PRIMARY KEY", "('a'),('B'),('€'),('é2'),('😀'),('z')"},
			{"fixed", "k DECIMAL(30,10) PRIMARY KEY", "(0),(-1.5),(12345678901234567890.0123456789),(0.0000000001),(-12345678901234567890.1),(7)"},
			{"moments", "k DATETIME(6) PRIMARY KEY", "('2024-02-29 23:59:59.999999'),('2024-02-29 23:59:59.999998'),('1000-01-01'),('9999-12-31 23:59:59'),('0000-00-00'),('2024-00-00')"},
			{"instants", "k TIMESTAMP(3) DEFAULT '2000-01-01' PRIMARY KEY", "('2024-10-27 02:30:00.001'),('2024-10-27 01:30:00'),('1971-01-01'),('2038-01-19 03:14:07'),(0)"},
			{"days", "k DATE PRIMARY KEY", "('2024-02-29'),('1000-01-01'),('9999-12-31'),('0000-00-00'),('2024-05-00')"},
			{"times", "k TIME(2) PRIMARY KEY", "('-838:59:59'),('838:59:59'),('00:00:00'),('-00:00:00.01'),('12:34:56.78')"},
			{"years", "k YEAR PRIMARY KEY", "(1901),(2155),(0),(2024),(1999)"},
			{"raw", "k BINARY(16) PRIMARY KEY", "(x'00'),(x'ff'),(x'00ff00'),(x'e4b8ad'),(x'27'),(x'5c')"},
			{"rawer", "k VARBINARY(16) PRIMARY KEY", "(x''),(x'00'),(x'0000'),(x'ff'),(x'27'),(x'5c00')"},
			{"bits", "k BIT(64) PRIMARY KEY", "(0),(1),(18446744073709551615),(9223372036854775808),(7)"},
			{"large", "k BIGINT UNSIGNED PRIMARY KEY", "(0),(1),(18446744073709551615),(9223372036854775808),(7)"},
			{"small", "k BIGINT PRIMARY KEY", "(0),(-1),(9223372036854775807),(-9223372036854775808),(7)"},
			{"singles", "k FLOAT PRIMARY KEY", "(0),(-1.5),(0.1),(3.4e38),(1e-30),(16777217),(0.3)"},
			{"doubles", "k DOUBLE PRIMARY KEY", "(0),(-1.5),(0.1),(1.7976931348623157e308),(5e-324),(0.3),(123456789.123456789)"},
			{"words", "k ENUM('z','a','m','b') PRIMARY KEY", "('z'),('a'),('m'),('b'),('')"},
			{"flags", "k SET('z','a','m','b') PRIMARY KEY", "('z'),('a,m'),('z,a,m,b'),('b'),('')"},
			{"beginning", "k VARCHAR(40), v INT, PRIMARY KEY (k(3))", "('abc1',1),('abd1',2),('ab',3),('a',4),('zz',5),('abb9',6)"},
			{"distinct_", "v INT, k INT NOT NULL, n INT, UNIQUE (n), UNIQUE (k)", "(1,5,NULL),(1,4,NULL),(1,3,1),(1,2,2),(1,1,3)"},
			{"empty", "k INT PRIMARY KEY", ""},
			{"bare", "v INT, s TEXT", "(1,'a'),(1,'a'),(2,NULL),(NULL,NULL)"},
			{"nullable", "v INT, k INT, UNIQUE (k)", "(1,NULL),(1,NULL),(2,5)"},
			{"na`me", "`k``k` INT PRIMARY KEY, `select` INT", "(1,2),(2,3),(3,4)"},
		}
		if s.Flavor == mysql.FlavorMariaDB {
			tables = append(tables, struct{ name, columns, rows string }{"ids", "k UUID PRIMARY KEY",
				"('00000000-0000-0000-0000-000000000000'),('123e4567-e89b-12d3-a456-426614174000'),('ffffffff-ffff-ffff-ffff-ffffffffffff'),('6ccd780c-baba-1026-9564-5b8c656024db')"},
				struct{ name, columns, rows string }{"hosts", "k INET6 PRIMARY KEY", "('::'),('::ffff:192.0.2.128'),('2001:db8::1'),('ffff::')"})
		}
		for _, table := range tables {
			name := "shop.`" + strings.ReplaceAll(table.name, "`", "``") + "`"
			execute(t, conn, "CREATE TABLE "+name+" ("+table.columns+")")
			if table.rows != "" {
				execute(t, conn, "INSERT INTO "+name+" VALUES "+table.rows)
			}
		}
		cfg := config(s)
		cfg.Snapshot, cfg.SnapshotRows = true, 2
		m := newMirror()
		r := read(t, cfg, m)
		m.complete(t)
		r.stop(t)
		m.check(t)
		for _, table := range tables {
			name := "shop.`" + strings.ReplaceAll(table.name, "`", "``") + "`"
			want := s.Query(t, "SELECT COUNT(*) FROM "+name)[0][0]
			if got := fmt.Sprint(m.count("shop." + table.name + " snapshot")); got != want {
				t.Errorf("%s: %s of %s rows: %v", table.name, got, want, m.rows("shop."+table.name))
			}
		}
	})
}

func TestATableWithoutAKeyIsReadInOneGo(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		random, conn := seeded(t), s.Conn(t)
		execute(t, conn, "CREATE DATABASE shop", "CREATE TABLE shop.bare (v INT, s TEXT)")
		for i := range 40 {
			execute(t, conn, fmt.Sprintf("INSERT INTO shop.bare VALUES (%d, NULL), (%d, 'x'), (7, 'x')", i, i))
		}
		stop := writer(t, s, random, func(r *rand.Rand) string {
			time.Sleep(5 * time.Millisecond)
			return fmt.Sprintf("UPDATE shop.bare SET s = CONCAT(COALESCE(s, ''), 'y') WHERE v = %d", r.IntN(40))
		})
		cfg := config(s)
		cfg.Snapshot, cfg.SnapshotRows = true, 7
		m := newMirror()
		r := read(t, cfg, m)
		m.complete(t)
		stop()
		m.caughtUp(t, conn)
		r.stop(t)
		there := present(t, s, "shop.bare")
		maps.DeleteFunc(m.bag, func(_ string, n int) bool { return n == 0 })
		if !maps.Equal(m.bag, there.bag) {
			t.Errorf("got  %v\nwant %v", m.bag, there.bag)
		}
	})
}

// Without GTIDs the places in the log are all there is.
func TestASnapshotOfMySQLWithoutGTIDs(t *testing.T) {
	t.Parallel()
	s := testenv.MySQL(t, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")
	random, conn := seeded(t), s.Conn(t)
	orders(t, conn, 1000)
	stop := writer(t, s, random, changeOrders(1000))
	cfg := config(s)
	cfg.Snapshot, cfg.SnapshotRows = true, 300
	m := newMirror()
	r := read(t, cfg, m)
	m.complete(t)
	stop()
	m.caughtUp(t, conn)
	r.stop(t)
	m.same(t, s, conn, "shop.orders")
}

// What the log says of a row may be only a part of it. Such a row is read again, so the stream has all of it.
func TestASnapshotWithMinimalRowImages(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		random, conn := seeded(t), s.Conn(t)
		orders(t, conn, 1500)
		stop := writer(t, s, random, func(r *rand.Rand) string {
			return fmt.Sprintf("UPDATE shop.orders SET v = v + 1 WHERE id = %d", 3*r.IntN(1500))
		})
		cfg := config(s)
		cfg.Snapshot, cfg.SnapshotRows = true, 100
		rec := newRecorder()
		source, err := mysql.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- source.Run(ctx, cdc.Checkpoint{}, rec.handle) }() // awaited below
		await(t, "the snapshot is complete", func() bool {
			cp := rec.checkpoint()
			return cp.Flavor != "" && !strings.Contains(cp.Snapshot, `"jobs"`)
		})
		stop()
		cancel()
		<-done
		whole := map[string]bool{}
		for _, b := range rec.frames {
			for i := range b.Len() {
				if e := b.Event(i); e.Op() == cdc.OpSnapshot {
					whole[e.After().Value(0).String()] = true
				}
			}
		}
		if len(whole) != 1500 {
			t.Errorf("%d of 1500 rows were read whole", len(whole))
		}
	}, "--binlog-row-image=MINIMAL")
}

func TestTablesMayBeAlteredWhileTheyAreRead(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		orders(t, conn, 3000)
		execute(t, conn, "CREATE TABLE shop.gone (id INT PRIMARY KEY)", "INSERT INTO shop.gone VALUES (1), (2)",
			"CREATE TABLE shop.zero (id INT PRIMARY KEY)", "INSERT INTO shop.zero VALUES (1), (2)")
		for i, statements := range [][]string{
			{"ALTER TABLE shop.orders ADD COLUMN n INT NOT NULL DEFAULT 5 FIRST"},
			{"ALTER TABLE shop.orders DROP COLUMN s"},
			{"ALTER TABLE shop.orders DROP PRIMARY KEY, ADD PRIMARY KEY (v)"},
			{"CREATE TABLE shop.orders2 LIKE shop.orders", "INSERT INTO shop.orders2 SELECT * FROM shop.orders WHERE v > 5",
				"RENAME TABLE shop.orders TO shop.old, shop.orders2 TO shop.orders", "DROP TABLE shop.old"},
			{"TRUNCATE TABLE shop.orders", "INSERT INTO shop.orders (n, id, v) VALUES (1, 2, 3)"},
			{"DROP TABLE shop.orders", "DROP TABLE shop.gone"},
		} {
			cfg := config(s, "shop.orders", "shop.gone", "shop.marks")
			cfg.Snapshot, cfg.SnapshotRows = true, 50
			m := newMirror()
			m.twice = i == 2
			var once sync.Once
			m.fail = func(frames int, b *cdc.Batch) error {
				if b.Len() > 0 && string(b.Event(0).Op().String()) == "snapshot" && b.Event(0).Table().Name == "orders" {
					once.Do(func() { execute(t, conn, statements...) })
				}
				return nil
			}
			r := read(t, cfg, m)
			m.complete(t)
			m.caughtUp(t, conn)
			r.stop(t)
			m.check(t)
			if i == 5 {
				break
			}
			there := present(t, s, "shop.orders").rows("shop.orders")
			mine := m.tables["shop.orders"]
			if i == 2 || i == 4 { // the consumer does not know what the statement did; but what was read last is right
				for _, row := range there {
					if !slices.Contains(m.rows("shop.orders"), row) {
						t.Fatalf("%v: no row %s", statements, row)
					}
				}
				continue
			}
			if i == 3 {
				maps.DeleteFunc(mine, func(_, row string) bool { return !slices.Contains(there, row) })
			}
			if i > 2 {
				compare(t, m.rows("shop.orders"), there)
			}
			if len(m.rows("shop.orders")) < len(there) {
				t.Errorf("%v: %d rows, want %d", statements, len(m.rows("shop.orders")), len(there))
			}
		}
	})
}

func TestSnapshotsArePausedResumedAndCancelled(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		orders(t, conn, 2000)
		execute(t, conn, "CREATE TABLE shop.other (id INT PRIMARY KEY, v INT)", "INSERT INTO shop.other SELECT id, v FROM shop.orders")
		cfg := config(s)
		cfg.SnapshotRows = 20
		m := newMirror()
		slow := make(chan struct{})
		m.fail = func(int, *cdc.Batch) error {
			select {
			case <-slow:
			case <-time.After(2 * time.Millisecond):
			}
			return nil
		}
		r := read(t, cfg, m)
		await(t, "capture has begun", func() bool { return m.checkpoint().Flavor != "" })
		ctx := t.Context()
		first, err := r.StartSnapshot(ctx, "shop", "orders", "v >= 500 AND s <> 'a?'")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(m.checkpoint().Snapshot, first) {
			t.Errorf("the stream does not know of %s: %s", first, m.checkpoint().Snapshot)
		}
		second, err := r.StartSnapshot(ctx, "shop", "other", "")
		if err != nil {
			t.Fatal(err)
		}
		third, err := r.StartSnapshot(ctx, "shop", "other", "")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.AlterSnapshot(ctx, first, mysql.SnapshotPause); err != nil {
			t.Fatal(err)
		}
		if err := r.AlterSnapshot(ctx, third, mysql.SnapshotCancel); err != nil {
			t.Fatal(err)
		}
		paused := m.count("shop.orders snapshot")
		await(t, "the second is complete", func() bool { return m.count("shop.other snapshot") == 2000 })
		if n := m.count("shop.orders snapshot"); n != paused {
			t.Errorf("%d rows were read while it was paused", n-paused)
		}
		await(t, "only the first is left", func() bool {
			jobs := r.Snapshots()
			return len(jobs) == 1 && jobs[0].ID == first && jobs[0].State == "paused"
		})
		r.stop(t) // and it stays paused
		r = read(t, cfg, m)
		await(t, "it is still paused", func() bool { jobs := r.Snapshots(); return len(jobs) == 1 && jobs[0].State == "paused" })
		if err := r.AlterSnapshot(ctx, first, mysql.SnapshotResume); err != nil {
			t.Fatal(err)
		}
		close(slow)
		m.complete(t)
		r.stop(t)
		m.check(t)
		if n := m.count("shop.orders snapshot"); n != 1500 {
			t.Errorf("%d rows, want 1500", n)
		}
		if second == third {
			t.Error("two snapshots have the same id")
		}
	})
}

func TestASnapshotThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		orders(t, s.Conn(t), 10)
		m := newMirror()
		r := read(t, config(s), m)
		await(t, "capture has begun", func() bool { return m.checkpoint().Flavor != "" })
		for _, c := range []struct{ schema, table, where, code string }{
			{"shop", "orders", "nothing = 1", "CDCD-1334"},
			{"shop", "orders", "1 = 1; DROP TABLE orders", "CDCD-1334"},
			{"shop", "orders", "1 = 1) OR (1 = 1", "CDCD-1334"},
			{"shop", "orders", "FALSE) UNION SELECT * FROM shop.orders WHERE (TRUE", "CDCD-1334"}, // rows of any table, masked columns too
			{"shop", "orders", "(1 = 1) OR (1 = 1)", ""},
			{"shop", "orders", strings.Repeat("1 AND ", 2000) + "1", "CDCD-1331"},
			{"shop", "absent", "", "CDCD-1334"},
			{"other", "t", "", "CDCD-1331"},
		} {
			_, err := r.StartSnapshot(t.Context(), c.schema, c.table, c.where)
			var coded *cdc.Error
			if code := ""; errors.As(err, &coded) && coded.Code != c.code || !errors.As(err, &coded) && c.code != code {
				t.Errorf("%s.%s where %s: %v, want %s", c.schema, c.table, c.where, err, c.code)
			}
		}
		m.complete(t)
		r.stop(t)
	})
}

func TestASnapshotOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		random, conn := seeded(t), s.Conn(t)
		orders(t, conn, 3000)
		stop := writer(t, s, random, changeOrders(3000))
		cfg := config(s)
		cfg.Snapshot, cfg.SnapshotRows, cfg.MaxBackoff = true, 50, 5*time.Millisecond
		m := newMirror()
		r := read(t, cfg, m)
		for range 30 {
			for _, row := range s.Query(t, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '"+testenv.User+"'") {
				if random.IntN(2) == 0 {
					_, _ = conn.Execute("KILL " + row[0]) // it may have gone
				}
			}
			time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
		}
		m.complete(t)
		stop()
		m.caughtUp(t, conn)
		r.stop(t)
		m.same(t, s, conn, "shop.orders")
	})
}

// A server that nobody writes to has no events to tell that the watermark has been reached, and may just have begun a file.
func TestASnapshotOfAnIdleServer(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		orders(t, conn, 500)
		cfg := config(s)
		m := newMirror()
		r := read(t, cfg, m)
		await(t, "capture has begun", func() bool { return m.checkpoint().Flavor != "" })
		for _, statements := range [][]string{nil, {"FLUSH BINARY LOGS"}, {"FLUSH BINARY LOGS", "FLUSH BINARY LOGS"}} {
			execute(t, conn, statements...)
			if _, err := r.StartSnapshot(t.Context(), "shop", "orders", ""); err != nil {
				t.Fatal(err)
			}
			m.complete(t)
			r.stop(t)
			r = read(t, cfg, m)
			if _, err := r.StartSnapshot(t.Context(), "shop", "orders", ""); err != nil {
				t.Fatal(err)
			}
			m.complete(t)
		}
		r.stop(t)
		m.check(t)
		if n := m.count("shop.orders snapshot"); n != 3000 {
			t.Errorf("%d rows, want 3000", n)
		}
	})
}

// Tables that the selection gets later are read then, and only they.
func TestTablesThatAreSelectedLaterAreReadThen(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		orders(t, conn, 100)
		execute(t, conn, "CREATE DATABASE hr", "CREATE TABLE hr.people (id INT PRIMARY KEY)", "INSERT INTO hr.people VALUES (1), (2)")
		m := newMirror()
		for _, tables := range [][]string{{"shop.*"}, {"shop.*", "hr.*"}, {"hr.*"}, {"hr.*", "shop.*"}} {
			cfg := config(s, tables...)
			cfg.Snapshot = true
			r := read(t, cfg, m)
			await(t, "the selection is covered", func() bool {
				text, _ := json.Marshal(tables)
				return strings.Contains(m.checkpoint().Snapshot, string(text))
			})
			m.complete(t)
			r.stop(t)
		}
		m.check(t)
		// shop.* was not captured for a while, so it was read again.
		if a, b := m.count("shop.orders snapshot"), m.count("hr.people snapshot"); a != 200 || b != 2 {
			t.Errorf("%d rows of shop and %d of hr, want 200 and 2", a, b)
		}
	})
}
