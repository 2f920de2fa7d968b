package mysql_test

import (
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// deepFindings returns what Deep finds that is not good, as "name code detail".
func deepFindings(t *testing.T, s *testenv.Server, from cdc.Checkpoint) (bad string, all []mysql.Finding) {
	t.Helper()
	all, err := mysql.Deep(t.Context(), config(s), from, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.Verdict != mysql.OK {
			bad += f.Name + " " + f.Code + " " + f.Detail + "\n"
		}
	}
	return bad, all
}

func TestDeepFindsNothingOnAGoodServer(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)", "INSERT INTO shop.orders VALUES (1), (2)")
		if s.Flavor == mysql.FlavorMySQL {
			s.Exec(t, "SET binlog_transaction_compression = ON", "UPDATE shop.orders SET id = id + 2", "CREATE TABLE shop.docs (id INT PRIMARY KEY, doc JSON)",
				`INSERT INTO shop.docs VALUES (1, '{"a": "long enough to be left out", "b": 1}')`, "SET binlog_row_value_options = 'PARTIAL_JSON'",
				"UPDATE shop.docs SET doc = JSON_SET(doc, '$.b', 2)", "SET binlog_row_value_options = ''")
		}
		s.Exec(t, "FLUSH BINARY LOGS") // the newest file has nothing in it
		if bad, all := deepFindings(t, s, cdc.Checkpoint{}); bad != "" || len(all) < 9 {
			t.Errorf("found:\n%sof %+v", bad, all)
		}
	})
}

func TestDeepFindsColumnsThatCannotBeCaptured(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t)
	s.Exec(t, "SET GLOBAL mysql56_temporal_format = OFF", "CREATE DATABASE shop",
		"CREATE TABLE shop.orders (id INT PRIMARY KEY, a VARCHAR(100) COMPRESSED, b DATETIME, c TEXT CHARACTER SET tis620, d UUID)")
	bad, _ := deepFindings(t, s, cdc.Checkpoint{})
	for _, want := range []string{"column b of shop.orders"} {
		if !strings.Contains(bad, "mysql.columns CDCD-1308 "+want+" cannot be captured: ") {
			t.Errorf("%s is not found in\n%s", want, bad)
		}
	}
	if strings.Contains(bad, "column a") || strings.Contains(bad, "column d") {
		t.Errorf("found:\n%s", bad)
	}
}

func TestDeepFindsMissingMetadataAndChecksums(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t, "--binlog-row-metadata=MINIMAL", "--binlog-checksum=NONE")
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)", "INSERT INTO shop.orders VALUES (1)")
	bad, _ := deepFindings(t, s, cdc.Checkpoint{})
	if !strings.Contains(bad, "mysql.recent_metadata CDCD-1204 ") || !strings.Contains(bad, "mysql.checksum CDCD-1224 ") || strings.Count(bad, "\n") != 2 {
		t.Errorf("found:\n%s", bad)
	}
}

func TestDeepFindsSessionsWithSettingsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := testenv.MySQL(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)")
	conn := s.Conn(t)
	for _, statement := range []string{"SET binlog_row_value_options = 'PARTIAL_JSON'", "SET sql_log_bin = OFF"} {
		if _, err := conn.Execute(statement); err != nil {
			t.Fatal(err)
		}
	}
	bad, _ := deepFindings(t, s, cdc.Checkpoint{})
	want := "mysql.sessions CDCD-1220 1 session(s) of root@localhost have binlog_row_value_options = PARTIAL_JSON\n" +
		"mysql.sessions CDCD-1220 1 session(s) of root@localhost have sql_log_bin = OFF\n"
	if strings.ReplaceAll(bad, "root@127.0.0.1", "root@localhost") != want {
		t.Errorf("found:\n%swant:\n%s", bad, want)
	}
}

func TestDeepSaysThatTheAccountMayNotReadTheLog(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)", "INSERT INTO shop.orders VALUES (1)",
			"REVOKE REPLICATION SLAVE ON *.* FROM '"+testenv.User+"'@'%'")
		if bad, _ := deepFindings(t, s, cdc.Checkpoint{}); !strings.Contains(bad, "mysql.replication CDCD-1103 ") {
			t.Errorf("found:\n%s", bad)
		}
	})
}
