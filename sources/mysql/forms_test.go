package mysql_test

import (
	"fmt"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// However a statement is written: where it changed captured tables without rows in the log, the capture stops.
func TestStatementsInAnyFormStop(t *testing.T) {
	t.Parallel()
	const both, mariadb = "", "mariadb"
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE DATABASE other", "CREATE TABLE shop.t (id INT PRIMARY KEY, a VARCHAR(50))", "INSERT INTO shop.t VALUES (1,'a')",
			"CREATE TABLE shop.`köln` (id INT PRIMARY KEY, a VARCHAR(20))", "SET GLOBAL log_bin_trust_function_creators = 1",
			"CREATE FUNCTION shop.f() RETURNS INT DETERMINISTIC BEGIN UPDATE shop.t SET a = CONCAT(a, 'x'); RETURN 1; END")
		for i, test := range []struct {
			flavor     string
			statements []string
		}{
			{both, []string{`SET SESSION sql_mode = 'ANSI_QUOTES'`, `UPDATE "shop"."t" SET "a" = 'z'`}},
			{both, []string{`SET SESSION sql_mode = 'ANSI_QUOTES'`, `INSERT INTO "shop"."t" VALUES (2, '')`}},
			{both, []string{`SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'`, `UPDATE other.u JOIN (SELECT '\' AS x) d JOIN shop.t SET a = ''`}},
			{both, []string{"SET NAMES latin1", "INSERT INTO shop.`k\xf6ln` VALUES (1, '')"}},
			{both, []string{"--\tx\nUPDATE shop.t SET a = 'a'"}},
			{both, []string{"\v\fUPDATE shop.t SET a = 'b'"}},
			{both, []string{"/* x */ UPDATE`shop`.`t`SET a = 'c'"}},
			{both, []string{"/*! UPDATE shop.t SET a = 'd' */"}},
			{both, []string{"PREPARE p FROM 'UPDATE shop.t SET a = 1'", "EXECUTE p"}},
			{both, []string{"SET @x = shop.f()"}},
			{both, []string{"(SELECT shop.f())"}},
			{mariadb, []string{"SET STATEMENT max_statement_time = 10 FOR UPDATE shop.t SET a = 'e'"}},
			{mariadb, []string{"ANALYZE UPDATE shop.t SET a = 'f'"}},
			{mariadb, []string{"ANALYZE FORMAT=JSON UPDATE shop.t SET a = 'g'"}},
			{mariadb, []string{"EXECUTE IMMEDIATE 'UPDATE shop.t SET a = 2'"}},
			{mariadb, []string{"BEGIN NOT ATOMIC UPDATE shop.t SET a = 'h'; END"}},
		} {
			if test.flavor != both && test.flavor != s.Flavor {
				continue
			}
			if i == 2 {
				s.Exec(t, "CREATE TABLE other.u (id INT PRIMARY KEY)", "INSERT INTO other.u VALUES (1)")
			}
			t.Run(fmt.Sprintf("%q", test.statements), func(t *testing.T) {
				run := begin(t, config(s, "shop.t", "shop.köln"), cdc.Checkpoint{}, nil)
				c := s.Conn(t)
				defer c.Close()
				for _, statement := range append([]string{"SET SESSION binlog_format = 'STATEMENT'"}, test.statements...) {
					if _, err := c.Execute(statement); err != nil {
						t.Fatal(err)
					}
				}
				run.ends(t, "CDCD-1304")
			})
		}
	})
}
