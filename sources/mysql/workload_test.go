package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// workload is a server that is written to at random, and a capture of it that is disturbed at random.
type workload struct {
	t        *testing.T
	seed     uint64
	writes   *testenv.Server                // what is written to
	reads    atomic.Pointer[testenv.Server] // what is captured from
	source   atomic.Pointer[mysql.Source]   // the present one
	counts   [6]atomic.Int64                // transactions, XA transactions, statements that define tables, runs, snapshots, their parts that were read again
	replicas []*testenv.Server
	moving   bool // the capture goes from one server to another
	nameless bool // there are no GTIDs

	mu      sync.Mutex
	design  design            // as it is on the server
	effects map[string]effect // by GTID
	steps   []step
	cp      cdc.Checkpoint
	marks   int
	refuse  int           // how many frames are taken before one is refused
	slow    time.Duration // what taking one may last
	asked   string        // the table of the latest snapshot
	clock   time.Time
}

var errRefused = errors.New("no more")

// now never gives the same time twice, to the microsecond that frames know: so it tells what came first.
func (w *workload) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tick()
}

func (w *workload) tick() time.Time {
	now := time.Now().UTC().Truncate(time.Microsecond)
	if !now.After(w.clock) {
		now = w.clock.Add(time.Microsecond)
	}
	w.clock = now
	return now
}

func (w *workload) handle(ctx context.Context, b *cdc.Batch) error {
	w.mu.Lock()
	slow := w.slow
	w.mu.Unlock()
	select { // the log is behind what is read from the tables then
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(slow):
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse--; w.refuse < 0 {
		return errRefused
	}
	if err := b.Verify(); err != nil {
		return err
	}
	w.steps = append(w.steps, step{frame: b})
	w.cp = b.Checkpoint()
	for i := range b.Len() {
		if b.Event(i).Table().Name == "marks" {
			w.marks++
		}
	}
	return nil
}

// Enabled and the following make a workload the log of its captures.
func (w *workload) Enabled(context.Context, slog.Level) bool { return true }

func (w *workload) WithAttrs([]slog.Attr) slog.Handler { return w }

func (w *workload) WithGroup(string) slog.Handler { return w }

func (w *workload) Handle(_ context.Context, record slog.Record) error {
	attrs := map[string]slog.Value{}
	record.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value; return true })
	if attrs["event"].String() == "snapshot.again" {
		w.counts[5].Add(1)
	}
	if attrs["event"].String() == "capture.ddl" {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.steps = append(w.steps, step{statement: &statementAt{gtid: attrs["gtid"].String(), file: attrs["file"].String(),
			pos: attrs["pos"].Uint64(), when: w.tick()}})
	}
	return nil
}

func (w *workload) checkpoint() cdc.Checkpoint {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cp
}

func (w *workload) random(who uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, who)) }

// run captures until ctx ends, with frames of the size that random gives.
func (w *workload) run(ctx context.Context, random *rand.Rand) error {
	cfg := config(w.reads.Load())
	cfg.Snapshot, cfg.SnapshotRows, cfg.MaxBackoff = true, 1+random.IntN(80), 5*time.Millisecond
	cfg.FrameRows, cfg.Now, cfg.Logger = []int{1, 7, 4096}[random.IntN(3)], w.now, slog.New(w)
	cfg.Following = func(lost error) {
		if lost == nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.steps = append(w.steps, step{})
		}
	}
	source, err := mysql.New(cfg)
	if err != nil {
		return err
	}
	w.source.Store(source)
	w.counts[3].Add(1)
	return source.Run(ctx, w.checkpoint(), w.handle)
}

// disturbed captures until ctx ends, with interruptions of every kind.
func (w *workload) disturbed(ctx context.Context) error {
	random := w.random(1)
	for ctx.Err() == nil {
		if w.moving && random.IntN(2) == 0 {
			to := append(w.replicas, w.writes)[random.IntN(len(w.replicas)+1)]
			if err := w.follows(to); err != nil {
				return err
			}
			w.reads.Store(to)
		}
		w.mu.Lock()
		w.refuse, w.slow = 1<<30, 0
		if random.IntN(2) == 0 {
			w.slow = time.Duration(random.IntN(30)) * time.Millisecond
		}
		if random.IntN(3) == 0 {
			w.refuse = random.IntN(50)
		}
		w.mu.Unlock()
		runCtx, cancel := context.WithTimeout(ctx, time.Duration(50+random.IntN(2000))*time.Millisecond)
		err := w.run(runCtx, random)
		cancel()
		if !errors.Is(err, errRefused) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%w; the checkpoint is %+v", err, w.checkpoint())
		}
		if random.IntN(4) == 0 { // it is late then
			time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
		}
	}
	return nil
}

// follows waits until a server has what the stream has.
func (w *workload) follows(s *testenv.Server) error {
	cp := w.checkpoint()
	ask := "SELECT MASTER_GTID_WAIT('" + cp.GTIDSet + "', 60)"
	if s.Flavor == mysql.FlavorMySQL {
		ask = "SELECT WAIT_FOR_EXECUTED_GTID_SET('" + cp.GTIDSet + "', 60)"
	}
	if cp.TxGTID != "" {
		ask = strings.Replace(ask, cp.GTIDSet, setWithin(s, cp), 1)
	}
	if s == w.writes {
		return nil
	}
	if got := s.Query(w.t, ask); got[0][0] != "0" {
		return fmt.Errorf("%s: %s; %v", ask, got, s.Query(w.t, "SHOW REPLICA STATUS"))
	}
	return nil
}

// setWithin returns the GTIDs of a checkpoint, with the transaction that it lies in.
func setWithin(s *testenv.Server, cp cdc.Checkpoint) string {
	if s.Flavor == mysql.FlavorMySQL {
		return cp.GTIDSet + "," + cp.TxGTID
	}
	return cp.TxGTID // there is one domain
}

// kill ends connections of the capture on the server.
func (w *workload) kill(ctx context.Context) error {
	random := w.random(2)
	conns := map[*testenv.Server]*client.Conn{}
	for ; ctx.Err() == nil; time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond) {
		s := w.reads.Load()
		if conns[s] == nil {
			conns[s] = s.Conn(w.t)
		}
		conn := conns[s]
		result, err := conn.Execute("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '" + testenv.User + "'")
		if err != nil {
			return err
		}
		for i := range result.RowNumber() {
			if id, _ := result.GetInt(i, 0); random.IntN(2) == 0 {
				_, _ = conn.Execute(fmt.Sprintf("KILL %d", id)) // it may have gone
			}
		}
	}
	return nil
}

// snapshots begins snapshots, and pauses, resumes and cancels them.
func (w *workload) snapshots(ctx context.Context) error {
	random := w.random(3)
	for ; ctx.Err() == nil; time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) {
		source := w.source.Load()
		if source == nil {
			continue
		}
		some, cancel := context.WithTimeout(ctx, time.Second)
		if jobs := source.Snapshots(); len(jobs) > 4 || len(jobs) > 0 && random.IntN(4) == 0 {
			action := []mysql.SnapshotAction{mysql.SnapshotPause, mysql.SnapshotResume, mysql.SnapshotCancel}[random.IntN(3)]
			_ = source.AlterSnapshot(some, jobs[random.IntN(len(jobs))].ID, action) // it may be complete
		} else {
			where := []string{"", "", "v % 3 = 1", "id BETWEEN 20 AND 90"}[random.IntN(4)]
			table := w.table(random)
			if random.IntN(8) == 0 {
				table, where = "bare", ""
			}
			w.mu.Lock()
			w.asked = table
			w.mu.Unlock()
			if _, err := source.StartSnapshot(some, "shop", table, where); err == nil { // the capture may be down
				w.counts[4].Add(1)
			}
		}
		cancel()
	}
	return nil
}

// table returns a table at random.
func (w *workload) table(random *rand.Rand) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(w.design)), func(name string) bool { return name == "bare" })
	return names[random.IntN(len(names))]
}

// column returns a column of a table that statements may define anew, or "".
func (w *workload) column(random *rand.Rand, table string) (name, kind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sh := w.design[table]
	if sh == nil {
		return "", ""
	}
	names := slices.DeleteFunc(slices.Clone(sh.columns), func(c string) bool { return c == "id" || c == "v" })
	if len(names) == 0 {
		return "", ""
	}
	name = names[random.IntN(len(names))]
	return name, sh.types[name]
}

const workloadKeys = 200

// change returns a statement that changes rows.
func (w *workload) change(random *rand.Rand) string {
	table, other := w.table(random), w.table(random)
	id, to := random.IntN(workloadKeys), random.IntN(workloadKeys)
	end := id + random.IntN(10)
	if random.IntN(50) == 0 {
		return []string{fmt.Sprintf("INSERT INTO bare VALUES (%d, 'x'), (%d, NULL), (%d, 'x')", id%20, to%20, id%20),
			fmt.Sprintf("UPDATE bare SET s = %d WHERE v = %d", to%3, id%20), fmt.Sprintf("DELETE FROM bare WHERE v = %d", id%20)}[random.IntN(3)]
	}
	switch random.IntN(11) {
	case 0:
		return fmt.Sprintf("INSERT INTO %s (id, v) VALUES (%d, %d)", table, id, to)
	case 1:
		return fmt.Sprintf("INSERT INTO %s (v, id) VALUES (1, %d), (2, %d) ON DUPLICATE KEY UPDATE v = v + 7", table, id, to)
	case 2:
		return fmt.Sprintf("REPLACE INTO %s (id, v) VALUES (%d, 3), (%d, 4), (%d, 5)", table, id, to, id+1)
	case 3:
		return fmt.Sprintf("DELETE FROM %s WHERE id BETWEEN %d AND %d", table, id, end)
	case 4:
		return fmt.Sprintf("UPDATE %s SET id = %d WHERE id = %d", table, to, id)
	case 5:
		return fmt.Sprintf("UPDATE %s SET id = id + 300 WHERE id BETWEEN %d AND %d", table, id, end)
	case 6:
		return fmt.Sprintf("UPDATE %s a JOIN %s b ON a.id = b.id SET a.v = b.v + 1, b.v = a.v + 2 WHERE a.id BETWEEN %d AND %d", table, other, id, end)
	case 7:
		return fmt.Sprintf("DELETE a, b FROM %s a JOIN %s b ON a.id = b.id WHERE a.id BETWEEN %d AND %d", table, other, id, id+2)
	case 8:
		return fmt.Sprintf("INSERT IGNORE INTO %s (id, v) SELECT id, v + 1 FROM %s WHERE id BETWEEN %d AND %d", table, other, id, end)
	case 9:
		if name, kind := w.column(random, table); kind != "" {
			value := fmt.Sprint(random.IntN(1000))
			if strings.HasPrefix(kind, "VARCHAR") {
				value = "'" + value + "'"
			}
			return fmt.Sprintf("UPDATE %s SET %s = %s WHERE id BETWEEN %d AND %d", table, name, value, id, end)
		}
	}
	return fmt.Sprintf("UPDATE %s SET v = v + 1 WHERE id BETWEEN %d AND %d", table, id, end)
}

// write makes transactions.
func (w *workload) write(ctx context.Context, conn *client.Conn, random *rand.Rand) error {
	_, _ = conn.Execute("SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 2")
	if w.writes.Flavor == mysql.FlavorMariaDB {
		_, _ = conn.Execute("SET SESSION innodb_lock_wait_timeout = 0")
	}
	if w.writes.Flavor == mysql.FlavorMySQL && random.IntN(2) == 0 {
		_, _ = conn.Execute("SET SESSION binlog_transaction_compression = ON")
	}
	for ; ctx.Err() == nil; time.Sleep(time.Duration(random.IntN(4000)) * time.Microsecond) {
		_, _ = conn.Execute("BEGIN")
		points := 0
		for range 1 + random.IntN(2) + random.IntN(2)*random.IntN(12) {
			sql := w.change(random)
			switch random.IntN(12) {
			case 0:
				points++
				sql = fmt.Sprintf("SAVEPOINT p%d", points%3)
			case 1:
				sql = fmt.Sprintf("ROLLBACK TO SAVEPOINT p%d", random.IntN(3))
			case 2:
				sql = fmt.Sprintf("RELEASE SAVEPOINT p%d", random.IntN(3))
			}
			_, _ = conn.Execute(sql) // what fails changes nothing
		}
		end := "COMMIT"
		if random.IntN(8) == 0 {
			end = "ROLLBACK"
		}
		if _, err := conn.Execute(end); err != nil {
			return err
		}
		w.counts[0].Add(1)
	}
	return nil
}

// writeXA makes XA transactions, of which some are decided by a connection that did not prepare them.
func (w *workload) writeXA(ctx context.Context, connect func() (*client.Conn, error), decider *client.Conn) error {
	random := w.random(4)
	for n := 0; ctx.Err() == nil; n++ {
		var xids []string
		var own []*client.Conn
		var left []*client.Conn
		for i := range 1 + random.IntN(4) {
			conn, err := connect()
			if err != nil {
				return err
			}
			xid := fmt.Sprintf("'w%d-%d','%d',9", n, i, w.seed)
			_, _ = conn.Execute("SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1")
			if _, err := conn.Execute("XA START " + xid); err != nil {
				return err
			}
			for range random.IntN(4) {
				_, _ = conn.Execute(w.change(random))
			}
			_, err = conn.Execute("XA END " + xid)
			end := "XA PREPARE "
			switch {
			case err != nil: // it was rolled back as a victim
				end = "XA ROLLBACK "
			case random.IntN(6) == 0:
				xid += " ONE PHASE"
				end = "XA COMMIT "
			}
			if _, err = conn.Execute(end + xid); err != nil || end != "XA PREPARE " {
				_, _ = conn.Execute("XA ROLLBACK " + xid)
				conn.Close()
				continue
			}
			if xids = append(xids, xid); random.IntN(2) == 0 {
				own = append(own, conn)
			} else {
				own, left = append(own, nil), append(left, conn)
			}
		}
		time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
		if len(left) > 0 {
			if err := leave(decider, left); err != nil {
				return err
			}
		}
		for i, xid := range xids {
			by := own[i]
			if by == nil {
				by = decider
			}
			verb := "XA COMMIT "
			if random.IntN(4) == 0 {
				verb = "XA ROLLBACK "
			}
			if _, err := by.Execute(verb + xid); err != nil && !strings.Contains(err.Error(), "XA_RBROLLBACK") { // MariaDB, of one without changes
				return fmt.Errorf("%s%s: %w", verb, xid, err)
			}
			w.counts[1].Add(1)
			if by != decider {
				by.Close()
			}
		}
	}
	return nil
}

const workloadUUID = "dddddddd-dddd-dddd-dddd-dddddddddddd"

// define executes a statement that defines tables, and notes what it does. One connection does so.
func (w *workload) define(conn *client.Conn, sql string, do effect) bool {
	gtid := fmt.Sprintf("%s:%d", workloadUUID, len(w.effects)+1)
	if w.nameless {
		gtid = fmt.Sprint(len(w.effects))
	} else if w.writes.Flavor == mysql.FlavorMySQL {
		if _, err := conn.Execute("SET gtid_next = '" + gtid + "'"); err != nil {
			w.t.Error(err)
			return false
		}
		defer conn.Execute("SET gtid_next = AUTOMATIC")
	}
	if _, err := conn.Execute(sql); err != nil {
		if !strings.Contains(err.Error(), "imeout") && !strings.Contains(err.Error(), "uplicate entry") {
			w.t.Errorf("%s: %v", sql, err)
		}
		return false
	}
	if w.writes.Flavor == mysql.FlavorMariaDB {
		result, err := conn.Execute("SELECT @@last_gtid")
		if err != nil {
			w.t.Error(err)
			return false
		}
		gtid, _ = result.GetString(0, 0)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.effects[gtid] = do
	do(w.design)
	w.counts[2].Add(1)
	return true
}

// redefine defines tables anew.
func (w *workload) redefine(ctx context.Context, conn *client.Conn) error {
	random := w.random(5)
	if _, err := conn.Execute("SET SESSION lock_wait_timeout = 1"); err != nil {
		return err
	}
	for n := 0; ctx.Err() == nil; n++ {
		time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
		table := w.table(random)
		w.mu.Lock()
		asked := w.asked
		if w.design[asked] != nil && asked != "bare" && random.IntN(2) == 0 {
			table = asked
		}
		w.mu.Unlock()
		column, kind := w.column(random, table)
		w.mu.Lock()
		columns, key, size := slices.Clone(w.design[table].columns), len(w.design[table].key), len(w.design[table].columns)
		w.mu.Unlock()
		at := random.IntN(size + 1)
		place := func(but string) string {
			rest := slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return c == but })
			if at = min(at, len(rest)); at == 0 {
				return " FIRST"
			}
			return " AFTER " + rest[at-1]
		}
		what := random.IntN(13)
		if table == asked && random.IntN(2) == 0 {
			what = []int{6, 6, 8, 11}[random.IntN(4)] // it gets other rows
		}
		switch {
		case what == 12:
			w.define(conn, "TRUNCATE bare", truncate("bare"))
		case what == 0 || column == "" && what < 6 || size < 4:
			added := []struct{ kind, value string }{{"INT", "null"}, {"INT NOT NULL DEFAULT 5", "5"}, {"VARCHAR(30) DEFAULT '77'", `"77"`}, {"BIGINT", "null"}}[random.IntN(4)]
			name := fmt.Sprintf("c%d", n)
			kind, _, _ := strings.Cut(strings.Replace(added.kind, " NOT NULL", "", 1), " ")
			w.define(conn, fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s%s", table, name, added.kind, place("")), addColumn(table, name, kind, added.value, at))
		case what == 1:
			w.define(conn, fmt.Sprintf("ALTER TABLE %s DROP COLUMN %s", table, column), dropColumn(table, column))
		case what == 2:
			to := fmt.Sprintf("r%d", n)
			w.define(conn, fmt.Sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", table, column, to), renameColumn(table, column, to))
		case what <= 4:
			to := map[string][]string{"INT": {"INT", "BIGINT", "VARCHAR(60)", "DECIMAL(14,2)"}, "BIGINT": {"BIGINT", "VARCHAR(60)", "DECIMAL(14,2)"},
				"VARCHAR(30)": {"VARCHAR(30)", "VARCHAR(60)"}, "VARCHAR(60)": {"VARCHAR(60)"}, "DECIMAL(14,2)": {"DECIMAL(14,2)", "VARCHAR(60)"}}[kind]
			wider := to[random.IntN(len(to))]
			w.define(conn, fmt.Sprintf("ALTER TABLE %s MODIFY COLUMN %s %s%s", table, column, wider, place(column)), convert(table, column, wider, at))
		case what == 5:
			w.define(conn, fmt.Sprintf("ALTER TABLE %s ADD INDEX i%d (v), ALGORITHM = INPLACE", table, n), func(design) {})
		case what == 6:
			w.define(conn, "TRUNCATE TABLE "+table, truncate(table))
		case what == 7:
			to := fmt.Sprintf("t%d", n)
			w.define(conn, fmt.Sprintf("RENAME TABLE %s TO %s", table, to), rename(table, to))
		case what == 8:
			if w.define(conn, "DROP TABLE "+table, drop(table)) {
				columns := fmt.Sprintf("x%d INT, v INT NOT NULL DEFAULT 0, id INT PRIMARY KEY", n)
				w.must(conn, fmt.Sprintf("CREATE TABLE %s (%s)", table, columns), create(table, []string{fmt.Sprintf("x%d", n), "v", "id"}, []string{"INT", "INT", "INT"}, "id"))
			}
		case what == 9 && key == 1:
			w.define(conn, fmt.Sprintf("ALTER TABLE %s DROP PRIMARY KEY, ADD PRIMARY KEY (v, id)", table), rekey(table, "v", "id"))
		case what == 9 && key == 2:
			w.define(conn, fmt.Sprintf("ALTER TABLE %s DROP PRIMARY KEY, ADD PRIMARY KEY (id)", table), rekey(table, "id"))
		case what == 10:
			_, _ = conn.Execute("FLUSH BINARY LOGS")
			if w.writes.Flavor == mysql.FlavorMariaDB {
				_, _ = conn.Execute(fmt.Sprintf("SET GLOBAL log_bin_compress = %d, GLOBAL log_bin_compress_min_len = 10", random.IntN(2)))
			}
		case key > 0:
			w.ghost(conn, random, table, n)
		}
	}
	return nil
}

// must is define for what has to follow.
func (w *workload) must(conn *client.Conn, sql string, do effect) {
	for deadline := time.Now().Add(patience); !w.define(conn, sql, do); {
		if time.Now().After(deadline) || w.t.Failed() {
			w.t.Errorf("%s: in vain", sql)
			return
		}
	}
}

// ghost changes a table by way of another that takes its place.
func (w *workload) ghost(conn *client.Conn, random *rand.Rand, table string, n int) {
	ghost, gone, name := fmt.Sprintf("_t%d_gho", n), fmt.Sprintf("_t%d_del", n), fmt.Sprintf("g%d", n)
	w.must(conn, fmt.Sprintf("CREATE TABLE %s LIKE %s", ghost, table), like(ghost, table))
	w.must(conn, fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s INT DEFAULT 9 FIRST", ghost, name), addColumn(ghost, name, "INT", "9", 0))
	for at := 0; at < 2*workloadKeys; at += 100 {
		_, _ = conn.Execute(fmt.Sprintf("INSERT IGNORE INTO %s (id, v) SELECT id, v FROM %s WHERE id BETWEEN %d AND %d LOCK IN SHARE MODE", ghost, table, at, at+99))
	}
	if random.IntN(4) > 0 {
		w.must(conn, fmt.Sprintf("RENAME TABLE %s TO %s, %s TO %s", table, gone, ghost, table), rename(table, gone, ghost, table))
		ghost = gone
	}
	w.must(conn, "DROP TABLE "+ghost, drop(ghost))
}

// everything runs all of it for a while, and then compares what the stream has with what the server has.
func (w *workload) everything(long time.Duration) {
	t, s := w.t, w.writes
	setup := s.Conn(t)
	execute(t, setup, "CREATE DATABASE shop", "CREATE TABLE shop.marks (id INT PRIMARY KEY AUTO_INCREMENT)")
	w.design, w.effects, w.refuse = design{}, map[string]effect{}, 1<<30
	model := design{}
	execute(t, setup, "CREATE TABLE shop.bare (v INT, s VARCHAR(30))")
	for _, d := range []design{w.design, model} {
		d["bare"] = newShape([]string{"v", "s"}, []string{"INT", "VARCHAR(30)"})
	}
	for i := range 4 {
		name := fmt.Sprintf("s%d", i)
		execute(t, setup, fmt.Sprintf("CREATE TABLE shop.%s (id INT PRIMARY KEY, v INT NOT NULL DEFAULT 0, a INT, b VARCHAR(30) DEFAULT 'b')", name))
		for _, d := range []design{w.design, model} {
			d[name] = newShape([]string{"id", "v", "a", "b"}, []string{"INT", "INT", "INT", "VARCHAR(30)"}, "id")
		}
		for id := 0; id < workloadKeys; id += 2 {
			execute(t, setup, fmt.Sprintf("INSERT INTO shop.%s (id, v) VALUES (%d, %d)", name, id, i))
			model[name].rows[fmt.Sprint(id)] = &modelRow{n: 1, values: map[string]string{"id": fmt.Sprint(id), "v": fmt.Sprint(i), "a": "null", "b": `"b"`}}
		}
	}
	shop := func() *client.Conn {
		conn := s.Conn(t)
		execute(t, conn, "USE shop")
		return conn
	}
	for _, other := range w.replicas {
		other.CatchUp(t, s)
	}

	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	writing, rest := context.WithCancel(ctx)
	var group, writers sync.WaitGroup
	try := func(group *sync.WaitGroup, what string, do func() error) {
		group.Go(func() {
			if err := do(); err != nil {
				t.Errorf("%s: %v", what, err)
				cancel()
			}
		})
	}
	begun, stopBegun := context.WithCancel(t.Context())
	var first error
	done := make(chan struct{})
	go func() { defer close(done); first = w.run(begun, w.random(0)) }() // awaited below
	await(t, "the capture has begun", func() bool { return w.checkpoint().Flavor != "" })
	stopBegun()
	if <-done; !errors.Is(first, context.Canceled) {
		t.Fatal(first)
	}
	for i := range 3 {
		conn, random := shop(), w.random(10+uint64(i))
		try(&writers, "writer", func() error { return w.write(writing, conn, random) })
	}
	decider, definer := shop(), shop()
	try(&writers, "XA", func() error {
		return w.writeXA(writing, func() (*client.Conn, error) { conn := s.Conn(t); _, err := conn.Execute("USE shop"); return conn, err }, decider)
	})
	try(&writers, "definer", func() error { return w.redefine(writing, definer) })
	try(&group, "capture", func() error { return w.disturbed(ctx) })
	try(&group, "killer", func() error { return w.kill(ctx) })
	try(&group, "snapshots", func() error { return w.snapshots(ctx) })
	<-ctx.Done()
	rest()
	writers.Wait()
	group.Wait()
	t.Logf("%d transactions, %d XA transactions, %d definitions, %d runs, %d snapshots", w.counts[0].Load(), w.counts[1].Load(), w.counts[2].Load(),
		w.counts[3].Load(), w.counts[4].Load())
	if !t.Failed() {
		w.rest()
	}
	p := &replay{tables: model, effects: w.effects, applied: map[string]bool{}, ids: map[string]bool{}, counts: map[string]int{},
		places: map[string]string{}}
	err := p.run(w.steps)
	t.Logf("%d frames and statements: %v; %d parts of tables were read again", len(w.steps), p.counts, w.counts[5].Load())
	if err != nil {
		t.Fatal(err)
	}
	if t.Failed() {
		return
	}
	if !slices.Equal(slices.Sorted(maps.Keys(p.tables)), slices.Sorted(maps.Keys(w.design))) {
		t.Fatalf("tables %v, want %v", slices.Sorted(maps.Keys(p.tables)), slices.Sorted(maps.Keys(w.design)))
	}
	for name, sh := range p.tables {
		there := present(t, s, "shop."+name)
		want := there.rows("shop." + name)
		for row, n := range there.bag {
			want = append(want, slices.Repeat([]string{strings.TrimPrefix(row, "shop."+name)}, n)...)
		}
		slices.Sort(want)
		compare(t, sh.list(), want)
	}
}

// rest lets the capture come to the end of the log, and read all tables once more.
func (w *workload) rest() {
	t, s := w.t, w.writes
	ctx, cancel := context.WithCancel(t.Context())
	w.refuse, w.slow = 1<<30, 0
	done := make(chan error, 1)
	go func() { done <- w.run(ctx, w.random(6)) }() // awaited below
	before := w.marked()
	s.Exec(t, "INSERT INTO shop.marks VALUES (NULL)")
	await(t, "the capture is at the end", func() bool { return w.marked() > before })
	w.complete()
	w.mu.Lock()
	w.steps = append(w.steps, step{mark: true})
	w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.design)) {
		if _, err := w.source.Load().StartSnapshot(ctx, "shop", name, ""); err != nil {
			t.Error(err)
		}
	}
	w.complete()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func (w *workload) marked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.marks
}

// complete waits until no snapshot is left, paused ones and those that have failed neither.
func (w *workload) complete() {
	source := w.source.Load()
	await(w.t, "snapshots are complete", func() bool {
		for _, job := range source.Snapshots() {
			if job.State == "paused" || job.State == "failed" {
				_ = source.AlterSnapshot(w.t.Context(), job.ID, mysql.SnapshotResume)
			}
		}
		return !strings.Contains(w.checkpoint().Snapshot, `"jobs"`)
	})
}

// Transactions of every kind and statements that define tables anew go on while the capture is interrupted, killed and late,
// and while tables are read. What the stream says of a row is right each time, and in the end it has what the server has.
//
// CDCD_WORKLOAD says for how long, such as 2m, and has replicas captured from, too, and the capture go from one server to another;
// CDCD_SEED repeats what was random, as far as that goes.
func TestAnyWorkload(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv("CDCD_WORKLOAD"))
	testenv.Each(t, func(t *testing.T, s *testenv.Server) { newWorkload(t, s).everything(max(long, 10*time.Second)) })
	if err != nil {
		return
	}
	t.Run("mysql without GTIDs", func(t *testing.T) {
		w := newWorkload(t, testenv.MySQL(t, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"))
		w.nameless = true
		w.everything(long)
	})
	parallel := map[string][]string{
		"mariadb": {"--log-slave-updates=ON", "--slave-parallel-threads=4", "--slave-parallel-mode=optimistic"},
		"mysql":   {"--log-replica-updates=ON", "--replica-parallel-workers=4"},
	}
	start := map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL}
	for flavor, options := range parallel {
		for _, moving := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, replica, moving %t", flavor, moving), func(t *testing.T) {
				a, b := start[flavor](t, append(options, "--server-id=1")...), start[flavor](t, append(options, "--server-id=2")...)
				b.Follow(t, a)
				w := newWorkload(t, a)
				w.reads.Store(b)
				w.replicas = []*testenv.Server{b}
				w.moving = moving
				w.everything(long)
			})
		}
	}
}

func newWorkload(t *testing.T, s *testenv.Server) *workload {
	w := &workload{t: t, writes: s, seed: uint64(time.Now().UnixNano())}
	if text := os.Getenv("CDCD_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &w.seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CDCD_SEED=%d", w.seed)
	w.reads.Store(s)
	return w
}
