package mysql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// Rows that were undone after they had gone into the stream stop the capture. They must not pass for others when it
// starts again with more room.
func TestUndoneRowsInTheStreamStayAnErrorWhenMoreCanBeHeld(t *testing.T) {
	t.Parallel()
	for name, undo := range map[string][]string{
		"to a savepoint": {"ROLLBACK TO a", "INSERT INTO t SELECT id + 100, 'kept' FROM t", "INSERT INTO t SELECT id + 200, 'kept' FROM t", "COMMIT"},
		"wholly":         {"ROLLBACK"},
	} {
		t.Run(name, func(t *testing.T) {
			s := testenv.MariaDB(t)
			s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY, a VARCHAR(2000))")
			cfg := config(s)
			cfg.HoldBytes, cfg.FrameRows = 5000, 1
			run := begin(t, cfg, cdc.Checkpoint{}, nil)
			statements := []string{"USE shop", "BEGIN", "INSERT INTO t VALUES (0, '')", "SAVEPOINT a", "CREATE TEMPORARY TABLE x (id INT)"}
			for i := range 10 {
				statements = append(statements, fmt.Sprintf("INSERT INTO t VALUES (%d, REPEAT('x', 1000))", i+1))
			}
			s.Exec(t, append(statements, undo...)...)
			run.ends(t, "CDCD-1310")
			if len(run.list()) == 0 {
				t.Fatal("no row went into the stream")
			}
			cfg.HoldBytes = 1 << 20
			launch(t, cfg, run.checkpoint(), nil).ends(t, "CDCD-1310")
		})
	}
}

// What was undone before rows went into the stream is none of them, however often reading begins anew.
func TestResumeBehindASavepointThatWasGoneBackTo(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY, a VARCHAR(2000))")
	cfg := config(s)
	cfg.HoldBytes, cfg.FrameRows = 5000, 1
	run := begin(t, cfg, cdc.Checkpoint{}, nil)
	from := run.checkpoint()
	statements := []string{"USE shop", "BEGIN", "INSERT INTO t VALUES (0, '')", "SAVEPOINT a", "CREATE TEMPORARY TABLE x (id INT)", "INSERT INTO t VALUES (1, '')",
		"SAVEPOINT b", "INSERT INTO t VALUES (2, '')", "ROLLBACK TO A"}
	for i := range 10 {
		statements = append(statements, fmt.Sprintf("INSERT INTO t VALUES (%d, REPEAT('x', 1000))", i+10))
	}
	statements = append(statements, "SAVEPOINT c", "INSERT INTO t VALUES (3, '')", "ROLLBACK TO C", "COMMIT", "INSERT INTO t VALUES (99, '')")
	s.Exec(t, statements...)
	want := run.wait(t, 12)
	run.stop(t)
	frames := run.frames
	for i, b := range frames {
		if b.Header().Heartbeat {
			continue
		}
		for _, hold := range []int{2000, 5000, 1 << 20} {
			cfg.HoldBytes = hold
			rest := launch(t, cfg, b.Checkpoint(), nil)
			compare(t, rest.wait(t, len(frames)-i-1), want[len(want)-(len(frames)-i-1):])
			rest.stop(t)
		}
	}
	all := launch(t, cfg, from, nil)
	compare(t, all.wait(t, 12), want)
}

// As long as no frame with its rows has left, more room is all that it takes.
func TestUndoneRowsThatAreNotInTheStreamAreReadAnewWhenMoreCanBeHeld(t *testing.T) {
	t.Parallel()
	for name, undo := range map[string]string{"to a savepoint": "ROLLBACK TO a", "wholly": "ROLLBACK"} {
		t.Run(name, func(t *testing.T) {
			s := testenv.MariaDB(t)
			s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY, a VARCHAR(2000))")
			cfg := config(s)
			cfg.HoldBytes = 5000
			run := begin(t, cfg, cdc.Checkpoint{}, nil)
			statements := []string{"USE shop", "BEGIN", "INSERT INTO t VALUES (0, '')", "SAVEPOINT a", "CREATE TEMPORARY TABLE x (id INT)"}
			for i := range 10 {
				statements = append(statements, fmt.Sprintf("INSERT INTO t VALUES (%d, REPEAT('x', 1000))", i+1))
			}
			s.Exec(t, append(statements, undo, "COMMIT", "INSERT INTO t VALUES (99, '')")...)
			if err := run.ends(t, "CDCD-1310"); !strings.Contains(err.Fix, "hold_bytes") {
				t.Errorf("fix %q", err.Fix)
			}
			if n := len(run.list()); n > 0 {
				t.Fatalf("%d rows went into the stream", n)
			}
			cfg.HoldBytes = 1 << 20
			again := launch(t, cfg, run.checkpoint(), nil)
			want := []string{`insert shop.t {"id":0} null -> {"id":0,"a":""}`, `insert shop.t {"id":99} null -> {"id":99,"a":""}`}
			if undo == "ROLLBACK" {
				want = want[1:]
			}
			compare(t, short(again.wait(t, len(want))), want)
		})
	}
}
