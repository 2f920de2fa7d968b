package mysql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

func TestAChangeLargerThanAFrameGoesOnWithoutItsLargestValues(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v LONGBLOB, w TEXT)")
		cfg := config(s)
		var seen mysql.Notices
		cfg.Observe = func(p mysql.Progress) { seen = p.Notices }
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		from := r.checkpoint()
		s.Exec(t, "INSERT INTO shop.a VALUES (1, 'x', 'y')", "BEGIN", "INSERT INTO shop.a VALUES (2, REPEAT('x', 60000000), 'y')",
			"UPDATE shop.a SET w = 'z' WHERE id = 2", "UPDATE shop.a SET v = 'small' WHERE id = 2", "COMMIT", "DELETE FROM shop.a WHERE id = 2")
		events := r.wait(t, 5)
		r.stop(t)
		compare(t, short(events), []string{`insert shop.a {"id":1} null -> {"id":1,"v":"eA==","w":"y"}`, `insert shop.a {"id":2} null -> {"id":2,"w":"y"}`,
			`update shop.a {"id":2} {"id":2,"w":"y"} -> {"id":2,"w":"z"}`, `update shop.a {"id":2} {"id":2,"w":"z"} -> {"id":2,"v":"c21hbGw=","w":"z"}`,
			`delete shop.a {"id":2} {"id":2,"v":"c21hbGw=","w":"z"} -> null`})
		incomplete := ""
		for _, b := range r.frames {
			for i := range b.Len() {
				incomplete += map[bool]string{true: "x", false: "."}[b.Event(i).Incomplete()]
			}
		}
		if incomplete != ".xxx." || seen != (mysql.Notices{Oversize: 3}) {
			t.Errorf("incomplete %s, notices %+v", incomplete, seen)
		}
		cfg.Oversize = mysql.PolicyHalt
		launch(t, cfg, from, nil).ends(t, "CDCD-1309")
		snapshotOfLarge(t, s)
	}
	// A value must fit into a tenth of the storage engine's log.
	t.Run("mariadb", func(t *testing.T) {
		test(t, testenv.MariaDB(t, "--max-allowed-packet=256M", "--innodb-log-file-size=800M"))
	})
	t.Run("mysql", func(t *testing.T) {
		test(t, testenv.MySQL(t, "--max-allowed-packet=256M", "--innodb-redo-log-capacity=1G"))
	})
}

func TestTheBusMayTakeLessThanAFrame(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v LONGTEXT, w TEXT)")
	cfg := config(s)
	cfg.MaxFrame = 1 << 20
	r := begin(t, cfg, cdc.Checkpoint{}, nil)
	s.Exec(t, "INSERT INTO shop.a VALUES (1, REPEAT('x', 900000), 'y'), (2, REPEAT('x', 700000), REPEAT('y', 60000)), (3, REPEAT('x', 1100000), 'y')")
	events := r.wait(t, 3)
	for i, want := range []int{900_000, 700_000, 0} {
		if n := strings.Count(events[i], "x"); n != want {
			t.Errorf("event %d holds %d bytes of v, want %d", i, n, want)
		}
	}
	for _, b := range r.frames {
		if len(b.Frame()) > cfg.MaxFrame {
			t.Errorf("a frame of %d bytes", len(b.Frame()))
		}
	}
}

// Rows of a snapshot are like changes: what no frame can hold goes without its largest values, and the next rows follow.
func TestASnapshotGoesOnBehindARowThatIsLargerThanAFrame(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v LONGTEXT, w TEXT)", "CREATE TABLE shop.b (v LONGTEXT, w TEXT)",
			"INSERT INTO shop.a VALUES (1, 'x', 'y'), (2, REPEAT('x', 1100000), 'y'), (3, REPEAT('x', 900000), 'y'), (4, REPEAT('x', 5000000), 'z'), (5, 'x', 'z')",
			"INSERT INTO shop.b VALUES ('x', 'y'), (REPEAT('x', 1100000), 'y'), ('x', 'z')")
		cfg := config(s)
		cfg.MaxFrame, cfg.Snapshot = 1<<20, true
		var seen mysql.Notices
		cfg.Observe = func(p mysql.Progress) { seen = p.Notices }
		id := func(e cdc.Event) string {
			if len(e.Table().Key()) == 0 {
				return ""
			}
			return e.After().Value(0).String()
		}
		m, rec := newMirror(), newRecorder()
		m.fail = func(_ int, b *cdc.Batch) error { return rec.handle(t.Context(), b) }
		r := read(t, cfg, m)
		m.complete(t)
		r.stop(t)
		m.check(t)
		var got []string
		for _, b := range rec.frames {
			if len(b.Frame()) > cfg.MaxFrame {
				t.Errorf("a frame of %d bytes", len(b.Frame()))
			}
			for i := range b.Len() {
				e := b.Event(i)
				row := e.After()
				got = append(got, fmt.Sprintf("%s %s %v %d %s", e.Table().Name, id(e), e.Incomplete(), len(row.Value(row.Len()-2).Text()), row.Value(row.Len()-1).Text()))
			}
		}
		compare(t, got, []string{"a 1 false 1 y", "a 2 true 0 y", "a 3 false 900000 y", "a 4 true 0 z", "a 5 false 1 z",
			"b  false 1 y", "b  true 0 y", "b  false 1 z"})
		if seen != (mysql.Notices{Oversize: 3}) {
			t.Errorf("notices %+v", seen)
		}

		// With halt the snapshot waits for somebody to look, and capture goes on.
		cfg.Oversize = mysql.PolicyHalt
		m = newMirror()
		r = read(t, cfg, m)
		await(t, "the snapshot has failed", func() bool {
			jobs := r.Snapshots()
			return len(jobs) == 1 && jobs[0].State == "failed" && strings.Contains(jobs[0].Error, "a row of shop.a takes")
		})
		m.caughtUp(t, s.Conn(t))
		r.stop(t)
		m.check(t)
	})
}

// snapshotOfLarge reads rows that are larger than the largest frame, and such that fit into one but not two of them.
func snapshotOfLarge(t *testing.T, s *testenv.Server) {
	s.Exec(t, "CREATE DATABASE large", "CREATE TABLE large.a (id INT PRIMARY KEY, v LONGBLOB, w TEXT)", "CREATE TABLE large.b (v LONGBLOB, w TEXT)")
	for _, table := range []string{"a (id, v, w) SELECT n,", "b (v, w) SELECT"} {
		s.Exec(t, "INSERT INTO large."+table+" REPEAT('x', IF(n = 2, 60, 20) * 1000000), n FROM (SELECT 1 n UNION SELECT 2 UNION SELECT 3) numbers")
	}
	cfg := config(s, "large.*")
	cfg.Snapshot = true
	m := newMirror()
	var got []string
	m.fail = func(_ int, b *cdc.Batch) error {
		for i := range b.Len() {
			row := b.Event(i).After()
			got = append(got, fmt.Sprintf("%s %v %d %s", b.Event(i).Table().Name, b.Event(i).Incomplete(), len(row.Value(row.Len()-2).Text()), row.Value(row.Len()-1).Text()))
		}
		return nil
	}
	r := read(t, cfg, m)
	m.complete(t)
	r.stop(t)
	compare(t, got, []string{"a false 20000000 1", "a true 0 2", "a false 20000000 3", "b false 20000000 1", "b true 0 2", "b false 20000000 3"})
}
