package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

const filterRules = `version: 1
rules:
  - name: vip
    tables: [ledger.customers]
    where: row.tier == 'vip' && row.points != null && row.points >= 3
    to: [acme]
  - name: marks
    tables: [ledger.marks]
    to: [acme]
`

// filtered is a copy of a filtered table, kept as docs/objects.md says.
type filtered map[string]string // by key

func (f filtered) apply(text []byte) error {
	type row struct {
		ID     json.Number
		Tier   string
		Points *int
	}
	var r struct {
		Change, Table string
		Key           struct{ ID json.Number }
		Before, After *row
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	for _, seen := range []*row{r.Before, r.After} {
		if r.Table == "ledger.customers" && seen != nil && (seen.Tier != "vip" || seen.Points == nil || *seen.Points < 3) {
			return fmt.Errorf("a row is shown that is not in the filter")
		}
	}
	switch r.Change {
	case "stayed":
		delete(f, r.Before.ID.String())
		fallthrough
	case "entered":
		f[r.Key.ID.String()] = fmt.Sprintf("%s|%s|%d", r.After.ID, r.After.Tier, *r.After.Points)
	case "left":
		delete(f, r.Key.ID.String())
	}
	return nil
}

// A partner who does with entered, stayed and left what the documentation says has the rows that satisfy the filter, begun with
// a snapshot beside a busy database, and whenever cdcd was killed.
func TestACopyOfAFilteredTable(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, db *testenv.Server) {
		_, random := seed(t)
		const ten = "(SELECT 0 n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
		db.Exec(t, "CREATE DATABASE ledger", "CREATE TABLE ledger.marks (id INT PRIMARY KEY)",
			"CREATE TABLE ledger.customers (id INT PRIMARY KEY, tier ENUM('basic','vip') NOT NULL, points INT, note VARCHAR(100) NOT NULL)",
			fmt.Sprintf("INSERT INTO ledger.customers SELECT n * 2, IF(n %% 3, 'basic', 'vip'), NULLIF(n %% 7, 0), REPEAT('x', 90) FROM "+
				"(SELECT a.n + 10*b.n + 100*c.n + 1000*d.n AS n FROM %s a, %[1]s b, %[1]s c, %[1]s d) numbers", ten))
		conn := db.Conn(t)
		work := func(rounds int) {
			for range rounds {
				id := random.IntN(20_000)
				for _, s := range []string{"BEGIN", pick(random,
					fmt.Sprintf("UPDATE ledger.customers SET tier = IF(tier = 'vip', 'basic', 'vip') WHERE id BETWEEN %d AND %d", id, id+20),
					fmt.Sprintf("UPDATE ledger.customers SET points = NULLIF((COALESCE(points, 0) + %d) %% 8, 0) WHERE id BETWEEN %d AND %d", random.IntN(8), id, id+20),
					fmt.Sprintf("UPDATE ledger.customers SET id = %d, tier = 'vip', points = 5 WHERE id = %d", random.IntN(20_000), id),
					fmt.Sprintf("INSERT INTO ledger.customers VALUES (%d, 'vip', %d, '')", id, random.IntN(6)),
					fmt.Sprintf("DELETE FROM ledger.customers WHERE id = %d", id)), pick(random, "COMMIT", "COMMIT", "COMMIT", "ROLLBACK")} {
					_, _ = conn.Execute(s) // a key that is there already changes nothing
				}
			}
		}
		d := deploy(t, db, options{mysql: "    snapshot: initial\n", rules: filterRules})
		d.start(t)
		for range 3 {
			work(100)
			time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond)
			d.alive(t)
			d.kill()
			d.start(t)
		}
		d.capturing(t)
		await(t, d, "the snapshot is complete", func() bool { return len(d.snapshots(t)) == 0 })
		work(200)
		db.Exec(t, "INSERT INTO ledger.marks VALUES (1)")
		var lines []byte
		await(t, d, "everything is delivered", func() bool {
			var err error
			if lines, err = delivered(d.bucket); err != nil {
				t.Fatal(err)
			}
			return bytes.Contains(lines, []byte(`"table":"ledger.marks"`))
		})
		copied, changes := filtered{}, map[string]int{}
		text := bufio.NewScanner(bytes.NewReader(lines))
		text.Buffer(nil, 1<<20)
		for text.Scan() {
			if err := copied.apply(text.Bytes()); err != nil {
				t.Fatalf("%v: %s", err, text.Bytes())
			}
			for _, change := range []string{"entered", "stayed", "left"} {
				if bytes.Contains(text.Bytes(), []byte(`],"change":"`+change+`"`)) {
					changes[change]++
				}
			}
		}
		var want []string
		for _, row := range db.Query(t, "SELECT id, tier, points FROM ledger.customers WHERE tier = 'vip' AND points >= 3") {
			want = append(want, strings.Join(row, "|"))
		}
		got := slices.Sorted(maps.Values(copied))
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("the copy has %d rows, the filtered table %d", len(got), len(want))
		}
		if len(want) == 0 || changes["entered"] == 0 || changes["stayed"] == 0 || changes["left"] == 0 {
			t.Errorf("the workload did not show all: %d rows, %v", len(want), changes)
		}
		d.stop(t)
		d.verify(t)
		t.Logf("%d rows; records: %v", len(want), changes)
	})
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }
