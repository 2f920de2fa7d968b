package mysql_test

import (
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

func TestAChangeLargerThanAFrameGoesOnWithoutItsLargestValues(t *testing.T) {
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
