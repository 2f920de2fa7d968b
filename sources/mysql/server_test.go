package mysql_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

func TestResumeAfterEveryRowOfATransaction(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
		first := begin(t, config(s), cdc.Checkpoint{}, nil)
		from := first.checkpoint()
		s.Exec(t, "INSERT INTO shop.a VALUES (1, 1)",
			"BEGIN", "INSERT INTO shop.a VALUES (2, 2), (3, 3), (4, 4)", "UPDATE shop.a SET v = v + 1 WHERE id > 2", "DELETE FROM shop.a WHERE id = 2", "COMMIT",
			"INSERT INTO shop.a VALUES (9, 9)")
		want := first.wait(t, 8)
		first.stop(t)

		cfg := config(s)
		cfg.FrameRows = 1
		single := begin(t, cfg, from, nil)
		compare(t, single.wait(t, 8), want)
		single.stop(t)
		for i, b := range single.frames {
			cp := b.Checkpoint()
			if wantRows := []uint32{0, 1, 2, 3, 4, 5, 0, 0}[i]; cp.TxRows != wantRows || (cp.TxGTID != "") != (wantRows > 0) {
				t.Errorf("checkpoint after row %d: %+v, want TxRows %d", i+1, cp, wantRows)
			}
			if ends := b.Event(0).TxEnds(); ends != (i == 0 || i >= 6) {
				t.Errorf("row %d ends its transaction: %v", i+1, ends)
			}
			rest := launch(t, config(s), cp, nil)
			compare(t, rest.wait(t, len(want)-i-1), want[i+1:])
			rest.stop(t)
		}
	})
}

func TestRestartOfTheServerAndBrokenConnections(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
		proxy := testenv.NewProxy(t, s.Addr)
		cfg := config(s)
		cfg.Addr = proxy.Addr
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		s.Exec(t, "INSERT INTO shop.a VALUES (1)")
		r.wait(t, 1)
		proxy.Cut()
		s.Exec(t, "INSERT INTO shop.a VALUES (2)")
		r.wait(t, 2)
		s.Stop(t)
		s.Start(t)
		s.Exec(t, "INSERT INTO shop.a VALUES (3)")
		r.wait(t, 3)
		s.Kill()
		s.Start(t)
		s.Exec(t, "INSERT INTO shop.a VALUES (4)")
		for i, e := range short(r.wait(t, 4)) {
			if want := fmt.Sprintf(`insert shop.a {"id":%d} null -> {"id":%d}`, i+1, i+1); e != want {
				t.Errorf("got %s, want %s", e, want)
			}
		}
	})
}

func TestHeartbeatsCarryProgressThroughOtherTables(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE DATABASE other", "CREATE TABLE other.a (id INT PRIMARY KEY)")
		cfg := config(s)
		cfg.Heartbeat = 100 * time.Millisecond
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		before := r.checkpoint()
		s.Exec(t, "INSERT INTO other.a VALUES (1)")
		variable := map[string]string{"mysql": "gtid_executed", "mariadb": "gtid_binlog_pos"}[s.Flavor]
		now := s.Query(t, "SELECT @@global."+variable)[0][0]
		b := r.waitFrame(t, func(b *cdc.Batch) bool { return b.Checkpoint().GTIDSet == now })
		if cp := b.Checkpoint(); !b.Header().Heartbeat || cp.NextNo != 1 || cp.PartNos[0] != 1 || cp.GTIDSet == before.GTIDSet || b.Header().FirstPartNo != 1 {
			t.Errorf("heartbeat %+v with checkpoint %+v, before %+v", b.Header(), cp, before)
		}
	})
}

func TestOnlyTheTablesOfTheGlobsAreCaptured(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE DATABASE shop2", "CREATE TABLE shop.orders_1 (id INT PRIMARY KEY)", "CREATE TABLE shop.orders_22 (id INT PRIMARY KEY)",
			"CREATE TABLE shop.`a.b` (id INT PRIMARY KEY)", "CREATE TABLE shop2.log (id INT PRIMARY KEY)")
		r := begin(t, config(s, "shop.orders_?", "*.log", "shop.a.b"), cdc.Checkpoint{}, nil)
		s.Exec(t, "INSERT INTO shop.orders_1 VALUES (1)", "INSERT INTO shop.orders_22 VALUES (1)", "INSERT INTO shop.`a.b` VALUES (2)", "INSERT INTO shop2.log VALUES (3)",
			"CREATE USER someone")
		compare(t, short(r.wait(t, 3)), []string{`insert shop.orders_1 {"id":1} null -> {"id":1}`, `insert shop.a.b {"id":2} null -> {"id":2}`, `insert shop2.log {"id":3} null -> {"id":3}`})
	})
}

func TestCompressedTransactionsAndEvents(t *testing.T) {
	t.Parallel()
	for _, flavor := range []string{"mysql", "mariadb"} {
		t.Run(flavor, func(t *testing.T) {
			var s *testenv.Server
			if flavor == "mysql" {
				s = testenv.MySQL(t)
			} else {
				s = testenv.MariaDB(t, "--log-bin-compress=ON", "--log-bin-compress-min-len=10")
			}
			s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v TEXT)")
			cfg := config(s)
			cfg.FrameRows = 2
			r := begin(t, cfg, cdc.Checkpoint{}, nil)
			statements := []string{"BEGIN", "INSERT INTO shop.a VALUES (1, REPEAT('x', 1000)), (2, REPEAT('y', 1000)), (3, 'z')",
				"UPDATE shop.a SET v = 'u' WHERE id = 1", "DELETE FROM shop.a WHERE id = 2", "COMMIT", "INSERT INTO shop.a VALUES (4, REPEAT('ü', 500))"}
			more := []string{"BEGIN", "INSERT INTO shop.a VALUES (6, REPEAT('v', 500)), (7, 'w'), (8, 'x')", "DELETE FROM shop.a WHERE id = 1", "COMMIT"}
			if flavor == "mysql" {
				statements = slices.Concat([]string{"SET SESSION binlog_transaction_compression = ON"}, statements,
					[]string{"SET SESSION binlog_transaction_compression = OFF", "INSERT INTO shop.a VALUES (5, 'plain')", "SET SESSION binlog_transaction_compression = ON"}, more)
			} else {
				statements = slices.Concat(statements, []string{"INSERT INTO shop.a VALUES (5, 'plain')"}, more)
			}
			s.Exec(t, statements...)
			const changes = 11
			want := r.wait(t, changes)
			x := strings.Repeat("x", 1000)
			compare(t, short(want)[3:5], []string{
				`update shop.a {"id":1} {"id":1,"v":"` + x + `"} -> {"id":1,"v":"u"}`,
				`delete shop.a {"id":2} {"id":2,"v":"` + strings.Repeat("y", 1000) + `"} -> null`})
			compare(t, fileEvents(t, s, config(s), r.frames[0].Checkpoint()).list(), want)
			n := 0
			for _, b := range r.frames {
				n += b.Len()
				rest := launch(t, config(s), b.Checkpoint(), nil)
				compare(t, rest.wait(t, changes-n), want[n:])
				rest.stop(t)
				compare(t, fileEvents(t, s, config(s), b.Checkpoint()).list(), want[n:])
			}
		})
	}
}

func TestATransactionLargerThanAFrameIsCut(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200))")
		cfg := config(s)
		cfg.FrameBytes, cfg.QueueBytes = 64<<10, 256<<10
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		s.Exec(t, "BEGIN", "INSERT INTO shop.a (v) VALUES (REPEAT('x', 200))")
		statements := []string{"BEGIN", "INSERT INTO shop.a (v) VALUES (REPEAT('x', 200))"}
		const doublings = 12
		for range doublings {
			statements = append(statements, "INSERT INTO shop.a (v) SELECT v FROM shop.a")
		}
		s.Exec(t, append(statements, "COMMIT")...)
		const rows = 1 << doublings
		r.wait(t, rows)
		row, gtid := 0, ""
		for _, b := range r.frames {
			if len(b.Frame()) > 80<<10 {
				t.Errorf("a frame of %d bytes with %d events", len(b.Frame()), b.Len())
			}
			for i := range b.Len() {
				p := b.Event(i).Position()
				if gtid == "" {
					gtid = p.GTID
				}
				if int(p.Row) != row || p.GTID != gtid || p.Rows != 0 {
					t.Fatalf("row %d is %+v", row, p)
				}
				row++
			}
		}
		if len(r.frames) < 10 {
			t.Errorf("%d frames", len(r.frames))
		}
		if !r.frames[len(r.frames)-1].Event(0).TxEnds() {
			t.Error("the last frame does not end the transaction")
		}
	})
}

func TestRowsAreKnownWhenATransactionIsWhollyInAFrame(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
	r := begin(t, config(s), cdc.Checkpoint{}, nil)
	s.Exec(t, "INSERT INTO shop.a VALUES (1), (2), (3)")
	r.wait(t, 3)
	e := r.frames[len(r.frames)-1].Event(0)
	if p := e.Position(); p.Rows != 3 || !e.TxEnds() {
		t.Errorf("position %+v, ends %v", p, e.TxEnds())
	}
}

func TestMinimalImagesLeaveColumnsAbsent(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT, w TEXT, x INT)")
		cfg := config(s)
		var seen mysql.Notices
		cfg.Observe = func(p mysql.Progress) { seen = p.Notices }
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		s.Exec(t, "INSERT INTO shop.a VALUES (1, 1, 'w', 1)", "SET SESSION binlog_row_image = 'MINIMAL'", "UPDATE shop.a SET x = NULL", "DELETE FROM shop.a",
			"INSERT INTO shop.a (id, w) VALUES (2, 'w')",
			"SET SESSION binlog_row_image = 'NOBLOB'", "UPDATE shop.a SET v = 2")
		compare(t, short(r.wait(t, 5))[1:], []string{
			`update shop.a {"id":1} {"id":1} -> {"x":null}`, `delete shop.a {"id":1} {"id":1} -> null`,
			`insert shop.a {"id":2} null -> {"id":2,"w":"w"}`,
			`update shop.a {"id":2} {"id":2,"v":null,"x":null} -> {"id":2,"v":2,"x":null}`})
		r.stop(t)
		if seen != (mysql.Notices{PartialImages: 4}) {
			t.Errorf("notices %+v", seen)
		}
	})
}

// With MINIMAL images MySQL logs nothing at all of such a row, MariaDB the whole row.
func TestARowOfDefaultsIsCaptured(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (v INT DEFAULT 1, w INT)")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		s.Exec(t, "SET SESSION binlog_row_image = 'MINIMAL'", "INSERT INTO shop.a VALUES ()", "INSERT INTO shop.a VALUES (2, 3)")
		image := `{}`
		if s.Flavor == "mariadb" {
			image = `{"v":1,"w":null}`
		}
		compare(t, short(r.wait(t, 2)), []string{`insert shop.a null null -> ` + image, `insert shop.a null null -> {"v":2,"w":3}`})
	})
}

func TestSchemaContradictsTheLog(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "SET GLOBAL binlog_row_metadata = 'MINIMAL'", "CREATE DATABASE shop")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		from := r.checkpoint()
		r.stop(t)
		for _, change := range []string{"DROP v", "MODIFY v BIGINT", "MODIFY v VARCHAR(10)", "MODIFY v INT UNSIGNED", "ADD w INT"} {
			s.Exec(t, "DROP TABLE IF EXISTS shop.a", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)", "INSERT INTO shop.a VALUES (1, 1)", "ALTER TABLE shop.a "+change)
			launch(t, config(s), from, nil).ends(t, "CDCD-1303")
		}
	})
}

func TestMinimalMetadataFollowsTheTable(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "SET GLOBAL binlog_row_metadata = 'MINIMAL'", "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		s.Exec(t, "INSERT INTO shop.a VALUES (1, 1)")
		r.wait(t, 1)
		s.Exec(t, "ALTER TABLE shop.a CHANGE v w INT", "INSERT INTO shop.a VALUES (2, 2)")
		r.wait(t, 2)
		s.Exec(t, "ALTER TABLE shop.a ADD x ENUM('p', 'q')", "INSERT INTO shop.a VALUES (3, 3, 'q')")
		compare(t, short(r.wait(t, 3)), []string{`insert shop.a {"id":1} null -> {"id":1,"v":1}`, `insert shop.a {"id":2} null -> {"id":2,"w":2}`,
			`insert shop.a {"id":3} null -> {"id":3,"w":3,"x":"q"}`})
	})
}

func TestPurgedBinlogStops(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		r.stop(t)
		s.Exec(t, "INSERT INTO shop.a VALUES (1)", "FLUSH BINARY LOGS", "INSERT INTO shop.a VALUES (2)", "FLUSH BINARY LOGS", "INSERT INTO shop.a VALUES (3)")
		for deadline := time.Now().Add(patience); len(s.Query(t, "SHOW BINARY LOGS")) > 1; { // what MariaDB still needs for its recovery stays a while
			if time.Now().After(deadline) {
				t.Fatal("the server does not purge its binlog")
			}
			s.Exec(t, "PURGE BINARY LOGS TO 'binlog.000003'")
			time.Sleep(10 * time.Millisecond)
		}
		launch(t, config(s), r.checkpoint(), nil).ends(t, "CDCD-1301")
	})
}

func TestAnotherServerIsRefused(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
		cp := begin(t, config(s), cdc.Checkpoint{}, nil).checkpoint()
		var other *testenv.Server
		if s.Flavor == "mysql" {
			other = testenv.MySQL(t)
		} else { // which even calls itself the same, and has the same GTIDs
			id := s.Query(t, "SELECT @@server_id")[0][0]
			other = testenv.MariaDB(t, "--server-id="+id)
		}
		other.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.something_else (id INT PRIMARY KEY)", "INSERT INTO shop.something_else VALUES (1)", "INSERT INTO shop.something_else VALUES (2)")
		launch(t, config(other), cp, nil).ends(t, "CDCD-1302")
		wrong := cp
		wrong.Flavor = map[string]string{"mysql": "mariadb", "mariadb": "mysql"}[s.Flavor]
		launch(t, config(s), wrong, nil).ends(t, "CDCD-1302")
		ahead := cp
		ahead.GTIDSet = strings.ReplaceAll(strings.Replace(ahead.GTIDSet, ":1-", ":1-9", 1), "0-", "0-")
		if s.Flavor == "mariadb" {
			ahead.GTIDSet += "999"
		}
		launch(t, config(s), ahead, nil).ends(t, "CDCD-1302")
	})
}

func TestWithoutGTIDsFileAndPositionOfTheSameServer(t *testing.T) {
	t.Parallel()
	s := testenv.MySQL(t, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
	cfg := config(s)
	cfg.FrameRows = 1
	r := begin(t, cfg, cdc.Checkpoint{}, nil)
	s.Exec(t, "INSERT INTO shop.a VALUES (1), (2)", "FLUSH BINARY LOGS", "INSERT INTO shop.a VALUES (3)")
	want := r.wait(t, 3)
	r.stop(t)
	for i, b := range r.frames {
		cp := b.Checkpoint()
		if cp.GTIDSet != "" || cp.Server == "" {
			t.Errorf("checkpoint %+v", cp)
		}
		rest := launch(t, config(s), cp, nil)
		compare(t, rest.wait(t, 3-i), want[i:])
		rest.stop(t)
	}
	other := testenv.MySQL(t, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")
	launch(t, config(other), r.checkpoint(), nil).ends(t, "CDCD-1302")
}

func TestTheLeastGrantsAreEnough(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		monitor := map[string]string{"mysql": "REPLICATION CLIENT", "mariadb": "BINLOG MONITOR"}[s.Flavor]
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "CREATE USER least@'%' IDENTIFIED BY 'Secret-1'",
			"CREATE USER none@'%' IDENTIFIED BY 'Secret-1'",
			"GRANT REPLICATION SLAVE, "+monitor+" ON *.* TO least@'%'", "GRANT SELECT ON shop.* TO least@'%'")
		cfg := config(s)
		cfg.User, cfg.Password = "least", "Secret-1"
		findings, err := mysql.Preflight(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			if f.Verdict != mysql.OK {
				t.Errorf("%+v", f)
			}
		}
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		s.Exec(t, "INSERT INTO shop.a VALUES (1)")
		r.wait(t, 1)

		cfg.User = "none"
		launch(t, cfg, cdc.Checkpoint{}, nil).ends(t, "CDCD-1103")
		launch(t, cfg, r.checkpoint(), nil).ends(t, "CDCD-1103")
		wantFindings(t, cfg, map[string]string{"mysql.grant_replication": "CDCD-1103", "mysql.grant_monitor": "CDCD-1103", "mysql.tables": "CDCD-1208"})
		cfg.Password = "wrong"
		launch(t, cfg, r.checkpoint(), nil).ends(t, "CDCD-1102")
		if f, err := mysql.Preflight(t.Context(), cfg); err == nil || len(f) != 1 || f[0].Code != "CDCD-1102" {
			t.Errorf("findings %+v, error %v", f, err)
		}
	})
}

func wantFindings(t *testing.T, cfg mysql.Config, want map[string]string) {
	t.Helper()
	findings, err := mysql.Preflight(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Code != want[f.Name] {
			t.Errorf("%+v, want code %q", f, want[f.Name])
		}
		if (f.Verdict == mysql.OK) != (f.Code == "") || (f.Code == "") != (f.Fix == "") {
			t.Errorf("%+v: verdict, code and fix do not fit", f)
		}
		delete(want, f.Name)
	}
	for name, code := range want {
		t.Errorf("%s was not found with %s", name, code)
	}
}

func TestPreflightFindsWhatIsWrongAndItsFixesMendIt(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)",
			"SET GLOBAL binlog_row_image = 'MINIMAL'", "SET GLOBAL binlog_row_metadata = 'MINIMAL'", "SET GLOBAL binlog_format = 'STATEMENT'", "SET GLOBAL binlog_expire_logs_seconds = 3600")
		want := map[string]string{"mysql.row_image": "CDCD-1203", "mysql.row_metadata": "CDCD-1204", "mysql.binlog_format": "CDCD-1202", "mysql.retention": "CDCD-1205"}
		if s.Flavor == "mysql" {
			s.Exec(t, "SET GLOBAL binlog_row_value_options = 'PARTIAL_JSON'", "SET GLOBAL gtid_mode = ON_PERMISSIVE")
			want["mysql.row_value_options"] = "CDCD-1210" // together with binlog_row_image
			want["mysql.gtid_mode"] = "CDCD-1206"
		}
		cfg := config(s)
		findings, err := mysql.Preflight(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		wantFindings(t, cfg, want)
		for _, f := range findings {
			if f.Fix == "" {
				continue
			}
			for statement := range strings.SplitSeq(f.Fix, "; ") {
				if f.Name == "mysql.gtid_mode" && strings.Contains(statement, "OFF_PERMISSIVE") {
					continue // it goes one step at a time and is beyond that one
				}
				s.Exec(t, statement)
			}
		}
		wantFindings(t, cfg, map[string]string{})
		s.Exec(t, "CREATE TABLE shop.b (v INT)")
		wantFindings(t, cfg, map[string]string{"mysql.primary_key": "CDCD-1209"})
		cfg.Tables = append(cfg.Tables, "shop.nothing")
		findings, err = mysql.Preflight(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		last := findings[len(findings)-2]
		if last.Name != "mysql.tables" || last.Code != "CDCD-1208" {
			t.Errorf("%+v", last)
		}
	})
}

func TestStatementsInTheLogStop(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE DATABASE other", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "CREATE TABLE other.a (id INT PRIMARY KEY)")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		s.Exec(t, "SET SESSION binlog_format = 'STATEMENT'", "INSERT INTO other.a VALUES (1)", "SET SESSION binlog_format = 'ROW'", "INSERT INTO shop.a VALUES (1)")
		r.wait(t, 1)
		s.Exec(t, "SET SESSION binlog_format = 'STATEMENT'", "UPDATE /* well */ `shop` . `a` SET id = 5")
		r.ends(t, "CDCD-1304")
	})
}

func TestPartialUpdatesOfJSONGiveWholeDocuments(t *testing.T) {
	t.Parallel()
	s := testenv.MySQL(t, "--binlog-row-value-options=PARTIAL_JSON")
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v JSON, n INT, w JSON, x JSON)")
	cfg := config(s)
	cfg.FrameRows = 1
	r := begin(t, cfg, cdc.Checkpoint{}, nil)
	text := strings.Repeat("x", 100)
	var want []string
	for i, compression := range []string{"OFF", "ON"} {
		first, second := 2*i+1, 2*i+2
		s.Exec(t, "SET SESSION binlog_transaction_compression = "+compression,
			fmt.Sprintf(`INSERT INTO shop.a VALUES (%d, '{"a":1,"b":"%s"}', 1, NULL, '[1,2,"%[2]s"]'), (%d, '{"a":"%[2]s"}', 2, '{}', '{}')`, first, text, second),
			fmt.Sprintf("UPDATE shop.a SET v = JSON_SET(v, '$.a', 2, '$.c', 1.50), n = 3 WHERE id >= %d", first),
			fmt.Sprintf(`UPDATE shop.a SET v = JSON_REMOVE(v, '$.b'), w = '{"k":true}', x = JSON_ARRAY_INSERT(x, '$[0]', 'y') WHERE id = %d`, first),
			fmt.Sprintf("UPDATE shop.a SET w = NULL WHERE id = %d", first))
		row := func(id int, v string, n int, w, x string) string {
			return fmt.Sprintf(`{"id":%d,"v":%s,"n":%d,"w":%s,"x":%s}`, id, v, n, w, x)
		}
		b := `,"b":"` + text + `"`
		one := []string{row(first, `{"a":1`+b+`}`, 1, "null", `[1,2,"`+text+`"]`), row(first, `{"a":2`+b+`,"c":1.50}`, 3, "null", `[1,2,"`+text+`"]`),
			row(first, `{"a":2,"c":1.50}`, 3, `{"k":true}`, `["y",1,2,"`+text+`"]`), row(first, `{"a":2,"c":1.50}`, 3, "null", `["y",1,2,"`+text+`"]`)}
		two := []string{row(second, `{"a":"`+text+`"}`, 2, "{}", "{}"), row(second, `{"a":2,"c":1.50}`, 3, "{}", "{}")}
		change := func(op string, id int, before, after string) {
			want = append(want, fmt.Sprintf(`%s shop.a {"id":%d} %s -> %s`, op, id, before, after))
		}
		change("insert", first, "null", one[0])
		change("insert", second, "null", two[0])
		change("update", first, one[0], one[1])
		change("update", second, two[0], two[1])
		change("update", first, one[1], one[2])
		change("update", first, one[2], one[3])
	}
	got := r.wait(t, len(want))
	compare(t, short(got), want)
	for _, b := range r.frames { // from each place in the stream, in the midst of updates too, the rest comes again
		if b.Len() > 0 {
			n := int(b.Checkpoint().NextNo) - 1
			compare(t, begin(t, cfg, b.Checkpoint(), nil).wait(t, len(want)-n), got[n:])
		}
	}

	s.Exec(t, "SET SESSION binlog_row_image = 'MINIMAL'", "UPDATE shop.a SET v = JSON_SET(v, '$.a', 3)")
	r.ends(t, "CDCD-1313")
}

func TestTheHandlersErrorEndsTheRun(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
	refuse := errors.New("the stream is full")
	rec := newRecorder()
	rec.fail = func(n int, b *cdc.Batch) error {
		if b.Len() > 0 {
			return refuse
		}
		return nil
	}
	r := begin(t, config(s), cdc.Checkpoint{}, rec)
	s.Exec(t, "INSERT INTO shop.a VALUES (1)")
	select {
	case err := <-r.done:
		r.done <- err
		if !errors.Is(err, refuse) {
			t.Errorf("got %v, want %v", err, refuse)
		}
	case <-time.After(patience):
		t.Fatal("Run goes on")
	}
	rec.fail = nil
	again := launch(t, config(s), rec.checkpoint(), rec)
	again.wait(t, 1)
}

func TestTaggedGTIDs(t *testing.T) {
	t.Parallel()
	s := testenv.MySQL(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
	r := begin(t, config(s), cdc.Checkpoint{}, nil)
	s.Exec(t, "SET gtid_next = 'AUTOMATIC:blue'", "INSERT INTO shop.a VALUES (1)", "INSERT INTO shop.a VALUES (2)")
	want := r.wait(t, 2)
	r.stop(t)
	cp := r.frames[1].Checkpoint()
	if p := r.frames[1].Event(0).Position(); !strings.HasSuffix(p.GTID, ":blue:1") {
		t.Errorf("GTID %s", p.GTID)
	}
	s.Exec(t, "INSERT INTO shop.a VALUES (3)")
	rest := launch(t, config(s), r.checkpoint(), nil)
	rest.wait(t, 1)
	compare(t, fileEvents(t, s, config(s), cdc.Checkpoint{}).list()[:2], want)
	t.Log(cp.GTIDSet)
}
