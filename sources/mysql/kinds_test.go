package mysql_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// kind is a way to change rows. All its statements are executed before the capture reads the first of them, on a
// connection whose database is the case's own.
type kind struct {
	name   string
	only   string // "mysql" or "mariadb"; "" is both
	before []string
	during []string
	want   []string // events, with the database left out; only statements of during can make them
	code   string   // instead: the capture stops with this
}

var kinds = []kind{
	{name: "insert select, replace, on duplicate key update",
		before: []string{"CREATE TABLE a (id INT PRIMARY KEY, v INT)", "CREATE TABLE b (id INT PRIMARY KEY, v INT, UNIQUE (v))"},
		during: []string{"INSERT INTO a VALUES (1, 1), (2, 2)", "INSERT INTO b SELECT * FROM a WHERE id < 3 ORDER BY id",
			"REPLACE INTO a VALUES (1, 10)", "REPLACE INTO b VALUES (1, 2)", "INSERT INTO a VALUES (1, 0), (3, 3) ON DUPLICATE KEY UPDATE v = v + 1",
			"INSERT IGNORE INTO a VALUES (3, 9)", "UPDATE a SET v = v"},
		want: []string{
			`insert a {"id":1} null -> {"id":1,"v":1}`, `insert a {"id":2} null -> {"id":2,"v":2}`,
			`insert b {"id":1} null -> {"id":1,"v":1}`, `insert b {"id":2} null -> {"id":2,"v":2}`,
			`update a {"id":1} {"id":1,"v":1} -> {"id":1,"v":10}`,
			`delete b {"id":1} {"id":1,"v":1} -> null`, `update b {"id":1} {"id":2,"v":2} -> {"id":1,"v":2}`,
			`update a {"id":1} {"id":1,"v":10} -> {"id":1,"v":11}`, `insert a {"id":3} null -> {"id":3,"v":3}`}},
	{name: "statements that change two tables",
		before: []string{"CREATE TABLE a (id INT PRIMARY KEY, v INT)", "CREATE TABLE b (id INT PRIMARY KEY, v INT)"},
		during: []string{"INSERT INTO a VALUES (1, 1)", "INSERT INTO b VALUES (1, 1)", "UPDATE a JOIN b USING (id) SET a.v = 2, b.v = 3",
			"DELETE a, b FROM a JOIN b USING (id)"},
		want: []string{`insert a {"id":1} null -> {"id":1,"v":1}`, `insert b {"id":1} null -> {"id":1,"v":1}`,
			`update a {"id":1} {"id":1,"v":1} -> {"id":1,"v":2}`, `update b {"id":1} {"id":1,"v":1} -> {"id":1,"v":3}`,
			`delete a {"id":1} {"id":1,"v":2} -> null`, `delete b {"id":1} {"id":1,"v":3} -> null`}},
	{name: "triggers",
		before: []string{"CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)",
			"CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW INSERT INTO b VALUES (NEW.id * 10)"},
		during: []string{"INSERT INTO a VALUES (1), (2)"},
		want: []string{`insert a {"id":1} null -> {"id":1}`, `insert b {"id":10} null -> {"id":10}`,
			`insert a {"id":2} null -> {"id":2}`, `insert b {"id":20} null -> {"id":20}`}},
	{name: "partitions", before: []string{"CREATE TABLE a (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (100))"},
		during: []string{"INSERT INTO a VALUES (5, 1)", "UPDATE a SET id = 50", "ALTER TABLE a ADD PARTITION (PARTITION p2 VALUES LESS THAN (1000))", "INSERT INTO a VALUES (500, 1)"},
		want:   []string{`insert a {"id":5} null -> {"id":5,"v":1}`, `update a {"id":50} {"id":5,"v":1} -> {"id":50,"v":1}`, `insert a {"id":500} null -> {"id":500,"v":1}`}},
	{name: "generated and invisible columns",
		before: []string{"CREATE TABLE a (id INT PRIMARY KEY, v INT, s INT AS (v + 1) STORED, w INT AS (v + 2) VIRTUAL, i INT DEFAULT 7 INVISIBLE)"},
		during: []string{"INSERT INTO a (id, v) VALUES (1, 1)", "UPDATE a SET v = 2, i = 8"},
		want:   []string{`insert a {"id":1} null -> {"id":1,"v":1,"s":2,"w":3,"i":7}`, `update a {"id":1} {"id":1,"v":1,"s":2,"w":3,"i":7} -> {"id":1,"v":2,"s":3,"w":4,"i":8}`}},
	{name: "savepoints and rollbacks", before: []string{"CREATE TABLE a (id INT PRIMARY KEY)"},
		during: []string{"BEGIN", "INSERT INTO a VALUES (1)", "SAVEPOINT `s 1`", "INSERT INTO a VALUES (2)", "SAVEPOINT s2", "INSERT INTO a VALUES (3)",
			"ROLLBACK TO s2", "INSERT INTO a VALUES (4)", "ROLLBACK TO `s 1`", "INSERT INTO a VALUES (5)", "RELEASE SAVEPOINT `s 1`", "COMMIT",
			"BEGIN", "INSERT INTO a VALUES (6)", "ROLLBACK", "BEGIN", "INSERT INTO a VALUES (7)", "SAVEPOINT s", "ROLLBACK TO s", "COMMIT"},
		want: []string{`insert a {"id":1} null -> {"id":1}`, `insert a {"id":5} null -> {"id":5}`, `insert a {"id":7} null -> {"id":7}`}},
	{name: "savepoint around a non-transactional table", only: "no gtids", before: []string{"CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM"},
		during: []string{"SET SESSION binlog_direct_non_transactional_updates = OFF", "BEGIN", "INSERT INTO a VALUES (1)", "SAVEPOINT s", "INSERT INTO a VALUES (2)", "INSERT INTO m VALUES (1)", "ROLLBACK TO s", "INSERT INTO a VALUES (3)", "COMMIT"},
		want:   []string{`insert m {"id":1} null -> {"id":1}`, `insert a {"id":1} null -> {"id":1}`, `insert a {"id":3} null -> {"id":3}`}},
	{name: "rollback after a non-transactional table", only: "no gtids", before: []string{"CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM"},
		during: []string{"BEGIN", "INSERT INTO a VALUES (1)", "INSERT INTO m VALUES (1)", "ROLLBACK", "INSERT INTO a VALUES (2)"},
		want:   []string{`insert m {"id":1} null -> {"id":1}`, `insert a {"id":2} null -> {"id":2}`}},
	{name: "savepoints in any case", before: []string{"CREATE TABLE a (id INT PRIMARY KEY)"},
		during: []string{"BEGIN", "INSERT INTO a VALUES (1)", "SAVEPOINT É", "INSERT INTO a VALUES (2)", "CREATE TEMPORARY TABLE t (id INT)", "INSERT INTO a VALUES (3)",
			"ROLLBACK TO e", "INSERT INTO a VALUES (4)", "COMMIT", "DROP TEMPORARY TABLE t"},
		want: []string{`insert a {"id":1} null -> {"id":1}`, `insert a {"id":4} null -> {"id":4}`}},
	{name: "rollback after a temporary table", before: []string{"CREATE TABLE a (id INT PRIMARY KEY)"},
		during: []string{"BEGIN", "INSERT INTO a VALUES (1)", "CREATE TEMPORARY TABLE t (id INT)", "INSERT INTO a VALUES (2)", "ROLLBACK", "INSERT INTO a VALUES (3)",
			"BEGIN", "INSERT INTO a VALUES (4)", "INSERT INTO t VALUES (1)", "SAVEPOINT s", "INSERT INTO a VALUES (5)", "DROP TEMPORARY TABLE t", "ROLLBACK", "INSERT INTO a VALUES (6)"},
		want: []string{`insert a {"id":3} null -> {"id":3}`, `insert a {"id":6} null -> {"id":6}`}},
	{name: "create table select", before: []string{"CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1), (2)"},
		during: []string{"CREATE TABLE b AS SELECT id, 'x' v FROM a", "INSERT INTO b VALUES (3, 'y')"},
		want:   []string{`insert b null null -> {"id":1,"v":"x"}`, `insert b null null -> {"id":2,"v":"x"}`, `insert b null null -> {"id":3,"v":"y"}`}},
	{name: "columns come, go, and change", before: []string{"CREATE TABLE a (id INT PRIMARY KEY, v INT, w VARCHAR(20) CHARACTER SET latin1)"},
		during: []string{"INSERT INTO a VALUES (1, 1, 'é')", "ALTER TABLE a ADD x ENUM('p', 'q') DEFAULT 'q' FIRST", "INSERT INTO a VALUES ('p', 2, 2, 'é')",
			"ALTER TABLE a DROP v", "INSERT INTO a VALUES ('q', 3, 'é')", "ALTER TABLE a RENAME COLUMN w TO name", "INSERT INTO a VALUES ('q', 4, 'é')",
			"ALTER TABLE a MODIFY name VARCHAR(20) CHARACTER SET utf8mb4 AFTER x", "INSERT INTO a VALUES ('q', 'é€', 5)",
			"ALTER TABLE a MODIFY id BIGINT UNSIGNED, MODIFY x ENUM('q', 'p', 'r')", "INSERT INTO a VALUES ('r', 'é', 18446744073709551615)",
			"ALTER TABLE a MODIFY name VARCHAR(20) CHARACTER SET utf16", "INSERT INTO a VALUES ('p', 'é', 7)", "UPDATE a SET name = '1.5'",
			"ALTER TABLE a MODIFY name DECIMAL(10,3) NULL, DROP PRIMARY KEY, ADD PRIMARY KEY (x, id)", "DELETE FROM a WHERE id > 7 OR id < 7"},
		want: []string{`insert a {"id":1} null -> {"id":1,"v":1,"w":"é"}`, `insert a {"id":2} null -> {"x":"p","id":2,"v":2,"w":"é"}`,
			`insert a {"id":3} null -> {"x":"q","id":3,"w":"é"}`, `insert a {"id":4} null -> {"x":"q","id":4,"name":"é"}`,
			`insert a {"id":5} null -> {"x":"q","name":"é€","id":5}`, `insert a {"id":18446744073709551615} null -> {"x":"r","name":"é","id":18446744073709551615}`,
			`insert a {"id":7} null -> {"x":"p","name":"é","id":7}`,
			`update a {"id":1} {"x":"q","name":"é","id":1} -> {"x":"q","name":"1.5","id":1}`, `update a {"id":2} {"x":"p","name":"é","id":2} -> {"x":"p","name":"1.5","id":2}`,
			`update a {"id":3} {"x":"q","name":"é","id":3} -> {"x":"q","name":"1.5","id":3}`, `update a {"id":4} {"x":"q","name":"é","id":4} -> {"x":"q","name":"1.5","id":4}`,
			`update a {"id":5} {"x":"q","name":"é€","id":5} -> {"x":"q","name":"1.5","id":5}`, `update a {"id":7} {"x":"p","name":"é","id":7} -> {"x":"p","name":"1.5","id":7}`,
			`update a {"id":18446744073709551615} {"x":"r","name":"é","id":18446744073709551615} -> {"x":"r","name":"1.5","id":18446744073709551615}`,
			`delete a {"x":"q","id":1} {"x":"q","name":"1.500","id":1} -> null`, `delete a {"x":"q","id":3} {"x":"q","name":"1.500","id":3} -> null`,
			`delete a {"x":"q","id":4} {"x":"q","name":"1.500","id":4} -> null`, `delete a {"x":"q","id":5} {"x":"q","name":"1.500","id":5} -> null`,
			`delete a {"x":"p","id":2} {"x":"p","name":"1.500","id":2} -> null`, `delete a {"x":"r","id":18446744073709551615} {"x":"r","name":"1.500","id":18446744073709551615} -> null`}},
	{name: "dropped and made again", before: []string{"CREATE TABLE a (id INT PRIMARY KEY, v INT)"},
		during: []string{"INSERT INTO a VALUES (1, 1)", "DROP TABLE a", "CREATE TABLE a (v TEXT, id CHAR(3) PRIMARY KEY)", "INSERT INTO a VALUES ('t', 'abc')"},
		want:   []string{`insert a {"id":1} null -> {"id":1,"v":1}`, `insert a {"id":"abc"} null -> {"v":"t","id":"abc"}`}},
	{name: "swapped as online schema changes do it", before: []string{"CREATE TABLE a (id INT PRIMARY KEY, v INT)"},
		during: []string{"INSERT INTO a VALUES (1, 1)", "CREATE TABLE _a_new LIKE a", "ALTER TABLE _a_new ADD w INT FIRST", "INSERT INTO _a_new SELECT 0, a.* FROM a",
			"INSERT INTO a VALUES (2, 2)", "INSERT INTO _a_new VALUES (0, 2, 2)", "RENAME TABLE a TO _a_old, _a_new TO a", "INSERT INTO a VALUES (3, 3, 3)", "DROP TABLE _a_old"},
		want: []string{`insert a {"id":1} null -> {"id":1,"v":1}`, `insert _a_new {"id":1} null -> {"w":0,"id":1,"v":1}`, `insert a {"id":2} null -> {"id":2,"v":2}`,
			`insert _a_new {"id":2} null -> {"w":0,"id":2,"v":2}`, `insert a {"id":3} null -> {"w":3,"id":3,"v":3}`}},
	{name: "instant changes", before: []string{"CREATE TABLE a (id INT PRIMARY KEY, v INT)", "INSERT INTO a VALUES (1, 1)"},
		during: []string{"ALTER TABLE a ADD w INT DEFAULT 5, ALGORITHM=INSTANT", "UPDATE a SET v = 2", "ALTER TABLE a DROP v, ALGORITHM=INSTANT", "UPDATE a SET w = 6"},
		want:   []string{`update a {"id":1} {"id":1,"v":1,"w":5} -> {"id":1,"v":2,"w":5}`, `update a {"id":1} {"id":1,"w":5} -> {"id":1,"w":6}`}},
	{name: "xa prepared, and then committed or rolled back", before: []string{"CREATE TABLE a (id INT PRIMARY KEY)"},
		during: []string{"XA START 'x', 'b', 3", "INSERT INTO a VALUES (1)", "XA END 'x', 'b', 3", "XA PREPARE 'x', 'b', 3", "XA COMMIT 'x', 'b', 3",
			"XA START 'y'", "INSERT INTO a VALUES (2)", "XA END 'y'", "XA PREPARE 'y'", "XA ROLLBACK 'y'",
			"XA START 'z'", "INSERT INTO a VALUES (3)", "XA END 'z'", "XA COMMIT 'z' ONE PHASE", "XA START 'w'", "INSERT INTO a VALUES (4)", "XA END 'w'", "XA ROLLBACK 'w'"},
		want: []string{`insert a {"id":1} null -> {"id":1}`, `insert a {"id":3} null -> {"id":3}`}},
	// What the table holds is what is delivered: versions that ended are rows of their own, and a row that is deleted ends.
	{name: "system-versioned tables", only: "mariadb", before: []string{"CREATE TABLE a (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING"},
		during: []string{"SET TIMESTAMP = 1000", "INSERT INTO a VALUES (1, 1)", "SET TIMESTAMP = 2000", "UPDATE a SET v = 2", "SET TIMESTAMP = 3000", "DELETE FROM a"},
		want: []string{
			`insert a {"id":1,"row_end":"END"} null -> {"id":1,"v":1,"row_start":"1970-01-01T00:16:40.000000Z","row_end":"END"}`,
			`update a {"id":1,"row_end":"END"} {"id":1,"v":1,"row_start":"1970-01-01T00:16:40.000000Z","row_end":"END"} -> {"id":1,"v":2,"row_start":"1970-01-01T00:33:20.000000Z","row_end":"END"}`,
			`insert a {"id":1,"row_end":"1970-01-01T00:33:20.000000Z"} null -> {"id":1,"v":1,"row_start":"1970-01-01T00:16:40.000000Z","row_end":"1970-01-01T00:33:20.000000Z"}`,
			`update a {"id":1,"row_end":"1970-01-01T00:50:00.000000Z"} {"id":1,"v":2,"row_start":"1970-01-01T00:33:20.000000Z","row_end":"END"} -> {"id":1,"v":2,"row_start":"1970-01-01T00:33:20.000000Z","row_end":"1970-01-01T00:50:00.000000Z"}`}},
	{name: "sequences", only: "mariadb", before: []string{"CREATE SEQUENCE q", "CREATE TABLE a (id INT PRIMARY KEY DEFAULT NEXTVAL(q), v INT)"},
		during: []string{"INSERT INTO a (v) VALUES (1)", "SELECT NEXTVAL(q)", "CREATE SEQUENCE r", "SELECT SETVAL(q, 5000)", "ALTER SEQUENCE q RESTART 9000", "INSERT INTO a (v) VALUES (2)"},
		want:   []string{`insert a {"id":1} null -> {"id":1,"v":1}`, `insert a {"id":9000} null -> {"id":9000,"v":2}`}},
	{name: "a statement", before: []string{"CREATE TABLE a (id INT PRIMARY KEY)"},
		during: []string{"SET SESSION binlog_format = 'STATEMENT'", "INSERT INTO a VALUES (1)"}, code: "CDCD-1304"},
	{name: "a foreign key's cascade, which older servers keep to their storage engine", only: "mysql",
		before: []string{"CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE)",
			"INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (7, 1)"},
		during: []string{"DELETE FROM a"},
		want:   []string{`delete b {"id":7} {"id":7,"a":1} -> null`, `delete a {"id":1} {"id":1} -> null`}},
	{name: "load data", before: []string{"CREATE TABLE a (id INT PRIMARY KEY, v TEXT)", "CREATE TABLE o (id INT PRIMARY KEY, v TEXT)", "INSERT INTO o VALUES (1, 'x'), (2, 'y')",
		"SELECT * INTO OUTFILE 'FILE' FROM o"},
		during: []string{"LOAD DATA INFILE 'FILE' INTO TABLE a"},
		want:   []string{`insert a {"id":1} null -> {"id":1,"v":"x"}`, `insert a {"id":2} null -> {"id":2,"v":"y"}`}},
	{name: "load data as a statement", before: []string{"CREATE TABLE a (id INT PRIMARY KEY, v TEXT)", "CREATE TABLE o (id INT PRIMARY KEY, v TEXT)", "INSERT INTO o VALUES (1, 'x'), (2, 'y')",
		"SELECT * INTO OUTFILE 'FILE' FROM o"},
		during: []string{"SET SESSION binlog_format = 'STATEMENT'", "LOAD DATA INFILE 'FILE' INTO TABLE a"}, code: "CDCD-1304"},
	{name: "load data of a table that is not captured, as a statement", before: []string{"CREATE TABLE a (id INT PRIMARY KEY, v TEXT)", "CREATE TABLE elsewhere.t1 (id INT PRIMARY KEY, v TEXT)",
		"INSERT INTO a VALUES (1, 'x'), (2, 'y')", "SELECT * INTO OUTFILE 'FILE' FROM a"},
		during: []string{"SET SESSION binlog_format = 'STATEMENT'", "LOAD DATA INFILE 'FILE' INTO TABLE elsewhere.t1", "SET SESSION binlog_format = 'ROW'", "INSERT INTO a VALUES (3, 'z')"},
		want:   []string{`insert a {"id":3} null -> {"id":3,"v":"z"}`}},
	{name: "create table select as a statement", before: []string{"CREATE TABLE elsewhere.t2 (id INT PRIMARY KEY)"},
		during: []string{"SET SESSION binlog_format = 'STATEMENT'", "CREATE TABLE a AS SELECT * FROM elsewhere.t2"}, code: "CDCD-1304"},
	{name: "a function that changes rows, as a statement", before: []string{"CREATE TABLE a (id INT PRIMARY KEY)", "SET GLOBAL log_bin_trust_function_creators = 1",
		"CREATE FUNCTION f() RETURNS INT BEGIN INSERT INTO a VALUES (1); RETURN 1; END"},
		during: []string{"SET SESSION binlog_format = 'STATEMENT'", "SELECT f()"}, code: "CDCD-1304"},
	{name: "temporary tables", before: []string{"CREATE TABLE a (id INT PRIMARY KEY)"},
		during: []string{"CREATE TEMPORARY TABLE t (id INT)", "INSERT INTO t VALUES (1)", "INSERT INTO a SELECT * FROM t", "DROP TEMPORARY TABLE t"},
		want:   []string{`insert a {"id":1} null -> {"id":1}`}},
}

func TestChangesOfEveryKind(t *testing.T) {
	t.Parallel()
	t.Run("mariadb", func(t *testing.T) { testKinds(t, testenv.MariaDB(t), "mariadb", "no gtids") })
	t.Run("mysql", func(t *testing.T) { testKinds(t, testenv.MySQL(t, "--secure-file-priv="), "mysql") })
	t.Run("mysql without GTIDs", func(t *testing.T) {
		testKinds(t, testenv.MySQL(t, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF", "--secure-file-priv="), "mysql", "no gtids")
	})
	t.Run("mariadb, compressed", func(t *testing.T) {
		testKinds(t, testenv.MariaDB(t, "--log-bin-compress=ON", "--log-bin-compress-min-len=10"), "mariadb", "no gtids")
	})
	t.Run("mysql, compressed", func(t *testing.T) {
		testKinds(t, testenv.MySQL(t, "--binlog-transaction-compression=ON", "--secure-file-priv="), "mysql")
	})
}

func testKinds(t *testing.T, s *testenv.Server, only ...string) {
	s.Exec(t, "CREATE DATABASE elsewhere")
	for i, k := range kinds {
		if k.only != "" && !slices.Contains(only, k.only) {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			db := fmt.Sprintf("kind%d_", i)
			file := filepath.Join(s.DataDir, db+".txt")
			statements := func(list []string) []string {
				out := []string{"USE " + db}
				for _, text := range list {
					out = append(out, strings.ReplaceAll(text, "FILE'", file+"'"))
				}
				return out
			}
			s.Exec(t, "CREATE DATABASE "+db)
			s.Exec(t, statements(k.before)...)
			cfg := config(s, db+".*")
			r := begin(t, cfg, cdc.Checkpoint{}, nil)
			from := r.checkpoint()
			r.stop(t)
			s.Exec(t, statements(k.during)...)
			r = launch(t, cfg, from, nil)
			if k.code != "" {
				r.ends(t, k.code)
				return
			}
			got := short(r.wait(t, len(k.want)))
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], db+".", "")
				got[i] = endOfTime.ReplaceAllString(got[i], `"END"`)
			}
			compare(t, got, k.want)
			if from.GTIDSet != "" { // else files do not tell whose they are
				compare(t, fileEvents(t, s, cfg, from).list(), r.list())
			}
		})
	}
}

// endOfTime is when the present version of a row ends; MariaDB 11.5 moved it.
var endOfTime = regexp.MustCompile(`"(2038|2106)-[^"]*Z"`)
