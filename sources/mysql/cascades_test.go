package mysql_test

import (
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

func TestCheckNamesForeignKeysThatChangeRowsUnseen(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, s *testenv.Server, seen bool) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.parent (id INT PRIMARY KEY)",
			"CREATE TABLE shop.a (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES shop.parent (id) ON DELETE CASCADE)",
			"CREATE TABLE shop.b (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES shop.parent (id) ON DELETE SET NULL ON UPDATE CASCADE)",
			"CREATE TABLE shop.c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES shop.parent (id) ON DELETE RESTRICT)",
			"CREATE TABLE shop.other (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES shop.parent (id) ON DELETE CASCADE)")
		cfg := config(s)
		cfg.ExcludeTables = []string{"shop.other"}
		found, err := mysql.Preflight(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, f := range found {
			if f.Name == "mysql.cascades" {
				got += f.Verdict.String() + " " + f.Code + " " + f.Detail + "\n"
			}
		}
		want := "warn CDCD-1320 shop.a has a foreign key to parent with ON DELETE CASCADE: what it changes is not in the binlog\n" +
			"warn CDCD-1320 shop.b has a foreign key to parent with ON DELETE SET NULL, ON UPDATE CASCADE: what it changes is not in the binlog\n"
		if seen {
			want = ""
		}
		if got != want {
			t.Errorf("got\n%swant\n%s", got, strings.TrimSpace(want))
		}
	}
	t.Run("mariadb", func(t *testing.T) { test(t, testenv.MariaDB(t), false) })
	t.Run("mysql", func(t *testing.T) { test(t, testenv.MySQL(t), true) })
	t.Run("mysql as before", func(t *testing.T) { test(t, testenv.MySQL(t, "--innodb-native-foreign-keys=ON"), false) })
}
