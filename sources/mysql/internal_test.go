package mysql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

func TestStatementsAreToldApart(t *testing.T) {
	for _, test := range []struct {
		text string
		kind stmtKind
		arg  string
		refs []string // of tables, with schema s by default
	}{
		{"BEGIN", stmtBegin, "", nil},
		{"/* x */ COMMIT", stmtCommit, "", nil},
		{"ROLLBACK", stmtRollback, "", nil},
		{"ROLLBACK TO `a``b`", stmtRollbackTo, "a`b", nil},
		{"ROLLBACK TO SAVEPOINT a", stmtRollbackTo, "a", nil},
		{"ROLLBACK TO `savepoint`", stmtRollbackTo, "savepoint", nil},
		{"SAVEPOINT `a``b`", stmtSavepoint, "a`b", nil},
		{"XA START X'7831',X'',1", stmtXAStart, "X'7831',X'',1", nil},
		{"XA COMMIT X'7831',X'',1", stmtXACommit, "X'7831',X'',1", nil},
		{"insert into t values (1)", stmtDML, "", []string{"s.t"}},
		{"INSERT IGNORE `o`.`t` SELECT * FROM x", stmtDML, "", []string{"o.t"}},
		{"DELETE FROM t WHERE x = 'y'", stmtDML, "", []string{"s.t"}},
		{"UPDATE o . t, u SET a = 1", stmtDML, "", []string{"o.t", "s.u", "s.a", "s.1"}},
		{"TRUNCATE TABLE t", stmtDDL, "", []string{"s.t"}},
		{"DROP TABLE IF EXISTS `t` /* generated */", stmtDDL, "", []string{"s.t"}},
		{"DROP TABLE a, `b`.`c`", stmtDDL, "", []string{"s.a", "b.c"}},
		{"CREATE OR REPLACE TABLE `b`.`c` (id INT)", stmtDDL, "", []string{"b.c"}},
		{"ALTER TABLE t DROP PARTITION p", stmtDDL, "", []string{"s.t"}},
		{"SELECT `s`.`f`()", stmtDML, "", nil},
		{"LOAD DATA INFILE 'f' IGNORE INTO TABLE `t` (a)", stmtDML, "", []string{"s.t"}},
		{"GRANT SELECT ON *.* TO x", stmtOther, "", nil},
		{"", stmtOther, "", nil},
		{"INSERT INTO `open", stmtDML, "", []string{"s.open"}},
		{"/*!50000 REPLACE */ INTO t", stmtDML, "", []string{"s.t"}},
		{"--\tx\nUPDATE t SET a = 1", stmtDML, "", []string{"s.t", "s.a", "s.1"}},
		{"--\nDELETE FROM t", stmtDML, "", []string{"s.t"}},
		{"\v\fDELETE FROM t", stmtDML, "", []string{"s.t"}},
		{"SET STATEMENT max_statement_time=10, lock_wait_timeout=5 FOR DELETE FROM t", stmtDML, "", []string{"s.t"}},
		{"SET STATEMENT max_statement_time=10 FOR ANALYZE DELETE FROM t", stmtDML, "", []string{"s.t"}},
		{"SET STATEMENT max_statement_time=10 FOR ALTER TABLE t ENGINE = InnoDB", stmtDDL, "", []string{"s.t"}},
		{"SET PASSWORD FOR x = 'y'", stmtOther, "", nil},
		{"ANALYZE DELETE FROM t", stmtDML, "", []string{"s.t"}},
		{"ANALYZE FORMAT = JSON DELETE FROM t", stmtDML, "", []string{"s.t"}},
		{"ANALYZE TABLE t", stmtOther, "", nil},
		{"LOAD XML INFILE 'f' INTO TABLE t", stmtDML, "", []string{"s.t"}},
		{"FROB t", stmtDML, "", []string{"s.t"}},
	} {
		st := classify(test.text)
		if st.kind != test.kind || st.arg != test.arg {
			t.Errorf("%s: kind %d, %q, want %d, %q", test.text, st.kind, st.arg, test.kind, test.arg)
		}
		if test.refs == nil {
			continue
		}
		var refs []string
		for _, ref := range st.tables("s") {
			for i := range len(ref) {
				if ref[i] == 0 {
					refs = append(refs, ref[:i]+"."+ref[i+1:])
				}
			}
		}
		if len(refs) != len(test.refs) {
			t.Errorf("%s: tables %q, want %q", test.text, refs, test.refs)
			continue
		}
		for i := range refs {
			if refs[i] != test.refs[i] {
				t.Errorf("%s: tables %q, want %q", test.text, refs, test.refs)
			}
		}
	}
}

func TestStatementsAreReadAsTheirSessionWroteThem(t *testing.T) {
	for name, test := range map[string]struct {
		session session
		text    string
		want    []string
	}{
		"names in double quotes":            {session{ansiQuotes: true}, `DELETE FROM "o"."t""u"`, []string{"o\x00t\"u"}},
		"strings in double quotes":          {session{}, `DELETE x FROM "o"`, []string{"s\x00x"}},
		"backslashes":                       {session{}, `WITH c AS (SELECT 'a\'') UPDATE t`, []string{"s\x00AS", "s\x00SELECT", "s\x00UPDATE", "s\x00c", "s\x00t"}},
		"backslashes that are only that":    {session{noBackslash: true}, `WITH c AS (SELECT 'a\') UPDATE t`, []string{"s\x00AS", "s\x00SELECT", "s\x00UPDATE", "s\x00c", "s\x00t"}},
		"latin1":                            {session{collation: 8}, "DELETE FROM `k\xf6ln`", []string{"s\x00köln"}},
		"what a server may have written":    {session{collation: 8}, "DELETE FROM `köln`", []string{"s\x00kÃ¶ln", "s\x00köln"}},
		"a backtick in a character of sjis": {session{collation: 13}, "DELETE FROM `\x83\x60`", []string{"s\x00チ"}},
		"a character set that nobody knows": {session{collation: 9999}, "DELETE FROM `t`", []string{"s\x00t"}},
		"utf8mb4":                           {session{collation: 255}, "DELETE FROM `köln`", []string{"s\x00köln"}},
		"bytes that are no text whatsoever": {session{collation: 255}, "DELETE FROM `k\xf6ln`", []string{"s\x00k�ln"}},
	} {
		got := test.session.read([]byte(test.text)).tables("s")
		slices.Sort(got)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestCreateTableThatCopiesRows(t *testing.T) {
	for text, want := range map[string]bool{
		"CREATE TABLE a AS SELECT 1": true, "CREATE TABLE a (id INT) SELECT 1": true, "create or replace table a as with x as (select 1) select * from x": true,
		"CREATE TABLE a (`select` INT COMMENT 'select')": false, "CREATE VIEW a AS SELECT 1": false, "CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW SELECT 1 INTO @x": false,
		"CREATE TEMPORARY TABLE a AS SELECT 1": false, "CREATE TABLE a (id INT) START TRANSACTION": false, "CREATE TABLE a LIKE b": false,
		"CREATE TABLE a TABLE b": true, "CREATE TABLE a VALUES ROW(1)": true, "CREATE TABLE a (id INT) PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (1))": false,
	} {
		if got := classify(text).fills(); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestStatementsThatRemoveRowsWithoutNamingThem(t *testing.T) {
	selected, err := newSelection([]string{"s.a", "s.p*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &capture{selected: selected}
	for text, want := range map[string]string{
		"TRUNCATE a": "s.a", "TRUNCATE TABLE o.a": "", "DROP TABLE IF EXISTS x, `s`.`a` /* generated by server */": "s.a", "DROP VIEW a": "", "DROP TEMPORARY TABLE a": "",
		"DROP INDEX i ON a": "", "DROP DATABASE IF EXISTS `s`": "s.*", "DROP SCHEMA o": "", "CREATE OR REPLACE TABLE a (id INT)": "s.a", "CREATE TABLE a (id INT)": "",
		"ALTER TABLE p1 DROP PARTITION x": "s.p1", "ALTER TABLE p1 TRUNCATE PARTITION x": "s.p1", "ALTER TABLE p1 ADD PARTITION (PARTITION x VALUES LESS THAN (1))": "",
		"ALTER TABLE p1 EXCHANGE PARTITION x WITH TABLE y": "s.p1", "ALTER TABLE o.t EXCHANGE PARTITION x WITH TABLE s.p1": "s.p1", "ALTER TABLE a DROP COLUMN `partition`": "",
		"ALTER ONLINE TABLE p1 DROP PARTITION x": "s.p1", "ALTER IGNORE TABLE a ADD UNIQUE (x)": "s.a",
		"ALTER TABLE o.t CONVERT TABLE s.p1 TO PARTITION x VALUES LESS THAN (1)": "s.p1", "ALTER TABLE a CONVERT TO CHARACTER SET utf8mb4": "",
		"TRUNCATE S.A": "s.a", "DROP DATABASE S": "S.*",
		"ALTER TABLE a IMPORT TABLESPACE": "s.a", "RENAME TABLE a TO _a_old, _a_new TO a": "",
	} {
		if got, hit := c.removes(classify(text), "s"); hit != (want != "") || hit && got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, hit, want)
		}
	}
}

func TestSelection(t *testing.T) {
	s, err := newSelection([]string{"shop.*", "mysql.time_zone", "s?les.orders"}, []string{"shop.tmp_*", "sales.*"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		schema, table string
		want          bool
	}{
		{"shop", "orders", true}, {"shop", "tmp_1", false}, {"Shop", "orders", false}, {"mysql", "time_zone", true},
		{"mysql", "user", false}, {"sales", "orders", false}, {"sáles", "orders", true}, {"sles", "orders", false},
	} {
		for range 2 { // the second answer is remembered
			if got := s.has([]byte(test.schema), []byte(test.table)); got != test.want {
				t.Errorf("has %s.%s: %v", test.schema, test.table, got)
			}
		}
	}
	for schema, want := range map[string]bool{"shop": true, "mysql": true, "sys": false, "sáles": true, "crm": false} {
		if got := s.mayHold(schema); got != want {
			t.Errorf("may hold %s: %v", schema, got)
		}
	}
}

func TestWildcardsDoNotMeanTheServersOwnTables(t *testing.T) {
	s, err := newSelection([]string{"*.*", "m?sql.*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for schema, want := range map[string]bool{"shop": true, "mysql": false, "MySQL": false, "sys": false,
		"information_schema": false, "performance_schema": false} {
		if s.match(schema, "t") != want || s.mayHold(schema) != want {
			t.Errorf("%s: match %v, may hold %v", schema, s.match(schema, "t"), s.mayHold(schema))
		}
	}
}

func TestPatternsThatAreNoneAreRefused(t *testing.T) {
	for _, test := range []struct{ include, exclude, want string }{
		{"orders", "", "CDCD-1208: tables: 'orders' is not a pattern of tables: there is no '.' in it"},
		{"shop.*", "shop.a,shop.b", "CDCD-1208: exclude_tables: 'shop.a,shop.b' is not a pattern of tables: it has a comma, a bracket or outer blanks (? stands for what belongs to a name)"},
		{"shop.", "", "CDCD-1208: tables: 'shop.' is not a pattern of tables: a name is missing beside the '.'"},
	} {
		var exclude []string
		if test.exclude != "" {
			exclude = []string{test.exclude}
		}
		if _, err := newSelection([]string{test.include}, exclude); err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
}

func TestTheQueueIsBoundedInBytes(t *testing.T) {
	q := newQueue(100)
	ev := &replication.BinlogEvent{}
	if err := q.put(ev, 1000); err != nil { // one always fits
		t.Fatal(err)
	}
	second := make(chan error)
	go func() { second <- q.put(ev, 1) }() // awaited below
	select {
	case <-second:
		t.Fatal("the queue took more than it may hold")
	case <-time.After(20 * time.Millisecond):
	}
	events, err := q.take(context.Background(), time.Second, nil)
	if len(events) != 1 || err != nil {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	if err := q.put(ev, 99); err != nil {
		t.Fatal(err)
	}
	third := make(chan error)
	go func() { third <- q.put(ev, 1) }() // awaited below
	stop := errors.New("stop")
	q.close(stop)
	if err := <-third; !errors.Is(err, stop) {
		t.Errorf("put into a closed queue: %v", err)
	}
	if events, err := q.take(context.Background(), time.Second, events); len(events) != 2 || err != nil {
		t.Errorf("%d events, %v after close", len(events), err)
	}
	if _, err := q.take(context.Background(), time.Second, nil); !errors.Is(err, stop) {
		t.Errorf("take from a closed, empty queue: %v", err)
	}
}

func classify(text string) statement { return session{}.classify(text) }

type deadlines struct {
	net.Conn
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.set = append(d.set, t); return nil }
func (d *deadlines) SetDeadline(t time.Time) error     { return d.SetReadDeadline(t) }

func TestReadDeadlinesThatHardlyMoveAreLeftOut(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(1_000_000 + ms) }
	below := &deadlines{}
	c := &boundConn{Conn: below, slack: 10 * time.Millisecond}
	for _, by := range []time.Time{at(0), at(1), at(9), at(10), at(19), at(5), at(8), at(100), {}, {}, at(101)} {
		if err := c.SetReadDeadline(by); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.SetDeadline(at(-50)), c.SetReadDeadline(at(102))); err != nil { // after an interruption, too
		t.Fatal(err)
	}
	if want := []time.Time{at(0), at(10), at(5), at(100), {}, {}, at(101), at(-50), at(102)}; !slices.Equal(below.set, want) {
		t.Errorf("got  %v\nwant %v", below.set, want)
	}
}

func TestACheckpointNamesNoMorePreparedTransactionsThanItCanHold(t *testing.T) {
	c := &capture{}
	for i := range 1000 {
		c.prepared = append(c.prepared, &prepared{xid: fmt.Sprintf("X'%0128x',X'',1", i), start: place{File: "binlog.000001", Pos: uint64(i)}})
	}
	text := c.pendingText()
	p, err := pendingOf(cdc.Checkpoint{Prepared: text})
	if err != nil || len(text) > 2*maxNamed || len(p.Empty) == 0 || len(p.Empty) >= 1000 {
		t.Fatalf("%d bytes name %d transactions: %v", len(text), len(p.Empty), err)
	}
	if p.Oldest == nil || p.Oldest.Pos != uint64(len(p.Empty)) {
		t.Errorf("%d are named, the log is read again from %+v", len(p.Empty), p.Oldest)
	}
}

func TestLayoutsAreForgottenWhenTheyTakeTooMuchMemory(t *testing.T) {
	tables := newTables(FlavorMySQL, &treatments{}, nil, borrowed{})
	const columns = 4000
	packed := func(b []byte) []byte { return append(gomysql.AppendLengthEncodedInteger(nil, uint64(len(b))), b...) }
	var names []byte
	for i := range columns {
		names = fmt.Appendf(append(names, 64), "%064d", i)
	}
	for i := range 100 {
		body := fmt.Appendf(nil, "\x04shop\x00\x03a%02d\x00", i)
		body = append(append(append(body, packed(bytes.Repeat([]byte{gomysql.MYSQL_TYPE_LONG}, columns))...), 0), make([]byte, columns/8)...)
		body = append(append(body, byte(replication.TABLE_MAP_OPT_META_COLUMN_NAME)), packed(names)...)
		if _, err := tables.layout(t.Context(), body); err != nil {
			t.Fatal(err)
		}
		if tables.bytes > maxLayoutBytes {
			t.Fatalf("%d bytes are remembered", tables.bytes)
		}
	}
	if len(tables.byMap) == 100 {
		t.Error("nothing was forgotten")
	}
}
