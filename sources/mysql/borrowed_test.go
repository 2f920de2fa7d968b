package mysql_test

import (
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// Two columns of one type that change places or names leave no trace in a log that does not name them.
func TestNamesFromBehindAChangeStopTheReaderAtTheChange(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT, w INT)", "CREATE TABLE shop.b (id INT PRIMARY KEY)")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		s.Exec(t, "INSERT INTO shop.a VALUES (1, 1, 2)")
		r.wait(t, 1)
		s.Exec(t, "ALTER TABLE shop.a RENAME COLUMN v TO x", "INSERT INTO shop.a VALUES (2, 1, 2)") // one that does not lag goes on
		compare(t, short(r.wait(t, 2)), []string{`insert shop.a {"id":1} null -> {"id":1,"v":1,"w":2}`, `insert shop.a {"id":2} null -> {"id":2,"x":1,"w":2}`})
		r.stop(t)

		s.Exec(t, "INSERT INTO shop.a VALUES (3, 1, 2)", "ALTER TABLE shop.b ADD v INT", "INSERT INTO shop.a VALUES (4, 1, 2)",
			"ALTER TABLE shop.a MODIFY x INT AFTER w", "INSERT INTO shop.a VALUES (5, 2, 1)")
		late := launch(t, config(s), r.checkpoint(), nil)
		err := late.ends(t, "CDCD-1321")
		compare(t, short(late.list()), []string{`insert shop.a {"id":3} null -> {"id":3,"w":1,"x":2}`, `insert shop.a {"id":4} null -> {"id":4,"w":1,"x":2}`}) // wrong
		if gtid := gtidOf(late.list()[0]); !strings.Contains(err.Error(), gtid) {
			t.Errorf("%v does not name %s", err, gtid)
		}
		again := launch(t, config(s), late.checkpoint(), nil)
		compare(t, short(again.wait(t, 1)), []string{`insert shop.a {"id":5} null -> {"id":5,"w":2,"x":1}`})
	}, "--binlog-row-metadata=MINIMAL")
}

func gtidOf(event string) string {
	_, rest, _ := strings.Cut(event, `"id":"`)
	id, _, _ := strings.Cut(rest, "/")
	return id
}
