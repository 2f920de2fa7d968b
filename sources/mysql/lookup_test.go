package mysql_test

import (
	"context"
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

func lookups(t *testing.T, s *testenv.Server, change ...func(*mysql.LookupConfig)) *mysql.Lookups {
	t.Helper()
	cfg := mysql.LookupConfig{Server: config(s)}
	for _, c := range change {
		c(&cfg)
	}
	l, err := mysql.NewLookups(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// found writes an answer as a test can know it: for each key its rows.
func found(a *cdc.Answer) []string {
	out := make([]string, len(a.Rows))
	for i, rows := range a.Rows {
		var texts []string
		for _, row := range rows {
			after := a.Batch.Event(row).After()
			var values []string
			for j := range after.Table().Columns {
				values = append(values, string(cdc.AppendJSON(nil, &after.Table().Columns[j], after.Value(j))))
			}
			texts = append(texts, strings.Join(values, " "))
		}
		out[i] = strings.Join(texts, "; ")
	}
	return out
}

func text(s string) cdc.Value { return cdc.TextValue(cdc.KindString, s) }

func TestLookUpFindsTheRowsOfEachKey(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "SET NAMES utf8mb4",
			"CREATE TABLE shop.customers (id INT PRIMARY KEY, name VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, code VARCHAR(9) CHARACTER SET latin1, vip BOOL, UNIQUE (code), KEY (name))",
			"INSERT INTO shop.customers VALUES (1, 'Ada', 'a?', 1), (2, 'bob', 'b', 0), (3, 'Bob', 'B2', NULL), (4, '☃', 'é', 0)",
			"CREATE TABLE shop.`li``nes` (ord BIGINT UNSIGNED, no SMALLINT, what TEXT, price DECIMAL(9,2), at DATETIME(3), PRIMARY KEY (ord, no), KEY (price), KEY (at))",
			"INSERT INTO shop.`li``nes` VALUES (7, 1, 'a', 1.50, '2026-01-01 10:00:00.125'), (7, 3, 'c', 2.25, '2026-01-01'), (7, 2, 'b', 1.50, '2026-01-02'), (18446744073709551615, 1, NULL, NULL, NULL)",
			"CREATE TABLE shop.keyless (v INT, w INT)", "INSERT INTO shop.keyless VALUES (1, 1), (1, 2), (2, 3)")
		l := lookups(t, s)
		for name, c := range map[string]struct {
			q    cdc.Query
			want []string
		}{
			"by primary key, one or none": {cdc.Query{Table: "shop.customers", By: []string{"id"}, Limit: 1,
				Keys: [][]cdc.Value{{cdc.Int64Value(2)}, {cdc.Int64Value(9)}, {cdc.Uint64Value(1)}, {text("3")}, {text("3 apples")}, {cdc.Float64Value(2)}, {cdc.Float64Value(2.5)},
					{cdc.TextValue(cdc.KindDecimal, "1.00")}, {cdc.Uint64Value(1 << 63)}}},
				[]string{`2 "bob" "b" 0`, ``, `1 "Ada" "a?" 1`, `3 "Bob" "B2" null`, ``, `2 "bob" "b" 0`, ``, `1 "Ada" "a?" 1`, ``}},
			"columns in the order that is asked for": {cdc.Query{Table: "shop.customers", Columns: []string{"vip", "id"}, By: []string{"id"}, Limit: 1, Keys: [][]cdc.Value{{cdc.Int64Value(3)}}},
				[]string{`null 3`}},
			"keys that are equal to the column": {cdc.Query{Table: "shop.customers", Columns: []string{"id"}, By: []string{"name"}, Limit: 9, Keys: [][]cdc.Value{{text("BOB")}, {text("ada")}, {text("bob  ")}, {text("☃")}, {text("")}}},
				[]string{`2; 3`, `1`, `2; 3`, `4`, ``}},
			"no question mark for what the character set does not have": {cdc.Query{Table: "shop.customers", Columns: []string{"id"}, By: []string{"code"}, Limit: 1, Keys: [][]cdc.Value{{text("a☃")}, {text("A?")}, {text("É")}, {text("b")}}},
				[]string{``, `1`, `4`, `2`}},
			"limit and order": {cdc.Query{Table: "shop.li`nes", Columns: []string{"no", "what"}, By: []string{"ord"}, Limit: 2, Order: []cdc.Order{{Column: "price", Desc: true}},
				Keys: [][]cdc.Value{{cdc.Int64Value(7)}, {cdc.Int64Value(-7)}, {cdc.Uint64Value(1<<64 - 1)}}}, []string{`3 "c"; 1 "a"`, ``, `1 null`}},
			"a composite key": {cdc.Query{Table: "shop.li`nes", Columns: []string{"what"}, By: []string{"no", "ord"}, Limit: 1,
				Keys: [][]cdc.Value{{cdc.Int64Value(2), cdc.Int64Value(7)}, {cdc.Int64Value(7), cdc.Int64Value(2)}}}, []string{`"b"`, ``}},
			"by decimal": {cdc.Query{Table: "shop.li`nes", Columns: []string{"no"}, By: []string{"price"}, Limit: 5,
				Keys: [][]cdc.Value{{cdc.TextValue(cdc.KindDecimal, "1.5")}, {cdc.Float64Value(2.25)}, {cdc.TextValue(cdc.KindDecimal, "1.501")}}}, []string{`1; 2`, `3`, ``}},
			"by time": {cdc.Query{Table: "shop.li`nes", Columns: []string{"no"}, By: []string{"at"}, Limit: 5,
				Keys: [][]cdc.Value{{text("2026-01-01T10:00:00.125")}, {cdc.CivilValue(cdc.KindDate, cdc.Civil{Year: 2026, Month: 1, Day: 1})}, {text("now")}}}, []string{`1`, `3`, ``}},
			"a table without a key": {cdc.Query{Table: "shop.keyless", By: []string{"v"}, Limit: 5, Order: []cdc.Order{{Column: "w", Desc: true}}, Keys: [][]cdc.Value{{cdc.Int64Value(1)}, {cdc.Int64Value(2)}}},
				[]string{`1 2; 1 1`, `2 3`}},
			"no key at all": {cdc.Query{Table: "shop.keyless", By: []string{"v"}, Limit: 5}, []string{}},
		} {
			a, err := l.LookUp(t.Context(), &c.q)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got := found(a); !slices.Equal(got, c.want) {
				t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
			}
		}
	})
}

func TestLookUpRefusesWhatTheSourceHides(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.c (id INT PRIMARY KEY, email VARCHAR(20), ssn VARCHAR(20), doc GEOMETRY, KEY (email))", "INSERT INTO shop.c (id, email, ssn) VALUES (1, 'ada@x', '123')")
		l := lookups(t, s, func(c *mysql.LookupConfig) {
			c.Server.DropColumns = []string{"*.*.ssn"}
			c.Server.MaskColumns = []mysql.ColumnMask{{Columns: "shop.c.email", Mask: stars{}}}
		})
		a, err := l.LookUp(t.Context(), &cdc.Query{Table: "shop.c", By: []string{"id"}, Limit: 1, Keys: [][]cdc.Value{{cdc.Int64Value(1)}}})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := found(a), []string{`1 "*****" null`}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		key := [][]cdc.Value{{text("x")}}
		for _, q := range []cdc.Query{
			{Table: "shop.c", Columns: []string{"ssn"}, By: []string{"id"}, Limit: 1, Keys: key},
			{Table: "shop.c", By: []string{"ssn"}, Limit: 1, Keys: key},
			{Table: "shop.c", By: []string{"email"}, Limit: 1, Keys: key},
			{Table: "shop.c", By: []string{"id"}, Limit: 2, Order: []cdc.Order{{Column: "email"}}, Keys: key},
			{Table: "shop.c", By: []string{"doc"}, Limit: 1, Keys: key},
			{Table: "shop.c", By: []string{"nothing"}, Limit: 1, Keys: key},
		} {
			if _, err := l.LookUp(t.Context(), &q); cdc.CodeOf(err) != "CDCD-1343" {
				t.Errorf("%v: %v, want CDCD-1343", q, err)
			}
		}
		for _, table := range []string{"shop.nothing", "no.c", "mysql.user", "c"} {
			_, err := l.LookUp(t.Context(), &cdc.Query{Table: table, By: []string{"id"}, Limit: 1, Keys: key})
			if code := cdc.CodeOf(err); code != "CDCD-1342" && code != "CDCD-1343" {
				t.Errorf("%s: %v, want CDCD-1342 or CDCD-1343", table, err)
			}
		}
	})
}

type stars struct{}

func (stars) Column(c cdc.Column) cdc.Column { return c }

func (stars) Value(_ string, _ *cdc.Column, v cdc.Value) (cdc.Value, error) {
	return cdc.TextValue(v.Kind(), strings.Repeat("*", len(v.Text()))), nil
}

func TestLookUpOfATableThatIsAlteredBetween(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.c (id INT PRIMARY KEY, v INT, e ENUM('a', 'b'))", "INSERT INTO shop.c VALUES (1, 2, 'a')")
		l := lookups(t, s, func(c *mysql.LookupConfig) { c.Connections = 1 })
		q := &cdc.Query{Table: "shop.c", By: []string{"id"}, Limit: 1, Keys: [][]cdc.Value{{cdc.Int64Value(1)}}}
		for _, step := range []struct{ statement, want, members string }{
			{"DO 1", `1 2 "a"`, "a,b"},
			{"ALTER TABLE shop.c ADD COLUMN w VARCHAR(9) DEFAULT 'new' AFTER id", `1 "new" 2 "a"`, "a,b"},
			{"ALTER TABLE shop.c MODIFY v DECIMAL(5,2)", `1 "new" "2.00" "a"`, "a,b"},
			{"ALTER TABLE shop.c MODIFY e ENUM('b', 'a')", `1 "new" "2.00" "a"`, "b,a"},
			{"ALTER TABLE shop.c DROP PRIMARY KEY, ADD INDEX other (id)", `1 "new" "2.00" "a"`, "b,a"},
			{"ALTER TABLE shop.c DROP INDEX other, DROP COLUMN w", `1 "2.00" "a"`, "b,a"},
		} {
			s.Exec(t, step.statement)
			a, err := l.LookUp(t.Context(), q)
			if err != nil {
				t.Fatalf("%s: %v", step.statement, err)
			}
			if got := found(a); !slices.Equal(got, []string{step.want}) {
				t.Errorf("%s: got %q, want %q", step.statement, got, step.want)
			}
			now := a.Batch.Event(0).Table()
			if got, want := strings.Join(now.Columns[now.Column("e")].Members, ","), step.members; got != want {
				t.Errorf("%s: the members are %s, want %s", step.statement, got, want)
			}
		}
	})
}

func TestLookUpAfterTheServerWasRestartedAndWhileItIsGone(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.c (id INT PRIMARY KEY)", "INSERT INTO shop.c VALUES (1)")
		l := lookups(t, s, func(c *mysql.LookupConfig) { c.Connections = 1; c.Timeout = 5 * time.Second })
		q := &cdc.Query{Table: "shop.c", By: []string{"id"}, Limit: 1, Keys: [][]cdc.Value{{cdc.Int64Value(1)}}}
		ask := func(ctx context.Context) error { _, err := l.LookUp(ctx, q); return err }
		if err := ask(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Kill()
		if err := ask(t.Context()); cdc.CodeOf(err) != "CDCD-1101" {
			t.Errorf("while it is gone: %v, want CDCD-1101", err)
		}
		s.Start(t)
		if err := ask(t.Context()); err != nil {
			t.Errorf("after the restart: %v", err)
		}
		s.Stop(t)
		s.Start(t)
		if err := ask(t.Context()); err != nil {
			t.Errorf("after a restart that was not noticed: %v", err)
		}

		q.After = cdc.Position{GTID: map[string]string{"mysql": "00000000-0000-0000-0000-000000000001:1", "mariadb": "0-1-99999999"}[s.Flavor]}
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := ask(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a change that the server does not have, and a caller without patience: %v, want its deadline", err)
		}
		impatient := lookups(t, s, func(c *mysql.LookupConfig) { c.Timeout = 3 * time.Second })
		if _, err := impatient.LookUp(t.Context(), q); cdc.CodeOf(err) != "CDCD-1345" {
			t.Errorf("a change that the server does not have: %v, want CDCD-1345", err)
		}
		q.After = cdc.Position{}
		if err := ask(t.Context()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestLookUpBoundsItsAnswer(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.c (id INT PRIMARY KEY, v TEXT)", "INSERT INTO shop.c VALUES (1, REPEAT('x', 60000)), (2, REPEAT('y', 60000)), (3, 'z')")
		l := lookups(t, s, func(c *mysql.LookupConfig) { c.MaxBytes = 100_000 })
		for want, keys := range map[string][][]cdc.Value{
			"":          {{cdc.Int64Value(1)}, {cdc.Int64Value(3)}},
			"CDCD-1349": {{cdc.Int64Value(1)}, {cdc.Int64Value(2)}},
		} {
			if _, err := l.LookUp(t.Context(), &cdc.Query{Table: "shop.c", By: []string{"id"}, Limit: 1, Keys: keys}); cdc.CodeOf(err) != want {
				t.Errorf("%v: %v, want %q", keys, err, want)
			}
		}
	})
}

// Whatever type a column has, what is looked up is the same to the byte as what a snapshot and the log make of it, and a row is
// found by its own value.
func TestLookUpOfEveryType(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop CHARACTER SET utf8mb4")
		conn := s.Conn(t)
		execute := func(statement string) {
			t.Helper()
			if _, err := conn.Execute(statement); err != nil {
				t.Fatalf("%.600s: %v", statement, err)
			}
		}
		for _, statement := range append([]string{"SET SESSION innodb_strict_mode = OFF"}, session...) {
			execute(statement)
		}
		l := lookups(t, s, func(c *mysql.LookupConfig) { c.MaxBytes = 16 << 20 })
		for i, table := range typeTables(s.Flavor) {
			name := fmt.Sprintf("t%d", i)
			execute("CREATE TABLE shop." + name + " (id INT PRIMARY KEY" + table.columns() + ")")
			execute("INSERT INTO shop." + name + " VALUES " + table.inserts())
			rows, err := mysql.SelectRows(t.Context(), config(s), "shop", name, "ORDER BY id")
			if err != nil {
				t.Fatal(err)
			}
			q := cdc.Query{Table: "shop." + name, By: []string{"id"}, Limit: 1}
			for n := range rows {
				q.Keys = append(q.Keys, []cdc.Value{cdc.Int64Value(int64(n))})
			}
			a, err := l.LookUp(t.Context(), &q)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for n, row := range rows {
				sameImage(t, row.Event(0).After(), a.Batch.Event(a.Rows[n][0]).After())
			}
			for c := range table.cases {
				column := &rows[0].Event(0).Table().Columns[c+1]
				switch column.Kind {
				case cdc.KindJSON, cdc.KindGeometry, cdc.KindVector:
					continue
				}
				if strings.HasSuffix(column.Type, "text") || strings.HasSuffix(column.Type, "blob") {
					continue // some of them are longer than the packets that the server takes
				}
				by := cdc.Query{Table: "shop." + name, Columns: []string{"id"}, By: []string{column.Name}, Limit: 100}
				for _, row := range rows {
					if v := row.Event(0).After().Value(c + 1); !v.IsNull() {
						by.Keys = append(by.Keys, []cdc.Value{v})
					}
				}
				a, err := l.LookUp(t.Context(), &by)
				if err != nil {
					t.Errorf("%s by %s %s: %v", name, column.Name, table.cases[c].sql, err)
					continue
				}
				key := 0
				for n, row := range rows {
					v := row.Event(0).After().Value(c + 1)
					if v.IsNull() {
						continue
					}
					if !slices.ContainsFunc(a.Rows[key], func(i int) bool { return a.Batch.Event(i).After().Value(0).Int64() == int64(n) }) {
						t.Errorf("%s: row %d is not found by its %.60s = %.80s", name, n, table.cases[c].sql, cdc.AppendJSON(nil, column, v))
					}
					key++
				}
			}
		}
	})
}

// The servers use an index for every kind of statement, and of every common type.
func TestLookUpUsesIndexes(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", `CREATE TABLE shop.c (id INT PRIMARY KEY, n BIGINT UNSIGNED, name VARCHAR(40) CHARACTER SET utf8mb4, code VARCHAR(40) CHARACTER SET latin1, amount DECIMAL(9,2),
			day DATE, at DATETIME(3), ts TIMESTAMP(6) NULL, raw VARBINARY(16), dbl DOUBLE, tm TIME, plain INT, KEY (n, name), KEY (name), KEY (code, id), KEY (amount), KEY (day), KEY (at), KEY (ts), KEY (raw), KEY (dbl), KEY (tm))`)
		var rows []string
		for i := range 2000 {
			rows = append(rows, fmt.Sprintf("(%d, %[1]d, 'name %[1]d', 'code %[1]d', %[1]d.25, '2026-01-01' + INTERVAL %[1]d DAY, '2026-01-01' + INTERVAL %[1]d MINUTE, '2026-01-01' + INTERVAL %[1]d HOUR, '%[1]d', %[1]d, SEC_TO_TIME(%[1]d), %[1]d)", i))
		}
		s.Exec(t, "INSERT INTO shop.c VALUES "+strings.Join(rows, ", "), "ANALYZE TABLE shop.c")
		l := lookups(t, s)
		for by, scans := range map[string]bool{"id": false, "n": false, "n,name": false, "name": false, "code": false, "amount": false, "day": false, "at": false, "ts": false, "raw": false,
			"dbl": false, "tm": false, "plain": true} {
			for _, limit := range []int{1, 5} {
				q := &cdc.Query{Table: "shop.c", By: strings.Split(by, ","), Limit: limit, Order: []cdc.Order{{Column: "id"}}}
				plan, err := l.Plan(t.Context(), q)
				if err != nil {
					t.Errorf("by %s: %v", by, err)
				} else if plan.Scans != scans || plan.Unique != (by == "id") || (plan.Warning(q) != nil) != scans {
					t.Errorf("by %s, limit %d: %+v, want scans %v", by, limit, plan, scans)
				}
			}
		}
	})
}

// Of a key with many rows only as many are read as are asked for, where an index has their order.
func TestLookUpEndsReadingAtItsLimit(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.l (ord INT, no INT, v INT, PRIMARY KEY (ord, no), KEY (v, no DESC))")
		var rows []string
		for i := range 20_000 {
			rows = append(rows, fmt.Sprintf("(%d, %d, %d)", i%2, i, i%2))
		}
		s.Exec(t, "INSERT INTO shop.l VALUES "+strings.Join(rows, ", "), "ANALYZE TABLE shop.l")
		l := lookups(t, s)
		read := func() (n int) {
			for _, row := range s.Query(t, "SHOW GLOBAL STATUS WHERE Variable_name IN ('Handler_read_next', 'Handler_read_prev', 'Innodb_rows_read')") {
				var one int
				fmt.Sscan(row[1], &one)
				n += one
			}
			return n
		}
		for _, by := range []string{"ord", "v"} {
			for _, keys := range [][][]cdc.Value{{{cdc.Int64Value(1)}}, {{cdc.Int64Value(1)}, {cdc.Int64Value(0)}}} {
				q := &cdc.Query{Table: "shop.l", Columns: []string{"no"}, By: []string{by}, Limit: 3, Order: []cdc.Order{{Column: "no", Desc: true}}, Keys: keys}
				if _, err := l.LookUp(t.Context(), q); err != nil { // learns about the table
					t.Fatal(err)
				}
				before := read()
				a, err := l.LookUp(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				if got := read() - before; got > 5000 {
					t.Errorf("by %s, %d keys: %d rows were read", by, len(keys), got)
				}
				if got := found(a)[0]; got != "19999; 19997; 19995" {
					t.Errorf("by %s: got %q", by, got)
				}
			}
		}
	})
}
