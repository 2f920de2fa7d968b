package mysql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// TestHiddenColumnsAreTheSameInStreamSnapshotAndSchema: columns that are in row images and that information_schema keeps
// to itself.
func TestHiddenColumnsAreTheSameInStreamSnapshotAndSchema(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, s *testenv.Server, before, inserts []string, columns map[string]string) {
		s.Exec(t, append([]string{"CREATE DATABASE shop"}, before...)...)
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		s.Exec(t, inserts...)
		streamed := short(r.wait(t, len(inserts)))
		r.stop(t)
		tables := map[string]*cdc.Table{}
		for _, b := range r.frames {
			for i := range b.Len() {
				tables[b.Event(i).Table().String()] = b.Event(i).Table()
			}
		}
		schema, err := mysql.Schema(t.Context(), config(s))
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range schema {
			sameColumns(t, table, tables[table.String()])
			var names []string
			for _, c := range table.Columns {
				names = append(names, fmt.Sprintf("%s/%d", c.Name, c.Key))
			}
			if got := strings.Join(names, " "); got != columns[table.Name] {
				t.Errorf("%s has the columns %s, want %s", table, got, columns[table.Name])
			}
		}

		cfg := config(s)
		cfg.Snapshot = true
		r = launch(t, cfg, cdc.Checkpoint{}, nil)
		read := short(r.wait(t, len(inserts)))
		r.stop(t)
		for i := range read {
			read[i] = strings.Replace(read[i], "snapshot ", "insert ", 1)
		}
		compare(t, read, streamed)
	}
	for _, metadata := range []string{"FULL", "MINIMAL"} {
		t.Run("mariadb "+metadata, func(t *testing.T) {
			test(t, testenv.MariaDB(t, "--binlog-row-metadata="+metadata), []string{
				"CREATE TABLE shop.a (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING",
				"SET SESSION system_versioning_alter_history = KEEP", "ALTER TABLE shop.a ADD w TIMESTAMP(6) NOT NULL, ADD UNIQUE (v)",
				"CREATE TABLE shop.b (id INT, s TIMESTAMP(6) AS ROW START, e TIMESTAMP(6) AS ROW END, n TEXT, UNIQUE (n), PRIMARY KEY (id), PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
				"CREATE TABLE shop.c (id INT PRIMARY KEY, t TEXT, u TEXT, UNIQUE (t), UNIQUE (u, t))",
				"CREATE TABLE shop.d (t TEXT, z INT, UNIQUE (t)) WITH SYSTEM VERSIONING",
				"CREATE TABLE shop.e (id INT, PRIMARY KEY (id) USING HASH) ENGINE = MEMORY",
			}, []string{
				"INSERT INTO shop.a VALUES (1, 2, '2020-01-01')", "INSERT INTO shop.b (id, n) VALUES (1, 'x')", "INSERT INTO shop.c VALUES (1, 'x', 'y')",
				"INSERT INTO shop.d VALUES ('q', 7)", "INSERT INTO shop.e VALUES (1)",
			}, map[string]string{"a": "id/1 v/0 w/0 row_start/0 row_end/2", "b": "id/1 s/0 e/2 n/0", "c": "id/1 t/0 u/0", "d": "t/0 z/0 row_start/0 row_end/0", "e": "id/1"})
		})
		t.Run("mysql "+metadata, func(t *testing.T) {
			test(t, testenv.MySQL(t, "--binlog-row-metadata="+metadata, "--sql-generate-invisible-primary-key=ON",
				"--show-gipk-in-create-table-and-information-schema=OFF"), []string{
				"CREATE TABLE shop.a (v INT)", "CREATE TABLE shop.b (id INT PRIMARY KEY, v INT INVISIBLE DEFAULT 3)",
				"CREATE TABLE shop.c (n VARCHAR(20), j JSON, INDEX ((UPPER(n))), INDEX ((CAST(j->'$.a' AS UNSIGNED ARRAY))))",
			}, []string{"INSERT INTO shop.a VALUES (1)", "INSERT INTO shop.b (id) VALUES (1)", `INSERT INTO shop.c VALUES ('x', '{"a": [1]}')`},
				map[string]string{"a": "my_row_id/1 v/0", "b": "id/1 v/0", "c": "my_row_id/1 n/0 j/0"})
		})
	}
}

// sameColumns compares a table as information_schema has it with the log's.
func sameColumns(t *testing.T, got, want *cdc.Table) {
	t.Helper()
	if want == nil || len(got.Columns) != len(want.Columns) {
		t.Errorf("%s: information_schema has %d columns, the log %+v", got, len(got.Columns), want)
		return
	}
	for i, c := range got.Columns {
		if a, b := fmt.Sprintf("%+v", c), fmt.Sprintf("%+v", want.Columns[i]); a != b {
			t.Errorf("%s: information_schema has\n%.500s, the log\n%.500s", got, a, b)
		}
	}
}
