package mysql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/internal/rowimage"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// Each chunk begins with a search in the index, of whatever type the key is.
func TestServersUseTheIndexToReadOnBehindAKey(t *testing.T) {
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		var members []string
		for i := range 60 {
			members = append(members, fmt.Sprintf("'m%d'", i))
		}
		list := strings.Join(members, ",")
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.e (k ENUM("+list+"), n INT, PRIMARY KEY (k, n))", "CREATE TABLE shop.s (n INT, k SET("+list+"), PRIMARY KEY (n, k))",
			"CREATE TABLE shop.v (k VARCHAR(20) CHARACTER SET latin1 PRIMARY KEY)", "CREATE TABLE shop.d (k DATETIME(3) PRIMARY KEY)")
		for i := range 60 {
			s.Exec(t, fmt.Sprintf("INSERT INTO shop.e VALUES (%d, 1), (%[1]d, 2)", i+1), fmt.Sprintf("INSERT IGNORE INTO shop.s VALUES (1, %d), (2, %d)", uint64(1)<<i, uint64(1)<<59+uint64(1)<<i-1),
				fmt.Sprintf("INSERT INTO shop.v VALUES ('k%02d')", i), fmt.Sprintf("INSERT INTO shop.d VALUES ('2026-01-01 00:00:%02d.001')", i))
		}
		s.Exec(t, "ANALYZE TABLE shop.e, shop.s, shop.v, shop.d")
		source, err := New(Config{Addr: s.Addr, User: testenv.User, Password: testenv.Password, Tables: []string{"shop.*"}})
		if err != nil {
			t.Fatal(err)
		}
		sv, err := connect(t.Context(), &source.cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer sv.close()
		if err := sv.exactRows(); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			table string
			at    []string
			rest  string // how many rows come behind it
		}{
			{"e", []string{"n55", "n1"}, "11"},
			{"s", []string{"n2", fmt.Sprint("n", uint64(1)<<59+uint64(1)<<55-1)}, "4"}, // a neighbour of a number with which it is the same in 53 bits
			{"v", []string{"s6b3535"}, "4"},
			{"d", []string{"q2026-01-01 00:00:55.001000"}, "4"},
		} {
			l, err := sv.layoutOf("shop", c.table, source.treated)
			if err != nil {
				t.Fatal(err)
			}
			var key []int
			var order []string
			for i := range c.at {
				key, order = append(key, i), append(order, rowimage.QuoteName(l.Table().Columns[i].Name))
			}
			condition, err := beyond(l.Table(), key, c.at, ">")
			if err != nil {
				t.Fatal(err)
			}
			from := " FROM shop." + c.table + " FORCE INDEX (`PRIMARY`) WHERE " + condition
			if n, err := sv.value("SELECT COUNT(*)" + from); err != nil || n != c.rest {
				t.Errorf("%s: %s rows behind %v, want %s: %v", c.table, n, c.at, c.rest, err)
			}
			plan, err := sv.query("EXPLAIN FORMAT=JSON SELECT " + l.SelectList() + from + " ORDER BY " + strings.Join(order, ", ") + " LIMIT 10")
			if err != nil {
				t.Fatal(err)
			}
			if text := plan[0][0]; !strings.Contains(text, `"access_type": "range"`) && !strings.Contains(strings.ToLower(text), "index range scan") || strings.Contains(text, "filesort") && !strings.Contains(text, `"using_filesort": false`) {
				t.Errorf("%s: the index is not used for %s:\n%s", c.table, condition, text)
			}
		}
	})
}
