package mysql_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// wideTable has so many columns, the first of which is the key.
func wideTable(name string, columns int) (create, insert, after string) {
	var c, v, j strings.Builder
	for i := range columns {
		tp, value := "INT", fmt.Sprint(i)
		if i%3 == 1 {
			tp, value = "VARCHAR(3) CHARACTER SET utf8mb4", fmt.Sprintf("'%d'", i)
		}
		if i > 0 {
			c.WriteString(", ")
			v.WriteString(", ")
			j.WriteString(",")
		}
		fmt.Fprintf(&c, "c%d %s", i, tp)
		v.WriteString(value)
		fmt.Fprintf(&j, `"c%d":%s`, i, strings.ReplaceAll(value, "'", `"`))
	}
	return fmt.Sprintf("CREATE TABLE %s (%s, PRIMARY KEY (c0))", name, c.String()), fmt.Sprintf("INSERT INTO %s VALUES (%s)", name, v.String()), j.String()
}

// 64 characters are the most that a name may have, and none beyond the basic plane. Names of databases and tables are
// names of files, too, where a Cyrillic letter takes less room than others do.
var longName, longColumn = strings.Repeat("ж", 64), strings.Repeat("名", 64)

func TestWideTablesAndTheLongestNamesAreCapturedLiveFromFilesAndBySnapshot(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		columns := fmt.Sprintf("id INT PRIMARY KEY, `%s` INT", longColumn)
		s.Exec(t, "CREATE DATABASE shop", fmt.Sprintf("CREATE DATABASE `%s`", longName), fmt.Sprintf("CREATE TABLE `%s`.`%[1]s` (%s)", longName, columns))
		if _, err := s.Conn(t).Execute("CREATE TABLE shop.`" + strings.Repeat("😀", 64) + "` (id INT)"); err == nil {
			t.Error("a table's name may have characters of four bytes: let the test have them, too")
		}
		var inserts, want []string
		for _, n := range []int{400, 1000} {
			create, insert, after := wideTable(fmt.Sprintf("shop.t%d", n), n)
			s.Exec(t, create)
			inserts = append(inserts, insert)
			want = append(want, fmt.Sprintf(`insert shop.t%d {"c0":0} null -> {%s}`, n, after))
		}
		inserts = append(inserts, fmt.Sprintf("INSERT INTO `%s`.`%[1]s` VALUES (1, 2)", longName))
		want = append(want, fmt.Sprintf(`insert %s.%[1]s {"id":1} null -> {"id":1,"%[2]s":2}`, longName, longColumn))

		cfg := config(s, "shop.*", longName+".*")
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		s.Exec(t, inserts...)
		live := r.wait(t, len(want))
		r.stop(t)
		compare(t, short(live), want)

		compare(t, short(fileEvents(t, s, cfg, cdc.Checkpoint{}).list()), want)

		cfg.Snapshot = true
		r = launch(t, cfg, cdc.Checkpoint{}, nil)
		events := short(r.wait(t, len(want)))
		for i := range events {
			events[i] = strings.Replace(events[i], "snapshot ", "insert ", 1)
		}
		slices.Sort(events)
		slices.Sort(want)
		compare(t, events, want)
	}, "--binlog-row-metadata=FULL", "--character-set-server=utf8mb4")
}
